//! lookup, forget.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fuser::{FileAttr, INodeNo};
use gofer_vfs::{Attr, Backend, Errno, Name, Result};

use crate::inodes::Inode;
use crate::{Cache, Served, attr};

/// A name that the kernel sent.
pub(crate) fn name(name: &OsStr) -> Result<Name<'_>> {
    Name::new(name.as_bytes())
}

impl<B: Backend> Served<B> {
    /// The inode of a name, with one lookup more. `None` says that there is no such name and that the kernel may
    /// remember so.
    pub(crate) fn lookup(&self, dir: INodeNo, child: &OsStr) -> Result<Option<FileAttr>> {
        let (dir, child) = (self.inodes.named(dir)?, name(child)?);
        match self.backend.walk(&dir.node(), child) {
            Ok((node, attr)) => self.entry(&dir, child, node, &attr).map(Some),
            Err(Errno::ENOENT) if self.options.cache == Cache::Exclusive => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What a reply that gives the kernel an inode says, with one lookup more.
    pub(crate) fn entry(
        &self,
        dir: &Inode<B>,
        name: Name<'_>,
        node: B::Node,
        attr: &Attr,
    ) -> Result<FileAttr> {
        self.hold(dir, name, node, attr).map(|(_, told)| told)
    }

    pub(crate) fn hold(
        &self,
        dir: &Inode<B>,
        name: Name<'_>,
        node: B::Node,
        attr: &Attr,
    ) -> Result<(Arc<Inode<B>>, FileAttr)> {
        let inode = self.inodes.hold(dir.nodeid, name, node, attr, self.stale.load(Ordering::Relaxed))?;
        if self.inodes.len() > self.options.known {
            // The thread that takes it is at work when there is no room.
            let _ = self.surplus.try_send(());
        }
        // An entry names the inode by the same field as programs see.
        let told = attr::told(inode.nodeid, attr);
        Ok((inode, told))
    }

    /// Makes the kernel forget files that nobody has open, by their names. Not to be called while a request is
    /// handled: the kernel may wait for a directory that the request holds.
    pub(crate) fn shed(&self) {
        let Some(kernel) = self.notifier.get() else { return };
        for (dir, name) in self.inodes.idle() {
            // That something else has the name by now, or nothing, is as well.
            let _ = kernel.inval_entry(dir, OsStr::from_bytes(name.as_name().as_bytes()));
        }
    }
}
