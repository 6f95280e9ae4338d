//! Connect, ConnectWithCreds, BindAt, Listen, Accept.

use gofer_vfs::{Name, PeerGid, PeerUid};

use crate::codec::{Str, message};
use crate::lisafs::{Create, FdId, Inode, Pad};

message! {
    /// `fd[8] kind[4] _[4]`: connects to a unix socket. `kind` is the `SOCK_*` of `socket(2)`. The answer has a
    /// descriptor.
    pub struct ConnectReq { fd: FdId, kind: u32, pad: Pad<4> }
}

message! {
    /// `fd[8] kind[4] _[4] uid[4] gid[4]`: connects as this user and group.
    pub struct ConnectWithCredsReq { connect: ConnectReq, uid: PeerUid, gid: PeerGid }
}

message! {
    /// `create[24] kind[4] name[s]`: makes a unix socket with a name.
    pub struct BindAtReq<'a> { create: Create, kind: u32, name: Name<'a> }
}

message! {
    /// `child[152] fd[8]`: the file and the bound socket, with a descriptor of the socket.
    pub struct BindAtResp { child: Inode, fd: FdId }
}

message! {
    /// `fd[8] backlog[4] _[4]`
    pub struct ListenReq { fd: FdId, backlog: i32, pad: Pad<4> }
}

message! {
    /// `fd[8]`: asks for a connection, without waiting.
    pub struct AcceptReq { fd: FdId }
}

message! {
    /// `address[s]`: the peer's, which is not told. With a descriptor of the connection.
    pub struct AcceptResp<'a> { address: Str<'a> }
}
