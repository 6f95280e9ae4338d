//! [`Name`]: one path component, checked once.

use std::fmt;

use crate::{Errno, Result};

/// One path component: 1 to 255 bytes, never `.` or `..`, never holding `/` or NUL; any other bytes, valid
/// UTF-8 or not. A `Name` in hand is proof that the check was made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// The longest name Linux has (`NAME_MAX`).
    pub const MAX: usize = 255;

    /// The only way in.
    ///
    /// # Errors
    /// `ENAMETOOLONG` above 255 bytes, `EINVAL` for everything else that is not a name.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        if matches!(bytes, b"" | b"." | b"..") || bytes.iter().any(|b| matches!(b, b'/' | 0)) {
            Err(Errno::EINVAL)
        } else if bytes.len() > Self::MAX {
            Err(Errno::ENAMETOOLONG)
        } else {
            Ok(Self(bytes))
        }
    }

    /// The bytes of the name.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Names up to this length are kept without an allocation.
const INLINE: usize = 22;

/// A [`Name`] that owns its bytes. Names of up to 22 bytes are stored in place.
#[derive(Clone)]
pub struct NameBuf(Repr);

#[derive(Clone)]
enum Repr {
    Short(u8, [u8; INLINE]),
    Long(Box<[u8]>),
}

impl NameBuf {
    /// The name, borrowed.
    pub fn as_name(&self) -> Name<'_> {
        // The bytes came from a `Name` and have not changed since.
        Name(match &self.0 {
            Repr::Short(len, bytes) => &bytes[..usize::from(*len)],
            Repr::Long(bytes) => bytes,
        })
    }
}

impl From<Name<'_>> for NameBuf {
    fn from(name: Name<'_>) -> Self {
        let bytes = name.as_bytes();
        let mut short = [0; INLINE];
        match (short.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(room), Ok(len)) => {
                room.copy_from_slice(bytes);
                Self(Repr::Short(len, short))
            }
            _ => Self(Repr::Long(bytes.into())),
        }
    }
}

impl fmt::Debug for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_name().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_name_is_refused() {
        for bad in [&b""[..], b".", b"..", b"/", b"a/b", b"/etc", b"a/", b"\0", b"a\0b", b"../x"] {
            assert_eq!(Name::new(bad), Err(Errno::EINVAL), "{}", bad.escape_ascii());
        }
        assert_eq!(Name::new(&[b'x'; 256]), Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn any_other_bytes_are_a_name() {
        for good in [&b"a"[..], b"...", b".a", b"..a", b" ", b"\n", b"\xff\xfe", b"a\\b", &[b'x'; 255]] {
            assert_eq!(Name::new(good).unwrap().as_bytes(), good);
        }
        assert_eq!(
            format!("{:?}", Name::new(b"a\n\xff").unwrap()),
            r#""a\n\xff""#,
            "no line of its own in a log"
        );
    }

    #[test]
    fn an_owned_name_is_the_same_name() {
        for len in [1, 21, 22, 23, 255] {
            let bytes = vec![b'n'; len];
            let name = Name::new(&bytes).unwrap();
            assert_eq!(NameBuf::from(name).as_name(), name);
        }
        assert_eq!(size_of::<NameBuf>(), 24);
    }
}
