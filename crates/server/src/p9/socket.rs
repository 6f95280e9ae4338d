//! lconnect.

use gofer_vfs::{Backend, Errno, FileKind, Result, SocketKind};
use gofer_wire::p9::{Rlconnect, Tlconnect};

use super::{Answer, Cx, Session};
use crate::protocol::Extra;

impl<B: Backend> Session<B> {
    /// Connects to a unix socket of the host and hands the connection over.
    pub(super) fn lconnect<'b>(&self, t: Tlconnect, cx: Cx<'b>) -> Result<Answer<'b>> {
        let fid = self.fids.get(t.fid)?;
        let place = &fid.place;
        if place.kind != FileKind::Socket || self.is_removed(place)? {
            return Err(Errno::EINVAL);
        }
        if !self.policy(place).sockets.may_connect() {
            return Err(Errno::ECONNREFUSED);
        }
        if !self.donates || !cx.version.is_google() {
            return Err(Errno::EOPNOTSUPP);
        }
        let kind = match t.flags {
            Tlconnect::STREAM => SocketKind::Stream,
            Tlconnect::DATAGRAM => SocketKind::Datagram,
            Tlconnect::SEQPACKET => SocketKind::SeqPacket,
            // "Any kind" is a version's promise that no server keeps.
            _ => return Err(Errno::ENXIO),
        };
        let descriptor = self.backend(place).connect(&place.node, kind, None)?;
        Ok(Answer { extra: Extra::One(descriptor), ..Rlconnect.into() })
    }
}
