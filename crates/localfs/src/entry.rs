//! mkdir, mknod, symlink, link, and giving what was made its owner and mode.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gofer_sys::{attr, entry, process};
use gofer_vfs::{
    AccessMode, Attr, Errno, FileId, FileKind, Gid, Name, OpenFlags, Owner, Result, Special, Time, Uid,
    Unlink,
};

use crate::{LocalFs, Node};

/// The set-id bits, which `mkdir(2)` and `chown(2)` take away.
const SET_ID: u32 = 0o6000;

/// How far the clock of a file system may be behind: two ticks of the slowest kernel.
const TICKS: Duration = Duration::from_millis(20);

/// What tells something that was made just now from something that took its name.
#[derive(Clone, Copy)]
pub(crate) struct Made {
    kind: FileKind,
    by: Uid,
    since: Time,
}

impl Made {
    /// To be had before the call that makes it.
    pub(crate) fn now(kind: FileKind) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(TICKS);
        let sec = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        // A duration has no more nanoseconds than a time may have.
        let since = Time::new(sec, since.subsec_nanos()).unwrap_or_default();
        Self { kind, by: process::user().0, since }
    }

    /// Whether this is it: of its kind, ours, with one name, and not born before. Where the file system has a
    /// clock of its own, a birth at the last change will do, for what was moved here changed at that.
    ///
    /// It cannot be told from something of the same kind and owner that was made within these milliseconds, and
    /// where no time of birth is known, not from anything else of that kind and owner with one name.
    fn is(self, attr: &Attr) -> bool {
        attr.kind == self.kind
            && attr.uid == self.by
            && (attr.kind == FileKind::Directory || attr.nlink == 1)
            && attr.btime.is_none_or(|born| born >= self.since || born == attr.ctime)
    }
}

impl LocalFs {
    /// A directory below one with the set-group-id bit has it too (`inode(7)`).
    pub(crate) fn mkdir(&self, dir: &Node, name: Name<'_>, perm: u32, owner: Owner) -> Result<(Node, Attr)> {
        dir.has_room_below()?;
        let made = Made::now(FileKind::Directory);
        entry::mkdir(dir.hold()?.as_fd(), name, perm)?;
        self.take_hold(dir, name, made, perm, owner)
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
        let made = Made::now(what.kind());
        entry::mknod(dir.hold()?.as_fd(), name, what, perm)?;
        self.take_hold(dir, name, made, perm, owner)
    }

    pub(crate) fn symlink(
        &self,
        dir: &Node,
        name: Name<'_>,
        target: &[u8],
        owner: Owner,
    ) -> Result<(Node, Attr)> {
        let made = Made::now(FileKind::Symlink);
        entry::symlink(dir.hold()?.as_fd(), name, target)?;
        // The host gives a link the mode it has; 0 asks for no bit more.
        self.take_hold(dir, name, made, 0, owner)
    }

    pub(crate) fn link(&self, node: &Node, dir: &Node, name: Name<'_>) -> Result<()> {
        if node.kind() == FileKind::Directory {
            return Err(Errno::EPERM);
        }
        let (file, dir) = (node.hold()?, dir.hold()?);
        entry::link(&self.procfd, file.as_fd(), dir.as_fd(), name)
    }

    /// Walks to what was made just now and settles it. None of these calls gives a descriptor of what it made,
    /// so another program of the host may have put something else at its name: what does not look like ours
    /// ([`Made::is`]) is neither changed nor removed. That is `ENOENT`, or what a walk would give where nothing
    /// is to be changed.
    pub(crate) fn take_hold(
        &self,
        dir: &Node,
        name: Name<'_>,
        made: Made,
        perm: u32,
        owner: Owner,
    ) -> Result<(Node, Attr)> {
        let what = if made.kind == FileKind::Directory { Unlink::Directory } else { Unlink::File };
        let (node, attr) = self.walk(dir, name).inspect_err(|_| {
            // No descriptor could be had, and none is needed to look.
            if let Ok(found) = dir.hold().and_then(|dir| attr::stat_child(dir.as_fd(), name))
                && made.is(&found)
            {
                self.undo(dir, name, found.id, what);
            }
        })?;
        if !made.is(&attr) {
            let as_asked = attr.kind == made.kind && !self.is_unsettled(&attr, perm, owner);
            return if as_asked { Ok((node, attr)) } else { Err(Errno::ENOENT) };
        }
        let settled = node.hold().and_then(|held| self.settle(held.as_fd(), attr, perm, owner));
        let attr = settled.inspect_err(|_| self.undo(dir, name, attr.id, what))?;
        Ok((node, attr))
    }

    /// Gives a new file the owner and mode that were asked for, and says what it is then.
    ///
    /// Only bits are set that the umask or the kernel's rules for set-id bits took: what an access control
    /// list or the file system itself has taken stays away.
    pub(crate) fn settle(&self, file: BorrowedFd<'_>, made: Attr, perm: u32, owner: Owner) -> Result<Attr> {
        let mut attr = made;
        let (uid, gid) = given(&attr, owner);
        if uid.is_some() || gid.is_some() {
            attr::chown(file, uid, gid)?;
            attr = attr::stat(file)?;
        }
        let lost = self.lost(&attr, perm);
        if lost != 0 {
            self.chmod(file, attr.perm | lost)?;
            attr = attr::stat(file)?;
        }
        Ok(attr)
    }

    /// Whether [`settle`](Self::settle) would change it.
    fn is_unsettled(&self, attr: &Attr, perm: u32, owner: Owner) -> bool {
        given(attr, owner) != (None, None) || self.lost(attr, perm) != 0
    }

    /// The bits of `perm` that are to be set again.
    fn lost(&self, attr: &Attr, perm: u32) -> u32 {
        perm & !attr.perm & (SET_ID | self.procfd.umask())
    }

    /// Removes what was made and could not be settled, if it still has its name. Linux removes names, not files:
    /// what takes the name between the look and the call is removed instead.
    pub(crate) fn undo(&self, dir: &Node, name: Name<'_>, made: FileId, what: Unlink) {
        let Ok(dir) = dir.hold() else { return };
        if attr::stat_child(dir.as_fd(), name).is_ok_and(|now| now.id == made) {
            // The error that is answered is the one that led here.
            let _ = entry::unlink(dir.as_fd(), name, what);
        }
    }
}

/// The ids that something must be given to have the owner that was asked for.
fn given(attr: &Attr, owner: Owner) -> (Option<Uid>, Option<Gid>) {
    let uid = owner.uid.filter(|uid| *uid != attr.uid && uid.0 != u32::MAX);
    let gid = owner.gid.filter(|gid| *gid != attr.gid && gid.0 != u32::MAX);
    (uid, gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_moved_to_the_name_of_something_new_is_not_that() {
        let dir = tempfile::tempdir().unwrap();
        let (fs, name) = (LocalFs::open(dir.path()).unwrap(), Name::new(b"d").unwrap());
        let (root, _) = fs.attach().unwrap();
        let made = Made::now(FileKind::Directory);
        let (_, attr) = fs.mkdir(&root, name, 0o755, Owner::default()).unwrap();
        assert!(made.is(&attr));
        assert!(!Made::now(FileKind::Symlink).is(&attr));
        assert!(!Made { by: Uid(attr.uid.0 ^ 1), ..made }.is(&attr));
        let (before, after) = (Time::new(1, 0).unwrap(), Time::new(2, 0).unwrap());
        assert!(!made.is(&Attr { btime: Some(before), ctime: after, ..attr }));
        assert!(made.is(&Attr { btime: Some(before), ctime: before, ..attr }), "another clock");
        assert!(made.is(&Attr { btime: None, ..attr }), "no time of birth");
        let file = Attr { kind: FileKind::Fifo, nlink: 2, ..attr };
        assert!(!Made::now(FileKind::Fifo).is(&file), "a second name");
    }

    #[test]
    fn what_is_not_proven_to_be_ours_is_neither_changed_nor_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (fs, name) = (LocalFs::open(dir.path()).unwrap(), Name::new(b"d").unwrap());
        let (root, _) = fs.attach().unwrap();
        let (node, attr) = fs.mkdir(&root, name, 0o755, Owner::default()).unwrap();
        let other = Made { by: Uid(attr.uid.0 ^ 1), ..Made::now(FileKind::Directory) };
        let owner = Owner { uid: Some(Uid(attr.uid.0 ^ 1)), gid: None };
        for (perm, owner) in [(0o755, owner), (0o4755, Owner::default())] {
            assert_eq!(fs.take_hold(&root, name, other, perm, owner).err(), Some(Errno::ENOENT));
            assert_eq!(attr::stat(node.hold().unwrap().as_fd()).unwrap(), attr);
        }
        let (_, found) = fs.take_hold(&root, name, other, 0o755, Owner::default()).unwrap();
        assert_eq!(found, attr, "nothing was to be changed");
    }
}
