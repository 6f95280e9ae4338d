//! lock, getlock.
//!
//! The host wants a description to have the access that a lock protects against others, and a client takes
//! exclusive locks on files it opened for reading (`flock(2)`). Such locks live on a second description, with
//! the access that the first lacks. It is opened when it is needed: it keeps others from running the file.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use gofer_sys::lock::{get, set};
use gofer_vfs::{AccessMode, Lock, LockHolder, LockKind, OpenFlags, Result};

use crate::{File, LocalFs, Opened};

impl LocalFs {
    /// Where both descriptions come into play, changing the kind of a lock first gives up the old one, as it
    /// does for `flock(2)`. Where the second cannot be had the host's answer is `EBADF`.
    pub(crate) fn lock(&self, file: &File, lock: Lock) -> Result<bool> {
        let Opened::Regular { second, .. } = &file.opened else { return set(file.as_fd(), lock) };
        let fits = match lock.kind {
            LockKind::Shared => file.access.reads(),
            LockKind::Exclusive => file.access.writes(),
            LockKind::Unlock => true,
        };
        let unlock = Lock { kind: LockKind::Unlock, ..lock };
        if fits {
            if let Some(second) = second.get() {
                set(second.as_fd(), unlock)?;
            }
            return set(file.as_fd(), lock);
        }
        let Ok(second) = self.second(file, second) else { return set(file.as_fd(), lock) };
        set(file.as_fd(), unlock)?;
        set(second, lock)
    }

    fn second<'a>(&self, file: &File, second: &'a OnceLock<OwnedFd>) -> Result<BorrowedFd<'a>> {
        if let Some(open) = second.get() {
            return Ok(open.as_fd());
        }
        let lacking = if file.access.reads() { AccessMode::Write } else { AccessMode::Read };
        let opened = self.procfd.reopen(file.as_fd(), OpenFlags::new(lacking))?;
        // Whoever comes second drops a description that holds no lock yet.
        Ok(second.get_or_init(|| opened).as_fd())
    }
}

/// What is in the way of one of a file's two descriptions only is held by the other.
pub(crate) fn getlock(file: &File, lock: Lock) -> Result<Option<LockHolder>> {
    let found = get(file.as_fd(), lock)?;
    match (&file.opened, found) {
        (Opened::Regular { second, .. }, Some(found)) => match second.get() {
            Some(second) => get(second.as_fd(), lock),
            None => Ok(Some(found)),
        },
        (_, found) => Ok(found),
    }
}
