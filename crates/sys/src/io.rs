//! Reading, writing, and the space that files take.

use std::os::fd::{AsFd, BorrowedFd, IntoRawFd};

use gofer_vfs::{AccessMode, Allocate, AllocateKind, Errno, Result, Sink, Source};
use rustix::fs::{FallocateFlags, OFlags, SeekFrom};

use crate::seccomp::{Arg, Call, Is, Need, syscall};
use crate::{call, errno, last_errno};

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[
    syscall!(capget).with(Need::Write),
    syscall!(close),
    syscall!(fallocate).only(&[Arg(1, Is::Bits(!SPACE, 0))]).with(Need::Write),
    syscall!(fcntl).with(Need::Start),
    syscall!(fdatasync),
    syscall!(fsync),
    syscall!(lseek).with(Need::Start),
    syscall!(pread64),
    syscall!(pwrite64).with(Need::Write),
    syscall!(read),
    syscall!(write),
];

/// What may be done with the space of a file.
const SPACE: u32 = FallocateFlags::KEEP_SIZE.bits()
    | FallocateFlags::PUNCH_HOLE.bits()
    | FallocateFlags::ZERO_RANGE.bits()
    | FallocateFlags::COLLAPSE_RANGE.bits()
    | FallocateFlags::INSERT_RANGE.bits()
    | FallocateFlags::UNSHARE_RANGE.bits();

/// Bytes moved at once between a FIFO and a front-end.
const CHUNK: usize = 4096;

/// Reads into a buffer, behind what it holds.
#[derive(Debug)]
pub struct ReadInto<'a> {
    buffer: &'a mut Vec<u8>,
    room: usize,
}

impl<'a> ReadInto<'a> {
    /// Takes up to `limit` bytes. Memory for them is reserved when they are read.
    pub fn new(buffer: &'a mut Vec<u8>, limit: usize) -> Self {
        Self { buffer, room: limit }
    }

    /// Takes `len` bytes less.
    pub fn take_room(&mut self, len: usize) {
        self.room = self.room.saturating_sub(len);
    }
}

impl Sink for ReadInto<'_> {
    fn room(&self) -> usize {
        self.room
    }

    fn put(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.room);
        self.buffer.extend_from_slice(&bytes[..n]);
        self.room -= n;
        n
    }

    fn pull(&mut self, file: BorrowedFd<'_>, offset: u64, len: usize) -> Result<usize> {
        let len = len.min(self.room);
        self.buffer.reserve(len);
        let filled = self.buffer.len();
        let spare = &mut self.buffer.spare_capacity_mut()[..len];
        let n = call(|| rustix::io::pread(file, &mut *spare, offset).map(|(read, _)| read.len()))?;
        // SAFETY: the kernel initialised the first `n` bytes of the spare capacity, which begins at `filled`
        // and holds at least them.
        unsafe { self.buffer.set_len(filled + n) };
        self.room -= n;
        Ok(n)
    }
}

/// Writes bytes of a buffer.
#[derive(Debug)]
pub struct WriteFrom<'a>(pub &'a [u8]);

impl Source for WriteFrom<'_> {
    fn left(&self) -> usize {
        self.0.len()
    }

    fn take(&mut self, room: &mut [u8]) -> usize {
        let (taken, left) = self.0.split_at(room.len().min(self.0.len()));
        room[..taken.len()].copy_from_slice(taken);
        self.0 = left;
        taken.len()
    }

    /// Goes on after a short count, which a regular file gives at a limit, to learn the error.
    fn push(&mut self, file: BorrowedFd<'_>, offset: u64) -> Result<usize> {
        let all = self.0.len();
        let mut at = offset;
        loop {
            match call(|| rustix::io::pwrite(file, self.0, at)) {
                Ok(n) => {
                    self.0 = &self.0[n..];
                    // The kernel refuses offsets at which this could overflow.
                    at = at.saturating_add(n as u64);
                    if n == 0 || self.0.is_empty() {
                        return Ok(all - self.0.len());
                    }
                }
                Err(error) if self.0.len() == all => return Err(error),
                Err(_) => return Ok(all - self.0.len()),
            }
        }
    }
}

/// Reads from something without offsets, at most `len` bytes.
///
/// # Errors
/// Those of `read(2)`: `EAGAIN` when nothing is there.
pub fn read_stream(file: BorrowedFd<'_>, len: usize, into: &mut dyn Sink) -> Result<usize> {
    let mut chunk = [0; CHUNK];
    let len = len.min(into.room()).min(CHUNK);
    let n = call(|| rustix::io::read(file, &mut chunk[..len]))?;
    Ok(into.put(&chunk[..n]))
}

/// Writes to something without offsets, at most a page, so that a FIFO takes all of it or nothing.
///
/// # Errors
/// Those of `write(2)`: `EAGAIN` when there is no room, `EPIPE` without a reader.
pub fn write_stream(file: BorrowedFd<'_>, from: &mut dyn Source) -> Result<usize> {
    let mut chunk = [0; CHUNK];
    let n = from.take(&mut chunk);
    call(|| rustix::io::write(file, &chunk[..n]))
}

/// Puts a file on disk: all of it, or what is needed to read its data.
pub fn sync(file: BorrowedFd<'_>, data_only: bool) -> Result<()> {
    if data_only { call(|| rustix::fs::fdatasync(file)) } else { call(|| rustix::fs::fsync(file)) }
}

/// Closes a duplicate, which makes the file system report what it still has to say about writes.
///
/// # Errors
/// Those of `close(2)`. That no descriptor can be had says nothing about the file.
pub fn flush(file: BorrowedFd<'_>) -> Result<()> {
    let duplicate = match crate::walk::dup(file) {
        Err(Errno::EMFILE | Errno::ENFILE) => return Ok(()),
        other => other?.into_raw_fd(),
    };
    // SAFETY: the descriptor was taken out of its owner just above and is not used after this.
    match unsafe { libc::close(duplicate) } {
        0 => Ok(()),
        // Linux has closed it in every case; a signal says nothing about the file.
        _ => Some(last_errno()).filter(|error| *error != Errno::EINTR).map_or(Ok(()), Err),
    }
}

/// Changes the space a file takes.
///
/// # Errors
/// Those of `fallocate(2)`; `EINVAL` for a length of 0 and for what reaches beyond 2⁶³−1.
pub fn allocate(file: BorrowedFd<'_>, what: Allocate) -> Result<()> {
    let mode = match what.kind {
        AllocateKind::Reserve => FallocateFlags::empty(),
        AllocateKind::PunchHole => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
        AllocateKind::Zero => FallocateFlags::ZERO_RANGE,
        AllocateKind::Collapse => FallocateFlags::COLLAPSE_RANGE,
        AllocateKind::Insert => FallocateFlags::INSERT_RANGE,
        AllocateKind::Unshare => FallocateFlags::UNSHARE_RANGE,
    };
    let keep = if what.keep_size { FallocateFlags::KEEP_SIZE } else { FallocateFlags::empty() };
    call(|| rustix::fs::fallocate(file, mode | keep, what.offset, what.length))
}

/// What an open file may be used for.
///
/// # Errors
/// `EBADF` for a descriptor that opens nothing (`O_PATH`).
pub fn access(file: BorrowedFd<'_>) -> Result<AccessMode> {
    let flags = rustix::fs::fcntl_getfl(file).map_err(errno)?;
    match flags & OFlags::RWMODE {
        _ if flags.contains(OFlags::PATH) => Err(Errno::EBADF),
        OFlags::WRONLY => Ok(AccessMode::Write),
        OFlags::RDWR => Ok(AccessMode::ReadWrite),
        _ => Ok(AccessMode::Read),
    }
}

/// Makes every write go to the end (`O_APPEND`). All who share the open file description share that.
pub fn set_append(file: BorrowedFd<'_>) -> Result<()> {
    let flags = rustix::fs::fcntl_getfl(file).map_err(errno)?;
    rustix::fs::fcntl_setfl(file, flags | OFlags::APPEND).map_err(errno)
}

/// What to look for in a file with holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// Bytes.
    Data,
    /// A hole; the end of the file is one.
    Hole,
}

/// Where the next data or hole at or behind `offset` begins. Moves the position of the description.
///
/// # Errors
/// Those of `lseek(2)`: `ENXIO` behind the end of the file.
pub fn seek(file: &impl AsFd, what: Seek, offset: u64) -> Result<u64> {
    let from = match what {
        Seek::Data => SeekFrom::Data(offset),
        Seek::Hole => SeekFrom::Hole(offset),
    };
    call(|| rustix::fs::seek(file, from))
}

/// Whether this thread's writes leave set-id bits in place (`CAP_FSETID`). Without it the kernel clears them.
pub fn keeps_set_id() -> bool {
    let capabilities = rustix::thread::capabilities(None);
    capabilities.map_or(true, |sets| sets.effective.contains(rustix::thread::CapabilitySet::FSETID))
}
