//! connect, bind.

use std::os::fd::{AsFd, OwnedFd};

use gofer_sys::socket;
use gofer_vfs::{Attr, Credentials, Errno, FileKind, Name, Owner, Result, SocketKind};

use crate::entry::Made;
use crate::node::with_room;
use crate::{LocalFs, Node};

impl LocalFs {
    pub(crate) fn connect(
        &self,
        node: &Node,
        kind: SocketKind,
        user: Option<Credentials>,
    ) -> Result<OwnedFd> {
        if node.kind() != FileKind::Socket {
            return Err(Errno::ECONNREFUSED);
        }
        let held = node.hold()?;
        with_room(|| socket::connect(&self.procfd, held.as_fd(), kind, user))
    }

    pub(crate) fn bind(
        &self,
        dir: &Node,
        name: Name<'_>,
        kind: SocketKind,
        perm: u32,
        owner: Owner,
    ) -> Result<(Node, Attr, OwnedFd)> {
        let made = Made::now(FileKind::Socket);
        let held = dir.hold()?;
        let socket = with_room(|| socket::bind(&self.procfd, held.as_fd(), name, kind, perm))?;
        let (node, attr) = self.take_hold(dir, name, made, perm, owner)?;
        Ok((node, attr, socket))
    }
}
