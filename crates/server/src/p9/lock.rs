//! lock, getlock.

use std::sync::PoisonError;

use gofer_vfs::{Backend, Errno, Lock, LockKind, Ranges, Result};
use gofer_wire::codec::Str;
use gofer_wire::p9::{Rgetlock, Rlock, Tgetlock, Tlock};

use super::{Cx, Session};
use crate::quota::{Quota, Share};

/// The locks of an open file, counted.
#[derive(Debug)]
pub(crate) struct HeldLocks {
    ranges: Ranges,
    /// Of the locks that the connection may hold: two more than there are, for that many a lock can add by
    /// splitting another.
    share: Share,
    /// A backend may need one of its own for locks.
    _descriptor: Share,
}

impl HeldLocks {
    const SPLIT: usize = 2;
    /// A file's locks have one owner.
    const OWNER: u64 = 0;

    pub(super) fn new(quota: &Quota, descriptor: Share) -> Option<Self> {
        Some(Self { ranges: Ranges::default(), share: quota.take(Self::SPLIT)?, _descriptor: descriptor })
    }

    /// Whether there may be this lock too.
    fn has_room_for(&mut self, lock: Lock) -> Result<bool> {
        Ok(!self.ranges.grows(Self::OWNER, lock)? || self.share.resize(self.ranges.len() + Self::SPLIT))
    }

    /// Notes what was done.
    fn note(&mut self, lock: Lock) -> Result<()> {
        self.ranges.set(Self::OWNER, lock)?;
        // What became fewer is given back at once; room for another is looked for when it is asked for.
        self.share.resize(self.ranges.len().max(Self::SPLIT));
        Ok(())
    }
}

impl<B: Backend> Session<B> {
    /// Takes or releases a lock. Never waits: a client that would asks again when it was told `BLOCKED`.
    pub(super) fn lock(&self, t: Tlock<'_>, _: Cx<'_>) -> Result<Rlock> {
        let fid = self.fids.get(t.fid)?;
        let open = fid.open().ok_or(Errno::EBADF)?;
        let kind = lock_kind(t.kind)?;
        if t.flags & !(Tlock::BLOCK | Tlock::RECLAIM) != 0 {
            return Err(Errno::EINVAL);
        }
        let wanted = Lock { kind, start: t.start, length: t.length };
        // Held to the end, so that what is noted is what the host has.
        let mut locks = open.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let locks = match &mut *locks {
            Some(locks) => locks,
            none => none.insert(HeldLocks::new(&self.locks, self.fids.room(1)?).ok_or(Errno::ENOLCK)?),
        };
        if !locks.has_room_for(wanted)? {
            return Err(Errno::ENOLCK);
        }
        let status = match self.backend(&fid.place).lock(&open.file, wanted) {
            Ok(true) => {
                locks.note(wanted)?;
                Rlock::SUCCESS
            }
            Ok(false) => Rlock::BLOCKED,
            // The file was not opened for what the lock needs.
            Err(Errno::EBADF) => Rlock::ERROR,
            Err(errno) => return Err(errno),
        };
        Ok(Rlock { status })
    }

    /// Says which lock would be in the way. A host's process does not give its name.
    pub(super) fn getlock<'b>(&self, t: Tgetlock<'_>, cx: Cx<'b>) -> Result<Rgetlock<'b>> {
        let fid = self.fids.get(t.fid)?;
        let open = fid.open().ok_or(Errno::EBADF)?;
        let wanted = Lock { kind: lock_kind(t.kind)?, start: t.start, length: t.length };
        let holder = match wanted.kind {
            LockKind::Unlock => None,
            LockKind::Shared | LockKind::Exclusive => self.backend(&fid.place).getlock(&open.file, wanted)?,
        };
        let (kind, start, length, proc_id) = match holder {
            None => {
                cx.scratch.extend_from_slice(t.client_id.as_bytes());
                (Tlock::UNLCK, t.start, t.length, t.proc_id)
            }
            Some(holder) => {
                let kind = if holder.lock.kind == LockKind::Shared { Tlock::RDLCK } else { Tlock::WRLCK };
                (kind, holder.lock.start, holder.lock.length, holder.pid)
            }
        };
        let client_id = Str::new(cx.scratch).ok_or(Errno::EIO)?;
        Ok(Rgetlock { kind, start, length, proc_id, client_id })
    }
}

fn lock_kind(kind: u8) -> Result<LockKind> {
    match kind {
        Tlock::RDLCK => Ok(LockKind::Shared),
        Tlock::WRLCK => Ok(LockKind::Exclusive),
        Tlock::UNLCK => Ok(LockKind::Unlock),
        _ => Err(Errno::EINVAL),
    }
}
