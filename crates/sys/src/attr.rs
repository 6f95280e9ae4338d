//! Attributes of files: reading and changing them.

use std::ffi::{c_int, c_long};
use std::os::fd::{AsFd, BorrowedFd};

use gofer_vfs::{Attr, Errno, FileId, FileKind, Gid, Name, Result, SetTime, StatFs, Time, Uid};
use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, Mode, Statx, StatxFlags, StatxTimestamp, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT,
};

use crate::open::ProcFd;
use crate::seccomp::{Arg, Call, Is, Need, syscall};
use crate::{call, libc_call, raw};

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[
    syscall!(statx).only(&[Arg(0, Is::Descriptor)]),
    syscall!(fstatfs),
    syscall!(readlinkat).only(&[Arg(0, Is::Descriptor)]),
    syscall!(fchownat).only(&[Arg(0, Is::Descriptor), Arg(4, Is::Equal(EMPTY_PATH))]).with(Need::Write),
    syscall!(fchmodat2).only(&[Arg(0, Is::Descriptor), Arg(3, Is::Equal(EMPTY_PATH))]).with(Need::Write),
    syscall!(fchmodat).only(&[Arg(0, Is::ProcFd)]).with(Need::OldChmod),
    syscall!(utimensat).only(&[Arg(0, Is::Descriptor), Arg(3, Is::Equal(EMPTY_PATH))]).with(Need::Write),
    syscall!(ftruncate).with(Need::Write),
];

/// The file that a descriptor is of, not one below it.
const EMPTY_PATH: u32 = AtFlags::EMPTY_PATH.bits();

/// The same number on every architecture (`syscalls(2)`).
const SYS_FCHMODAT2: c_long = 452;

/// The longest target of a symbolic link that is read, in bytes: what a 9P string can hold.
const TARGET_MAX: usize = 65_535;

/// The attributes of a file, by any descriptor of it (`statx(2)` with `AT_EMPTY_PATH`).
pub fn stat(file: BorrowedFd<'_>) -> Result<Attr> {
    statx(file, b"", AtFlags::EMPTY_PATH)
}

/// The attributes of what a name stands for; of a symbolic link, its own.
pub fn stat_child(dir: BorrowedFd<'_>, name: Name<'_>) -> Result<Attr> {
    statx(dir, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)
}

fn statx(dir: BorrowedFd<'_>, name: &[u8], flags: AtFlags) -> Result<Attr> {
    attr(&call(|| rustix::fs::statx(dir, name, flags, StatxFlags::BASIC_STATS | StatxFlags::BTIME))?)
}

/// `EIO` for a type that is none, which only a broken file system reports.
fn attr(stat: &Statx) -> Result<Attr> {
    let mode = u32::from(stat.stx_mode);
    let knows_birth = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
    Ok(Attr {
        id: FileId { dev: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor), ino: stat.stx_ino },
        kind: FileKind::of_mode(mode).ok_or(Errno::EIO)?,
        perm: mode & 0o7777,
        uid: Uid(stat.stx_uid),
        gid: Gid(stat.stx_gid),
        nlink: stat.stx_nlink.into(),
        rdev: rustix::fs::makedev(stat.stx_rdev_major, stat.stx_rdev_minor),
        size: stat.stx_size,
        blksize: stat.stx_blksize.into(),
        blocks: stat.stx_blocks,
        atime: time(stat.stx_atime)?,
        mtime: time(stat.stx_mtime)?,
        ctime: time(stat.stx_ctime)?,
        btime: if knows_birth { Some(time(stat.stx_btime)?) } else { None },
    })
}

fn time(time: StatxTimestamp) -> Result<Time> {
    Time::new(time.tv_sec, time.tv_nsec)
}

/// Changes owner and group, also of a symbolic link. With neither, only ctime moves; in either case the
/// kernel takes set-id bits away (`chown(2)`). The ids that mean "none" change nothing.
///
/// # Errors
/// Those of `chown(2)`; `EPERM` also for ids that do not exist in this namespace of users, for which the kernel has
/// `EINVAL`: nobody could have the right to give them.
pub fn chown(file: BorrowedFd<'_>, uid: Option<Uid>, gid: Option<Gid>) -> Result<()> {
    let uid = uid.filter(|id| id.0 != u32::MAX).map(|id| rustix::fs::Uid::from_raw(id.0));
    let gid = gid.filter(|id| id.0 != u32::MAX).map(|id| rustix::fs::Gid::from_raw(id.0));
    match call(|| rustix::fs::chownat(file, "", uid, gid, AtFlags::EMPTY_PATH)) {
        Err(Errno::EINVAL) => Err(Errno::EPERM),
        done => done,
    }
}

/// Changes permission and set-id bits (07777).
///
/// # Errors
/// Those of `chmod(2)`. A symbolic link has no mode that could be changed: `EOPNOTSUPP`, but on old kernels
/// some file systems change it all the same.
pub fn chmod(procfd: &ProcFd, file: BorrowedFd<'_>, perm: u32) -> Result<()> {
    if procfd.has_fchmodat2() {
        return fchmodat2(raw(&file), perm & 0o7777);
    }
    let mode = Mode::from_raw_mode(perm & 0o7777);
    call(|| rustix::fs::chmodat(procfd.as_fd(), procfd.number(file), mode, AtFlags::empty()))
}

fn fchmodat2(file: c_int, perm: u32) -> Result<()> {
    libc_call(|| {
        // SAFETY: the path is a constant C string and the other arguments are integers: the kernel reads one
        // byte and writes none. A descriptor that is not open is an error, not a hazard.
        unsafe { libc::syscall(SYS_FCHMODAT2, file, c"".as_ptr(), perm, libc::AT_EMPTY_PATH) }
    })
    .map(drop)
}

/// Whether the kernel has `fchmodat2(2)` and nothing forbids it: only then no descriptor is a bad one.
pub(crate) fn probe_fchmodat2() -> bool {
    fchmodat2(-1, 0) == Err(Errno::EBADF)
}

/// Sets times, also of a symbolic link; `None` leaves one as it is.
pub fn set_times(file: BorrowedFd<'_>, atime: Option<SetTime>, mtime: Option<SetTime>) -> Result<()> {
    let times = Timestamps { last_access: timespec(atime), last_modification: timespec(mtime) };
    call(|| rustix::fs::utimensat(file, "", &times, AtFlags::EMPTY_PATH))
}

fn timespec(time: Option<SetTime>) -> Timespec {
    match time {
        None => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        Some(SetTime::Now) => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        Some(SetTime::At(time)) => Timespec { tv_sec: time.sec(), tv_nsec: time.nsec().into() },
    }
}

/// Cuts or extends a file that is open for writing.
///
/// # Errors
/// Those of `ftruncate(2)`; `EINVAL` above 2⁶³−1.
pub fn truncate(file: BorrowedFd<'_>, size: u64) -> Result<()> {
    call(|| rustix::fs::ftruncate(file, size))
}

/// The file system below a file.
pub fn stat_fs(file: BorrowedFd<'_>) -> Result<StatFs> {
    // The first has the magic number, the second the id.
    let host = call(|| rustix::fs::fstatfs(file))?;
    let posix = call(|| rustix::fs::fstatvfs(file))?;
    let low = |word: i64| u32::try_from(word.cast_unsigned() & u64::from(u32::MAX)).map_err(|_| Errno::EIO);
    Ok(StatFs {
        magic: low(host.f_type)?,
        block_size: low(host.f_bsize)?,
        blocks: host.f_blocks,
        blocks_free: host.f_bfree,
        blocks_available: host.f_bavail,
        files: host.f_files,
        files_free: host.f_ffree,
        id: posix.f_fsid,
        name_max: low(host.f_namelen)?,
    })
}

/// Appends the target of the symbolic link that `link` is.
///
/// # Errors
/// Those of `readlink(2)`; `ENOENT` for anything that is no link, `ENAMETOOLONG` above 65,535 bytes.
pub fn read_link(link: BorrowedFd<'_>, into: &mut Vec<u8>) -> Result<()> {
    let before = into.len();
    // PATH_MAX, which hardly a link exceeds, and then all that is allowed and one more.
    for room in [4096, TARGET_MAX + 1] {
        into.truncate(before);
        into.reserve(room);
        let length = call(|| rustix::fs::readlinkat_raw(link, "", spare_capacity(into)))?;
        if length < room {
            return Ok(());
        }
    }
    into.truncate(before);
    Err(Errno::ENAMETOOLONG)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    /// The places of a file and of a symbolic link to it.
    fn file_and_link() -> (tempfile::TempDir, [std::os::fd::OwnedFd; 2]) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), "").unwrap();
        std::os::unix::fs::symlink("f", dir.path().join("l")).unwrap();
        let root = File::open(dir.path()).unwrap();
        let places = [b"f", b"l"].map(|name| crate::walk::open_child(root.as_fd(), Name::new(name).unwrap()));
        (dir, places.map(Result::unwrap))
    }

    #[test]
    fn the_mode_of_a_place_changes_on_old_and_new_kernels() {
        let (_dir, [file, link]) = file_and_link();
        let new = ProcFd::open().unwrap();
        let old = ProcFd::open().unwrap().without_new_calls();
        for (procfd, perm) in [(new, 0o4711), (old, 0o640)] {
            chmod(&procfd, file.as_fd(), perm).unwrap();
            assert_eq!(stat(file.as_fd()).unwrap().perm, perm);
            assert_eq!(chmod(&procfd, link.as_fd(), 0o600), Err(Errno::EOPNOTSUPP));
            assert_eq!(stat(file.as_fd()).unwrap().perm, perm);
        }
    }

    #[test]
    fn times_of_a_link_are_its_own() {
        let (_dir, [file, link]) = file_and_link();
        let before = stat(file.as_fd()).unwrap();
        let time = Time::new(-5, 7).unwrap();
        set_times(link.as_fd(), None, Some(SetTime::At(time))).unwrap();
        assert_eq!(stat(link.as_fd()).unwrap().mtime, time);
        assert_eq!(stat(file.as_fd()).unwrap(), before);
    }

    #[test]
    fn the_longest_target_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let target = "t/".repeat(2047);
        std::os::unix::fs::symlink(&target, dir.path().join("l")).unwrap();
        let root = File::open(dir.path()).unwrap();
        let link = crate::walk::open_child(root.as_fd(), Name::new(b"l").unwrap()).unwrap();
        let mut into = b"before".to_vec();
        read_link(link.as_fd(), &mut into).unwrap();
        assert_eq!(into, format!("before{target}").as_bytes());
    }
}
