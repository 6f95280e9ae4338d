//! read, write, fsync, flush, fallocate, lseek.

use std::sync::atomic::Ordering;

use fuser::{FileHandle, LockOwner};
use gofer_sys::io::{ReadInto, Seek, WriteFrom, seek};
use gofer_vfs::{Allocate, AllocateKind, Backend, Errno, Result};

use crate::{Cache, Served, unpoisoned};

/// Bits of the mode of `fallocate(2)`.
const KEEP_SIZE: i32 = 0x01;
const PUNCH_HOLE: i32 = 0x02;
const COLLAPSE_RANGE: i32 = 0x08;
const ZERO_RANGE: i32 = 0x10;
const INSERT_RANGE: i32 = 0x20;
const UNSHARE_RANGE: i32 = 0x40;

/// `SEEK_DATA` and `SEEK_HOLE` of `lseek(2)`; the kernel does the others itself.
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

impl<B: Backend> Served<B> {
    /// Reads `size` bytes, fewer only at the end of the file, for what is missing the kernel takes to be behind it. So
    /// an error is the answer whatever was read before.
    pub(crate) fn read(&self, file: FileHandle, offset: u64, size: u32, into: &mut Vec<u8>) -> Result<()> {
        let handle = self.handles.named(file)?;
        let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
        let mut at = offset;
        while into.len() < size {
            let left = size - into.len();
            match self.backend.read(&handle.file, at, left, &mut ReadInto::new(into, left))? {
                0 => break,
                n => at = at.checked_add(n as u64).ok_or(Errno::EOVERFLOW)?,
            }
        }
        Ok(())
    }

    /// Writes all of `data` where it can.
    pub(crate) fn write(&self, file: FileHandle, offset: u64, data: &[u8]) -> Result<u32> {
        let handle = self.handles.named(file)?;
        let mut done = 0;
        while done < data.len() {
            let at = offset.checked_add(done as u64).ok_or(Errno::EFBIG)?;
            match self.backend.write(&handle.file, at, &mut WriteFrom(&data[done..])) {
                Ok(0) => break,
                Ok(n) => done = done.saturating_add(n).min(data.len()),
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        u32::try_from(done).map_err(|_| Errno::EIO)
    }

    pub(crate) fn fsync(&self, file: FileHandle, data_only: bool) -> Result<()> {
        self.backend.fsync(&self.handles.named(file)?.file, data_only)
    }

    /// What closing one of a file's descriptors brings: the locks of whoever closes it end, and errors of delayed
    /// writes are told.
    pub(crate) fn flush(&self, file: FileHandle, owner: LockOwner) -> Result<()> {
        let handle = self.handles.named(file)?;
        self.unlock_all(&handle.inode, owner);
        if !handle.writes {
            return Ok(());
        }
        if handle.backing.is_some() && self.options.cache == Cache::Exclusive {
            // A mapping may have changed the times without the kernel's part of FUSE having seen it. That the
            // kernel does not know the inode any more is no failure.
            let notified = self.notifier.get().map(|kernel| kernel.inval_inode(handle.inode.nodeid, -1, 0));
            drop(notified);
        }
        self.backend.flush(&handle.file)
    }

    /// The kernel has closed the last descriptor and the last mapping.
    pub(crate) fn release(&self, file: FileHandle) {
        if let Some(handle) = self.handles.remove(file) {
            unpoisoned(handle.inode.io.lock()).leave();
        }
    }

    pub(crate) fn fallocate(&self, file: FileHandle, offset: u64, length: u64, mode: i32) -> Result<()> {
        let kind = match mode & !KEEP_SIZE {
            0 => AllocateKind::Reserve,
            PUNCH_HOLE => AllocateKind::PunchHole,
            ZERO_RANGE => AllocateKind::Zero,
            COLLAPSE_RANGE => AllocateKind::Collapse,
            INSERT_RANGE => AllocateKind::Insert,
            UNSHARE_RANGE => AllocateKind::Unshare,
            _ => return Err(Errno::EOPNOTSUPP),
        };
        let what = Allocate { kind, keep_size: mode & KEEP_SIZE != 0, offset, length };
        self.backend.allocate(&self.handles.named(file)?.file, what)
    }

    /// The next data or hole, which only a descriptor of the host's can tell, and only when it has all that was
    /// written. `ENOSYS`, where that is not so, makes the kernel take all files for data.
    pub(crate) fn lseek(&self, file: FileHandle, offset: i64, whence: i32) -> Result<i64> {
        let what = match whence {
            SEEK_DATA => Seek::Data,
            SEEK_HOLE => Seek::Hole,
            _ => return Err(Errno::EINVAL),
        };
        let offset = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
        if self.writeback.load(Ordering::Relaxed) {
            return Err(Errno::ENOSYS);
        }
        let handle = self.handles.named(file)?;
        let file = self.backend.lend(&handle.file).ok_or(Errno::ENOSYS)?;
        i64::try_from(seek(&file, what, offset)?).map_err(|_| Errno::EOVERFLOW)
    }
}
