//! connect.

use std::os::fd::{AsFd, OwnedFd};

use gofer_sys::socket;
use gofer_vfs::{Errno, FileKind, Result, SocketKind};

use crate::{LocalFs, Node};

impl LocalFs {
    pub(crate) fn connect(&self, node: &Node, kind: SocketKind) -> Result<OwnedFd> {
        if node.kind != FileKind::Socket {
            return Err(Errno::ECONNREFUSED);
        }
        socket::connect(&self.procfd, node.as_fd(), kind)
    }
}
