//! Names: making, linking, moving and removing them.

use std::os::fd::{AsFd, BorrowedFd};

use gofer_vfs::{Errno, Name, RenameFlags, Result, Special, Unlink};
use rustix::fs::{AtFlags, FileType, Mode, RenameFlags as HostFlags};

use crate::call;
use crate::open::ProcFd;
use crate::seccomp::{Arg, Call, Is, Need, syscall};

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[
    syscall!(mkdirat).only(&[Arg(0, Is::Descriptor)]).with(Need::Write),
    syscall!(mknodat)
        .only(&[Arg(0, Is::Descriptor), Arg(2, Is::Bits(libc::S_IFMT, libc::S_IFIFO))])
        .with(Need::Write),
    syscall!(mknodat)
        .only(&[Arg(0, Is::Descriptor), Arg(2, Is::Bits(libc::S_IFMT, libc::S_IFSOCK))])
        .with(Need::Write),
    syscall!(mknodat)
        .only(&[Arg(0, Is::Descriptor), Arg(2, Is::Bits(libc::S_IFMT, libc::S_IFCHR))])
        .with(Need::Devices),
    syscall!(mknodat)
        .only(&[Arg(0, Is::Descriptor), Arg(2, Is::Bits(libc::S_IFMT, libc::S_IFBLK))])
        .with(Need::Devices),
    syscall!(symlinkat).only(&[Arg(1, Is::Descriptor)]).with(Need::Write),
    syscall!(linkat)
        .only(&[
            Arg(0, Is::Descriptor),
            Arg(2, Is::Descriptor),
            Arg(4, Is::Equal(AtFlags::EMPTY_PATH.bits())),
        ])
        .with(Need::Write),
    syscall!(linkat)
        .only(&[
            Arg(0, Is::ProcFd),
            Arg(2, Is::Descriptor),
            Arg(4, Is::Equal(AtFlags::SYMLINK_FOLLOW.bits())),
        ])
        .with(Need::Write),
    syscall!(renameat).only(&[Arg(0, Is::Descriptor), Arg(2, Is::Descriptor)]).with(Need::Write),
    syscall!(renameat2)
        .only(&[Arg(0, Is::Descriptor), Arg(2, Is::Descriptor), Arg(4, Is::Bits(!RENAMED, 0))])
        .with(Need::RenameFlags),
    syscall!(unlinkat)
        .only(&[Arg(0, Is::Descriptor), Arg(2, Is::Bits(!AtFlags::REMOVEDIR.bits(), 0))])
        .with(Need::Write),
];

/// How names are moved.
const RENAMED: u32 = HostFlags::NOREPLACE.bits() | HostFlags::EXCHANGE.bits();

/// Makes a directory. The process's umask applies to `perm` (07777), and the kernel drops the set-id bits.
pub fn mkdir(dir: BorrowedFd<'_>, name: Name<'_>, perm: u32) -> Result<()> {
    let mode = Mode::from_raw_mode(perm & 0o7777);
    call(|| rustix::fs::mkdirat(dir, name.as_bytes(), mode))
}

/// Makes a file that is not opened. The process's umask applies to `perm` (07777).
///
/// # Errors
/// Those of `mknod(2)`; `EINVAL` for a device number that Linux does not have (12 and 20 bits).
pub fn mknod(dir: BorrowedFd<'_>, name: Name<'_>, what: Special, perm: u32) -> Result<()> {
    let device = |major, minor| match (major, minor) {
        (0..=0xFFF, 0..=0xF_FFFF) => Ok(rustix::fs::makedev(major, minor)),
        _ => Err(Errno::EINVAL),
    };
    let (kind, device) = match what {
        Special::Regular => (FileType::RegularFile, 0),
        Special::Fifo => (FileType::Fifo, 0),
        Special::Socket => (FileType::Socket, 0),
        Special::CharDevice(major, minor) => (FileType::CharacterDevice, device(major, minor)?),
        Special::BlockDevice(major, minor) => (FileType::BlockDevice, device(major, minor)?),
    };
    let mode = Mode::from_raw_mode(perm & 0o7777);
    call(|| rustix::fs::mknodat(dir, name.as_bytes(), kind, mode, device))
}

/// Makes a symbolic link.
///
/// # Errors
/// Those of `symlink(2)`; `EINVAL` for a target with a NUL inside.
pub fn symlink(dir: BorrowedFd<'_>, name: Name<'_>, target: &[u8]) -> Result<()> {
    call(|| rustix::fs::symlinkat(target, dir, name.as_bytes()))
}

/// Gives the file that `file` is a descriptor of another name.
///
/// # Errors
/// Those of `link(2)`: `ENOENT` for a file that was removed, `EPERM` for a directory.
pub fn link(procfd: &ProcFd, file: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: Name<'_>) -> Result<()> {
    match call(|| rustix::fs::linkat(file, "", dir, name.as_bytes(), AtFlags::EMPTY_PATH)) {
        // Either the file, or a right to link descriptors (CAP_DAC_READ_SEARCH) that its entry does not need.
        Err(Errno::ENOENT | Errno::EPERM) => {
            let number = procfd.number(file);
            let follow = AtFlags::SYMLINK_FOLLOW;
            call(|| rustix::fs::linkat(procfd.as_fd(), number.as_c_str(), dir, name.as_bytes(), follow))
        }
        other => other,
    }
}

/// Moves what one name stands for to another.
pub fn rename(
    old_dir: BorrowedFd<'_>,
    old: Name<'_>,
    new_dir: BorrowedFd<'_>,
    new: Name<'_>,
    flags: RenameFlags,
) -> Result<()> {
    let (old, new) = (old.as_bytes(), new.as_bytes());
    let flags = match flags {
        // Some file systems know no flags at all.
        RenameFlags::Replace => return call(|| rustix::fs::renameat(old_dir, old, new_dir, new)),
        RenameFlags::NoReplace => HostFlags::NOREPLACE,
        RenameFlags::Exchange => HostFlags::EXCHANGE,
    };
    call(|| rustix::fs::renameat_with(old_dir, old, new_dir, new, flags))
}

/// Removes a name.
pub fn unlink(dir: BorrowedFd<'_>, name: Name<'_>, what: Unlink) -> Result<()> {
    let flags = match what {
        Unlink::File => AtFlags::empty(),
        Unlink::Directory => AtFlags::REMOVEDIR,
    };
    call(|| rustix::fs::unlinkat(dir, name.as_bytes(), flags))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::{Violation, install};

    #[test]
    fn no_list_has_a_rename_that_makes_devices() {
        let dir = tempfile::tempdir().unwrap();
        let dir = std::fs::File::open(dir.path()).unwrap();
        let renamed = std::thread::spawn(move || {
            let procfd = ProcFd::open().unwrap();
            let all = crate::SYSCALLS.iter().flat_map(|(_, calls)| calls.iter());
            install(all, &procfd, Violation::Errno).unwrap();
            [HostFlags::NOREPLACE, HostFlags::EXCHANGE, HostFlags::WHITEOUT]
                .map(|flags| call(|| rustix::fs::renameat_with(&dir, "a", &dir, "b", flags)).err())
        });
        assert_eq!(renamed.join().unwrap(), [Errno::ENOENT, Errno::ENOENT, Errno::EPERM].map(Some));
    }
}
