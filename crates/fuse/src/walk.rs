//! lookup, forget.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

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
        let dir = self.inodes.named(dir)?;
        match self.backend.walk(&dir.node, name(child)?) {
            Ok((node, attr)) => self.entry(node, &attr).map(Some),
            Err(Errno::ENOENT) if self.options.cache == Cache::Exclusive => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What a reply that gives the kernel an inode says, with one lookup more.
    pub(crate) fn entry(&self, node: B::Node, attr: &Attr) -> Result<FileAttr> {
        self.hold(node, attr).map(|(_, told)| told)
    }

    pub(crate) fn hold(&self, node: B::Node, attr: &Attr) -> Result<(Arc<Inode<B>>, FileAttr)> {
        let inode = self.inodes.hold(node, attr)?;
        // An entry names the inode by the same field as programs see.
        let told = attr::told(inode.nodeid, attr);
        Ok((inode, told))
    }
}
