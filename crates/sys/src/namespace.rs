//! A second process in namespaces of its own, and what the first does for it.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};

use gofer_vfs::{Errno, Result};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{Pid, Signal, WaitOptions};

use crate::seccomp::{Call, Need, syscall};
use crate::{call, capability, errno, last_errno, task};

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[
    syscall!(clone).with(Need::Start),
    syscall!(kill).with(Need::Start),
    syscall!(prctl).with(Need::Start),
    syscall!(rt_sigtimedwait).with(Need::Start),
    syscall!(wait4).with(Need::Start),
    syscall!(openat).with(Need::Start),
    syscall!(unshare).with(Need::Start),
    syscall!(write).with(Need::Start),
];

/// Which namespaces a process gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// None.
    None,
    /// Mounts, processes, network, System V IPC, host name.
    Own,
    /// The same below a namespace of users, which anybody may make.
    OwnWithUsers,
}

/// Which users exist in a namespace of users, and which groups. They have the same numbers as outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// All. Its own alone for who may not say that, and has no rights beyond those of its own user to lose.
    All,
    /// Its own.
    Own,
    /// Its own, and so many from this one on.
    Range(u32, u32),
}

/// Which of the two processes this is.
#[derive(Debug)]
pub enum Side {
    /// The one that was there.
    Keeper(Child),
    /// The new one.
    Child,
}

/// A process that was made by [`split`].
#[derive(Debug)]
pub struct Child(Pid);

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exit(i32),
    /// By a signal. A filter of system calls sends `SIGSYS`, 31.
    Signal(i32),
}

/// The signals that a keeper waits for.
const WATCHED: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD];

/// Makes a process that goes on from here in other namespaces, and dies when this one does. The keeper has the
/// signals that end a server blocked from here on, so that none is lost.
///
/// # Errors
/// `EBUSY` when there is more than one thread, `ENOENT` when there is no `/proc`; those of `clone(2)`: `EPERM` or `ENOSPC` where namespaces are not
/// allowed.
pub fn split(namespaces: Namespaces) -> Result<Side> {
    task::only_thread()?;
    let own =
        libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    let flags = match namespaces {
        Namespaces::None => 0,
        Namespaces::Own => own,
        Namespaces::OwnWithUsers => own | libc::CLONE_NEWUSER,
    };
    let before = block(true)?;
    // SAFETY: without CLONE_VM this is fork(2): the child has a copy of the memory. This is the only thread, as was
    // checked above, so no lock is held by one that the copy does not have, and the handlers that fork(3) would run
    // are for such locks. The C library does not keep a process's number; the one of the thread that it keeps is only
    // compared with itself. Both architectures take the flags first, and zeros for all that these flags do not use.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags | libc::SIGCHLD, 0, 0, 0, 0) };
    // What is negative is an error, of which this is the first look.
    let error = last_errno();
    match i32::try_from(pid).ok().filter(|pid| *pid >= 0).map(Pid::from_raw) {
        Some(None) => {
            restore(&before);
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(errno)?;
            Ok(Side::Child)
        }
        Some(Some(child)) => Ok(Side::Keeper(Child(child))),
        None => {
            restore(&before);
            Err(error)
        }
    }
}

/// Gives this process, which must have one thread, a namespace of mounts of its own, with copies of those that it saw.
/// What it has open stays open, but of the old ones.
///
/// # Errors
/// Those of `unshare(2)`: `EPERM` without `CAP_SYS_ADMIN`, `ENOSPC` where there may be no more.
pub fn leave_mounts() -> Result<()> {
    // SAFETY: only the table of mounts, and the working directory, root and umask that threads share, become this
    // thread's own. Its descriptors stay where they are, so no value that owns one becomes another's.
    call(|| unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) })
}

/// The kinds of namespaces, as their limits are called.
const KINDS: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// The limits on namespaces that can be made in this process's own namespace of users (`namespaces(7)`,
/// `/proc/sys/user`).
#[derive(Debug)]
pub struct Quotas(OwnedFd);

impl Quotas {
    /// Keeps the way to them. To be done while there is a path that leads there.
    ///
    /// # Errors
    /// `ENOENT` when there is no `/proc/sys`.
    pub fn find() -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        call(|| rustix::fs::openat(CWD, "/proc/sys/user", flags, Mode::empty())).map(Self)
    }

    /// Lets no more namespaces be made here, nor below. Those that there are stay. This process must have made its
    /// namespace of users itself: else it is the limits of others that are changed.
    ///
    /// # Errors
    /// Those of `open(2)` and `write(2)`: `EROFS` where a container shows them only, `EACCES` without
    /// `CAP_SYS_RESOURCE`.
    pub fn exhaust(self) -> Result<()> {
        for kind in KINDS {
            let name = format!("max_{kind}_namespaces");
            let open =
                || rustix::fs::openat(&self.0, &*name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
            match call(open) {
                Ok(limit) => call(|| rustix::io::write(&limit, b"0")).map(drop)?,
                // There are none of that kind on this kernel.
                Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

fn host(error: &std::io::Error) -> Errno {
    Errno::from_host(error.raw_os_error().unwrap_or(0))
}

/// Blocks the signals a keeper waits for; says which were blocked before.
fn block(all: bool) -> Result<libc::sigset_t> {
    let set = watched();
    let mut before = empty();
    let how = if all { libc::SIG_BLOCK } else { libc::SIG_UNBLOCK };
    // SAFETY: both sets are live values of this function.
    match unsafe { libc::sigprocmask(how, &raw const set, &raw mut before) } {
        0 => Ok(before),
        _ => Err(last_errno()),
    }
}

fn restore(before: &libc::sigset_t) {
    // SAFETY: the set is borrowed, and no old one is asked for.
    let done =
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, std::ptr::from_ref(before), std::ptr::null_mut()) };
    debug_assert_eq!(done, 0, "a set that was in use is one");
}

fn empty() -> libc::sigset_t {
    // SAFETY: a set of signals is an array of integers, for which zeros are a value: the empty set.
    unsafe { std::mem::zeroed() }
}

fn watched() -> libc::sigset_t {
    let mut set = empty();
    for signal in WATCHED {
        // SAFETY: the set is a live value and the signals are constants that exist.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}

impl Child {
    /// Says which users and groups exist in the child's namespace of users. What this process may not say itself
    /// `newuidmap(1)` and `newgidmap(1)` say for it.
    ///
    /// # Errors
    /// Those of writing to `/proc/PID/uid_map` (`user_namespaces(7)`): `EPERM`, also where the helpers refuse;
    /// `ENOENT` where there are none.
    pub fn map_ids(&self, users: Users) -> Result<()> {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        match users {
            Users::All => match self.map_all() {
                Err(_) if !has_more_than_its_own() => self.map_own(uid, gid),
                mapped => mapped,
            },
            Users::Own => self.map_own(uid, gid),
            Users::Range(first, count) => {
                self.map_range("uid_map", "newuidmap", &with(uid, first, count))?;
                self.map_range("gid_map", "newgidmap", &with(gid, first, count))
            }
        }
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let pid = self.0.as_raw_nonzero();
        fs::write(format!("/proc/{pid}/{file}"), text).map_err(|error| host(&error))
    }

    fn map_all(&self) -> Result<()> {
        let same = |map: &str| {
            // What exists here exists there: inside, outside, how many.
            let lines = fs::read_to_string(format!("/proc/self/{map}")).unwrap_or_default();
            let ranges = lines.lines().filter_map(|line| {
                let mut words = line.split_ascii_whitespace();
                let (first, count) = (words.next()?, words.nth(1)?);
                Some(format!("{first} {first} {count}\n"))
            });
            ranges.collect::<String>()
        };
        self.write("uid_map", &same("uid_map"))?;
        self.write("gid_map", &same("gid_map"))
    }

    /// What may have been said already stays.
    fn map_own(&self, uid: u32, gid: u32) -> Result<()> {
        let is_said = |map: &str| {
            let pid = self.0.as_raw_nonzero();
            fs::read_to_string(format!("/proc/{pid}/{map}")).is_ok_and(|map| !map.is_empty())
        };
        if !is_said("uid_map") {
            self.write("uid_map", &lines(&[(uid, 1)]))?;
        }
        // Who may not change the groups of the host's processes may say it of itself only having promised not to.
        self.write("gid_map", &lines(&[(gid, 1)])).or_else(|_| {
            self.write("setgroups", "deny")?;
            self.write("gid_map", &lines(&[(gid, 1)]))
        })
    }

    fn map_range(&self, file: &str, helper: &str, ranges: &[(u32, u32)]) -> Result<()> {
        if self.write(file, &lines(ranges)).is_ok() {
            return Ok(());
        }
        let words = ranges.iter().flat_map(|(first, count)| [*first, *first, *count]);
        let mut command = Command::new(helper);
        command.arg(self.0.as_raw_nonzero().to_string()).args(words.map(|word| word.to_string()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status().map_err(|error| host(&error))?;
        if status.success() { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Ends the child, and waits for that.
    pub fn end(self) {
        // It fails when the child has ended by itself.
        let _ = rustix::process::kill_process(self.0, Signal::KILL);
        let _ = call(|| rustix::process::waitpid(Some(self.0), WaitOptions::empty()));
        let _ = block(false);
    }

    /// Passes signals on to the child until it ends, with everything else closed but the standard descriptors; says
    /// with which code, or by which signal. A signal that a terminal sent has reached the child already.
    pub fn keep(self) -> Ended {
        close_from(3);
        let set = watched();
        loop {
            // SAFETY: the structure is integers and pointers, for which zeros are values.
            let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
            // SAFETY: both are live values of this function.
            let signal = unsafe { libc::sigwaitinfo(&raw const set, &raw mut info) };
            if signal != libc::SIGCHLD
                && info.si_code <= 0
                && let Some(signal) = Signal::from_named_raw(signal)
            {
                // It fails when the child has just ended.
                let _ = rustix::process::kill_process(self.0, signal);
            }
            let ended = call(|| rustix::process::waitpid(Some(self.0), WaitOptions::NOHANG));
            match ended {
                Ok(None) => {}
                Ok(Some((_, status))) => {
                    return match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => Ended::Exit(code),
                        (None, signal) => Ended::Signal(signal.unwrap_or(0)),
                    };
                }
                Err(_) => return Ended::Signal(0),
            }
        }
    }
}

/// Whether this process has rights to files of other users, or to mount.
pub fn has_more_than_its_own() -> bool {
    capability::may_mount() || capability::has(capability::Capability::Chown)
}

/// A range, and one beside it where it is not in there.
fn with(own: u32, first: u32, count: u32) -> Vec<(u32, u32)> {
    let is_in = own.checked_sub(first).is_some_and(|at| at < count);
    let mut ranges = vec![(own, 1), (first, count)];
    if is_in {
        ranges.remove(0);
    }
    ranges
}

/// Ranges as the kernel reads them: inside, outside, how many.
fn lines(ranges: &[(u32, u32)]) -> String {
    ranges.iter().map(|(first, count)| format!("{first} {first} {count}\n")).collect()
}

/// Closes all descriptors from a number on. For a process that uses none of them any more.
fn close_from(first: u32) {
    // SAFETY: this closes descriptors that values of this program own. It is called by the keeper, which from then
    // on waits for signals and the child, by their numbers, and exits: none of the values is used again.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// A pair of sockets between the two processes.
///
/// # Errors
/// Those of `socketpair(2)`.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    crate::net::pair()
}

/// Sends a short message.
///
/// # Errors
/// `EPIPE` when the other process is gone.
pub fn say(to: BorrowedFd<'_>, what: &[u8]) -> Result<()> {
    crate::net::send(to, what, b"", &[])
}

/// What the other process said until it was done or gone.
pub fn hear(from: BorrowedFd<'_>, limit: usize) -> Vec<u8> {
    let mut heard = Vec::with_capacity(limit);
    while heard.len() < limit {
        let heard_len = heard.len();
        match crate::net::recv(from.as_fd(), &mut heard, limit - heard_len) {
            Ok(n) if n > 0 => {}
            _ => break,
        }
    }
    heard
}
