//! Connect, ConnectWithCreds, BindAt, Listen, Accept.

use std::os::fd::AsFd;
use std::sync::Arc;

use gofer_vfs::{Backend, Credentials, Errno, FileKind, Result, SocketKind};
use gofer_wire::codec::Str;
use gofer_wire::lisafs::{
    AcceptReq, AcceptResp, BindAtReq, BindAtResp, ConnectReq, ConnectWithCredsReq, Done, FdId, Inode,
    ListenReq,
};

use super::attr::statx;
use super::entry::perm;
use super::fds::{Bound, Entry, Place};
use super::{Answer, Cx, Session};
use crate::protocol::Extra;

impl<B: Backend> Session<B> {
    pub(super) fn connect(&self, t: ConnectReq, _: Cx<'_>) -> Result<Answer<Done>> {
        self.connect_as(t, None)
    }

    /// Connects as the user that the client names, where the export's policy says so.
    pub(super) fn connect_with_creds(&self, t: ConnectWithCredsReq, _: Cx<'_>) -> Result<Answer<Done>> {
        let ids = self.policy().ids;
        let user = match (ids.uid(t.uid), ids.gid(t.gid)) {
            (Some(uid), Some(gid)) if self.policy().credentials => Some(Credentials { uid, gid }),
            _ => None,
        };
        self.connect_as(t.connect, user)
    }

    fn connect_as(&self, t: ConnectReq, user: Option<Credentials>) -> Result<Answer<Done>> {
        let place = self.fds.place(t.fd)?;
        if place.kind != FileKind::Socket {
            return Err(Errno::ENOTSOCK);
        }
        if self.is_removed(&place)? {
            return Err(Errno::EINVAL);
        }
        if !self.policy().sockets.may_connect() {
            return Err(Errno::EPERM);
        }
        let kind = kind(t.kind)?;
        self.check_donates()?;
        let connection = self.backend().connect(&place.node, kind, user)?;
        Ok(Answer::with(Done, Extra::One(connection)))
    }

    pub(super) fn bind_at(&self, t: BindAtReq<'_>, _: Cx<'_>) -> Result<Answer<BindAtResp>> {
        let dir = self.fds.dir(t.create.dir)?;
        if !self.policy().sockets.may_make() {
            return Err(Errno::EPERM);
        }
        let kind = kind(t.kind)?;
        self.check_donates()?;
        let (room, numbers) = (self.fds.room(1)?, self.fds.numbers()?);
        let owner = self.owner(&t.create);
        let (node, attr, socket) = self.backend().bind(&dir.node, t.name, kind, perm(&t.create), owner)?;
        let socket = Arc::new(socket);
        let place = Place { node, kind: attr.kind, is_root: false };
        let bound = Bound { place: place.clone(), socket: Arc::clone(&socket), _share: room };
        let [child, fd] = numbers.give([Entry::Place(place), Entry::Bound(Arc::new(bound))]);
        let child = Inode { fd: child, stat: statx(&attr, self.policy().ids) };
        Ok(Answer::with(BindAtResp { child, fd }, Extra::Kept(socket)))
    }

    pub(super) fn listen(&self, t: ListenReq, _: Cx<'_>) -> Result<Done> {
        gofer_transport::listen(self.bound(t.fd)?.socket.as_fd(), t.backlog)?;
        Ok(Done)
    }

    /// Takes a connection that waits. Who made it is not told: its path is one of the host's.
    pub(super) fn accept<'b>(&self, t: AcceptReq, cx: Cx<'b>) -> Result<Answer<AcceptResp<'b>>> {
        let connection = gofer_transport::accept(self.bound(t.fd)?.socket.as_fd())?;
        let address = Str::new(cx.scratch).unwrap_or_default();
        Ok(Answer::with(AcceptResp { address }, Extra::One(connection)))
    }

    /// A socket that has its name.
    fn bound(&self, fd: FdId) -> Result<Arc<Bound<B>>> {
        let bound = self.fds.bound(fd)?;
        if self.is_removed(&bound.place)? { Err(Errno::EINVAL) } else { Ok(bound) }
    }

    /// # Errors
    /// `EOPNOTSUPP` where the descriptor that is all the reply has cannot travel.
    fn check_donates(&self) -> Result<()> {
        if self.donates { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
    }
}

/// A kind of socket by its number in `socket(2)`.
fn kind(number: u32) -> Result<SocketKind> {
    match number {
        1 => Ok(SocketKind::Stream),
        2 => Ok(SocketKind::Datagram),
        5 => Ok(SocketKind::SeqPacket),
        _ => Err(Errno::ENXIO),
    }
}
