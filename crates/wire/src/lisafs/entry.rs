//! MkdirAt, MknodAt, SymlinkAt, LinkAt, UnlinkAt, RenameAt, RenameAt2. What is made is answered as an
//! [`Inode`](crate::lisafs::Inode).

use gofer_vfs::{Name, PeerGid, PeerUid};

use crate::codec::{Str, message};
use crate::lisafs::{Create, FdId};

message! {
    /// `create[24] name[s]`
    pub struct MkdirAtReq<'a> { create: Create, name: Name<'a> }
}

message! {
    /// `create[24] minor[4] major[4] name[s]`
    pub struct MknodAtReq<'a> { create: Create, minor: u32, major: u32, name: Name<'a> }
}

message! {
    /// `dir[8] uid[4] gid[4] name[s] target[s]`
    pub struct SymlinkAtReq<'a> { dir: FdId, uid: PeerUid, gid: PeerGid, name: Name<'a>, target: Str<'a> }
}

message! {
    /// `dir[8] target[8] name[s]`: gives `target` another name.
    pub struct LinkAtReq<'a> { dir: FdId, target: FdId, name: Name<'a> }
}

message! {
    /// `dir[8] flags[4] name[s]`
    pub struct UnlinkAtReq<'a> { dir: FdId, flags: u32, name: Name<'a> }
}

impl UnlinkAtReq<'_> {
    /// The flag that makes it remove a directory (`AT_REMOVEDIR`).
    pub const REMOVEDIR: u32 = 0x200;
}

message! {
    /// `old_dir[8] new_dir[8] old_name[s] new_name[s]`
    pub struct RenameAtReq<'a> { old_dir: FdId, new_dir: FdId, old_name: Name<'a>, new_name: Name<'a> }
}

message! {
    /// `old_dir[8] new_dir[8] old_name[s] new_name[s] flags[4]`: what `renameat2(2)` does.
    pub struct RenameAt2Req<'a> {
        old_dir: FdId,
        new_dir: FdId,
        old_name: Name<'a>,
        new_name: Name<'a>,
        flags: u32,
    }
}

/// The values of `flags`.
impl RenameAt2Req<'_> {
    /// Fail where the new name exists.
    pub const NOREPLACE: u32 = 1;
    /// Exchange the two.
    pub const EXCHANGE: u32 = 2;
}
