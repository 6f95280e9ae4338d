//! Listing directories.

use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use gofer_vfs::{FileKind, Result};
use rustix::fs::{RawDir, SeekFrom};

use crate::seccomp::{Call, syscall};
use crate::{call, errno};

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[syscall!(getdents64), syscall!(lseek)];

/// The most that one call reads, in bytes of the host's records.
pub const BATCH_MAX: usize = 32 * 1024;

/// The least that one call has room for: the longest record of any file system.
pub const BATCH_MIN: usize = 1024;

/// The longest record with a name that is a `Name`.
pub const RECORD_MAX: usize = 280;

/// A directory entry as the host has it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The inode number; of a mount point, that of the directory below the mount.
    pub ino: u64,
    /// The kind, where the file system keeps it in the directory.
    pub kind: Option<FileKind>,
    /// The position behind the entry, for [`seek`].
    pub cookie: u64,
}

/// Moves an open directory to a position (`lseek(2)`).
pub fn seek(dir: BorrowedFd<'_>, cookie: u64) -> Result<()> {
    call(|| rustix::fs::seek(dir, SeekFrom::Start(cookie))).map(drop)
}

/// Reads entries from an open directory's position on, with one `getdents64(2)` and up to `room` bytes, which
/// is brought between [`BATCH_MIN`] and [`BATCH_MAX`], and calls `each` with them until it answers `false`. The
/// position is then behind all that were read, called with or not. Says how many bytes the entries took that
/// `each` was called with; 0 is the end.
///
/// # Errors
/// Those of `getdents64(2)`: `ENOENT` for a directory that was removed.
pub fn read(dir: BorrowedFd<'_>, room: usize, each: &mut dyn FnMut(Record<'_>) -> bool) -> Result<usize> {
    let mut buffer = [const { MaybeUninit::uninit() }; BATCH_MAX];
    let room = room.clamp(BATCH_MIN, BATCH_MAX);
    let mut entries = RawDir::new(dir, &mut buffer[..room]);
    let mut taken = 0;
    loop {
        match entries.next() {
            None => return Ok(0),
            Some(Err(rustix::io::Errno::INTR)) => continue,
            Some(Err(error)) => return Err(errno(error)),
            Some(Ok(entry)) => {
                let name = entry.file_name().to_bytes();
                let kind = FileKind::of_mode(entry.file_type().as_raw_mode());
                taken += record_len(name);
                if !each(Record { name, ino: entry.ino(), kind, cookie: entry.next_entry_cookie() }) {
                    return Ok(taken);
                }
            }
        }
        if entries.is_buffer_empty() {
            return Ok(taken);
        }
    }
}

/// The size of a `struct linux_dirent64` with this name: 19 bytes, the name, a NUL, up to a multiple of 8.
fn record_len(name: &[u8]) -> usize {
    (19 + name.len() + 1).next_multiple_of(8)
}
