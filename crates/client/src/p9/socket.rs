//! lconnect. No version has a message for sockets with a new name that servers answer.

use std::os::fd::OwnedFd;

use gofer_transport::donated;
use gofer_vfs::{Attr, Credentials, Errno, FileKind, Name, Owner, Result, SocketKind};
use gofer_wire::p9::Tlconnect;

use crate::{Client, Node};

impl Client {
    /// `EOPNOTSUPP` where descriptors cannot come.
    pub(crate) fn connect_socket(
        &self,
        node: &Node,
        kind: SocketKind,
        _: Option<Credentials>,
    ) -> Result<OwnedFd> {
        if !self.features.is_google() || !self.features.has(4) {
            return Err(Errno::EOPNOTSUPP);
        }
        if node.kind != FileKind::Socket {
            return Err(Errno::ECONNREFUSED);
        }
        let flags = match kind {
            SocketKind::Stream => Tlconnect::STREAM,
            SocketKind::Datagram => Tlconnect::DATAGRAM,
            SocketKind::SeqPacket => Tlconnect::SEQPACKET,
        };
        let mut answer = self.rpc.call(Tlconnect { fid: node.fid(), flags })?;
        donated::socket(answer.descriptor().ok_or(Errno::EIO)?).map_err(|_| Errno::EIO)
    }

    /// `EOPNOTSUPP`.
    pub(crate) fn bind(
        &self,
        _: &Node,
        _: Name<'_>,
        _: SocketKind,
        _: u32,
        _: Owner,
    ) -> Result<(Node, Attr, OwnedFd)> {
        Err(Errno::EOPNOTSUPP)
    }
}
