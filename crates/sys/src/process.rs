//! The process itself: limits, rights, and descriptors it was started with.

use std::collections::BTreeSet;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Mutex;

use gofer_vfs::{Errno, Gid, Result, Uid};
use rustix::process::{Resource, Rlimit};
use rustix::thread::CapabilitySet;

use crate::seccomp::{Call, Need, syscall};
use crate::{errno, last_errno};

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[
    syscall!(capget).with(Need::Write),
    syscall!(geteuid).with(Need::Write),
    syscall!(getegid).with(Need::Write),
    syscall!(fcntl).with(Need::Start),
    syscall!(prlimit64).with(Need::Start),
    syscall!(umask).with(Need::Start),
    syscall!(setgid).with(Need::Start),
    syscall!(setuid).with(Need::Start),
    syscall!(capset).with(Need::Start),
    syscall!(prctl).with(Need::Start),
    syscall!(keyctl).with(Need::Start),
    syscall!(openat).with(Need::Start),
    syscall!(madvise).with(Need::Start),
];

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

/// Sets the number of descriptors this process may hold, which it cannot raise again.
///
/// # Errors
/// Those of `setrlimit(2)`: `EPERM` above what it may hold now, without `CAP_SYS_RESOURCE`.
pub fn limit_nofile(most: u64) -> Result<()> {
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: Some(most) })
        .map_err(errno)
}

/// Makes this thread, which must be the only one, one of another user and group.
///
/// # Errors
/// Those of `setuid(2)` and `setgid(2)`: `EINVAL` for ids that do not exist in this namespace of users.
pub fn become_user(uid: Uid, gid: Gid) -> Result<()> {
    rustix::thread::set_thread_gid(rustix::thread::Gid::from_raw(gid.0)).map_err(errno)?;
    rustix::thread::set_thread_uid(rustix::thread::Uid::from_raw(uid.0)).map_err(errno)
}

/// Sets the process's umask to 0: new files get exactly the mode a client asked for.
pub fn clear_umask() {
    rustix::process::umask(rustix::fs::Mode::empty());
}

/// Makes writing beyond the limit on the size of files fail (`EFBIG`) rather than end the process (`SIGXFSZ`).
pub fn survive_file_limit() {
    // SAFETY: SIG_IGN is no handler that could run, and a disposition that is in nobody's way: nothing in this process
    // waits for the signal.
    let _ = unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Whether this thread has the right to give files away (`CAP_CHOWN`, `capabilities(7)`).
pub fn has_cap_chown() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::CHOWN))
}

/// The effective user and group of this process.
pub fn user() -> (Uid, Gid) {
    (Uid(rustix::process::geteuid().as_raw()), Gid(rustix::process::getegid().as_raw()))
}

/// Where the program and its libraries are mapped, as far as they are only read: code, constants, and the tables that
/// they were linked by. Most of what was used until a server serves is not used again.
#[derive(Debug)]
pub struct Code(Vec<(usize, usize)>);

impl Code {
    /// As `/proc/self/smaps` tells; nowhere where that cannot be read.
    pub fn mapped() -> Self {
        Self(mappings(&std::fs::read_to_string("/proc/self/smaps").unwrap_or_default()))
    }

    /// Lets the system have its memory: what is used again is read again.
    pub fn forget(self) {
        for (start, len) in self.0 {
            let start = std::ptr::with_exposed_provenance_mut(start);
            // SAFETY: the mapping is of a file, and when the kernel told of it, it was not writable and had no page that
            // was not the file's. This process makes no such mapping writable, and unmaps none. So MADV_DONTNEED only
            // drops the file's pages from the page table: they are had from the file again when they are touched
            // (madvise(2)).
            let _ = unsafe { rustix::mm::madvise(start, len, rustix::mm::Advice::LinuxDontNeed) };
        }
    }
}

/// The private mappings of files in `/proc/self/smaps` that cannot be written to and never were, as what is relocated
/// when a program is loaded was before it was closed to writing: no page is the process's own, nor swapped.
fn mappings(smaps: &str) -> Vec<(usize, usize)> {
    let (mut found, mut last) = (Vec::new(), None);
    for line in smaps.lines() {
        match line.split_once(':') {
            Some(("Anonymous" | "Swap", own)) if own.trim() != "0 kB" => last = None,
            Some((field, _)) if !field.contains(' ') => {}
            _ => found.extend(last.replace(file(line)).flatten()),
        }
    }
    found.extend(last.flatten());
    found
}

/// The first line of a mapping: where it is, if it is of a file and only read.
fn file(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (range, rights) = (fields.next()?, fields.next()?);
    let is_file = fields.nth(3).is_some_and(|path| path.starts_with('/'));
    if !is_file || !["r-xp", "r--p"].contains(&rights) {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let number = |hex| usize::from_str_radix(hex, 16).ok();
    let (start, end) = (number(start)?, number(end)?);
    Some((start, end.checked_sub(start)?))
}

/// Keeps limits as they are for good, and lets the process leave no core dump.
///
/// # Errors
/// Those of `setrlimit(2)`.
pub fn freeze_limits() -> Result<()> {
    let fix = |resource, limit: Option<u64>| {
        rustix::process::setrlimit(resource, Rlimit { current: limit, maximum: limit }).map_err(errno)
    };
    fix(Resource::Core, Some(0))?;
    for resource in [Resource::Nofile, Resource::Nproc, Resource::Memlock, Resource::Msgqueue] {
        fix(resource, rustix::process::getrlimit(resource).current)?;
    }
    Ok(())
}

/// Lets no program that is started gain rights (`PR_SET_NO_NEW_PRIVS`).
///
/// # Errors
/// Those of `prctl(2)`.
pub fn forbid_new_privileges() -> Result<()> {
    rustix::thread::set_no_new_privs(true).map_err(errno)
}

/// Lets no process of the same user look into this one, and the system write none of its memory to disk.
///
/// # Errors
/// Those of `prctl(2)`.
pub fn hide_memory() -> Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).map_err(errno)
}

/// Lets no memory become code that was data: what can be written cannot be mapped to be run, nor be made so later
/// (`PR_SET_MDWE`). Files can still be mapped to be run, also those that this process may write to.
///
/// # Errors
/// Those of `prctl(2)`: `EINVAL` before Linux 6.3.
pub fn refuse_new_code() -> Result<()> {
    const SET: i32 = 65;
    const REFUSE_EXEC_GAIN: usize = 1;
    // SAFETY: the arguments are integers, of which those that have no meaning are 0. This process makes no code: what
    // it runs is mapped from files.
    match unsafe { libc::prctl(SET, REFUSE_EXEC_GAIN, 0_usize, 0_usize, 0_usize) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// Leaves the keys of the session that the process was started in (`session-keyring(7)`): from here on it has a
/// keyring of its own, with nothing in it. Whether there was any to leave: none can be reached where the kernel has
/// no keys, or a filter forbids to ask for them.
///
/// # Errors
/// Those of `keyctl(2)`: `EDQUOT` when this user has as many keys as it may.
pub fn leave_keyring() -> Result<bool> {
    const JOIN_SESSION_KEYRING: usize = 1;
    // SAFETY: without a name, which is null, the kernel reads nothing of this process.
    let joined = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, std::ptr::null::<u8>()) };
    match if joined < 0 { last_errno() } else { return Ok(true) } {
        Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EPERM => Ok(false),
        errno => Err(errno),
    }
}

/// Closes what the process was started with and nobody took over ([`inherited`]), but the standard descriptors;
/// standard input becomes empty. Says how many descriptors it closed.
///
/// # Errors
/// Those of `open(2)`: `ENOENT` when there is no `/proc` or `/dev/null`.
pub fn close_inherited() -> Result<usize> {
    let host = |error: std::io::Error| Errno::from_host(error.raw_os_error().unwrap_or(0));
    let null = std::fs::File::open("/dev/null").map_err(host)?;
    rustix::stdio::dup2_stdin(&null).map_err(errno)?;
    let listed = std::fs::read_dir("/proc/self/fd").map_err(host)?;
    let numbers: Vec<i32> =
        listed.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let mut closed = 0;
    for number in numbers.into_iter().filter(|number| *number > 2) {
        // SAFETY: F_GETFD takes no argument and touches no memory; on a number that is not open it fails.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if flags >= 0 && flags & libc::FD_CLOEXEC == 0 {
            // SAFETY: it came through execve(2), for it is without the flag that every descriptor opened here has
            // (see `inherited`), and nobody took it over, for then it would have been given the flag: nothing in
            // this process owns it.
            drop(unsafe { OwnedFd::from_raw_fd(number) });
            closed += 1;
        }
    }
    Ok(closed)
}

/// The descriptors that were taken over.
static TAKEN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Takes over descriptor `number`, which this process was started with, and closes it to programs that it
/// might start. The standard descriptors cannot be taken, none can be taken twice, and none with `FD_CLOEXEC`.
///
/// It relies on this: whatever the process opened itself has `FD_CLOEXEC`. Do not open without that flag,
/// and do not clear it, before the last call of this function. The standard library does neither in this
/// process, nor does any function of this crate, which alone makes system calls.
///
/// # Errors
/// `EBADF` when no such descriptor is open, `EBUSY` when it is not inherited or was taken before, `EINVAL`
/// for 0, 1 and 2.
pub fn inherited(number: u32) -> Result<OwnedFd> {
    let raw = i32::try_from(number).map_err(|_| Errno::EBADF)?;
    if raw <= 2 {
        return Err(Errno::EINVAL);
    }
    let mut taken = TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if taken.contains(&raw) {
        return Err(Errno::EBUSY);
    }
    // SAFETY: F_GETFD takes no argument and touches no memory; on a number that is not open it fails.
    let flags = unsafe { libc::fcntl(raw, libc::F_GETFD) };
    if flags < 0 {
        return Err(last_errno());
    }
    // execve(2) closed whatever had the flag: this one was opened since.
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(Errno::EBUSY);
    }
    // SAFETY: F_SETFD takes an integer and touches no memory.
    if unsafe { libc::fcntl(raw, libc::F_SETFD, flags | libc::FD_CLOEXEC) } != 0 {
        return Err(last_errno());
    }
    taken.insert(raw);
    // SAFETY: the descriptor is open. No earlier call gave it to anyone, for `TAKEN`, whose lock is held, does
    // not let a number go twice. Nothing else in this process owns it, for it was without the flag that, as is
    // documented above and demanded of all code of the program, every descriptor opened here has: it came
    // through execve(2). The flag alone does not prove that, since safe code could clear it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Lets a command pass a descriptor on to the process that it starts, and says under which number. It is closed here
/// together with the command.
pub fn pass_on(command: &mut Command, descriptor: OwnedFd) -> u32 {
    // A descriptor that is owned is open, and so no negative number.
    let number = u32::try_from(crate::raw(&descriptor)).unwrap_or(u32::MAX);
    let keep = move || Ok(rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::empty())?);
    // SAFETY: between fork(2) and execve(2) it makes one system call, which is safe to make there, and neither
    // allocates nor takes a lock. The flag belongs to the child's descriptor alone: the table of descriptors is not
    // shared after fork(2).
    unsafe { command.pre_exec(keep) };
    number
}

#[cfg(test)]
mod tests {
    use std::os::fd::IntoRawFd;

    use rustix::io::{FdFlags, fcntl_setfd};

    use super::*;

    #[test]
    fn code_that_was_forgotten_runs_again() {
        let all = Code::mapped();
        assert!(all.0.len() > 1, "the program's own and those of a library: {all:?}");
        all.forget();
        let of = |line: &str, own: &str| {
            let (before, rest) = ("7e00-7e10 r-xp 0 fe:00 1 /x", format!("Anonymous: 0 kB\nSwap: {own} kB"));
            let all =
                mappings(&format!("{before}\nAnonymous: 4 kB\n{line}\nSize: 8 kB\n{rest}\nVmFlags: rd mr\n"));
            let swapped = mappings(&format!("{line}\nAnonymous: {own} kB\nSwap: 0 kB\n"));
            assert_eq!(all, swapped);
            all
        };
        let code = of("7f00-7f10 r-xp 0 fe:00 1 /a path/x", "0");
        assert_eq!(code, [(0x7f00, 0x10)]);
        assert_eq!(of("7f00-7f10 r--p 00001000 fe:00 1 /lib/x.so", "0").len(), 1);
        assert!(of("7f00-7f10 r--p 00001000 fe:00 1 /lib/x.so", "4").is_empty(), "it was relocated");
        assert!(of("7f00-7f10 rw-p 0 fe:00 1 /lib/x.so", "0").is_empty(), "it may be written to");
        assert!(of("7f00-7f10 r-xs 0 fe:00 1 /lib/x.so", "0").is_empty(), "it is others', too");
        assert!(of("7f00-7f10 r-xp 00:00 0 [vdso]", "0").is_empty());
        assert!(of("7f00-7f10 r--p 0 00:00 0", "0").is_empty());
    }

    #[test]
    fn a_descriptor_is_taken_once_whatever_becomes_of_its_flag() {
        let (open, _other) = rustix::pipe::pipe().unwrap();
        let own = open.try_clone().unwrap();
        assert_eq!(inherited(u32::try_from(crate::raw(&own)).unwrap()).err(), Some(Errno::EBUSY));
        // It belongs to nobody and has no flag, as if it had come through execve(2).
        let number = u32::try_from(open.into_raw_fd()).unwrap();
        let taken = inherited(number).unwrap();
        assert!(rustix::io::fcntl_getfd(&taken).unwrap().contains(FdFlags::CLOEXEC));
        fcntl_setfd(&taken, FdFlags::empty()).unwrap();
        assert_eq!(inherited(number).err(), Some(Errno::EBUSY));
        assert_eq!(inherited(2).err(), Some(Errno::EINVAL));
    }
}
