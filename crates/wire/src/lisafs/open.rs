//! OpenAt, OpenCreateAt.

use gofer_vfs::Name;

use crate::codec::message;
use crate::lisafs::{Create, FdId, Inode, Pad};

message! {
    /// `fd[8] flags[4] _[4]`: opens a place. Of the flags of `open(2)` the access mode and `O_TRUNC` count.
    pub struct OpenAtReq { fd: FdId, flags: u32, pad: Pad<4> }
}

/// Bits of `flags` (`open(2)`, the numbers of x86-64).
impl OpenAtReq {
    /// The access mode: 0 to read, 1 to write, 2 for both, 3 for neither.
    pub const ACCESS: u32 = 3;
    /// Cut to nothing.
    pub const TRUNC: u32 = 0o1000;
}

message! {
    /// `fd[8]`: the open file, perhaps with a descriptor of it.
    pub struct OpenAtResp { fd: FdId }
}

message! {
    /// `create[24] flags[4] name[s]`: makes a regular file that does not exist yet, and opens it.
    pub struct OpenCreateAtReq<'a> { create: Create, flags: u32, name: Name<'a> }
}

message! {
    /// `child[152] fd[8]`: the file and the open file, perhaps with a descriptor of it.
    pub struct OpenCreateAtResp { child: Inode, fd: FdId }
}
