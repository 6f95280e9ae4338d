//! lock, getlock.

use std::sync::atomic::Ordering;

use gofer_vfs::{Errno, Lock, LockHolder, LockKind, Result};
use gofer_wire::Str;
use gofer_wire::p9::{Rgetlock, Rlock, Tgetlock, Tlock};

use crate::{Client, File};

/// What locks are taken as. A lock belongs to its fid, whose number stands for the process.
fn client_id() -> Str<'static> {
    Str::new(b"gofer").unwrap_or_default()
}

impl Client {
    pub(crate) fn lock(&self, file: &File, lock: Lock) -> Result<bool> {
        let fid = file.fid();
        file.locked.fetch_or(lock.kind != LockKind::Unlock, Ordering::Relaxed);
        let answer = self.rpc.call(Tlock {
            fid,
            kind: number(lock.kind),
            flags: 0,
            start: lock.start,
            length: lock.length,
            proc_id: fid.0,
            client_id: client_id(),
        })?;
        let Rlock { status } = answer.body()?;
        let (reads, writes) = (file.flags.access.reads(), file.flags.access.writes());
        match status {
            Rlock::SUCCESS => Ok(true),
            Rlock::BLOCKED | Rlock::GRACE => Ok(false),
            Rlock::ERROR if lock.kind == LockKind::Shared && !reads => Err(Errno::EBADF),
            Rlock::ERROR if lock.kind == LockKind::Exclusive && !writes => Err(Errno::EBADF),
            Rlock::ERROR => Err(Errno::ENOLCK),
            _ => Err(self.rpc.violated()),
        }
    }

    pub(crate) fn getlock(&self, file: &File, lock: Lock) -> Result<Option<LockHolder>> {
        if lock.kind == LockKind::Unlock {
            return Err(Errno::EINVAL);
        }
        let fid = file.fid();
        let answer = self.rpc.call(Tgetlock {
            fid,
            kind: number(lock.kind),
            start: lock.start,
            length: lock.length,
            proc_id: fid.0,
            client_id: client_id(),
        })?;
        let Rgetlock { kind, start, length, proc_id, .. } = answer.body()?;
        let kind = match kind {
            Tlock::UNLCK => return Ok(None),
            Tlock::RDLCK => LockKind::Shared,
            Tlock::WRLCK => LockKind::Exclusive,
            _ => return Err(self.rpc.violated()),
        };
        Ok(Some(LockHolder { lock: Lock { kind, start, length }, pid: proc_id }))
    }
}

fn number(kind: LockKind) -> u8 {
    match kind {
        LockKind::Shared => Tlock::RDLCK,
        LockKind::Exclusive => Tlock::WRLCK,
        LockKind::Unlock => Tlock::UNLCK,
    }
}
