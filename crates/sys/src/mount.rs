//! Taking down what was mounted.

use std::path::Path;

use gofer_vfs::Result;
use rustix::mount::UnmountFlags;

use crate::call;

/// The system calls of this module.
pub const SYSCALLS: &[&str] = &["umount2"];

/// Unmounts the operator's own mount point. With `detach` it leaves the tree at once and ends when the last file
/// in it is closed.
///
/// # Errors
/// Those of `umount(2)`: `EBUSY` while it is in use, `EPERM` without the right to.
pub fn unmount(at: &Path, detach: bool) -> Result<()> {
    let detach = if detach { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    call(|| rustix::mount::unmount(at, UnmountFlags::NOFOLLOW | detach))
}
