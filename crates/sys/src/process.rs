//! The process itself: limits, rights, and descriptors it was started with.

use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::Mutex;

use gofer_vfs::{Errno, Gid, Result, Uid};
use rustix::process::{Resource, Rlimit};
use rustix::thread::CapabilitySet;

use crate::{errno, last_errno};

/// The system calls of this module.
pub const SYSCALLS: &[&str] = &["capget", "fcntl", "getegid", "geteuid", "prlimit64", "umask"];

/// Raises the number of descriptors this process may hold to the hard limit, and says what it is now.
///
/// # Errors
/// Those of `setrlimit(2)`.
pub fn raise_nofile() -> Result<u64> {
    let now = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum })
        .map_err(errno)?;
    Ok(now.maximum.unwrap_or(u64::MAX))
}

/// Sets the process's umask to 0: new files get exactly the mode a client asked for.
pub fn clear_umask() {
    rustix::process::umask(rustix::fs::Mode::empty());
}

/// Whether this thread has the right to give files away (`CAP_CHOWN`, `capabilities(7)`).
pub fn has_cap_chown() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::CHOWN))
}

/// The effective user and group of this process.
pub fn user() -> (Uid, Gid) {
    (Uid(rustix::process::geteuid().as_raw()), Gid(rustix::process::getegid().as_raw()))
}

/// Held while a descriptor is taken over, so that no two callers take the same one.
static TAKING: Mutex<()> = Mutex::new(());

/// Takes over descriptor `number`, which this process was started with, and closes it to programs that it
/// might start. The standard descriptors cannot be taken, nor any that this process opened itself.
///
/// # Errors
/// `EBADF` when no such descriptor is open, `EBUSY` when it is not inherited or was taken before, `EINVAL`
/// for 0, 1 and 2.
pub fn inherited(number: u32) -> Result<OwnedFd> {
    let raw = i32::try_from(number).map_err(|_| Errno::EBADF)?;
    if raw <= 2 {
        return Err(Errno::EINVAL);
    }
    let _taking = TAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // SAFETY: F_GETFD takes no argument and touches no memory; on a number that is not open it fails.
    let flags = unsafe { libc::fcntl(raw, libc::F_GETFD) };
    if flags < 0 {
        return Err(last_errno());
    }
    // execve(2) closed whatever had the flag, and all that this process opens is opened with it.
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(Errno::EBUSY);
    }
    // SAFETY: F_SETFD takes an integer and touches no memory.
    if unsafe { libc::fcntl(raw, libc::F_SETFD, flags | libc::FD_CLOEXEC) } != 0 {
        return Err(last_errno());
    }
    // SAFETY: the descriptor is open, and nothing in this process owns it: it came through execve(2), for it
    // was without the flag that every descriptor opened here has, and was not taken before, for the lock is
    // held and taking it sets the flag.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
