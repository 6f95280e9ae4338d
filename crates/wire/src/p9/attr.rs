//! getattr, setattr, setattrclunk, statfs, readlink.

use gofer_vfs::{PeerGid, PeerUid};

use crate::codec::{Str, message};
use crate::p9::{Fid, Qid, bits};

bits! {
    /// Which attributes are asked for, or valid in a reply.
    pub struct GetattrMask(u64) {
        /// `mode`.
        MODE = 0x1;
        /// `nlink`.
        NLINK = 0x2;
        /// `uid`.
        UID = 0x4;
        /// `gid`.
        GID = 0x8;
        /// `rdev`.
        RDEV = 0x10;
        /// `atime_sec`, `atime_nsec`.
        ATIME = 0x20;
        /// `mtime_sec`, `mtime_nsec`.
        MTIME = 0x40;
        /// `ctime_sec`, `ctime_nsec`.
        CTIME = 0x80;
        /// The qid's path is the inode number.
        INO = 0x100;
        /// `size`.
        SIZE = 0x200;
        /// `blocks`, and `blksize`, which has no bit of its own.
        BLOCKS = 0x400;
        /// `btime_sec`, `btime_nsec`.
        BTIME = 0x800;
        /// `generation`.
        GEN = 0x1000;
        /// `data_version`.
        DATA_VERSION = 0x2000;
        /// What `stat(2)` tells.
        BASIC = 0x7FF;
        /// All of them.
        ALL = 0x3FFF;
    }
}

bits! {
    /// Which attributes to set.
    pub struct SetattrMask(u32) {
        /// `mode`.
        MODE = 0x1;
        /// `uid`.
        UID = 0x2;
        /// `gid`.
        GID = 0x4;
        /// `size`.
        SIZE = 0x8;
        /// The access time, to the server's now unless `ATIME_SET`.
        ATIME = 0x10;
        /// The modification time, to the server's now unless `MTIME_SET`.
        MTIME = 0x20;
        /// The change time, always to the server's now.
        CTIME = 0x40;
        /// `atime_sec`, `atime_nsec`; of no effect without `ATIME`.
        ATIME_SET = 0x80;
        /// `mtime_sec`, `mtime_nsec`; of no effect without `MTIME`.
        MTIME_SET = 0x100;
    }
}

message! {
    /// `mode[4] uid[4] gid[4] nlink[8] rdev[8] size[8] blksize[8] blocks[8] atime_sec[8] atime_nsec[8]
    /// mtime_sec[8] mtime_nsec[8] ctime_sec[8] ctime_nsec[8] btime_sec[8] btime_nsec[8] generation[8]
    /// data_version[8]`: the attributes of a file. Seconds are signed numbers in two's complement.
    pub struct Stat {
        /// The full `st_mode`.
        mode: u32,
        uid: PeerUid,
        gid: PeerGid,
        nlink: u64,
        rdev: u64,
        size: u64,
        blksize: u64,
        /// In units of 512 bytes.
        blocks: u64,
        atime_sec: u64,
        atime_nsec: u64,
        mtime_sec: u64,
        mtime_nsec: u64,
        ctime_sec: u64,
        ctime_nsec: u64,
        btime_sec: u64,
        btime_nsec: u64,
        generation: u64,
        data_version: u64,
    }
}

message! {
    /// `qid[13] valid[8] attr[132]`
    pub struct FullStat { qid: Qid, valid: GetattrMask, attr: Stat }
}

impl FullStat {
    /// Encoded bytes.
    pub const LEN: usize = 153;
}

message! {
    /// `fid[4] mask[8]`
    pub struct Tgetattr { fid: Fid, mask: GetattrMask }
}

message! {
    /// `valid[8] qid[13] attr[132]`
    pub struct Rgetattr { valid: GetattrMask, qid: Qid, attr: Stat }
}

message! {
    /// `valid[4] mode[4] uid[4] gid[4] size[8] atime_sec[8] atime_nsec[8] mtime_sec[8] mtime_nsec[8]`: what to
    /// set. Only 07777 of the mode counts.
    pub struct SetattrBody {
        valid: SetattrMask,
        mode: u32,
        uid: PeerUid,
        gid: PeerGid,
        size: u64,
        atime_sec: u64,
        atime_nsec: u64,
        mtime_sec: u64,
        mtime_nsec: u64,
    }
}

message! {
    /// `fid[4] setattr[56]`
    pub struct Tsetattr { fid: Fid, setattr: SetattrBody }
}

message! {
    /// Empty.
    pub struct Rsetattr;
}

message! {
    /// `fid[4] setattr[56]`: as [`Tsetattr`], and releases the fid whatever the outcome.
    pub struct Tsetattrclunk { fid: Fid, setattr: SetattrBody }
}

message! {
    /// Empty.
    pub struct Rsetattrclunk;
}

message! {
    /// `kind[4] bsize[4] blocks[8] bfree[8] bavail[8] files[8] ffree[8] fsid[8] namelen[4]`: what `statfs(2)`
    /// tells of a file system. `kind` is its magic number.
    pub struct Fsstat {
        kind: u32,
        bsize: u32,
        blocks: u64,
        bfree: u64,
        bavail: u64,
        files: u64,
        ffree: u64,
        fsid: u64,
        namelen: u32,
    }
}

message! {
    /// `fid[4]`
    pub struct Tstatfs { fid: Fid }
}

message! {
    /// `stat[60]`
    pub struct Rstatfs { stat: Fsstat }
}

message! {
    /// `fid[4]`
    pub struct Treadlink { fid: Fid }
}

message! {
    /// `target[s]`
    pub struct Rreadlink<'a> { target: Str<'a> }
}
