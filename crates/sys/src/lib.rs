//! System calls: the only crate that makes them, and the only one with unsafe code.
//!
//! A function is one system call where that is possible, takes borrowed descriptors and checked names, and
//! answers an [`Errno`]. `EINTR` never leaves this crate. No call is given a path, with these exceptions: the
//! operator's own (an export's root, addresses to listen at), `/proc/self/fd` when it is opened, and our own
//! decimal numbers below that.
//!
//! Every module names its system calls in `SYSCALLS`, what for and with which arguments, and a filter is made of
//! that ([`seccomp`]). The least kernel is Linux 5.10; what a newer one has is found out once, by [`ProcFd::open`](open::ProcFd::open).

pub mod alloc;
#[cfg(any(test, feature = "attempts"))]
pub mod attempt;
pub mod attr;
pub mod capability;
pub mod dir;
pub mod entry;
pub mod families;
pub mod futex;
pub mod io;
pub mod landlock;
pub mod lock;
pub mod mount;
pub mod namespace;
pub mod net;
pub mod open;
pub mod pipe;
pub mod process;
pub mod runtime;
pub mod seccomp;
pub mod shm;
pub mod socket;
pub mod task;
pub mod trace;
pub mod vsock;
pub mod walk;
pub mod watch;
pub mod xattr;

use std::ffi::{c_int, c_long};
use std::os::fd::{AsFd, AsRawFd};

use gofer_vfs::{Errno, Result};

use seccomp::Call;

/// The system calls of all modules.
pub const SYSCALLS: &[(&str, &[Call])] = &[
    ("attr", attr::SYSCALLS),
    ("capability", capability::SYSCALLS),
    ("dir", dir::SYSCALLS),
    ("entry", entry::SYSCALLS),
    ("families", families::SYSCALLS),
    ("futex", futex::SYSCALLS),
    ("io", io::SYSCALLS),
    ("landlock", landlock::SYSCALLS),
    ("lock", lock::SYSCALLS),
    ("mount", mount::SYSCALLS),
    ("namespace", namespace::SYSCALLS),
    ("net", net::SYSCALLS),
    ("open", open::SYSCALLS),
    ("pipe", pipe::SYSCALLS),
    ("process", process::SYSCALLS),
    ("runtime", runtime::SYSCALLS),
    ("seccomp", seccomp::SYSCALLS),
    ("shm", shm::SYSCALLS),
    ("socket", socket::SYSCALLS),
    ("task", task::SYSCALLS),
    ("walk", walk::SYSCALLS),
    ("xattr", xattr::SYSCALLS),
];

/// The errno of a call made through rustix.
fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_host(error.raw_os_error())
}

/// Makes a call again until no signal gets in its way.
fn call<T>(f: impl FnMut() -> rustix::io::Result<T>) -> Result<T> {
    rustix::io::retry_on_intr(f).map_err(errno)
}

/// The errno of a call made through libc.
fn last_errno() -> Errno {
    Errno::from_host(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// As [`call`], for a libc function that answers −1 when it fails.
fn libc_call(mut f: impl FnMut() -> c_long) -> Result<usize> {
    loop {
        match usize::try_from(f()) {
            Ok(n) => return Ok(n),
            Err(_) => match last_errno() {
                Errno::EINTR => {}
                other => return Err(other),
            },
        }
    }
}

/// The number of a descriptor, for libc. It is good for as long as `fd` is.
fn raw(fd: &impl AsFd) -> c_int {
    fd.as_fd().as_raw_fd()
}
