//! lock, getlock: byte-range locks that hold against everybody whom the backend serves.
//!
//! To the kernel a lock belongs to an owner, which is a process or an open file description, and ends when the
//! owner closes any descriptor of the file. To a [`Backend`] it belongs to a `File` and ends with it. So each owner
//! with locks in an inode has a `File` of its own, which is dropped when the owner closes the file.
//!
//! `flock(2)` is left to the kernel: it holds among the programs of this mount.

use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread;
use std::time::Duration;

use foldhash::HashMap;
use fuser::{FileHandle, LockOwner, ReplyEmpty};
use gofer_sys::task::is_interrupted;
use gofer_vfs::{AccessMode, Backend, Errno, Lock, LockHolder, LockKind, OpenFlags, Ranges, Result};

use crate::handles::Handle;
use crate::inodes::Inode;
use crate::{Served, unpoisoned};

/// Who holds an inode's locks, by the kernel's numbers for them.
pub(crate) struct Owners<B: Backend>(HashMap<u64, Owner<B>>);

struct Owner<B: Backend> {
    /// What the backend takes the locks to belong to.
    file: Arc<B::File>,
    /// The process that asked last, and what it holds: for those who ask who is in the way.
    process: u32,
    held: Ranges,
}

/// The number of an owner's own ranges, and of all others.
const OWN: u64 = 0;
const OTHERS: u64 = 1;

impl<B: Backend> Default for Owners<B> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<B: Backend> Owners<B> {
    /// The process behind a lock that is in the way of another, where it is one of this mount's.
    fn process(&self, holder: Lock) -> Option<u32> {
        let unlike = Lock { kind: LockKind::Exclusive, ..holder };
        let holds =
            |owner: &&Owner<B>| owner.held.conflict(OTHERS, unlike).is_ok_and(|found| found.is_some());
        self.0.values().find(holds).map(|owner| owner.process)
    }
}

/// Requests for locks that others hold.
///
/// One thread tries them all again when a lock of this mount is released, and every so often because others may
/// release theirs. fuser does not tell that a waiting program got a signal; the thread looks for that, too.
pub(crate) struct Waiting<B: Backend> {
    requests: Mutex<Requests<B>>,
    changed: Condvar,
}

struct Requests<B: Backend> {
    waiting: Vec<Request<B>>,
    has_thread: bool,
}

struct Request<B: Backend> {
    handle: Arc<Handle<B>>,
    claim: Claim,
    thread: u32,
    reply: ReplyEmpty,
}

/// A lock that somebody wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) owner: LockOwner,
    pub(crate) process: u32,
    pub(crate) lock: Lock,
}

/// How many may wait at the same time.
const WAITING_MAX: usize = 4096;
/// How long until they are tried again.
const AGAIN: Duration = Duration::from_millis(20);

impl<B: Backend> Default for Waiting<B> {
    fn default() -> Self {
        let requests = Requests { waiting: Vec::new(), has_thread: false };
        Self { requests: Mutex::new(requests), changed: Condvar::new() }
    }
}

/// A lock in FUSE's words: kinds as in `fcntl(2)`, the last byte instead of the length.
pub(crate) fn lock(kind: i32, start: u64, last: u64) -> Result<Lock> {
    let kind = match kind {
        0 => LockKind::Shared,
        1 => LockKind::Exclusive,
        2 => LockKind::Unlock,
        _ => return Err(Errno::EINVAL),
    };
    let length =
        if last >= i64::MAX.cast_unsigned() { 0 } else { last.checked_sub(start).ok_or(Errno::EINVAL)? + 1 };
    Ok(Lock { kind, start, length })
}

/// The first byte, the last one and the kind, as FUSE has them.
pub(crate) fn told(lock: Lock) -> (u64, u64, i32) {
    let last = match lock.length {
        0 => i64::MAX.cast_unsigned(),
        length => lock.start.saturating_add(length - 1),
    };
    let kind = match lock.kind {
        LockKind::Shared => 0,
        LockKind::Exclusive => 1,
        LockKind::Unlock => 2,
    };
    (lock.start, last, kind)
}

impl<B: Backend> Served<B> {
    /// What is in the way of a lock that somebody wants.
    pub(crate) fn getlock(&self, file: FileHandle, claim: Claim) -> Result<Option<LockHolder>> {
        let handle = self.handles.named(file)?;
        let own =
            unpoisoned(handle.inode.owners.lock()).0.get(&claim.owner.0).map(|owner| owner.file.clone());
        let found = self.backend.getlock(own.as_deref().unwrap_or(&handle.file), claim.lock)?;
        Ok(found.map(|holder| match holder.pid {
            0 => {
                let process = unpoisoned(handle.inode.owners.lock()).process(holder.lock);
                LockHolder { pid: process.unwrap_or_default(), ..holder }
            }
            _ => holder,
        }))
    }

    /// Takes or releases a lock; `false` says that another's is in the way.
    pub(crate) fn lock(&self, handle: &Handle<B>, claim: Claim) -> Result<bool> {
        let Claim { owner, process, lock } = claim;
        let mut owners = unpoisoned(handle.inode.owners.lock());
        let file = match owners.0.get(&owner.0) {
            Some(owner) => owner.file.clone(),
            None if lock.kind == LockKind::Unlock => return Ok(true),
            None => {
                let file = Arc::new(self.file_for_locks(handle)?);
                owners.0.insert(owner.0, Owner { file: file.clone(), process, held: Ranges::default() });
                file
            }
        };
        let taken = self.backend.lock(&file, lock)?;
        if taken && let Some(owner) = owners.0.get_mut(&owner.0) {
            owner.process = process;
            owner.held.set(OWN, lock)?;
        }
        drop(owners);
        if lock.kind != LockKind::Exclusive {
            self.waiting.changed.notify_all();
        }
        Ok(taken)
    }

    /// A file that can hold locks of both kinds, where one can be had.
    fn file_for_locks(&self, handle: &Handle<B>) -> Result<B::File> {
        let open = |access| self.backend.open(&handle.inode.node(), OpenFlags::new(access));
        let both = open(AccessMode::ReadWrite);
        both.or_else(|_| open(if handle.writes { AccessMode::Write } else { AccessMode::Read }))
    }

    /// Ends what an owner holds in an inode.
    pub(crate) fn unlock_all(&self, inode: &Inode<B>, owner: LockOwner) {
        let held = unpoisoned(inode.owners.lock()).0.remove(&owner.0);
        if let Some(owner) = held {
            drop(owner);
            self.waiting.changed.notify_all();
        }
    }

    /// Takes a lock as soon as it can be had, and answers then.
    pub(crate) fn wait_for_lock(
        self: &Arc<Self>,
        file: FileHandle,
        claim: Claim,
        thread: u32,
        reply: ReplyEmpty,
    ) {
        let handle = match self.handles.named(file) {
            Ok(handle) => handle,
            Err(error) => return reply.error(self.errno(error)),
        };
        match self.lock(&handle, claim) {
            Ok(true) => return reply.ok(),
            Ok(false) => {}
            Err(error) => return reply.error(self.errno(error)),
        }
        let mut requests = unpoisoned(self.waiting.requests.lock());
        if requests.waiting.len() >= WAITING_MAX {
            return reply.error(self.errno(Errno::ENOLCK));
        }
        if !requests.has_thread {
            let served = Arc::downgrade(self);
            let waiter = thread::Builder::new().name("locks".into()).spawn(move || wait(&served));
            if waiter.is_err() {
                return reply.error(self.errno(Errno::ENOLCK));
            }
            requests.has_thread = true;
        }
        requests.waiting.push(Request { handle, claim, thread, reply });
        self.waiting.changed.notify_all();
    }

    /// Tries all that wait once. Says whether the thread is still needed.
    fn try_again(&self) -> bool {
        let mut requests = unpoisoned(self.waiting.requests.lock());
        if requests.waiting.is_empty() {
            requests.has_thread = false;
            return false;
        }
        let tried = std::mem::take(&mut requests.waiting);
        drop(requests);
        let mut left = Vec::new();
        for request in tried {
            match self.lock(&request.handle, request.claim) {
                Ok(true) => request.reply.ok(),
                Ok(false) if is_interrupted(request.thread) => request.reply.error(self.errno(Errno::EINTR)),
                Ok(false) => left.push(request),
                Err(error) => request.reply.error(self.errno(error)),
            }
        }
        let mut requests = unpoisoned(self.waiting.requests.lock());
        requests.waiting.append(&mut left);
        if !requests.waiting.is_empty() {
            drop(unpoisoned(self.waiting.changed.wait_timeout(requests, AGAIN)));
        }
        true
    }
}

/// Works until nothing waits any more, or until nothing is served.
fn wait<B: Backend>(served: &Weak<Served<B>>) {
    while served.upgrade().is_some_and(|served| served.try_again()) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_the_same_in_both_words() {
        let to_end = i64::MAX.cast_unsigned();
        for (start, last, length) in [(0, 0, 1), (5, 9, 5), (7, to_end, 0), (0, u64::MAX, 0)] {
            let lock = lock(1, start, last).unwrap();
            assert_eq!(lock, Lock { kind: LockKind::Exclusive, start, length });
            assert_eq!(told(lock), (start, last.min(to_end), 1));
        }
        assert_eq!(lock(0, 5, 4), Err(Errno::EINVAL));
    }
}
