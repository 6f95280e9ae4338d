//! What belongs to a thread: its rights and its signals; and to a process with a terminal or without.

use std::fs;
use std::io::{stderr, stdin, stdout};
use std::os::fd::BorrowedFd;

use gofer_vfs::{Errno, FileKind, Result};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::seccomp::{Call, Need, syscall};
use crate::{attr, call};

/// The system calls of this module, but not those with which the standard library reads a file.
pub const SYSCALLS: &[Call] = &[
    syscall!(capget).with(Need::Start),
    syscall!(capset).with(Need::Start),
    syscall!(dup3).with(Need::Start),
    syscall!(ioctl).with(Need::Start),
    syscall!(openat).with(Need::Start),
    syscall!(prlimit64).with(Need::Start),
    syscall!(setsid).with(Need::Start),
    syscall!(statx).with(Need::Start),
];

/// Whether this thread may give the kernel files to serve by itself (`CAP_SYS_ADMIN`).
pub fn has_cap_sys_admin() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// For what must be done while there is no other thread.
///
/// # Errors
/// `EBUSY` when there is more than one thread, `ENOENT` when there is no `/proc`.
pub(crate) fn only_thread() -> Result<()> {
    let threads = fs::read_dir("/proc/self/task")
        .map_err(|error| Errno::from_host(error.raw_os_error().unwrap_or(0)))?;
    if threads.count() == 1 { Ok(()) } else { Err(Errno::EBUSY) }
}

/// Raises the number of descriptors this process may hold to `wanted`, or as near to that as its rights allow, and
/// says what it is now. It is never lowered.
///
/// # Errors
/// Those of `setrlimit(2)`.
pub fn raise_nofile_to(wanted: u64) -> Result<u64> {
    let now = rustix::process::getrlimit(Resource::Nofile);
    let hard = now.maximum.unwrap_or(u64::MAX);
    let set = |limit| {
        rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum: Some(limit) })
    };
    // Beyond the hard limit with CAP_SYS_RESOURCE only.
    if wanted > hard && set(wanted).is_ok() {
        return Ok(wanted);
    }
    crate::process::raise_nofile()
}

/// How many columns a terminal has; `None` for what is no terminal, and for one that does not say.
pub fn columns(terminal: BorrowedFd<'_>) -> Option<u16> {
    rustix::termios::tcgetwinsize(terminal).ok().map(|size| size.ws_col).filter(|columns| *columns > 0)
}

/// Puts a thread's capabilities back.
struct Restore(CapabilitySets);

impl Drop for Restore {
    fn drop(&mut self) {
        // What was taken out of the effective set alone may always be put back (`capabilities(7)`).
        let _ = rustix::thread::set_capabilities(None, self.0);
    }
}

/// Runs `f` without the right to leave set-id bits in place when a file is written (`CAP_FSETID`): what takes
/// over this thread's rights meanwhile does not have it either.
///
/// # Errors
/// Those of `capset(2)`.
pub fn without_fsetid<T>(f: impl FnOnce() -> T) -> Result<T> {
    let sets = call(|| rustix::thread::capabilities(None))?;
    if !sets.effective.contains(CapabilitySet::FSETID) {
        return Ok(f());
    }
    let less = CapabilitySets { effective: sets.effective - CapabilitySet::FSETID, ..sets };
    call(|| rustix::thread::set_capabilities(None, less))?;
    let _restore = Restore(sets);
    Ok(f())
}

/// Whether a thread of this host has a signal waiting for it that it neither blocks nor ignores, or is gone.
/// `false` where no procfs is mounted.
pub fn is_interrupted(thread: u32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{thread}/status")) else {
        return fs::exists("/proc/self/status").unwrap_or(false);
    };
    let mask = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?.strip_prefix(':')?;
        u64::from_str_radix(value.trim(), 16).ok()
    };
    let mask = |name| mask(name).unwrap_or(0);
    (mask("SigPnd") | mask("ShdPnd")) & !(mask("SigBlk") | mask("SigIgn")) != 0
}

/// Leaves the terminal: a session of its own, and nothing behind the standard descriptors. Standard error stays
/// where it is a regular file.
///
/// # Errors
/// Those of `setsid(2)`, `open(2)` and `dup(2)`.
pub fn detach() -> Result<()> {
    call(rustix::process::setsid)?;
    let null = call(|| rustix::fs::openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()))?;
    let keep =
        attr::stat(std::os::fd::AsFd::as_fd(&stderr())).is_ok_and(|attr| attr.kind == FileKind::Regular);
    let _locked = (stdin().lock(), stdout().lock());
    call(|| rustix::stdio::dup2_stdin(&null))?;
    call(|| rustix::stdio::dup2_stdout(&null))?;
    if keep { Ok(()) } else { call(|| rustix::stdio::dup2_stderr(&null)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_is_back_afterwards() {
        let had = crate::io::keeps_set_id();
        assert!(!without_fsetid(crate::io::keeps_set_id).unwrap());
        assert_eq!(crate::io::keeps_set_id(), had);
    }

    #[test]
    fn a_thread_that_is_gone_waits_for_nothing() {
        assert!(is_interrupted(u32::MAX));
        assert!(!is_interrupted(std::process::id()));
    }
}
