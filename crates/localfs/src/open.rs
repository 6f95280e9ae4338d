//! open, create, donate.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use gofer_sys::{attr, open};
use gofer_vfs::{AccessMode, Attr, CreateFlags, Errno, FileKind, Name, OpenFlags, Owner, Result, Unlink};

use crate::dir::Listing;
use crate::node::with_room;
use crate::{File, LocalFs, Node, Opened};

impl LocalFs {
    /// Kinds that have no use as a file are not given to the host, where opening a device does things. They
    /// answer as if nothing were behind them.
    pub(crate) fn open_node(&self, node: &Node, flags: OpenFlags) -> Result<File> {
        let opened = match node.kind() {
            FileKind::Directory => Opened::Directory(Listing::new(node.id().dev)),
            _ if flags.directory => return Err(Errno::ENOTDIR),
            FileKind::Regular => Opened::regular(flags),
            FileKind::Fifo => Opened::Fifo,
            FileKind::Symlink => return Err(Errno::ELOOP),
            FileKind::Socket | FileKind::CharDevice | FileKind::BlockDevice => return Err(Errno::ENXIO),
        };
        let pinned = node.pin()?;
        let held = node.hold()?;
        let fd = with_room(|| self.procfd.reopen(held.as_fd(), flags))?;
        let file = File { fd, access: flags.access, opened, _place: pinned };
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
        let held = dir.hold()?;
        let fd = with_room(|| open::create(held.as_fd(), name, flags, perm))?;
        // A file that cannot be looked at is left behind: nothing would tell it from another with its name.
        let made = attr::stat(fd.as_fd())?;
        let settled = self
            .settle(fd.as_fd(), made, perm, owner)
            .and_then(|attr| {
                let place = with_room(|| self.procfd.place(fd.as_fd()))?;
                let node = Node::below(dir, name, place, &attr)?;
                let pinned = node.pin()?;
                Ok((node, pinned, attr))
            })
            .inspect_err(|_| self.undo(dir, name, made.id, Unlink::File));
        let (node, pinned, attr) = settled?;
        let file = File { fd, access: flags.access, opened: Opened::regular(flags), _place: pinned };
        Ok((node, file, attr))
    }

    fn open_existing(&self, dir: &Node, name: Name<'_>, flags: OpenFlags) -> Result<(Node, File, Attr)> {
        let (place, attr) = self.walk(dir, name)?;
        match place.kind() {
            FileKind::Regular => {
                let file = self.open_node(&place, flags)?;
                let attr = if flags.truncate { attr::stat(place.hold()?.as_fd())? } else { attr };
                Ok((place, file, attr))
            }
            FileKind::Directory => Err(Errno::EISDIR),
            _ => Err(Errno::EEXIST),
        }
    }

    pub(crate) fn donate(&self, file: &File) -> Result<OwnedFd> {
        match file.opened {
            Opened::Regular { .. } | Opened::Fifo => {
                with_room(|| self.procfd.reopen(file.as_fd(), OpenFlags::new(file.access)))
            }
            Opened::Directory(_) => Err(Errno::EOPNOTSUPP),
        }
    }

    pub(crate) fn donate_root(&self) -> Result<OwnedFd> {
        let held = self.root.hold()?;
        match self.root.kind() {
            FileKind::Directory | FileKind::Regular => {
                with_room(|| self.procfd.reopen(held.as_fd(), OpenFlags::new(AccessMode::Read)))
            }
            _ => with_room(|| self.procfd.place(held.as_fd())),
        }
    }
}

impl File {
    /// The descriptor that a regular file is read and written by.
    pub(crate) fn lent(&self) -> Option<BorrowedFd<'_>> {
        matches!(self.opened, Opened::Regular { .. }).then(|| self.as_fd())
    }
}

impl Opened {
    fn regular(flags: OpenFlags) -> Self {
        let set_id_seen = flags.clears_set_id.then(AtomicU64::default);
        Self::Regular { set_id_seen, second: OnceLock::new() }
    }
}
