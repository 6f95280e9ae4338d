//! Opening, and `/proc/self/fd`, the way from a place to what can be opened there.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;

use gofer_vfs::{AccessMode, Errno, FileKind, Name, OpenFlags, Result, Sync};
use rustix::fs::{CWD, Mode, OFlags, PROC_SUPER_MAGIC};
use rustix::path::DecInt;
use rustix::thread::UnshareFlags;

use crate::seccomp::{Arg, Call, Is, Need, syscall};
use crate::{attr, call, xattr};

/// The system calls of this module, but not those with which the standard library makes a thread.
pub const SYSCALLS: &[Call] = &[
    // Reopening, by our own number: it is the file itself that is opened.
    syscall!(openat).only(&[Arg(0, Is::ProcFd), Arg(2, Is::Bits(MADE | WRITTEN | CLOEXEC, CLOEXEC))]),
    syscall!(openat).only(&[Arg(0, Is::ProcFd), Arg(2, Is::Bits(MADE | CLOEXEC, CLOEXEC))]).with(Need::Write),
    syscall!(openat).only(&[Arg(0, Is::Descriptor), Arg(2, Is::Bits(NEW | TMPFILE, NEW))]).with(Need::Write),
    syscall!(fcntl).only(&[Arg(1, Is::Equal(libc::F_GETFL.cast_unsigned()))]),
    syscall!(fcntl).only(&[Arg(1, Is::Equal(libc::F_SETFL.cast_unsigned()))]),
    syscall!(fstatfs).with(Need::Start),
    syscall!(unshare).only(&[Arg(0, Is::Equal(libc::CLONE_FS.cast_unsigned()))]).with(Need::Within),
    syscall!(fchdir).only(&[Arg(0, Is::ProcFd)]).with(Need::Within),
];

/// Flags of `open(2)` as a filter sees them.
const CLOEXEC: u32 = OFlags::CLOEXEC.bits();
/// What makes a file that has no name.
const TMPFILE: u32 = OFlags::TMPFILE.bits() & !OFlags::DIRECTORY.bits();
/// What would make a file, or not follow an entry of `/proc/self/fd`.
const MADE: u32 = OFlags::NOFOLLOW.bits() | OFlags::CREATE.bits() | TMPFILE;
/// What would change a file.
const WRITTEN: u32 = OFlags::WRONLY.bits() | OFlags::RDWR.bits() | OFlags::TRUNC.bits();
/// What makes a file that was not there.
const NEW: u32 =
    OFlags::CREATE.bits() | OFlags::EXCL.bits() | OFlags::NOFOLLOW.bits() | OFlags::CLOEXEC.bits();

/// The kept descriptor of `/proc/self/fd`, and what else is found out about the host when it is opened.
///
/// An entry there is a link to the file itself, not to its name: it opens files that were moved or removed,
/// and nobody can redirect it. What is looked up below it is always a descriptor's own number. It belongs to
/// this process; a child made by `fork(2)` must open its own. Clones are the same descriptor, whose number a filter
/// of system calls may name.
#[derive(Clone, Debug)]
pub struct ProcFd {
    dir: Arc<OwnedFd>,
    fchmodat2: bool,
    xattrat: bool,
    umask: u32,
}

impl ProcFd {
    /// Opens it and asks the kernel what it can do. To be done before the process gives up its rights.
    ///
    /// # Errors
    /// `ENOSYS` when `/proc` is no procfs; those of `open(2)`.
    pub fn open() -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self::new(call(|| rustix::fs::openat(CWD, "/proc/self/fd", flags, Mode::empty()))?)
    }

    /// The same as a mount of its own that no path leads to: `..` stays where it is. By the other, it is the way to
    /// the whole procfs.
    ///
    /// # Errors
    /// As for [`open`](Self::open); `EPERM` without the right to mount.
    pub fn detached() -> Result<Self> {
        let place = Self::open()?;
        Self::new(crate::mount::detach(place.dir.as_fd())?)
    }

    fn new(dir: OwnedFd) -> Result<Self> {
        if call(|| rustix::fs::fstatfs(&dir))?.f_type != PROC_SUPER_MAGIC {
            return Err(Errno::ENOSYS);
        }
        let (fchmodat2, xattrat) = (attr::probe_fchmodat2(), xattr::probe());
        Ok(Self { dir: Arc::new(dir), fchmodat2, xattrat, umask: umask() })
    }

    /// The same on a kernel that has nothing newer than Linux 5.10.
    #[cfg(test)]
    pub(crate) fn without_new_calls(self) -> Self {
        Self { fchmodat2: false, xattrat: false, ..self }
    }

    /// Whether modes are changed by descriptor (`fchmodat2(2)`, Linux 6.6).
    pub fn has_fchmodat2(&self) -> bool {
        self.fchmodat2
    }

    /// Whether extended attributes are found by descriptor (`getxattrat(2)`, Linux 6.13).
    pub fn has_xattrat(&self) -> bool {
        self.xattrat
    }

    /// The bits that the process's umask took from the mode of new files when this was opened.
    pub fn umask(&self) -> u32 {
        self.umask
    }

    /// The name of a descriptor's entry.
    pub(crate) fn number(&self, fd: BorrowedFd<'_>) -> DecInt {
        DecInt::from_fd(fd)
    }

    /// Opens the file that `fd` is a descriptor of, as a description of its own. It does not wait for the other
    /// end of a FIFO, and `O_NONBLOCK` stays set; it waits until a lease on a regular file is given up or the
    /// kernel takes it (`fcntl(2)`, "Leases"). That the file is a directory is not checked.
    ///
    /// # Errors
    /// Those of `open(2)`: `ELOOP` for a symbolic link, `ENXIO` for a socket.
    pub fn reopen(&self, fd: BorrowedFd<'_>, flags: OpenFlags) -> Result<OwnedFd> {
        let truncate = if flags.truncate { OFlags::TRUNC } else { OFlags::empty() };
        let open = |more| {
            let flags = description(flags) | truncate | more;
            let open =
                |flags| call(|| rustix::fs::openat(self.dir.as_fd(), self.number(fd), flags, Mode::empty()));
            match open(flags) {
                Err(Errno::EAGAIN) if attr::stat(fd)?.kind == FileKind::Regular => {
                    let opened = open(flags - OFlags::NONBLOCK)?;
                    let flags = call(|| rustix::fs::fcntl_getfl(&opened))?;
                    call(|| rustix::fs::fcntl_setfl(&opened, flags | OFlags::NONBLOCK))?;
                    Ok(opened)
                }
                other => other,
            }
        };
        if flags.no_atime {
            match open(OFlags::NOATIME) {
                // Only the owner may leave it alone.
                Err(Errno::EPERM) => {}
                other => return other,
            }
        }
        open(OFlags::empty())
    }

    /// The place (`O_PATH`) of the file that `fd` is a descriptor of.
    ///
    /// # Errors
    /// Those of `open(2)`.
    pub fn place(&self, fd: BorrowedFd<'_>) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        call(|| rustix::fs::openat(self.dir.as_fd(), self.number(fd), flags, Mode::empty()))
    }

    /// Runs `f` on a thread whose working directory is `/proc/self/fd`, for calls that take a path and no
    /// descriptor. It needs no `/proc` where the process can see it.
    ///
    /// # Errors
    /// `EAGAIN` when no thread can be had; those of `unshare(2)` and `fchdir(2)`.
    pub(crate) fn within<T: Send>(&self, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let inside = || {
            // SAFETY: the thread leaves its own file table alone; only its working directory, root and umask
            // become its own, and they end with it when `f` is done.
            call(|| unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) })?;
            call(|| rustix::process::fchdir(self.dir.as_fd()))?;
            f()
        };
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("procfd".into());
            match thread.spawn_scoped(scope, inside) {
                Ok(running) => running.join().unwrap_or(Err(Errno::EIO)),
                Err(error) => Err(Errno::from_host(error.raw_os_error().unwrap_or(0))),
            }
        })
    }
}

impl AsFd for ProcFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

/// Makes a regular file, which must not exist, and opens it. The process's umask applies to `perm` (07777).
///
/// # Errors
/// Those of `open(2)`: `EEXIST` whatever the name stands for.
pub fn create(dir: BorrowedFd<'_>, name: Name<'_>, flags: OpenFlags, perm: u32) -> Result<OwnedFd> {
    let flags = description(flags) | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let mode = Mode::from_raw_mode(perm & 0o7777);
    call(|| rustix::fs::openat(dir, name.as_bytes(), flags, mode))
}

/// What stays with an open file description of its flags.
fn description(flags: OpenFlags) -> OFlags {
    let access = match flags.access {
        AccessMode::Read => OFlags::RDONLY,
        AccessMode::Write => OFlags::WRONLY,
        AccessMode::ReadWrite => OFlags::RDWR,
    };
    let append = if flags.append { OFlags::APPEND } else { OFlags::empty() };
    let sync = match flags.sync {
        Sync::None => OFlags::empty(),
        // rustix 1.1.6 gives this flag the number of `O_SYNC`.
        Sync::Data => OFlags::from_bits_retain(libc::O_DSYNC.cast_unsigned()),
        Sync::Full => OFlags::SYNC,
    };
    access | append | sync | OFlags::NONBLOCK | OFlags::CLOEXEC
}

/// The umask. No system call tells it without changing it; where procfs does not either, it may be anything.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let digits = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    digits.and_then(|digits| u32::from_str_radix(digits.trim(), 8).ok()).unwrap_or(0o777)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::last_errno;

    #[test]
    fn a_file_is_reopened_after_it_was_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "content").unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let procfd = ProcFd::open().unwrap();
        let again = procfd.reopen(file.as_fd(), OpenFlags::new(AccessMode::Read)).unwrap();
        assert_eq!(std::io::read_to_string(File::from(again)).unwrap(), "content");
        let place = procfd.place(file.as_fd()).unwrap();
        assert_eq!(attr::stat(place.as_fd()).unwrap(), attr::stat(file.as_fd()).unwrap());
    }

    /// `F_SETSIG` of `fcntl(2)`, which libc does not have.
    const F_SETSIG: libc::c_int = 10;

    /// What `fcntl(2)` answers to a command about the leases of a file.
    fn lease(file: &File, command: libc::c_int, argument: libc::c_int) -> libc::c_int {
        // SAFETY: the commands used here take an integer and touch no memory.
        unsafe { libc::fcntl(crate::raw(file), command, argument) }
    }

    #[test]
    fn an_open_waits_until_a_lease_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "content").unwrap();
        let holder = File::open(&path).unwrap();
        // A signal that does nothing, in place of SIGIO, which ends a process.
        assert_eq!(lease(&holder, F_SETSIG, libc::SIGURG), 0);
        assert_eq!(lease(&holder, libc::F_SETLEASE, libc::F_RDLCK), 0, "{}", last_errno());
        let procfd = ProcFd::open().unwrap();
        let place = procfd.place(holder.as_fd()).unwrap();
        let opened = thread::scope(|scope| {
            let opener = scope.spawn(|| procfd.reopen(place.as_fd(), OpenFlags::new(AccessMode::Write)));
            // The kernel says what the lease is to become.
            while lease(&holder, libc::F_GETLEASE, 0) == libc::F_RDLCK {
                thread::yield_now();
            }
            assert_eq!(lease(&holder, libc::F_SETLEASE, libc::F_UNLCK), 0);
            opener.join().unwrap()
        });
        let flags = rustix::fs::fcntl_getfl(opened.unwrap()).unwrap();
        assert!(flags.contains(OFlags::NONBLOCK | OFlags::WRONLY), "{flags:?}");
    }

    #[test]
    fn the_working_directory_changes_for_one_call_only() {
        let procfd = ProcFd::open().unwrap();
        let before = std::env::current_dir().unwrap();
        let inside = procfd.within(|| Ok(std::env::current_dir().unwrap())).unwrap();
        assert_eq!(inside, format!("/proc/{}/fd", std::process::id()).as_ref() as &std::path::Path);
        assert_eq!(std::env::current_dir().unwrap(), before);
        assert_eq!(procfd.within(|| Err::<(), _>(Errno::EXDEV)), Err(Errno::EXDEV));
    }
}
