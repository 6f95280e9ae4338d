//! What holds for every message, whatever it holds, and for all bytes that are none.

use std::fmt::Debug;

use gofer_vfs::{Name, PeerGid, PeerUid};
use gofer_wire::p9::*;
use gofer_wire::{Data, DecodeError, List, ListBuf, Reader, Str, Wire, p9_operations};
use proptest::collection::vec;
use proptest::prelude::{any, proptest};

/// Bytes to make values from. When they run out, numbers are 0 and strings empty.
struct Pool<'a> {
    bytes: &'a [u8],
    /// Room for the one list that a message may have.
    list: Option<&'a mut Vec<u8>>,
}

impl<'a> Pool<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (head, rest) = self.bytes.split_at(n.min(self.bytes.len()));
        self.bytes = rest;
        head
    }

    /// Mostly short, at times all that is left.
    fn take_some(&mut self) -> &'a [u8] {
        match u8::any(self) {
            255 => self.take(65_535),
            n => self.take(usize::from(n % 20)),
        }
    }
}

/// A value made from the bytes of a pool.
trait Any<'a>: Sized {
    fn any(pool: &mut Pool<'a>) -> Self;
}

macro_rules! any_number {
    ($($int:ident)*) => { $(
        impl<'a> Any<'a> for $int {
            fn any(pool: &mut Pool<'a>) -> Self {
                let mut bytes = Self::MIN.to_le_bytes();
                let taken = pool.take(bytes.len());
                bytes[..taken.len()].copy_from_slice(taken);
                Self::from_le_bytes(bytes)
            }
        }
    )* };
}

macro_rules! any_wrapped {
    ($($name:ident)*) => { $(
        impl<'a> Any<'a> for $name {
            fn any(pool: &mut Pool<'a>) -> Self {
                Self(Any::any(pool))
            }
        }
    )* };
}

macro_rules! any_message {
    ($($name:ident $(<$life:lifetime>)? $({ $($field:ident)+ })?;)*) => { $(
        impl<'a> Any<'a> for $name $(<$life>)? {
            #[allow(unused_variables, reason = "an empty message needs no bytes")]
            fn any(pool: &mut Pool<'a>) -> Self {
                Self $({ $($field: Any::any(pool)),+ })?
            }
        }
    )* };
}

any_number! { u8 u16 u32 u64 }
any_wrapped! { Fid Tag QidKind OpenBits GetattrMask SetattrMask PeerUid PeerGid }

impl<'a> Any<'a> for Str<'a> {
    fn any(pool: &mut Pool<'a>) -> Self {
        Str::new(pool.take_some()).expect("at most 65,535 bytes")
    }
}

impl<'a> Any<'a> for Name<'a> {
    fn any(pool: &mut Pool<'a>) -> Self {
        Name::new(pool.take_some()).unwrap_or(Name::new(b"n").expect("a name"))
    }
}

impl<'a> Any<'a> for Data<'a> {
    fn any(pool: &mut Pool<'a>) -> Self {
        Data(pool.take_some())
    }
}

impl<'a, T: Any<'a> + Wire<'a>> Any<'a> for List<'a, T> {
    fn any(pool: &mut Pool<'a>) -> Self {
        let mut list = ListBuf::new(pool.list.take().expect("a message has one list at most"));
        for _ in 0..u8::any(pool) % 8 {
            assert!(list.push(&T::any(pool)));
        }
        list.finish()
    }
}

any_message! {
    Qid { kind version path };
    Stat {
        mode uid gid nlink rdev size blksize blocks atime_sec atime_nsec mtime_sec mtime_nsec ctime_sec
        ctime_nsec btime_sec btime_nsec generation data_version
    };
    FullStat { qid valid attr };
    Fsstat { kind bsize blocks bfree bavail files ffree fsid namelen };
    SetattrBody { valid mode uid gid size atime_sec atime_nsec mtime_sec mtime_nsec };
    Dirent<'a> { qid offset kind name };

    Tversion<'a> { msize version };
    Rversion<'a> { msize version };
    Tauth<'a> { afid uname aname n_uname };
    Rauth { aqid };
    Tattach<'a> { fid afid uname aname n_uname };
    Rattach { qid };
    Tflush { oldtag };
    Rflush;
    Tclunk { fid };
    Rclunk;
    Tchannel { id control };
    Rchannel { offset length };
    Rlerror { ecode };

    Twalk<'a> { fid newfid names };
    Rwalk<'a> { qids };
    Twalkgetattr<'a> { fid newfid names };
    Rwalkgetattr<'a> { valid attr qids };
    Tmultigetattr<'a> { fid names };
    Rmultigetattr<'a> { stats };

    Tlopen { fid flags };
    Rlopen { qid iounit };
    Tlcreate<'a> { fid name flags mode gid };
    Rlcreate { qid iounit };
    Tucreate<'a> { fid name flags mode gid uid };
    Rucreate { qid iounit };

    Tread { fid offset count };
    Rread<'a> { data };
    Twrite<'a> { fid offset data };
    Rwrite { count };
    Tfsync { fid datasync };
    Rfsync;
    Tflushf { fid };
    Rflushf;
    Tallocate { fid mode offset length };
    Rallocate;

    Tgetattr { fid mask };
    Rgetattr { valid qid attr };
    Tsetattr { fid setattr };
    Rsetattr;
    Tsetattrclunk { fid setattr };
    Rsetattrclunk;
    Tstatfs { fid };
    Rstatfs { stat };
    Treadlink { fid };
    Rreadlink<'a> { target };

    Tmkdir<'a> { dfid name mode gid };
    Rmkdir { qid };
    Tumkdir<'a> { dfid name mode gid uid };
    Rumkdir { qid };
    Tmknod<'a> { dfid name mode major minor gid };
    Rmknod { qid };
    Tumknod<'a> { dfid name mode major minor gid uid };
    Rumknod { qid };
    Tsymlink<'a> { dfid name target gid };
    Rsymlink { qid };
    Tusymlink<'a> { dfid name target gid uid };
    Rusymlink { qid };
    Tlink<'a> { dfid fid name };
    Rlink;
    Trename<'a> { fid dfid name };
    Rrename;
    Trenameat<'a> { olddirfid oldname newdirfid newname };
    Rrenameat;
    Tunlinkat<'a> { dfid name flags };
    Runlinkat;
    Tremove { fid };
    Rremove;
    Tbind<'a> { dfid kind name uid gid newfid };
    Rbind { qid valid attr };

    Treaddir { fid offset count };
    Rreaddir<'a> { data };

    Txattrwalk<'a> { fid newfid name };
    Rxattrwalk { size };
    Txattrcreate<'a> { fid name size flags };
    Rxattrcreate;
    Tgetxattr<'a> { fid name size };
    Rgetxattr<'a> { value };
    Tsetxattr<'a> { fid name value flags };
    Rsetxattr;
    Tlistxattr { fid size };
    Rlistxattr<'a> { names };
    Tremovexattr<'a> { fid name };
    Rremovexattr;

    Tlock<'a> { fid kind flags start length proc_id client_id };
    Rlock { status };
    Tgetlock<'a> { fid kind start length proc_id client_id };
    Rgetlock<'a> { kind start length proc_id client_id };

    Tlconnect { fid flags };
    Rlconnect;
}

/// Calls `$each` on one message of every kind, made from `$bytes`.
macro_rules! every_request {
    ([$bytes:expr, $each:expr] $($number:literal $variant:ident $name:ident:
        $request:ident $(<$rlife:lifetime>)? => $reply:ident $(<$life:lifetime>)?;)*) => { $(
        let mut list = Vec::new();
        $each(Request::from($request::any(&mut Pool { bytes: $bytes, list: Some(&mut list) })));
    )* };
}

macro_rules! every_reply {
    ([$bytes:expr, $each:expr] $($number:literal $variant:ident $name:ident:
        $request:ident $(<$rlife:lifetime>)? => $reply:ident $(<$life:lifetime>)?;)*) => {
        $each(Reply::from(Rlerror::any(&mut Pool { bytes: $bytes, list: None })));
        $(
            let mut list = Vec::new();
            $each(Reply::from($reply::any(&mut Pool { bytes: $bytes, list: Some(&mut list) })));
        )*
    };
}

fn every_request(bytes: &[u8], mut each: impl FnMut(Request<'_>)) {
    p9_operations!(every_request [bytes, each]);
}

fn every_reply(bytes: &[u8], mut each: impl FnMut(Reply<'_>)) {
    p9_operations!(every_reply [bytes, each]);
}

const TAG: Tag = Tag(0xA55A);

/// The body of a message, from a frame whose header is right.
fn encoded_body<'a>(number: u8, encode: impl FnOnce(Tag, &mut Vec<u8>) -> &'a [u8]) -> Vec<u8> {
    let mut frame = b"left over".to_vec();
    let payload = encode(TAG, &mut frame);
    frame.extend_from_slice(payload);
    let header = Header::decode(frame.first_chunk().expect("a header"));
    assert_eq!(header, Header { size: u32::try_from(frame.len()).expect("short"), number, tag: TAG });
    frame.split_off(HEADER)
}

/// A datagram, which has the body of a frame.
fn datagram<'a>(encode: impl FnOnce(&mut Vec<u8>) -> &'a [u8]) -> Vec<u8> {
    let mut datagram = b"left over".to_vec();
    let payload = encode(&mut datagram);
    datagram.extend_from_slice(payload);
    datagram
}

/// `message` comes back from its body, from no shorter one than `shortest`, and from a longer one only where
/// it does not end in data.
fn survives<'b, M: PartialEq + Debug>(
    message: &M,
    body: &'b [u8],
    longer: &'b [u8],
    shortest: usize,
    ends_in_data: bool,
    decode: impl Fn(&'b [u8]) -> Result<M, DecodeError>,
) {
    assert_eq!(decode(body).as_ref(), Ok(message));
    for len in 0..shortest {
        assert_eq!(decode(&body[..len]), Err(DecodeError::Truncated), "{len} bytes of {message:?}");
    }
    for len in shortest..body.len() {
        assert!(decode(&body[..len]).is_ok(), "{len} bytes of {message:?}");
    }
    if ends_in_data {
        assert_eq!(decode(longer), Err(DecodeError::Truncated));
    } else {
        assert_eq!(decode(longer).as_ref(), Ok(message));
    }
}

fn request_survives(message: Request<'_>, junk: &[u8]) {
    let number = message.number();
    let body = encoded_body(number, |tag, head| message.encode(tag, head));
    assert_eq!(datagram(|head| message.encode_datagram(head)), [&[number, 0], &body[..]].concat());
    let longer = [&body[..], junk].concat();
    let shortest = if matches!(message, Request::Fsync(_)) { 4 } else { body.len() };
    let ends_in_data = matches!(message, Request::Write(_));
    survives(&message, &body, &longer, shortest, ends_in_data, |body| Request::decode(number, body));
}

fn reply_survives(message: Reply<'_>, junk: &[u8]) {
    let number = message.number();
    let body = encoded_body(number, |tag, head| message.encode(tag, head));
    assert_eq!(datagram(|head| message.encode_datagram(head)), [&[number, 0], &body[..]].concat());
    let longer = [&body[..], junk].concat();
    let ends_in_data = matches!(message, Reply::Read(_) | Reply::Readdir(_));
    survives(&message, &body, &longer, body.len(), ends_in_data, |body| Reply::decode(number, body));
}

/// If bytes are a message, it can be printed, its lists included, and survives being encoded again.
fn bytes_are_harmless(number: u8, body: &[u8]) {
    if let Ok(message) = Request::decode(number, body) {
        assert!(format!("{message:?}").contains(message.name()));
        request_survives(message, b"x");
    }
    if let Ok(message) = Reply::decode(number, body) {
        assert!(format!("{message:?}").contains(message.name()));
        reply_survives(message, b"x");
    }
}

proptest! {
    #[test]
    fn every_message_survives_the_wire(bytes in vec(any::<u8>(), 0..500), junk in vec(any::<u8>(), 1..9)) {
        every_request(&bytes, |message| request_survives(message, &junk));
        every_reply(&bytes, |message| reply_survives(message, &junk));
    }

    #[test]
    fn any_bytes_are_harmless(number in any::<u8>(), body in vec(any::<u8>(), 0..500)) {
        bytes_are_harmless(number, &body);
    }

    #[test]
    fn a_damaged_message_is_harmless(
        bytes in vec(any::<u8>(), 0..200),
        at in any::<usize>(),
        damage in 1..=255u8,
    ) {
        let damaged = |number, mut body: Vec<u8>| {
            if !body.is_empty() {
                let at = at % body.len();
                body[at] ^= damage;
            }
            bytes_are_harmless(number, &body);
        };
        every_request(&bytes, |m| damaged(m.number(), encoded_body(m.number(), |tag, head| m.encode(tag, head))));
        every_reply(&bytes, |m| damaged(m.number(), encoded_body(m.number(), |tag, head| m.encode(tag, head))));
    }

    #[test]
    fn any_list_ends(bytes in vec(any::<u8>(), 0..500), len in 0..200u16) {
        let bytes = [&len.to_le_bytes()[..], &bytes].concat();
        if let Ok(list) = List::<Str>::decode(&mut Reader::new(&bytes)) {
            assert_eq!(list.len(), usize::from(len));
            assert_eq!(list.iter().count(), list.len());
        }
        if let Ok(list) = List::<Qid>::decode(&mut Reader::new(&bytes)) {
            assert_eq!(list.iter().count(), usize::from(len));
        }
    }

    #[test]
    fn entries_are_unpacked_as_packed(bytes in vec(any::<u8>(), 0..500), at in any::<usize>()) {
        let mut pool = Pool { bytes: &bytes, list: None };
        let mut packed = Vec::new();
        let (mut entries, mut ends) = (Vec::new(), vec![0]);
        while !pool.bytes.is_empty() {
            let entry = Dirent::any(&mut pool);
            entry.encode(&mut packed);
            entries.push(entry);
            ends.push(ends[ends.len() - 1] + Dirent::encoded_len(entry.name.as_bytes().len()));
        }
        assert_eq!(ends.last(), Some(&packed.len()));

        let at = at % (packed.len() + 1);
        let whole = ends.iter().filter(|end| **end <= at).count() - 1;
        let mut expected: Vec<_> = entries[..whole].iter().copied().map(Ok).collect();
        if at > ends[whole] {
            expected.push(Err(DecodeError::Truncated));
        }
        assert_eq!(Dirents::new(&packed[..at]).collect::<Vec<_>>(), expected);
    }
}

/// Requests' numbers and names, and the bytes of the shortest bodies, requests' and replies', with every list
/// and string empty except for file names, which are counted apart and have a byte at least.
const TABLE: [(u8, &str, usize, usize, usize); 44] = [
    (8, "statfs", 4, 0, 60),
    (12, "lopen", 8, 0, 17),
    (14, "lcreate", 18, 1, 17),
    (16, "symlink", 12, 1, 13),
    (18, "mknod", 22, 1, 13),
    (20, "rename", 10, 1, 0),
    (22, "readlink", 4, 0, 2),
    (24, "getattr", 12, 0, 153),
    (26, "setattr", 60, 0, 0),
    (28, "listxattr", 12, 0, 2),
    (30, "xattrwalk", 10, 0, 8),
    (32, "xattrcreate", 18, 0, 0),
    (34, "getxattr", 14, 0, 2),
    (36, "setxattr", 12, 0, 0),
    (38, "removexattr", 6, 0, 0),
    (40, "readdir", 16, 0, 4),
    (50, "fsync", 4, 0, 0),
    (52, "lock", 31, 0, 1),
    (54, "getlock", 27, 0, 23),
    (70, "link", 10, 1, 0),
    (72, "mkdir", 14, 1, 13),
    (74, "renameat", 12, 2, 0),
    (76, "unlinkat", 10, 1, 0),
    (100, "version", 6, 0, 6),
    (102, "auth", 12, 0, 13),
    (104, "attach", 16, 0, 13),
    (108, "flush", 2, 0, 0),
    (110, "walk", 10, 0, 2),
    (116, "read", 16, 0, 4),
    (118, "write", 16, 0, 4),
    (120, "clunk", 4, 0, 0),
    (122, "remove", 4, 0, 0),
    (124, "flushf", 4, 0, 0),
    (126, "walkgetattr", 10, 0, 142),
    (128, "ucreate", 22, 1, 17),
    (130, "umkdir", 18, 1, 13),
    (132, "umknod", 26, 1, 13),
    (134, "usymlink", 16, 1, 13),
    (136, "lconnect", 8, 0, 0),
    (138, "allocate", 24, 0, 0),
    (140, "setattrclunk", 60, 0, 0),
    (142, "multigetattr", 6, 0, 2),
    (144, "bind", 22, 1, 153),
    (250, "channel", 8, 0, 16),
];

/// How short a body may be cut until it is no message.
fn shortest<M>(body: &[u8], decode: impl Fn(&[u8]) -> Result<M, DecodeError>) -> Option<usize> {
    (0..=body.len()).find(|len| decode(&body[..*len]).is_ok())
}

#[test]
fn numbers_names_and_sizes_are_those_of_the_protocol() {
    let mut rows = TABLE.iter();
    every_request(&[], |message| {
        let (number, name, size, names, _) = *rows.next().unwrap();
        assert_eq!((message.number(), message.name()), (number, &*format!("T{name}")));
        let body = encoded_body(number, |tag, head| message.encode(tag, head));
        let shortest = shortest(&body, |body| Request::decode(number, body).map(|_| ()));
        assert_eq!(shortest, Some(size + names), "{message:?}");
    });
    assert_eq!(rows.next(), None);

    let mut rows = std::iter::once(&(6, "lerror", 0, 0, 4)).chain(&TABLE);
    every_reply(&[], |message| {
        let (number, name, _, _, size) = *rows.next().unwrap();
        assert_eq!((message.number(), message.name()), (number + 1, &*format!("R{name}")));
        let body = encoded_body(number + 1, |tag, head| message.encode(tag, head));
        let shortest = shortest(&body, |body| Reply::decode(number + 1, body).map(|_| ()));
        assert_eq!(shortest, Some(size), "{message:?}");
    });
    assert_eq!(rows.next(), None);
}

#[test]
fn other_numbers_are_unknown_or_of_the_other_direction() {
    for number in 0..=255u8 {
        let asks = TABLE.iter().any(|row| row.0 == number);
        let answers = number == 7 || TABLE.iter().any(|row| row.0 + 1 == number);
        let expected =
            if answers { DecodeError::IsReply(number.into()) } else { DecodeError::Unknown(number.into()) };
        if !asks {
            assert_eq!(Request::decode(number, &[0; 200]), Err(expected));
        }
        let expected =
            if asks { DecodeError::IsReply(number.into()) } else { DecodeError::Unknown(number.into()) };
        if !answers {
            assert_eq!(Reply::decode(number, &[0; 200]), Err(expected));
        }
    }
}
