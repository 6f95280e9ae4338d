//! PRead, PWrite, FSync, FAllocate, Flush.

use crate::codec::{DecodeError, List, Reader, Wire, message};
use crate::lisafs::{FdId, Pad};

/// The bytes of a PWrite: `count[4] bytes[count]`. As a [`Wire`] value they are a payload, so that they can go to
/// the socket from where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written<'a>(pub &'a [u8]);

/// The bytes of a PRead's reply: `count[8] bytes[count]`, a payload as [`Written`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken<'a>(pub &'a [u8]);

macro_rules! counted {
    ($($name:ident $int:ident)*) => { $(
        impl<'a> Wire<'a> for $name<'a> {
            fn decode(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
                let count = usize::try_from(from.$int()?).map_err(|_| DecodeError::Truncated)?;
                from.bytes(count).map(Self)
            }

            fn encode(&self, into: &mut Vec<u8>) {
                // What is longer fits no message, and the count says so.
                $int::try_from(self.0.len()).unwrap_or($int::MAX).encode(into);
            }

            fn payload(&self) -> &'a [u8] {
                self.0
            }
        }
    )* };
}

counted! { Written u32 Taken u64 }

message! {
    /// `offset[8] fd[8] count[4] bytes[count]`
    pub struct PWriteReq<'a> { offset: u64, fd: FdId, data: Written<'a> }
}

message! {
    /// `offset[8] fd[8] count[4]`: a [`PWriteReq`] up to its bytes, where those are not in private memory.
    pub struct PWriteHead { offset: u64, fd: FdId, count: u32 }
}

impl PWriteHead {
    /// Encoded bytes.
    pub const LEN: usize = 20;
}

message! {
    /// `count[8]`: how many bytes were written.
    pub struct PWriteResp { count: u64 }
}

message! {
    /// `offset[8] fd[8] count[4] _[4]`: asks for `count` bytes, or as many as there are.
    pub struct PReadReq { offset: u64, fd: FdId, count: u32, pad: Pad<4> }
}

message! {
    /// `count[8] bytes[count]`: fewer than asked for are the end of the file.
    pub struct PReadResp<'a> { data: Taken<'a> }
}

message! {
    /// `count[8]`: a [`PReadResp`] up to its bytes, where those are in their place already.
    pub struct PReadHead { count: u64 }
}

impl PReadHead {
    /// Encoded bytes.
    pub const LEN: usize = 8;
}

message! {
    /// `n[2] n*(fd[8])`: which open files are to be put on disk.
    pub struct FSyncReq<'a> { fds: List<'a, FdId> }
}

message! {
    /// `fd[8] mode[8] offset[8] length[8]`: what `fallocate(2)` does, `mode` being its `FALLOC_FL_*`.
    pub struct FAllocateReq { fd: FdId, mode: u64, offset: u64, length: u64 }
}

/// The bits of `mode` that servers take.
impl FAllocateReq {
    /// Leave the size as it is.
    pub const KEEP_SIZE: u64 = 0x01;
    /// Make a hole.
    pub const PUNCH_HOLE: u64 = 0x02;
    /// Make the range zero.
    pub const ZERO_RANGE: u64 = 0x10;
}

message! {
    /// `fd[8]`: what `close(2)` does to a file, without closing.
    pub struct FlushReq { fd: FdId }
}
