//! Getdents64.

use crate::codec::{DecodeError, List, ListBuf, Reader, Str, Wire, message};
use crate::lisafs::{FdId, Pad};

message! {
    /// `fd[8] count[4] _[4]`: asks an open directory for the entries that follow, or, with a negative `count`,
    /// for the first. The host's records of what is answered have at most as many bytes as `count` says.
    pub struct Getdents64Req { fd: FdId, count: i32, pad: Pad<4> }
}

message! {
    /// `ino[8] dev_minor[4] dev_major[4] offset[8] kind[1] name[s]`: an entry of a directory, `kind` being the
    /// `DT_*` of `readdir(3)`.
    pub struct Dirent<'a> {
        ino: u64,
        dev_minor: u32,
        dev_major: u32,
        offset: u64,
        kind: u8,
        name: Str<'a>,
    }
}

impl Dirent<'_> {
    /// The encoded bytes of an entry whose name has `name_len` bytes.
    pub const fn encoded_len(name_len: usize) -> usize {
        27 + name_len
    }

    /// The bytes of the host's record of such an entry (`struct linux_dirent64`), which a `count` counts.
    pub const fn record_len(name_len: usize) -> usize {
        (19 + name_len + 1).next_multiple_of(8)
    }
}

/// A list at the end of a message, whose elements are its payload.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Dirents<'a>(pub List<'a, Dirent<'a>>);

impl std::fmt::Debug for Dirents<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<'a> Wire<'a> for Dirents<'a> {
    fn decode(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        List::decode(from).map(Self)
    }

    fn encode(&self, into: &mut Vec<u8>) {
        self.0.encode_len(into);
    }

    fn payload(&self) -> &'a [u8] {
        self.0.elements()
    }
}

impl<'b> ListBuf<'b, Dirent<'b>> {
    /// [`push`](Self::push) for an entry that does not live as long as the list.
    pub fn push_dirent(&mut self, entry: &Dirent<'_>) -> bool {
        self.append(|elements| entry.encode(elements))
    }
}

message! {
    /// `n[2] n*(dirent[27 + s])`: none are the end. `.` and `..` are not among them.
    pub struct Getdents64Resp<'a> { entries: Dirents<'a> }
}
