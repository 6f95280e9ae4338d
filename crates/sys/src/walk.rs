//! Steps down a tree.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use gofer_vfs::{Name, Result};
use rustix::fs::{CWD, Mode, OFlags};

use crate::call;
use crate::seccomp::{Arg, Call, Is, syscall};

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[
    syscall!(openat).only(&[Arg(0, Is::Descriptor), Arg(2, Is::Bits(PLACE.bits(), PLACE.bits()))]),
    syscall!(fcntl).only(&[Arg(1, Is::Equal(libc::F_DUPFD_CLOEXEC.cast_unsigned()))]),
];

const PLACE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The place an operator's path leads to, without opening it. Only its last component is not followed.
///
/// # Errors
/// Those of `open(2)`.
pub fn open_root(path: &Path) -> Result<OwnedFd> {
    call(|| rustix::fs::openat(CWD, path, PLACE, Mode::empty()))
}

/// One step below `dir`, without opening what is there. A symbolic link, in `/proc` too, is returned as
/// itself: a [`Name`] has only the last component, and that is not followed.
///
/// # Errors
/// Those of `open(2)`: `ENOENT`, `ENOTDIR` below anything but a directory, `EACCES`.
pub fn open_child(dir: BorrowedFd<'_>, name: Name<'_>) -> Result<OwnedFd> {
    call(|| rustix::fs::openat(dir, name.as_bytes(), PLACE, Mode::empty()))
}

/// A second descriptor of the same place (`F_DUPFD_CLOEXEC`).
///
/// # Errors
/// `EMFILE` when the process holds as many as it may.
pub fn dup(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    call(|| rustix::io::fcntl_dupfd_cloexec(fd, 0))
}
