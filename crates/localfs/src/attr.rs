//! setattr, readlink.

use std::os::fd::{AsFd, BorrowedFd};

use gofer_sys::attr;
use gofer_vfs::{AccessMode, Errno, FileKind, OpenFlags, Result, SetAttr};

use crate::node::with_room;
use crate::{File, LocalFs, Node};

impl LocalFs {
    pub(crate) fn setattr(&self, node: &Node, file: Option<&File>, set: &SetAttr) -> Result<()> {
        let held = node.hold()?;
        let mut done = Ok(());
        if set.uid.is_some() || set.gid.is_some() {
            done = attr::chown(held.as_fd(), set.uid, set.gid);
        }
        if let Some(size) = set.size {
            done = done.and(self.set_size(node, file, size));
        }
        if let Some(perm) = set.perm {
            done = done.and(self.set_mode(node, perm));
        }
        if set.atime.is_some() || set.mtime.is_some() {
            done = done.and(attr::set_times(held.as_fd(), set.atime, set.mtime));
        }
        if *set == (SetAttr { ctime: true, ..SetAttr::default() }) {
            done = self.move_ctime(node);
        }
        done
    }

    /// `EINVAL` for whatever has no size that could be set, a directory too.
    fn set_size(&self, node: &Node, file: Option<&File>, size: u64) -> Result<()> {
        if node.kind() != FileKind::Regular || i64::try_from(size).is_err() {
            return Err(Errno::EINVAL);
        }
        match file {
            Some(file) if file.access.writes() => attr::truncate(file.as_fd(), size),
            _ => {
                let held = node.hold()?;
                let flags = OpenFlags::new(AccessMode::Write);
                let writable = with_room(|| self.procfd.reopen(held.as_fd(), flags))?;
                attr::truncate(writable.as_fd(), size)
            }
        }
    }

    fn set_mode(&self, node: &Node, perm: u32) -> Result<()> {
        // Some old kernels would change the mode of a link.
        if node.kind() == FileKind::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        self.chmod(node.hold()?.as_fd(), perm)
    }

    /// The only way in which this server gives set-id bits to a file that may be open already.
    pub(crate) fn chmod(&self, file: BorrowedFd<'_>, perm: u32) -> Result<()> {
        attr::chmod(&self.procfd, file, perm)?;
        if perm & 0o6000 != 0 {
            self.set_id_epoch.advance();
        }
        Ok(())
    }

    /// A chown that changes nothing moves ctime and takes set-id bits away, a chmod to the same mode does not.
    fn move_ctime(&self, node: &Node) -> Result<()> {
        let held = node.hold()?;
        let perm = attr::stat(held.as_fd())?.perm;
        if perm & 0o6000 == 0 { attr::chown(held.as_fd(), None, None) } else { self.set_mode(node, perm) }
    }
}

pub(crate) fn readlink(node: &Node, into: &mut Vec<u8>) -> Result<()> {
    // By a descriptor alone the host answers ENOENT for what is no link.
    if node.kind() == FileKind::Symlink {
        attr::read_link(node.hold()?.as_fd(), into)
    } else {
        Err(Errno::EINVAL)
    }
}
