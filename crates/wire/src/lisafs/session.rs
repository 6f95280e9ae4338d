//! Mount, Channel, Close.

use crate::codec::{List, message};
use crate::lisafs::{FdId, Inode};

message! {
    /// Empty: asks for the root.
    pub struct MountReq;
}

message! {
    /// `root[152] payload_max[4] n[2] n*(number[2])`: the root, the longest payload either side sends, and the
    /// operations there are. Perhaps with a descriptor of the root.
    pub struct MountResp<'a> { root: Inode, payload_max: u32, numbers: List<'a, u16> }
}

message! {
    /// Empty: asks for a channel.
    pub struct ChannelReq;
}

message! {
    /// `offset[8] length[8]`: where in the first descriptor the channel's window is. The second is the socket
    /// for descriptors.
    pub struct ChannelResp { offset: i64, length: u64 }
}

message! {
    /// `n[2] n*(fd[8])`: what is needed no more. Numbers that stand for nothing are passed over.
    pub struct CloseReq<'a> { fds: List<'a, FdId> }
}
