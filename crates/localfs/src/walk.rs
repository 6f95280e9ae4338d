//! attach, walk.

use std::os::fd::{AsFd, OwnedFd};

use gofer_sys::open::ProcFd;
use gofer_sys::{attr, walk};
use gofer_vfs::{Attr, Errno, FileKind, Name, Result};

use crate::io::Epoch;
use crate::{LocalFs, Node};

impl LocalFs {
    pub(crate) fn new(procfd: ProcFd, root: OwnedFd) -> Result<Self> {
        match attr::stat(root.as_fd())?.kind {
            FileKind::Directory | FileKind::Regular | FileKind::Socket => {
                Ok(Self { root, procfd, set_id_epoch: Epoch::default() })
            }
            FileKind::Symlink => Err(Errno::ELOOP),
            FileKind::Fifo | FileKind::CharDevice | FileKind::BlockDevice => Err(Errno::EPERM),
        }
    }

    pub(crate) fn attach(&self) -> Result<(Node, Attr)> {
        node(walk::dup(self.root.as_fd())?)
    }

    pub(crate) fn walk(&self, dir: &Node, name: Name<'_>) -> Result<(Node, Attr)> {
        node(walk::open_child(dir.as_fd(), name)?)
    }
}

/// A place and its attributes, which come from itself.
fn node(fd: OwnedFd) -> Result<(Node, Attr)> {
    let attr = attr::stat(fd.as_fd())?;
    Ok((Node::new(fd, &attr), attr))
}
