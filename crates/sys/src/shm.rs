//! Memory shared with a peer that is not trusted.
//!
//! The peer can change every byte at any time. So nothing here lends the bytes: a [`Window`] copies them out
//! and in, or lends their addresses to the kernel for one call, and what was copied out is decided upon. Its
//! words, on which both sides agree to hand over, are atomics.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use gofer_vfs::{Errno, Result, Sink, Source};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

use crate::seccomp::{Arg, Call, Is, Need, syscall};
use crate::{call, errno, libc_call, raw};

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[
    syscall!(fcntl).only(&[Arg(1, Is::Equal(libc::F_ADD_SEALS.cast_unsigned()))]).with(Need::Channels),
    syscall!(fcntl).only(&[Arg(1, Is::Equal(libc::F_GET_SEALS.cast_unsigned()))]).with(Need::Channels),
    syscall!(fstat).with(Need::Channels),
    syscall!(fstatfs).with(Need::Channels),
    syscall!(ftruncate).with(Need::Channels),
    syscall!(memfd_create).with(Need::Channels),
    // Shared memory that can be read and written, and never run.
    syscall!(mmap)
        .only(&[Arg(2, Is::Equal(READ_WRITE)), Arg(3, Is::Equal(libc::MAP_SHARED.cast_unsigned()))])
        .with(Need::Channels),
    syscall!(munmap).with(Need::Channels),
    // How large a page is (`PR_GET_AUXV`).
    syscall!(prctl).only(&[Arg(0, Is::Equal(0x4155_5856))]).with(Need::Channels),
    syscall!(pread64).with(Need::Channels),
    syscall!(pwrite64).with(Need::ChannelsWrite),
];

const READ_WRITE: u32 = ProtFlags::READ.bits() | ProtFlags::WRITE.bits();

/// The smallest page of any machine, and so the least length of a window.
const LEAST: usize = 4096;

/// `TMPFS_MAGIC` of `statfs(2)`, which a memfd without huge pages has.
const TMPFS: u64 = 0x0102_1994;

/// A file in memory of `len` bytes, all zero, whose size nobody can change any more. Pages are taken up as
/// they are touched.
///
/// # Errors
/// Those of `memfd_create(2)` and `ftruncate(2)`.
pub fn create(name: &str, len: u64) -> Result<OwnedFd> {
    let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
    let file = file.map_err(errno)?;
    call(|| rustix::fs::ftruncate(&file, len))?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals).map_err(errno)?;
    Ok(file)
}

/// The size of a page.
pub fn page_size() -> usize {
    rustix::param::page_size()
}

/// A range of a file in memory, mapped so that both sides see what either writes.
#[derive(Debug)]
pub struct Window {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to no thread, and `Window` owns it alone.
unsafe impl Send for Window {}
// SAFETY: a shared window gives atomic access only, or lets the kernel write into it, which is no access of
// this program: every reader expects that the bytes change under it.
unsafe impl Sync for Window {}

impl Window {
    /// Maps `len` bytes of a memory file from `offset` on, wherever the file comes from.
    ///
    /// # Errors
    /// `EINVAL` when the range is not within the file, does not begin at a page or is not between a page and
    /// 2³²−1 bytes long, and when the file is not a memfd of ordinary pages that is sealed against shrinking:
    /// touching the memory of such a file cannot raise a signal. Otherwise those of `mmap(2)`.
    pub fn map(file: BorrowedFd<'_>, offset: u64, len: u64) -> Result<Self> {
        let page = page_size();
        let size = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
        if size < page.max(LEAST) || len > u64::from(u32::MAX) || !offset.is_multiple_of(page as u64) {
            return Err(Errno::EINVAL);
        }
        // In this order: once the seal is seen, the size seen after it cannot become less.
        let seals = rustix::fs::fcntl_get_seals(file).map_err(|_| Errno::EINVAL)?;
        let huge = u64::try_from(rustix::fs::fstatfs(file).map_err(errno)?.f_type) != Ok(TMPFS);
        let stat = rustix::fs::fstat(file).map_err(errno)?;
        let end = offset.checked_add(len).ok_or(Errno::EINVAL)?;
        let within = u64::try_from(stat.st_size).is_ok_and(|size| end <= size);
        if !seals.contains(SealFlags::SHRINK) || huge || !within {
            return Err(Errno::EINVAL);
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: without MAP_FIXED the kernel chooses a place where nothing is mapped, so no memory of this
        // program changes.
        let start =
            unsafe { rustix::mm::mmap(ptr::null_mut(), size, access, MapFlags::SHARED, file, offset) };
        let start = NonNull::new(start.map_err(errno)?.cast()).ok_or(Errno::ENOMEM)?;
        Ok(Self { start, len: size })
    }

    /// How many bytes there are.
    #[expect(clippy::len_without_is_empty, reason = "a window has a page at least")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The word at byte `AT`, which is in the first 4 KiB and aligned.
    pub fn word<const AT: usize>(&self) -> &AtomicU32 {
        const { assert!(AT.is_multiple_of(4) && AT + 4 <= LEAST) };
        let at = self.start.as_ptr().wrapping_add(AT).cast();
        // SAFETY: the mapping begins at a page and has LEAST bytes at least, so by the assertion the word
        // lies in it and is aligned. It is mapped for as long as `self` is borrowed. This program touches it
        // by atomics only; whatever else the peer does to it is not an access of this program.
        unsafe { AtomicU32::from_ptr(at) }
    }

    /// Where a range begins.
    ///
    /// # Errors
    /// `EFAULT` when it is not in the window.
    fn address(&self, at: usize, len: usize) -> Result<*mut u8> {
        let within = at.checked_add(len).is_some_and(|end| end <= self.len);
        within.then(|| self.start.as_ptr().wrapping_add(at)).ok_or(Errno::EFAULT)
    }

    /// A range in parts that are copied byte by byte, word by word, and byte by byte.
    fn cells(&self, at: usize, len: usize) -> Result<(&[AtomicU8], &[AtomicU64], &[AtomicU8])> {
        let start = self.address(at, len)?.cast_const().cast();
        // SAFETY: `address` checked that the range is in the mapping, which lasts for as long as `self` is
        // borrowed. These are atomics, not plain bytes: that others write to them at the same time is what
        // they are for.
        let bytes: &[AtomicU8] = unsafe { std::slice::from_raw_parts(start, len) };
        // SAFETY: eight atomic bytes and an atomic word of eight bytes are valid for the same values, all of
        // them, and `align_to` sees to the alignment.
        Ok(unsafe { bytes.align_to() })
    }

    /// Copies bytes out, each read once.
    ///
    /// # Errors
    /// `EFAULT` when the range is not in the window.
    pub fn copy_out(&self, at: usize, into: &mut [u8]) -> Result<()> {
        let (head, words, tail) = self.cells(at, into.len())?;
        let (into_head, rest) = into.split_at_mut(head.len());
        let (into_words, into_tail) = rest.split_at_mut(rest.len() - tail.len());
        let bytes = head.iter().zip(into_head).chain(tail.iter().zip(into_tail));
        for (cell, byte) in bytes {
            *byte = cell.load(Ordering::Relaxed);
        }
        for (cell, word) in words.iter().zip(into_words.as_chunks_mut().0) {
            *word = cell.load(Ordering::Relaxed).to_ne_bytes();
        }
        Ok(())
    }

    /// Copies bytes in, each written once. They belong to the peer from then on.
    ///
    /// # Errors
    /// `EFAULT` when the range is not in the window.
    pub fn copy_in(&self, at: usize, from: &[u8]) -> Result<()> {
        let (head, words, tail) = self.cells(at, from.len())?;
        let (from_head, rest) = from.split_at(head.len());
        let (from_words, from_tail) = rest.split_at(rest.len() - tail.len());
        for (cell, byte) in head.iter().zip(from_head).chain(tail.iter().zip(from_tail)) {
            cell.store(*byte, Ordering::Relaxed);
        }
        for (cell, word) in words.iter().zip(from_words.as_chunks().0) {
            cell.store(u64::from_ne_bytes(*word), Ordering::Relaxed);
        }
        Ok(())
    }

    /// What reads `len` bytes from `at` on, or as many of them as there are.
    pub fn reader(&self, at: usize, len: usize) -> Reader<'_> {
        let at = at.min(self.len);
        Reader { window: self, at, left: len.min(self.len - at) }
    }

    /// What fills the window from `at` on.
    pub fn writer(&self, at: usize) -> Writer<'_> {
        let at = at.min(self.len);
        Writer { window: self, at, room: self.len - at }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own, and whoever borrowed from it is gone.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "a mapping of ours can be unmapped");
    }
}

/// Reads a range of a window: each byte once, from the front to the back.
#[derive(Debug)]
pub struct Reader<'w> {
    window: &'w Window,
    at: usize,
    left: usize,
}

impl Reader<'_> {
    /// Appends the next bytes to `into`, as many as are left and at most `limit`, and says how many.
    pub fn append_to(&mut self, into: &mut Vec<u8>, limit: usize) -> usize {
        let old = into.len();
        into.resize(old + limit.min(self.left), 0);
        self.take(&mut into[old..])
    }

    /// Leaves out all that is behind the next `n` bytes. `false` where there are fewer.
    pub fn limit_to(&mut self, n: usize) -> bool {
        let enough = n <= self.left;
        self.left = self.left.min(n);
        enough
    }

    fn skip(&mut self, n: usize) {
        self.at += n;
        self.left -= n;
    }
}

impl Source for Reader<'_> {
    fn left(&self) -> usize {
        self.left
    }

    fn take(&mut self, room: &mut [u8]) -> usize {
        let n = room.len().min(self.left);
        // What is left lies in the window, so it cannot fail.
        if self.window.copy_out(self.at, &mut room[..n]).is_err() {
            return 0;
        }
        self.skip(n);
        n
    }

    /// Goes on after a short count, which a regular file gives at a limit, to learn the error.
    fn push(&mut self, file: BorrowedFd<'_>, offset: u64) -> Result<usize> {
        let all = self.left;
        loop {
            let done = all - self.left;
            match self.push_once(file, offset.saturating_add(done as u64)) {
                Ok(n) if n == 0 || self.left == 0 => return Ok(all - self.left),
                Ok(_) => {}
                Err(error) if done == 0 => return Err(error),
                Err(_) => return Ok(done),
            }
        }
    }
}

impl Reader<'_> {
    fn push_once(&mut self, file: BorrowedFd<'_>, offset: u64) -> Result<usize> {
        let offset = i64::try_from(offset).map_err(|_| Errno::EINVAL)?;
        let from = self.window.address(self.at, self.left)?;
        // SAFETY: `address` checked that the range is in the mapping, which the borrowed window keeps. The
        // kernel reads from it during the call and keeps no pointer.
        let n = libc_call(|| unsafe { libc::pwrite64(raw(&file), from.cast(), self.left, offset) as i64 })?;
        self.skip(n);
        Ok(n)
    }
}

/// Fills a range of a window from the front to the back.
#[derive(Debug)]
pub struct Writer<'w> {
    window: &'w Window,
    at: usize,
    room: usize,
}

impl Writer<'_> {
    fn skip(&mut self, n: usize) {
        self.at += n;
        self.room -= n;
    }
}

impl Sink for Writer<'_> {
    fn room(&self) -> usize {
        self.room
    }

    fn put(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.room);
        // The room lies in the window, so it cannot fail.
        if self.window.copy_in(self.at, &bytes[..n]).is_err() {
            return 0;
        }
        self.skip(n);
        n
    }

    fn pull(&mut self, file: BorrowedFd<'_>, offset: u64, len: usize) -> Result<usize> {
        let len = len.min(self.room);
        let offset = i64::try_from(offset).map_err(|_| Errno::EINVAL)?;
        let into = self.window.address(self.at, len)?;
        // SAFETY: `address` checked that the range is in the mapping, which the borrowed window keeps, and
        // `len` bytes long. The kernel writes to it during the call and keeps no pointer; nobody in this
        // program holds a reference to plain bytes of it.
        let n = libc_call(|| unsafe { libc::pread64(raw(&file), into.cast(), len, offset) as i64 })?;
        self.skip(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsFd;

    use super::*;

    const LEN: usize = 0x5000;

    /// Two windows on the same memory, as two processes have.
    fn pair() -> (Window, Window) {
        let file = create("test", LEN as u64).unwrap();
        let map = || Window::map(file.as_fd(), 0, LEN as u64).unwrap();
        (map(), map())
    }

    #[test]
    fn what_one_side_copies_in_the_other_copies_out() {
        let (ours, theirs) = pair();
        let bytes: Vec<u8> = (1..=200).collect();
        for at in 0..20 {
            for len in [0, 1, 7, 8, 9, 15, 16, 17, 64, 199] {
                ours.copy_in(at, &[0; 240]).unwrap();
                ours.copy_in(at, &bytes[..len]).unwrap();
                let mut got = [0xee; 201];
                theirs.copy_out(at, &mut got[..=len]).unwrap();
                assert_eq!(&got[..len], &bytes[..len], "{at} {len}");
                assert_eq!(got[len], 0, "nothing behind");
            }
        }
        ours.word::<4>().store(0x0403_0201, Ordering::Relaxed);
        assert_eq!(theirs.word::<4>().load(Ordering::Relaxed), 0x0403_0201);
    }

    #[test]
    fn nothing_reaches_beyond_the_window() {
        let (window, _) = pair();
        let mut byte = [0];
        for (at, len) in [(LEN, 1), (LEN - 7, 8), (LEN + 1, 0), (usize::MAX, 1), (usize::MAX, 0)] {
            assert_eq!(window.copy_in(at, &vec![1; len]), Err(Errno::EFAULT), "{at} {len}");
            assert_eq!(window.copy_out(at, &mut vec![1; len]), Err(Errno::EFAULT), "{at} {len}");
        }
        assert_eq!(window.copy_in(LEN, &[]), Ok(()));
        assert_eq!(window.writer(LEN + 5).put(b"x"), 0);
        assert_eq!(window.writer(usize::MAX).room(), 0);
        assert_eq!(window.writer(LEN - 1).put(b"xy"), 1);
        assert_eq!(window.reader(LEN - 1, usize::MAX).left(), 1);
        assert_eq!(window.reader(usize::MAX, usize::MAX).take(&mut byte), 0);
    }

    #[test]
    fn bytes_go_between_a_file_and_the_window() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..=255).cycle().take(6000).collect();
        file.write_all(&bytes).unwrap();
        let (ours, theirs) = pair();
        let mut writer = ours.writer(22);
        assert_eq!(writer.put(b"<"), 1);
        assert_eq!(writer.pull(file.as_fd(), 1000, 300), Ok(300));
        assert_eq!(writer.pull(file.as_fd(), 5999, 300), Ok(1), "the end of the file");
        assert_eq!(writer.pull(file.as_fd(), 6000, 300), Ok(0));
        assert_eq!(writer.pull(file.as_fd(), u64::MAX, 300), Err(Errno::EINVAL));
        assert_eq!(writer.room(), LEN - 22 - 302);

        let mut reader = theirs.reader(22, 302);
        assert_eq!(reader.take(&mut [0; 1]), 1);
        let mut copy = tempfile::tempfile().unwrap();
        assert_eq!(reader.push(copy.as_fd(), u64::MAX), Err(Errno::EINVAL));
        assert_eq!(reader.push(copy.as_fd(), 10), Ok(301));
        assert_eq!((reader.left(), reader.take(&mut [0; 1])), (0, 0), "every byte once");
        let mut got = Vec::new();
        copy.rewind().unwrap();
        copy.read_to_end(&mut got).unwrap();
        assert_eq!(got[10..], [&bytes[1000..1300], &bytes[5999..]].concat());

        let mut room = ours.writer(LEN - 5);
        assert_eq!(room.pull(file.as_fd(), 0, 300), Ok(5), "no more than there is room for");
        let mut all = vec![1, 2];
        assert_eq!(theirs.reader(LEN - 5, 5).append_to(&mut all, 4), 4);
        assert_eq!(all, [1, 2, 0, 1, 2, 3]);
    }

    #[test]
    fn nobody_changes_the_size_or_the_seals() {
        let fd = create("test", LEN as u64).unwrap();
        let seals = SealFlags::WRITE | SealFlags::FUTURE_WRITE;
        assert_eq!(rustix::fs::fcntl_add_seals(&fd, seals).map_err(errno), Err(Errno::EPERM));
        let file = File::from(fd);
        for len in [0, LEN as u64 - 1, LEN as u64 + 1, 1 << 40] {
            assert_eq!(file.set_len(len).unwrap_err().raw_os_error(), Some(1), "EPERM: {len}");
        }
        assert_eq!(file.metadata().unwrap().len(), LEN as u64);
    }

    #[test]
    fn a_peers_file_must_be_one_that_cannot_fail() {
        let memory = |seals| {
            let fd = rustix::fs::memfd_create("peer", MemfdFlags::ALLOW_SEALING).unwrap();
            rustix::fs::ftruncate(&fd, LEN as u64).unwrap();
            rustix::fs::fcntl_add_seals(&fd, seals).unwrap();
            fd
        };
        let sealed = memory(SealFlags::SHRINK | SealFlags::SEAL);
        let page = page_size() as u64;
        let len = LEN as u64;
        for (offset, len, good) in [
            (0, len, true),
            (page, len - page, true),
            (0, page, true),
            (0, page - 1, false),
            (0, 0, false),
            (1, page, false),
            (page, len, false),
            (0, len + 1, false),
            (0, 1 << 32, false),
            (u64::MAX - page + 1, page, false),
            (0, u64::MAX, false),
        ] {
            let mapped = Window::map(sealed.as_fd(), offset, len);
            assert_eq!(mapped.map(|window| window.len() as u64).ok(), good.then_some(len), "{offset} {len}");
        }
        let refused = |fd: BorrowedFd<'_>| Window::map(fd, 0, page).err();
        for seals in [SealFlags::empty(), SealFlags::GROW | SealFlags::SEAL] {
            assert_eq!(refused(memory(seals).as_fd()), Some(Errno::EINVAL), "{seals:?}");
        }
        let file = tempfile::tempfile().unwrap();
        file.set_len(len).unwrap();
        assert_eq!(refused(file.as_fd()), Some(Errno::EINVAL), "it can be cut");
        assert_eq!(refused(std::io::pipe().unwrap().0.as_fd()), Some(Errno::EINVAL));
        let unwritable = memory(SealFlags::SHRINK | SealFlags::WRITE);
        assert_eq!(refused(unwritable.as_fd()), Some(Errno::EPERM));
    }
}
