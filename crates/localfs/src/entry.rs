//! mkdir, mknod, symlink, link, and giving what was made its owner and mode.

use std::os::fd::{AsFd, BorrowedFd};

use gofer_sys::{attr, entry};
use gofer_vfs::{AccessMode, Attr, Errno, FileId, FileKind, Name, OpenFlags, Owner, Result, Special, Unlink};

use crate::{LocalFs, Node};

/// The set-id bits, which `mkdir(2)` and `chown(2)` take away.
const SET_ID: u32 = 0o6000;

impl LocalFs {
    /// A directory below one with the set-group-id bit has it too (`inode(7)`).
    pub(crate) fn mkdir(&self, dir: &Node, name: Name<'_>, perm: u32, owner: Owner) -> Result<(Node, Attr)> {
        entry::mkdir(dir.as_fd(), name, perm)?;
        self.take_hold(dir, name, FileKind::Directory, perm, owner)
    }

    pub(crate) fn mknod(
        &self,
        dir: &Node,
        name: Name<'_>,
        what: Special,
        perm: u32,
        owner: Owner,
    ) -> Result<(Node, Attr)> {
        if what == Special::Regular {
            // Creating gives a descriptor of the very file that was made.
            let (node, _, attr) =
                self.create_new(dir, name, OpenFlags::new(AccessMode::Write), perm, owner)?;
            return Ok((node, attr));
        }
        entry::mknod(dir.as_fd(), name, what, perm)?;
        self.take_hold(dir, name, what.kind(), perm, owner)
    }

    pub(crate) fn symlink(
        &self,
        dir: &Node,
        name: Name<'_>,
        target: &[u8],
        owner: Owner,
    ) -> Result<(Node, Attr)> {
        entry::symlink(dir.as_fd(), name, target)?;
        // The host gives a link the mode it has; 0 asks for no bit more.
        self.take_hold(dir, name, FileKind::Symlink, 0, owner)
    }

    pub(crate) fn link(&self, node: &Node, dir: &Node, name: Name<'_>) -> Result<()> {
        if node.kind == FileKind::Directory {
            return Err(Errno::EPERM);
        }
        entry::link(&self.procfd, node.as_fd(), dir.as_fd(), name)
    }

    /// Walks to what was made just now and settles it. `ENOENT` when something else has its name by now:
    /// another program's file must not be given away.
    fn take_hold(
        &self,
        dir: &Node,
        name: Name<'_>,
        kind: FileKind,
        perm: u32,
        owner: Owner,
    ) -> Result<(Node, Attr)> {
        let is_dir = kind == FileKind::Directory;
        let what = if is_dir { Unlink::Directory } else { Unlink::File };
        let is_new = |attr: &Attr| attr.kind == kind && (is_dir || attr.nlink == 1);
        let (node, attr) = self.walk(dir, name).inspect_err(|_| {
            // No descriptor could be had, and none is needed to look.
            if let Ok(made) = attr::stat_child(dir.as_fd(), name)
                && is_new(&made)
            {
                self.undo(dir, name, made.id, what);
            }
        })?;
        if !is_new(&attr) {
            return Err(Errno::ENOENT);
        }
        let settled = self.settle(node.as_fd(), attr, perm, owner);
        let attr = settled.inspect_err(|_| self.undo(dir, name, attr.id, what))?;
        Ok((node, attr))
    }

    /// Gives a new file the owner and mode that were asked for, and says what it is then.
    ///
    /// Only bits are set that the umask or the kernel's rules for set-id bits took: what an access control
    /// list or the file system itself has taken stays away.
    pub(crate) fn settle(&self, file: BorrowedFd<'_>, made: Attr, perm: u32, owner: Owner) -> Result<Attr> {
        let mut attr = made;
        let uid = owner.uid.filter(|uid| *uid != attr.uid && uid.0 != u32::MAX);
        let gid = owner.gid.filter(|gid| *gid != attr.gid && gid.0 != u32::MAX);
        if uid.is_some() || gid.is_some() {
            attr::chown(file, uid, gid)?;
            attr = attr::stat(file)?;
        }
        let lost = perm & !attr.perm & (SET_ID | self.procfd.umask());
        if lost != 0 {
            self.chmod(file, attr.perm | lost)?;
            attr = attr::stat(file)?;
        }
        Ok(attr)
    }

    /// Removes what was made and could not be settled, if it still has its name.
    pub(crate) fn undo(&self, dir: &Node, name: Name<'_>, made: FileId, what: Unlink) {
        if attr::stat_child(dir.as_fd(), name).is_ok_and(|now| now.id == made) {
            // The error that is answered is the one that led here.
            let _ = entry::unlink(dir.as_fd(), name, what);
        }
    }
}
