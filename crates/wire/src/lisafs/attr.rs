//! FStat, SetStat, FStatFS, ReadLinkAt; and the attributes that other families answer.

use gofer_vfs::{PeerGid, PeerUid};

use crate::codec::{Str, message};
use crate::lisafs::{FdId, Pad};

message! {
    /// `sec[8] nsec[4] _[4]`: a moment in a [`Statx`].
    pub struct Timestamp { sec: i64, nsec: u32, pad: Pad<4> }
}

message! {
    /// `mask[4] blksize[4] attributes[8] nlink[4] uid[4] gid[4] mode[2] _[2] ino[8] size[8] blocks[8]
    /// attributes_mask[8] atime[16] btime[16] ctime[16] mtime[16] rdev_major[4] rdev_minor[4] dev_major[4]
    /// dev_minor[4]`: what `statx(2)` tells.
    pub struct Statx {
        /// Which fields are true, the bits of `statx(2)`.
        mask: u32,
        blksize: u32,
        attributes: u64,
        nlink: u32,
        uid: PeerUid,
        gid: PeerGid,
        /// The full `st_mode`.
        mode: u16,
        pad: Pad<2>,
        ino: u64,
        size: u64,
        /// In units of 512 bytes.
        blocks: u64,
        attributes_mask: u64,
        atime: Timestamp,
        btime: Timestamp,
        ctime: Timestamp,
        mtime: Timestamp,
        rdev_major: u32,
        rdev_minor: u32,
        dev_major: u32,
        dev_minor: u32,
    }
}

impl Statx {
    /// Encoded bytes.
    pub const LEN: usize = 144;
    /// The mask of all that `stat(2)` tells.
    pub const BASIC: u32 = 0x7FF;
    /// The bit of `btime`.
    pub const BTIME: u32 = 0x800;
}

message! {
    /// `fd[8] stat[144]`: a place that the client now holds, and its attributes.
    pub struct Inode { fd: FdId, stat: Statx }
}

impl Inode {
    /// Encoded bytes.
    pub const LEN: usize = 8 + Statx::LEN;
}

message! {
    /// `fd[8]`: a place or an open file.
    pub struct FStatReq { fd: FdId }
}

message! {
    /// `sec[8] nsec[8]`: a moment to set, or one of the special nanoseconds of `utimensat(2)`.
    pub struct Timespec { sec: i64, nsec: i64 }
}

impl Timespec {
    /// Nanoseconds that mean the server's current time.
    pub const NOW: i64 = 0x3FFF_FFFF;
    /// Nanoseconds that leave the time as it is.
    pub const OMIT: i64 = 0x3FFF_FFFE;
}

message! {
    /// `fd[8] mask[4] mode[4] uid[4] gid[4] size[8] atime[16] mtime[16]`: what to set. Only 07777 of the mode
    /// counts.
    pub struct SetStatReq {
        fd: FdId,
        mask: u32,
        mode: u32,
        uid: PeerUid,
        gid: PeerGid,
        size: u64,
        atime: Timespec,
        mtime: Timespec,
    }
}

/// Bits of the mask, those of `statx(2)`.
impl SetStatReq {
    /// `mode`.
    pub const MODE: u32 = 0x2;
    /// `uid`.
    pub const UID: u32 = 0x8;
    /// `gid`.
    pub const GID: u32 = 0x10;
    /// `atime`.
    pub const ATIME: u32 = 0x20;
    /// `mtime`.
    pub const MTIME: u32 = 0x40;
    /// `size`.
    pub const SIZE: u32 = 0x200;
    /// All that can be set.
    pub const ALL: u32 = Self::MODE | Self::UID | Self::GID | Self::ATIME | Self::MTIME | Self::SIZE;
}

message! {
    /// `failed[4] errno[4]`: the bits of what could not be set, and why.
    pub struct SetStatResp { failed: u32, errno: u32 }
}

message! {
    /// `fd[8]`
    pub struct FStatFsReq { fd: FdId }
}

message! {
    /// `kind[8] block_size[8] blocks[8] blocks_free[8] blocks_available[8] files[8] files_free[8] name_max[8]`:
    /// what `statfs(2)` tells of a file system. `kind` is its magic number.
    pub struct StatFs {
        kind: u64,
        block_size: i64,
        blocks: u64,
        blocks_free: u64,
        blocks_available: u64,
        files: u64,
        files_free: u64,
        name_max: u64,
    }
}

message! {
    /// `fd[8]`
    pub struct ReadLinkAtReq { fd: FdId }
}

message! {
    /// `target[s]`
    pub struct ReadLinkAtResp<'a> { target: Str<'a> }
}
