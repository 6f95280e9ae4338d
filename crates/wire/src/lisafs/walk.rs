//! Walk, WalkStat.

use crate::codec::{List, Str, message, wire_as_field};
use crate::lisafs::{FdId, Inode, Statx};

message! {
    /// `dir[8] n[2] n*(name[s])`: goes down, name by name.
    pub struct WalkReq<'a> { dir: FdId, names: List<'a, Str<'a>> }
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkStatus(pub u8);

impl WalkStatus {
    /// At the last name.
    pub const SUCCESS: Self = Self(0);
    /// Before a name that does not exist.
    pub const DOES_NOT_EXIST: Self = Self(1);
    /// At a symbolic link that was not the last.
    pub const SYMLINK: Self = Self(2);
}

wire_as_field! { WalkStatus }

message! {
    /// `status[1] n[2] n*(inode[152])`: as far as the walk came.
    pub struct WalkResp<'a> { status: WalkStatus, inodes: List<'a, Inode> }
}

impl WalkResp<'_> {
    /// Encoded bytes, of a walk of so many names.
    pub const fn encoded_len(names: usize) -> usize {
        3 + names * Inode::LEN
    }
}

message! {
    /// `dir[8] n[2] n*(name[s])`: asks for the attributes of every file on the way down. An empty first name
    /// stands for `dir` itself.
    pub struct WalkStatReq<'a> { dir: FdId, names: List<'a, Str<'a>> }
}

message! {
    /// `n[2] n*(stat[144])`: as far as the walk came.
    pub struct WalkStatResp<'a> { stats: List<'a, Statx> }
}

impl WalkStatResp<'_> {
    /// Encoded bytes, of a walk of so many names.
    pub const fn encoded_len(names: usize) -> usize {
        2 + names * Statx::LEN
    }
}
