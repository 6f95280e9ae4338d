//! lock, getlock.

use gofer_vfs::{Backend, Errno, Lock, LockKind, Result};
use gofer_wire::codec::Str;
use gofer_wire::p9::{Rgetlock, Rlock, Tgetlock, Tlock};

use super::{Cx, Session};

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
        let status = match self.backend(&fid.place).lock(&open.file, wanted) {
            Ok(true) => Rlock::SUCCESS,
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
