//! xattrwalk and xattrcreate of the base protocol; getxattr, setxattr, listxattr, removexattr of Google's.

use crate::codec::{List, Str, message};
use crate::p9::Fid;

/// In the `flags` of [`Txattrcreate`] and [`Tsetxattr`]: fail where the attribute exists.
pub const XATTR_CREATE: u32 = 1;

/// In the `flags` of [`Txattrcreate`] and [`Tsetxattr`]: fail where the attribute does not exist.
pub const XATTR_REPLACE: u32 = 2;

message! {
    /// `fid[4] newfid[4] name[s]`: makes `newfid` the attribute's value, or without a name the list of names,
    /// to be read.
    pub struct Txattrwalk<'a> { fid: Fid, newfid: Fid, name: Str<'a> }
}

message! {
    /// `size[8]`: how many bytes there are to read.
    pub struct Rxattrwalk { size: u64 }
}

message! {
    /// `fid[4] name[s] size[8] flags[4]`: makes `fid` a value of `size` bytes to be written; its clunk sets the
    /// attribute. A size of 0 removes it.
    pub struct Txattrcreate<'a> { fid: Fid, name: Str<'a>, size: u64, flags: u32 }
}

message! {
    /// Empty.
    pub struct Rxattrcreate;
}

message! {
    /// `fid[4] name[s] size[8]`: asks for a value of at most `size` bytes.
    pub struct Tgetxattr<'a> { fid: Fid, name: Str<'a>, size: u64 }
}

message! {
    /// `value[s]`
    pub struct Rgetxattr<'a> { value: Str<'a> }
}

message! {
    /// `fid[4] name[s] value[s] flags[4]`
    pub struct Tsetxattr<'a> { fid: Fid, name: Str<'a>, value: Str<'a>, flags: u32 }
}

message! {
    /// Empty.
    pub struct Rsetxattr;
}

message! {
    /// `fid[4] size[8]`: asks for a list of at most `size` bytes.
    pub struct Tlistxattr { fid: Fid, size: u64 }
}

message! {
    /// `n[2] n*(name[s])`
    pub struct Rlistxattr<'a> { names: List<'a, Str<'a>> }
}

message! {
    /// `fid[4] name[s]`
    pub struct Tremovexattr<'a> { fid: Fid, name: Str<'a> }
}

message! {
    /// Empty.
    pub struct Rremovexattr;
}
