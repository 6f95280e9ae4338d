//! attach, walk.

use std::os::fd::{AsFd, OwnedFd};

use gofer_sys::open::ProcFd;
use gofer_sys::{attr, walk};
use gofer_vfs::{Attr, Errno, FileKind, Name, Result};

use crate::io::Epoch;
use crate::node::with_room;
use crate::{LocalFs, Node};

impl LocalFs {
    pub(crate) fn new(procfd: ProcFd, root: OwnedFd) -> Result<Self> {
        match attr::stat(root.as_fd())?.kind {
            FileKind::Fifo | FileKind::CharDevice | FileKind::BlockDevice => Err(Errno::EPERM),
            _ => Self::at_any(procfd, root),
        }
    }

    pub(crate) fn at_any(procfd: ProcFd, root: OwnedFd) -> Result<Self> {
        let attr = attr::stat(root.as_fd())?;
        match attr.kind {
            FileKind::Symlink => Err(Errno::ELOOP),
            _ => Ok(Self { root: Node::root(root, &attr)?, procfd, set_id_epoch: Epoch::default() }),
        }
    }

    pub(crate) fn attach(&self) -> Result<(Node, Attr)> {
        let attr = attr::stat(self.root.hold()?.as_fd())?;
        Ok((self.root.clone(), attr))
    }

    pub(crate) fn walk(&self, dir: &Node, name: Name<'_>) -> Result<(Node, Attr)> {
        let held = dir.hold()?;
        let fd = with_room(|| walk::open_child(held.as_fd(), name))?;
        let attr = attr::stat(fd.as_fd())?;
        Ok((Node::below(dir, name, fd, &attr)?, attr))
    }

    /// A directory that a client holds has a descriptor already, which is the same place.
    pub(crate) fn pass(&self, dir: &Node, name: Name<'_>) -> Result<(Node, Attr)> {
        let attr = attr::stat_child(dir.hold()?.as_fd(), name)?;
        match Node::known(dir, name, &attr) {
            Some(node) => Ok((node, attr)),
            None => self.walk(dir, name),
        }
    }
}
