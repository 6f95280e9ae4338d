//! read, write, fsync, flushf, allocate.

use crate::codec::{Data, DecodeError, Reader, Wire, message};
use crate::p9::Fid;

message! {
    /// `fid[4] offset[8] count[4]`: asks for at most `count` bytes.
    pub struct Tread { fid: Fid, offset: u64, count: u32 }
}

message! {
    /// `count[4] data[count]`: fewer bytes are normal, none are the end.
    pub struct Rread<'a> { data: Data<'a> }
}

message! {
    /// `fid[4] offset[8] count[4] data[count]`
    pub struct Twrite<'a> { fid: Fid, offset: u64, data: Data<'a> }
}

message! {
    /// `fid[4] offset[8] count[4]`: a [`Twrite`] up to its data, where that is not in private memory.
    pub struct WriteHead { fid: Fid, offset: u64, count: u32 }
}

impl WriteHead {
    /// Encoded bytes.
    pub const LEN: usize = 16;
}

message! {
    /// `count[4]`: an [`Rread`] up to its data, where that is in its place already.
    pub struct ReadHead { count: u32 }
}

impl ReadHead {
    /// Encoded bytes.
    pub const LEN: usize = 4;
}

message! {
    /// `count[4]`: how many bytes were written.
    pub struct Rwrite { count: u32 }
}

/// `fid[4] datasync[4]`: puts the file on disk; with a non-zero `datasync` its content and size only. Some
/// clients leave `datasync` out, which means 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the layout line and the field's type say it")]
pub struct Tfsync {
    pub fid: Fid,
    pub datasync: u32,
}

impl<'a> Wire<'a> for Tfsync {
    fn decode(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { fid: Wire::decode(from)?, datasync: from.u32().unwrap_or(0) })
    }

    fn encode(&self, into: &mut Vec<u8>) {
        self.fid.encode(into);
        self.datasync.encode(into);
    }
}

message! {
    /// Empty.
    pub struct Rfsync;
}

message! {
    /// `fid[4]`: what `close(2)` does to a file, without closing.
    pub struct Tflushf { fid: Fid }
}

message! {
    /// Empty.
    pub struct Rflushf;
}

message! {
    /// `fid[4] mode[4] offset[8] length[8]`: what `fallocate(2)` does.
    pub struct Tallocate { fid: Fid, mode: u32, offset: u64, length: u64 }
}

/// The bits of `mode`, Linux's `FALLOC_FL_*`.
impl Tallocate {
    /// Leave the size as it is.
    pub const KEEP_SIZE: u32 = 0x01;
    /// Make a hole.
    pub const PUNCH_HOLE: u32 = 0x02;
    /// Show what was on the disk.
    pub const NO_HIDE_STALE: u32 = 0x04;
    /// Take the range out.
    pub const COLLAPSE_RANGE: u32 = 0x08;
    /// Make the range zero.
    pub const ZERO_RANGE: u32 = 0x10;
    /// Put a hole in, moving what follows.
    pub const INSERT_RANGE: u32 = 0x20;
    /// Give shared blocks their own copy.
    pub const UNSHARE_RANGE: u32 = 0x40;
}

message! {
    /// Empty.
    pub struct Rallocate;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fsync_has_an_optional_tail() {
        let decode = |body: &[u8]| Tfsync::decode(&mut Reader::new(body)).map(|m| m.datasync);
        assert_eq!(decode(&[2, 0, 0]), Err(DecodeError::Truncated));
        assert_eq!(decode(&[2, 0, 0, 0]), Ok(0));
        assert_eq!(decode(&[2, 0, 0, 0, 1, 0, 0]), Ok(0));
        assert_eq!(decode(&[2, 0, 0, 0, 1, 0, 0, 0]), Ok(1));
    }
}
