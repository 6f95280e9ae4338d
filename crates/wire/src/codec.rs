//! Fields: how numbers, strings, data and lists lie in a message.
//!
//! All numbers are little endian. Fields follow each other without padding.

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;

use gofer_vfs::{Errno, Name, PeerGid, PeerUid};

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// No operation has this number.
    Unknown(u16),
    /// The number of a reply where a request is expected, or the reverse.
    IsReply(u16),
    /// A field reaches past the end, or data is not as long as it says.
    Truncated,
    /// A file name is none ([`Name::new`]).
    Name(Errno),
}

impl DecodeError {
    /// What to answer: `ENOSYS` for a reply sent as a request, the name's own error, else `EIO`.
    pub const fn errno(self) -> Errno {
        match self {
            Self::IsReply(_) => Errno::ENOSYS,
            Self::Name(errno) => errno,
            Self::Unknown(_) | Self::Truncated => Errno::EIO,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(number) => write!(f, "message number {number} is unknown"),
            Self::IsReply(number) => write!(f, "message number {number} goes in the other direction"),
            Self::Truncated => f.write_str("the message is not as long as its fields"),
            Self::Name(errno) => write!(f, "a file name is not acceptable: {errno}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// A cursor over received bytes. Nothing can be read past the end.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A cursor at the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] where there are fewer; so for all that follow.
    #[inline]
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    /// The next byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_le_bytes)
    }

    /// The next two bytes as a number.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes as a number.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes as a number.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next four bytes as a number with a sign.
    #[inline]
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_le_bytes)
    }

    /// The next eight bytes as a number with a sign.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_le_bytes)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }
}

/// A field, or fields one after the other: a structure, a message.
///
/// Encoding cannot fail: no value exists that is too long for its length field. What was encoded, followed by
/// its [`payload`](Self::payload), decodes to an equal value.
pub trait Wire<'a>: Sized {
    /// Reads the value, borrowing strings and data.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] or [`DecodeError::Name`], for the first field that is wrong.
    fn decode(from: &mut Reader<'a>) -> Result<Self, DecodeError>;

    /// Appends the value, without its payload.
    fn encode(&self, into: &mut Vec<u8>);

    /// The bytes that belong behind what [`encode`](Self::encode) writes: those of a [`Data`], else none.
    fn payload(&self) -> &'a [u8] {
        &[]
    }
}

macro_rules! integers {
    ($($int:ident)*) => { $(
        impl<'a> Wire<'a> for $int {
            #[inline]
            fn decode(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
                from.$int()
            }

            #[inline]
            fn encode(&self, into: &mut Vec<u8>) {
                into.extend_from_slice(&self.to_le_bytes());
            }
        }
    )* };
}

integers! { u8 u16 u32 u64 i32 i64 }

/// [`Wire`] for types around one public field.
macro_rules! wire_as_field {
    ($($name:ident)*) => { $(
        impl<'a> $crate::codec::Wire<'a> for $name {
            #[inline]
            fn decode(from: &mut $crate::codec::Reader<'a>) -> Result<Self, $crate::codec::DecodeError> {
                $crate::codec::Wire::decode(from).map(Self)
            }

            #[inline]
            fn encode(&self, into: &mut Vec<u8>) {
                self.0.encode(into);
            }
        }
    )* };
}
pub(crate) use wire_as_field;

wire_as_field! { PeerUid PeerGid }

/// A string: `len[2] bytes[len]`, any bytes, at most 65,535 of them.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Str<'a>(&'a [u8]);

impl<'a> Str<'a> {
    /// The string; `None` where it is too long for the wire.
    pub const fn new(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() <= 0xFFFF { Some(Self(bytes)) } else { None }
    }

    /// The bytes of the string.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> From<Name<'a>> for Str<'a> {
    fn from(name: Name<'a>) -> Self {
        // At most `Name::MAX` bytes.
        Self(name.as_bytes())
    }
}

impl fmt::Debug for Str<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl<'a> Wire<'a> for Str<'a> {
    fn decode(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let len = from.u16()?;
        from.bytes(usize::from(len)).map(Self)
    }

    fn encode(&self, into: &mut Vec<u8>) {
        let len = u16::try_from(self.0.len()).expect("a Str has at most 65,535 bytes");
        len.encode(into);
        into.extend_from_slice(self.0);
    }
}

/// A string that has to be a file name.
impl<'a> Wire<'a> for Name<'a> {
    fn decode(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Name::new(Str::decode(from)?.0).map_err(DecodeError::Name)
    }

    fn encode(&self, into: &mut Vec<u8>) {
        Str::from(*self).encode(into);
    }
}

/// The bytes of a read or a write: `count[4] bytes[count]`, always the last field of its message, which ends
/// with them.
///
/// The bytes are the message's [`payload`](Wire::payload): encoding writes the count alone, so that they can
/// go from where they are to the socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Data<'a>(pub &'a [u8]);

impl fmt::Debug for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl<'a> Wire<'a> for Data<'a> {
    fn decode(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count = from.u32()?;
        let bytes = from.rest();
        if usize::try_from(count) == Ok(bytes.len()) { Ok(Self(bytes)) } else { Err(DecodeError::Truncated) }
    }

    fn encode(&self, into: &mut Vec<u8>) {
        saturated(self.0.len()).encode(into);
    }

    fn payload(&self) -> &'a [u8] {
        self.0
    }
}

/// A length as a wire number. Nothing as long as 4 GiB fits a frame, and the number says so to whoever checks
/// it against the msize.
pub(crate) fn saturated(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// A list: `n[2] n*(element)`. Elements are checked when the list is decoded and read again by every
/// iteration; nothing is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct List<'a, T> {
    len: u16,
    /// Exactly `len` encoded elements.
    elements: &'a [u8],
    of: PhantomData<T>,
}

impl<'a, T: Wire<'a>> List<'a, T> {
    /// The list without elements.
    pub const EMPTY: Self = Self { len: 0, elements: &[], of: PhantomData };

    /// How many elements there are, at most 65,535.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends the length field alone.
    pub(crate) fn encode_len(&self, into: &mut Vec<u8>) {
        self.len.encode(into);
    }

    /// The elements as they are encoded.
    pub(crate) const fn elements(&self) -> &'a [u8] {
        self.elements
    }

    /// The elements in order.
    pub const fn iter(&self) -> ListIter<'a, T> {
        ListIter { left: self.len, elements: Reader::new(self.elements), of: PhantomData }
    }
}

impl<'a, T: Wire<'a>> IntoIterator for List<'a, T> {
    type Item = T;
    type IntoIter = ListIter<'a, T>;

    fn into_iter(self) -> ListIter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Wire<'a> + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Wire<'a>> Wire<'a> for List<'a, T> {
    fn decode(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let len = from.u16()?;
        let start = *from;
        for _ in 0..len {
            T::decode(from)?;
        }
        let (elements, _) = start.0.split_at(start.0.len() - from.0.len());
        Ok(Self { len, elements, of: PhantomData })
    }

    fn encode(&self, into: &mut Vec<u8>) {
        self.len.encode(into);
        into.extend_from_slice(self.elements);
    }
}

/// The elements of a [`List`].
#[derive(Clone, Debug)]
pub struct ListIter<'a, T> {
    left: u16,
    elements: Reader<'a>,
    of: PhantomData<T>,
}

impl<'a, T: Wire<'a>> Iterator for ListIter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        // Cannot fail: the list was decoded, or built from elements, before.
        T::decode(&mut self.elements).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.left);
        (left, Some(left))
    }
}

impl<'a, T: Wire<'a>> ExactSizeIterator for ListIter<'a, T> {}
impl<'a, T: Wire<'a>> FusedIterator for ListIter<'a, T> {}

/// A [`List`] in the making, in a buffer that its owner keeps for the next one.
#[derive(Debug)]
pub struct ListBuf<'b, T> {
    len: u16,
    elements: &'b mut Vec<u8>,
    of: PhantomData<T>,
}

impl<'b, T: Wire<'b>> ListBuf<'b, T> {
    /// An empty list in `buffer`, whose content is lost.
    pub fn new(buffer: &'b mut Vec<u8>) -> Self {
        buffer.clear();
        Self { len: 0, elements: buffer, of: PhantomData }
    }

    /// Appends an element. `false`, and nothing appended, where the list has 65,535 already.
    pub fn push(&mut self, element: &T) -> bool {
        self.append(|elements| element.encode(elements))
    }

    pub(crate) fn append(&mut self, element: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(len) = self.len.checked_add(1) else { return false };
        self.len = len;
        element(self.elements);
        true
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The list.
    pub fn finish(self) -> List<'b, T> {
        List { len: self.len, elements: self.elements, of: PhantomData }
    }
}

impl<'b> ListBuf<'b, Str<'b>> {
    /// [`push`](Self::push) for a string that does not live as long as the list.
    pub fn push_str(&mut self, string: Str<'_>) -> bool {
        self.append(|elements| string.encode(elements))
    }
}

/// Defines a message or a structure, fields in wire order, and its [`Wire`] form. Its doc begins with the
/// layout line: field names with their size in bytes, `s` for strings.
macro_rules! message {
    ($(#[$doc:meta])* pub struct $name:ident;) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name;

        impl<'a> $crate::codec::Wire<'a> for $name {
            fn decode(_: &mut $crate::codec::Reader<'a>) -> Result<Self, $crate::codec::DecodeError> {
                Ok(Self)
            }

            fn encode(&self, _: &mut Vec<u8>) {}
        }
    };
    ($(#[$doc:meta])* pub struct $name:ident $(<$life:lifetime>)? {
        $($(#[$about:meta])* $field:ident: $type:ty),+ $(,)?
    }) => {
        $(#[$doc])*
        #[allow(missing_docs, reason = "the layout line and the field's type say it")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name $(<$life>)? { $($(#[$about])* pub $field: $type),+ }

        impl<'a> $crate::codec::Wire<'a> for $name $(<$life>)? {
            fn decode(from: &mut $crate::codec::Reader<'a>) -> Result<Self, $crate::codec::DecodeError> {
                // Fields are evaluated in the order they stand here.
                Ok(Self { $($field: $crate::codec::Wire::decode(from)?),+ })
            }

            fn encode(&self, into: &mut Vec<u8>) {
                $($crate::codec::Wire::encode(&self.$field, into);)+
            }

            fn payload(&self) -> &'a [u8] {
                let [.., last] = [$($crate::codec::Wire::payload(&self.$field)),+];
                last
            }
        }
    };
}
pub(crate) use message;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_past_the_end() {
        let mut reader = Reader::new(&[1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(reader.u64(), Err(DecodeError::Truncated));
        assert_eq!(reader.u32(), Ok(0x0403_0201));
        assert_eq!(reader.bytes(4), Err(DecodeError::Truncated));
        assert_eq!(reader.u16(), Ok(0x0605));
        assert_eq!(reader.rest(), [7]);
        assert!(reader.is_empty());
        assert_eq!(reader.u8(), Err(DecodeError::Truncated));
        assert_eq!(reader.bytes(0), Ok(&[][..]));
    }

    #[test]
    fn a_failure_says_what_is_wrong() {
        let said = |error: DecodeError| error.to_string();
        assert_eq!(said(DecodeError::Unknown(99)), "message number 99 is unknown");
        assert_eq!(said(DecodeError::IsReply(101)), "message number 101 goes in the other direction");
        assert_eq!(said(DecodeError::Truncated), "the message is not as long as its fields");
        assert!(said(DecodeError::Name(Errno::EINVAL)).contains("EINVAL"));
    }

    #[test]
    fn a_string_has_at_most_65535_bytes() {
        let bytes = vec![b's'; 65_536];
        assert_eq!(Str::new(&bytes), None);
        let longest = Str::new(&bytes[1..]).unwrap();
        let mut wire = Vec::new();
        longest.encode(&mut wire);
        assert_eq!(wire.len(), 2 + 65_535);
        assert_eq!(Str::decode(&mut Reader::new(&wire)), Ok(longest));
    }

    #[test]
    fn a_name_is_checked_when_decoded() {
        let decode = |wire: &[u8]| Name::decode(&mut Reader::new(wire)).map(|_| ());
        assert_eq!(decode(b"\x03\0abc"), Ok(()));
        assert_eq!(decode(b"\x03\0ab"), Err(DecodeError::Truncated));
        for bad in [&b"\0\0"[..], b"\x01\0.", b"\x02\0..", b"\x03\0a/b", b"\x03\0a\0b"] {
            assert_eq!(decode(bad), Err(DecodeError::Name(Errno::EINVAL)), "{}", bad.escape_ascii());
        }
        let long = [&[0, 1][..], &[b'n'; 256]].concat();
        assert_eq!(decode(&long), Err(DecodeError::Name(Errno::ENAMETOOLONG)));
    }

    #[test]
    fn data_is_as_long_as_it_says() {
        let decode = |wire: &[u8]| Data::decode(&mut Reader::new(wire)).map(|data| data.0.len());
        assert_eq!(decode(&[2, 0, 0, 0, 7, 7]), Ok(2));
        assert_eq!(decode(&[2, 0, 0, 0, 7]), Err(DecodeError::Truncated));
        assert_eq!(decode(&[2, 0, 0, 0, 7, 7, 7]), Err(DecodeError::Truncated));
        assert_eq!(decode(&[255; 8]), Err(DecodeError::Truncated));
    }

    #[test]
    fn a_list_takes_65535_elements() {
        let mut buffer = b"left over".to_vec();
        let mut list = ListBuf::new(&mut buffer);
        assert!(list.is_empty());
        for number in 0..u16::MAX {
            assert!(list.push(&number));
        }
        assert!(!list.push(&0));
        assert_eq!((list.len(), list.is_empty()), (65_535, false));
        let list = list.finish();
        assert_eq!(list.len(), 65_535);
        assert!(!list.is_empty() && List::<u16>::EMPTY.is_empty());
        assert!(list.iter().eq(0..u16::MAX));

        let mut wire = Vec::new();
        list.encode(&mut wire);
        assert_eq!(List::decode(&mut Reader::new(&wire)), Ok(list));
        wire.pop();
        assert_eq!(List::<u16>::decode(&mut Reader::new(&wire)), Err(DecodeError::Truncated));
    }

    #[test]
    fn a_list_outlives_the_strings_pushed() {
        let mut buffer = Vec::new();
        let mut list = ListBuf::new(&mut buffer);
        for text in ["a", "bc"] {
            let short_lived = text.repeat(2);
            assert!(list.push_str(Str::new(short_lived.as_bytes()).unwrap()));
        }
        assert!(list.finish().iter().map(|s| s.as_bytes()).eq([&b"aa"[..], b"bcbc"]));
    }

    #[test]
    fn a_list_ends_with_its_last_element() {
        let mut reader = Reader::new(&[2, 0, 1, 0, b'a', 0, 0, 9]);
        let list = List::<Str>::decode(&mut reader).unwrap();
        let mut elements = list.iter();
        assert_eq!(elements.len(), 2);
        assert_eq!(elements.next(), Str::new(b"a"));
        assert_eq!(elements.next(), Str::new(b""));
        assert_eq!((elements.next(), elements.next()), (None, None));
        assert_eq!(reader.rest(), [9]);
    }

    #[test]
    fn debug_escapes_names_and_keeps_data_to_itself() {
        let list = [1, 0, 2, 0, b'\n', 0xFF];
        let list = List::<Str>::decode(&mut Reader::new(&list)).unwrap();
        assert_eq!(format!("{list:?} {:?}", Data(b"secret")), r#"["\n\xff"] [6 bytes]"#);
    }

    #[test]
    fn every_failure_has_an_answer() {
        assert_eq!(DecodeError::Unknown(6).errno(), Errno::EIO);
        assert_eq!(DecodeError::IsReply(7).errno(), Errno::ENOSYS);
        assert_eq!(DecodeError::Truncated.errno(), Errno::EIO);
        assert_eq!(DecodeError::Name(Errno::ENAMETOOLONG).errno(), Errno::ENAMETOOLONG);
    }
}
