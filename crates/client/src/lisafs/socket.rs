//! Connect, ConnectWithCreds, BindAt.

use std::os::fd::OwnedFd;

use gofer_transport::donated;
use gofer_vfs::{Attr, Credentials, Errno, FileKind, Name, Owner, PeerGid, PeerUid, Result, SocketKind};
use gofer_wire::lisafs::{BindAtReq, BindAtResp, ConnectReq, ConnectWithCredsReq, Pad};

use super::entry::new;
use super::fds::Held;
use super::rpc::Answer;
use super::{Client, Node};

impl Client {
    /// As whom the server likes, where it cannot do it as another.
    pub(crate) fn connect_socket(
        &self,
        node: &Node,
        kind: SocketKind,
        user: Option<Credentials>,
    ) -> Result<OwnedFd> {
        if node.kind != FileKind::Socket {
            return Err(Errno::ECONNREFUSED);
        }
        let connect = ConnectReq { fd: node.fd(), kind: number(kind), pad: Pad };
        match user.filter(|_| self.rpc.has::<ConnectWithCredsReq>()) {
            Some(Credentials { uid, gid }) => {
                let (uid, gid) = (PeerUid(uid.0), PeerGid(gid.0));
                socket(self.rpc.call(&ConnectWithCredsReq { connect, uid, gid })?)
            }
            None => socket(self.rpc.call(&connect)?),
        }
    }

    /// The socket is ours then, and the server can forget its own.
    pub(crate) fn bind(
        &self,
        dir: &Node,
        name: Name<'_>,
        kind: SocketKind,
        perm: u32,
        owner: Owner,
    ) -> Result<(Node, Attr, OwnedFd)> {
        let create = new(dir.dir()?, FileKind::Socket, perm, owner);
        let answer = self.rpc.call(&BindAtReq { create, kind: number(kind), name })?;
        let BindAtResp { child, fd } = answer.body()?;
        // Both are held before one of them is looked at, so that both are closed.
        let (place, bound) = (Held::new(&self.rpc, child.fd)?, Held::new(&self.rpc, fd));
        let (node, attr) = self.made(dir, name, FileKind::Socket, place, &child)?;
        drop(bound?);
        Ok((node, attr, socket(answer)?))
    }
}

/// The descriptor that has to come.
fn socket(mut answer: Answer<'_>) -> Result<OwnedFd> {
    donated::socket(answer.descriptor().ok_or(Errno::EIO)?).map_err(|_| Errno::EIO)
}

fn number(kind: SocketKind) -> u32 {
    match kind {
        SocketKind::Stream => 1,
        SocketKind::Datagram => 2,
        SocketKind::SeqPacket => 5,
    }
}
