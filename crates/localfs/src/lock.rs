//! lock, getlock.
//!
//! The host wants a description to have the access that a lock protects against others, and a client takes
//! exclusive locks on files it opened for reading (`flock(2)`). Such locks live on a second description, with
//! the access that the first lacks. It is opened when it is needed: it keeps others from running the file.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use gofer_sys::lock::{get, set};
use gofer_vfs::{AccessMode, Lock, LockHolder, LockKind, OpenFlags, Result};

use crate::node::with_room;
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
        let opened = with_room(|| self.procfd.reopen(file.as_fd(), OpenFlags::new(lacking)))?;
        // Whoever comes second drops a description that holds no lock yet.
        Ok(second.get_or_init(|| opened).as_fd())
    }
}

/// What is in the way of the first of a file's two descriptions may be held by the second. That holds locks of
/// one kind only; where the second sees nothing, the lock is the file's own, and the search goes on beside it.
pub(crate) fn getlock(file: &File, lock: Lock) -> Result<Option<LockHolder>> {
    let second = match &file.opened {
        Opened::Regular { second, .. } => second.get(),
        Opened::Directory(_) | Opened::Fifo => None,
    };
    let Some(second) = second else { return get(file.as_fd(), lock) };
    let held_by_second = if file.access.reads() { LockKind::Exclusive } else { LockKind::Shared };
    let mut parts = vec![lock];
    while let Some(part) = parts.pop() {
        let Some(found) = get(file.as_fd(), part)? else { continue };
        if found.lock.kind != held_by_second {
            return Ok(Some(found));
        }
        let start = part.start.max(found.lock.start);
        let stop = end(part).min(end(found.lock));
        if let Some(other) = get(second.as_fd(), Lock { kind: lock.kind, start, length: stop - start })? {
            return Ok(Some(other));
        }
        for (start, end) in [(part.start, start), (stop, end(part))] {
            if start < end {
                parts.push(Lock { kind: lock.kind, start, length: end - start });
            }
        }
    }
    Ok(None)
}

/// The position behind a lock.
fn end(lock: Lock) -> u64 {
    if lock.length == 0 { 1 << 63 } else { lock.start.saturating_add(lock.length) }
}
