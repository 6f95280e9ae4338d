//! FGetXattr, FSetXattr, FListXattr, FRemoveXattr.

use crate::codec::{List, Str, message};
use crate::lisafs::FdId;

message! {
    /// `fd[8] size[4] name[s]`: asks for a value that has at most `size` bytes; 0 is any.
    pub struct FGetXattrReq<'a> { fd: FdId, size: u32, name: Str<'a> }
}

message! {
    /// `value[s]`
    pub struct FGetXattrResp<'a> { value: Str<'a> }
}

message! {
    /// `fd[8] flags[4] name[s] value[s]`
    pub struct FSetXattrReq<'a> { fd: FdId, flags: u32, name: Str<'a>, value: Str<'a> }
}

message! {
    /// `fd[8] size[8]`: asks for names that together have at most `size` bytes, counting one more for each; 0 is
    /// any.
    pub struct FListXattrReq { fd: FdId, size: u64 }
}

message! {
    /// `n[2] n*(name[s])`
    pub struct FListXattrResp<'a> { names: List<'a, Str<'a>> }
}

message! {
    /// `fd[8] name[s]`
    pub struct FRemoveXattrReq<'a> { fd: FdId, name: Str<'a> }
}
