//! Mounts: an export as a tree of its own, and an empty root; taking down what was mounted.

use std::ffi::c_long;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use gofer_vfs::Result;
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};

use crate::seccomp::{Call, Need, syscall};
use crate::{call, errno, libc_call, raw};

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[
    syscall!(open_tree).with(Need::Start),
    syscall!(mount_setattr).with(Need::Start),
    syscall!(mount).with(Need::Start),
    syscall!(fsopen).with(Need::Start),
    syscall!(fsconfig).with(Need::Start),
    syscall!(fsmount).with(Need::Start),
    syscall!(move_mount).with(Need::Start),
    syscall!(fchdir).with(Need::Start),
    syscall!(pivot_root).with(Need::Start),
    syscall!(umount2).with(Need::Start),
];

/// What is known of a mount's files whatever their modes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restrictions {
    /// Nothing can be changed.
    pub read_only: bool,
    /// Nothing can be run, nor mapped to be run.
    pub no_exec: bool,
}

/// Makes what is mounted here invisible to other mount namespaces, and the other way round.
///
/// # Errors
/// Those of `mount(2)`: `EPERM`.
pub fn make_private() -> Result<()> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).map_err(errno)
}

/// A copy of the mounts below a place, which no path leads to: `..` at its root is its root. It lasts as long as
/// the description that is answered.
///
/// # Errors
/// Those of `open_tree(2)`: `EPERM` without the right to mount, `EINVAL` for a place whose mount may not be copied.
pub fn detach(place: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(place, "", flags).map_err(errno)
}

/// `struct mount_attr` of `mount_setattr(2)`.
#[repr(C)]
struct Attr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// Makes all mounts of a detached tree private, without set-id programs and devices, and read-only on request.
///
/// # Errors
/// Those of `mount_setattr(2)`: `ENOSYS` before Linux 5.12.
pub fn restrict(tree: BorrowedFd<'_>, restrictions: Restrictions) -> Result<()> {
    let read_only = if restrictions.read_only { libc::MOUNT_ATTR_RDONLY } else { 0 };
    let no_exec = if restrictions.no_exec { libc::MOUNT_ATTR_NOEXEC } else { 0 };
    let attr = Attr {
        set: libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | read_only | no_exec,
        clear: 0,
        propagation: libc::MS_PRIVATE,
        userns: 0,
    };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    libc_call(|| {
        // SAFETY: the path is a constant C string and `attr` is what the kernel expects there, of the size given,
        // which it reads during the call and does not write.
        unsafe {
            let (number, size) = (libc::SYS_mount_setattr, size_of::<Attr>());
            libc::syscall(number, raw(&tree), c"".as_ptr(), flags, &raw const attr, size) as c_long
        }
    })
    .map(drop)
}

/// Makes an empty directory that cannot be written the root of this process, and lets go of all that was mounted.
///
/// # Errors
/// Those of `fsmount(2)`, `move_mount(2)` and `pivot_root(2)`: `EINVAL` when the present root is no mount that can
/// be left, as in an initial RAM disk.
pub fn empty_root() -> Result<()> {
    let config = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(errno)?;
    for (key, value) in [("size", "4096"), ("nr_inodes", "1"), ("mode", "0555")] {
        rustix::mount::fsconfig_set_string(config.as_fd(), key, value).map_err(errno)?;
    }
    rustix::mount::fsconfig_create(config.as_fd()).map_err(errno)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_RDONLY;
    let root =
        rustix::mount::fsmount(config.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(errno)?;
    rustix::mount::move_mount(&root, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(errno)?;
    rustix::process::fchdir(&root).map_err(errno)?;
    // The old root ends up on top of the new one, and is taken away from there (`pivot_root(2)`, "pivot_root(".", ".")").
    rustix::process::pivot_root(".", ".").map_err(errno)?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(errno)?;
    rustix::process::chdir("/").map_err(errno)
}

/// Unmounts the operator's own mount point. With `detach` it leaves the tree at once and ends when the last file
/// in it is closed.
///
/// # Errors
/// Those of `umount(2)`: `EBUSY` while it is in use, `EPERM` without the right to.
pub fn unmount(at: &Path, detach: bool) -> Result<()> {
    let detach = if detach { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    call(|| rustix::mount::unmount(at, UnmountFlags::NOFOLLOW | detach))
}
