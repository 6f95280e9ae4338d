//! connect.

use std::os::fd::{AsFd, OwnedFd};

use gofer_sys::socket;
use gofer_vfs::{Errno, FileKind, Result, SocketKind};

use crate::node::with_room;
use crate::{LocalFs, Node};

impl LocalFs {
    pub(crate) fn connect(&self, node: &Node, kind: SocketKind) -> Result<OwnedFd> {
        if node.kind() != FileKind::Socket {
            return Err(Errno::ECONNREFUSED);
        }
        let held = node.hold()?;
        with_room(|| socket::connect(&self.procfd, held.as_fd(), kind))
    }
}
