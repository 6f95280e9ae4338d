//! open, create, donate.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use gofer_sys::{attr, open};
use gofer_vfs::{Attr, CreateFlags, Errno, FileKind, Name, OpenFlags, Owner, Result, Unlink};

use crate::dir::Listing;
use crate::{File, LocalFs, Node, Opened};

impl LocalFs {
    /// Kinds that have no use as a file are not given to the host, where opening a device does things. They
    /// answer as if nothing were behind them.
    pub(crate) fn open_node(&self, node: &Node, flags: OpenFlags) -> Result<File> {
        let opened = match node.kind {
            FileKind::Directory => Opened::Directory(Listing::new(node.dev)),
            _ if flags.directory => return Err(Errno::ENOTDIR),
            FileKind::Regular => Opened::regular(flags),
            FileKind::Fifo => Opened::Fifo,
            FileKind::Symlink => return Err(Errno::ELOOP),
            FileKind::Socket | FileKind::CharDevice | FileKind::BlockDevice => return Err(Errno::ENXIO),
        };
        let fd = self.procfd.reopen(node.as_fd(), flags)?;
        let file = File { fd, access: flags.access, opened };
        if flags.truncate {
            self.clear_set_id(&file)?;
        }
        Ok(file)
    }

    pub(crate) fn create(
        &self,
        dir: &Node,
        name: Name<'_>,
        flags: CreateFlags,
        perm: u32,
        owner: Owner,
    ) -> Result<(Node, File, Attr)> {
        let create = || match self.create_new(dir, name, flags.open, perm, owner) {
            Err(Errno::EEXIST) if !flags.exclusive => self.open_existing(dir, name, flags.open),
            done => done,
        };
        match create() {
            // What was in the way is gone by now.
            Err(Errno::ENOENT) if !flags.exclusive => create(),
            done => done,
        }
    }

    pub(crate) fn create_new(
        &self,
        dir: &Node,
        name: Name<'_>,
        flags: OpenFlags,
        perm: u32,
        owner: Owner,
    ) -> Result<(Node, File, Attr)> {
        let fd = open::create(dir.as_fd(), name, flags, perm)?;
        // A file that cannot be looked at is left behind: nothing would tell it from another with its name.
        let made = attr::stat(fd.as_fd())?;
        let settled = self
            .settle(fd.as_fd(), made, perm, owner)
            .and_then(|attr| Ok((Node::new(self.procfd.place(fd.as_fd())?, &attr), attr)))
            .inspect_err(|_| self.undo(dir, name, made.id, Unlink::File));
        let (node, attr) = settled?;
        Ok((node, File { fd, access: flags.access, opened: Opened::regular(flags) }, attr))
    }

    fn open_existing(&self, dir: &Node, name: Name<'_>, flags: OpenFlags) -> Result<(Node, File, Attr)> {
        let (place, attr) = self.walk(dir, name)?;
        match place.kind {
            FileKind::Regular => {
                let file = self.open_node(&place, flags)?;
                let attr = if flags.truncate { attr::stat(place.as_fd())? } else { attr };
                Ok((place, file, attr))
            }
            FileKind::Directory => Err(Errno::EISDIR),
            _ => Err(Errno::EEXIST),
        }
    }

    pub(crate) fn donate(&self, file: &File) -> Result<OwnedFd> {
        match file.opened {
            Opened::Regular { .. } | Opened::Fifo => {
                self.procfd.reopen(file.as_fd(), OpenFlags::new(file.access))
            }
            Opened::Directory(_) => Err(Errno::EOPNOTSUPP),
        }
    }
}

impl Opened {
    fn regular(flags: OpenFlags) -> Self {
        let set_id_seen = flags.clears_set_id.then(AtomicU64::default);
        Self::Regular { set_id_seen, second: OnceLock::new() }
    }
}
