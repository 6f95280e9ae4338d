//! The bytes of regular files: reading, writing, size and space.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use super::tree::{Body, Ino, Space, Tree};
use crate::{Allocate, AllocateKind, Errno, OpenFlags, Result, Sink, Source};

/// The unit of space, in bytes.
pub(super) const PAGE: u64 = 4096;
const PAGE_LEN: usize = 4096;

/// The largest file: what ext4 has with blocks of 4 KiB.
const MAX_SIZE: u64 = (1 << 44) - PAGE;

/// The largest position a Linux file offset can name.
const MAX_OFFSET: u64 = i64::MAX.cast_unsigned();

/// Space that is the file's: bytes, or a promise of room that reads as zeros.
type Page = Option<Box<[u8; PAGE_LEN]>>;

/// The content of a regular file. What has no page reads as zeros and takes no space; bytes behind the end
/// are zeros.
#[derive(Debug, Default)]
pub(super) struct Content {
    size: u64,
    pages: BTreeMap<u64, Page>,
}

impl Content {
    /// The size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// How many pages the file has.
    pub(super) fn pages(&self) -> u64 {
        self.pages.len() as u64
    }

    fn read(&self, offset: u64, len: usize, into: &mut dyn Sink) -> usize {
        let available = self.size.saturating_sub(offset);
        let len = usize::try_from(available).map_or(len, |available| available.min(len));
        let mut done = 0;
        while done < len {
            let (index, within) = page_of(offset + done as u64);
            let part = (PAGE_LEN - within).min(len - done);
            let taken = into.put(match self.pages.get(&index) {
                Some(Some(bytes)) => &bytes[within..within + part],
                Some(None) | None => &[0; PAGE_LEN][..part],
            });
            done += taken;
            if taken < part {
                break;
            }
        }
        done
    }

    fn write(&mut self, offset: u64, from: &mut dyn Source, space: &mut Space) -> Result<usize> {
        let room = MAX_SIZE.saturating_sub(offset);
        let len = usize::try_from(room).map_or(from.left(), |room| room.min(from.left()));
        if len == 0 {
            return if from.left() == 0 { Ok(0) } else { Err(Errno::EFBIG) };
        }
        let mut done = 0;
        while done < len {
            let (index, within) = page_of(offset + done as u64);
            let page = match self.pages.entry(index) {
                Entry::Occupied(page) => page.into_mut(),
                Entry::Vacant(place) => match space.take(PAGE) {
                    Ok(()) => place.insert(None),
                    Err(full) if done == 0 => return Err(full),
                    Err(_) => break,
                },
            };
            let part = (PAGE_LEN - within).min(len - done);
            let bytes = page.get_or_insert_with(|| Box::new([0; PAGE_LEN]));
            let taken = from.take(&mut bytes[within..within + part]);
            done += taken;
            if taken < part {
                break;
            }
        }
        self.size = self.size.max(offset + done as u64);
        Ok(done)
    }

    fn resize(&mut self, size: u64, space: &mut Space) {
        self.clear(size..MAX_SIZE, space);
        self.size = size;
    }

    /// Makes the range read as zeros and gives back the pages that it covers.
    fn clear(&mut self, range: Range<u64>, space: &mut Space) {
        if range.is_empty() {
            return;
        }
        let touched = range.start / PAGE..=(range.end - 1) / PAGE;
        let covered = self.pages.extract_if(touched, |index, page| {
            let start = index * PAGE;
            if range.start <= start && start + PAGE <= range.end {
                return true;
            }
            if let Some(bytes) = page {
                let end = range.end.min(start + PAGE) - start;
                let begin = range.start.max(start) - start;
                bytes[usize_of(begin)..usize_of(end)].fill(0);
            }
            false
        });
        space.give(covered.count() as u64 * PAGE);
    }

    /// Gives every part of the range a page, or none of it.
    fn reserve(&mut self, range: &Range<u64>, space: &mut Space) -> Result<()> {
        let touched = range.start / PAGE..range.end.div_ceil(PAGE);
        let present = self.pages.range(touched.clone()).count() as u64;
        // Less than 2^44: the range ends within the largest file.
        space.take((touched.end - touched.start - present) * PAGE)?;
        for index in touched {
            self.pages.entry(index).or_insert(None);
        }
        Ok(())
    }
}

/// The page that holds the byte at `offset`, and where in it.
fn page_of(offset: u64) -> (u64, usize) {
    (offset / PAGE, usize_of(offset % PAGE))
}

fn usize_of(within: u64) -> usize {
    usize::try_from(within).expect("no larger than a page")
}

/// `EINVAL` for positions that no file offset can name (`pread(2)`).
fn check_offset(offset: u64, len: usize) -> Result<()> {
    let end = offset.checked_add(len as u64);
    if end.is_some_and(|end| end <= MAX_OFFSET) { Ok(()) } else { Err(Errno::EINVAL) }
}

impl Tree {
    pub(super) fn read(
        &mut self,
        ino: Ino,
        flags: &OpenFlags,
        offset: u64,
        len: usize,
        into: &mut dyn Sink,
    ) -> Result<usize> {
        check_offset(offset, 0)?;
        if !flags.access.reads() {
            return Err(Errno::EBADF);
        }
        check_offset(offset, len)?;
        let inode = &mut self.inodes[ino];
        let Body::Regular(content) = &inode.body else { return Err(Errno::EISDIR) };
        let done = content.read(offset, len, into);
        if !flags.no_atime {
            inode.atime = self.clock.tick();
        }
        Ok(done)
    }

    pub(super) fn write(
        &mut self,
        ino: Ino,
        flags: &OpenFlags,
        offset: u64,
        from: &mut dyn Source,
    ) -> Result<usize> {
        self.before_change(ino, flags);
        check_offset(offset, 0)?;
        let inode = &mut self.inodes[ino];
        let Body::Regular(content) = &mut inode.body else { return Err(Errno::EBADF) };
        if !flags.access.writes() {
            return Err(Errno::EBADF);
        }
        check_offset(offset, from.left())?;
        let offset = if flags.append { content.size } else { offset };
        let done = content.write(offset, from, &mut self.space)?;
        if done > 0 {
            inode.modified(self.clock.tick());
        }
        Ok(done)
    }

    /// Takes set-id bits where writing is to clear them: before anything changes, so also when nothing does.
    fn before_change(&mut self, ino: Ino, flags: &OpenFlags) {
        if flags.access.writes() && flags.clears_set_id {
            self.inodes[ino].drop_set_id();
        }
    }

    /// Changes the size of a regular file. `EINVAL` for whatever has no size that could be set.
    pub(super) fn resize(&mut self, ino: Ino, size: u64) -> Result<()> {
        check_offset(size, 0)?;
        let inode = &mut self.inodes[ino];
        match &mut inode.body {
            Body::Regular(_) if size > MAX_SIZE => Err(Errno::EFBIG),
            Body::Regular(content) => {
                content.resize(size, &mut self.space);
                inode.modified(self.clock.tick());
                Ok(())
            }
            Body::Directory(_) | Body::Symlink(_) | Body::Special { .. } => Err(Errno::EINVAL),
        }
    }

    /// Changes the space a file takes. Moving what follows a range and unsharing are `EOPNOTSUPP`, as they
    /// are on tmpfs.
    pub(super) fn allocate(&mut self, ino: Ino, flags: &OpenFlags, what: Allocate) -> Result<()> {
        self.before_change(ino, flags);
        if what.offset > MAX_OFFSET || what.length > MAX_OFFSET || what.length == 0 {
            return Err(Errno::EINVAL);
        }
        let inode = &mut self.inodes[ino];
        let Body::Regular(content) = &mut inode.body else { return Err(Errno::EBADF) };
        if !flags.access.writes() {
            return Err(Errno::EBADF);
        }
        let range = what.offset..what.offset + what.length;
        if range.end > MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        let mut grows = !what.keep_size;
        match what.kind {
            AllocateKind::Reserve => content.reserve(&range, &mut self.space)?,
            AllocateKind::PunchHole => {
                content.clear(range.clone(), &mut self.space);
                grows = false;
            }
            AllocateKind::Zero => {
                // Nothing is cleared unless there is room; the second time takes what clearing gave back.
                content.reserve(&range, &mut self.space)?;
                content.clear(range.clone(), &mut self.space);
                content.reserve(&range, &mut self.space)?;
            }
            AllocateKind::Collapse | AllocateKind::Insert | AllocateKind::Unshare => {
                return Err(Errno::EOPNOTSUPP);
            }
        }
        if grows {
            content.size = content.size.max(range.end);
        }
        inode.modified(self.clock.tick());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::super::{File, MemFs, Node};
    use super::*;
    use crate::{AccessMode, Backend, SetAttr};
    use AllocateKind::{Collapse, Insert, PunchHole, Reserve, Unshare, Zero};

    fn allocate(fs: &MemFs, file: &File, kind: AllocateKind, keep_size: bool, at: Range<u64>) -> Result<()> {
        fs.allocate(file, Allocate { kind, keep_size, offset: at.start, length: at.end - at.start })
    }

    fn space(fs: &MemFs, node: &Node) -> (u64, u64) {
        let attr = fs.getattr(node).unwrap();
        (attr.size, attr.blocks / 8)
    }

    fn resize(fs: &MemFs, node: &Node, size: u64) -> Result<()> {
        fs.setattr(node, None, &SetAttr { size: Some(size), ..SetAttr::default() })
    }

    #[test]
    fn what_was_written_is_read_across_pages() {
        let (fs, root) = tree();
        let (node, file) = file(&fs, &root, "f", AccessMode::ReadWrite);
        let bytes: Vec<u8> = (0..10_000u32).map(|n| n.to_le_bytes()[0]).collect();
        assert_eq!(write(&fs, &file, 4000, &bytes), Ok(10_000));
        assert_eq!(space(&fs, &node), (14_000, 4));
        assert_eq!(read(&fs, &file, 0, 20_000).unwrap(), [vec![0; 4000], bytes.clone()].concat());
        assert_eq!(read(&fs, &file, 8191, 3).unwrap(), bytes[4191..4194]);
        assert_eq!(read(&fs, &file, 13_999, 5).unwrap().len(), 1);
        assert_eq!(read(&fs, &file, 14_000, 5).unwrap(), b"");
    }

    #[test]
    fn access_is_what_the_file_was_opened_for() {
        let (fs, root) = tree();
        let (node, writer) = file(&fs, &root, "f", AccessMode::Write);
        let reader = fs.open(&node, OpenFlags::new(AccessMode::Read)).unwrap();
        assert_eq!(read(&fs, &writer, 0, 1), Err(Errno::EBADF));
        assert_eq!(write(&fs, &reader, 0, b"x"), Err(Errno::EBADF));
        assert_eq!(allocate(&fs, &reader, Reserve, false, 0..1), Err(Errno::EBADF));
        let opened = fs.open(&root, OpenFlags::new(AccessMode::Read)).unwrap();
        assert_eq!(read(&fs, &opened, 0, 1), Err(Errno::EISDIR));
        assert_eq!(write(&fs, &opened, 0, b"x"), Err(Errno::EBADF));
        assert_eq!(allocate(&fs, &opened, Reserve, false, 0..1), Err(Errno::EBADF));
    }

    #[test]
    fn far_offsets_take_nothing() {
        let (fs, root) = tree();
        let (node, file) = file(&fs, &root, "f", AccessMode::ReadWrite);
        assert_eq!(write(&fs, &file, 1 << 60, b"x"), Err(Errno::EFBIG));
        assert_eq!(write(&fs, &file, MAX_SIZE, b"x"), Err(Errno::EFBIG));
        assert_eq!(write(&fs, &file, MAX_OFFSET, b"x"), Err(Errno::EINVAL));
        assert_eq!(write(&fs, &file, u64::MAX, b""), Err(Errno::EINVAL));
        assert_eq!(write(&fs, &file, 1 << 60, b""), Ok(0));
        assert_eq!(space(&fs, &node), (0, 0));
        assert_eq!(write(&fs, &file, MAX_SIZE - 2, b"xyz"), Ok(2));
        assert_eq!(space(&fs, &node), (MAX_SIZE, 1));
        assert_eq!(read(&fs, &file, 1 << 43, 3).unwrap(), [0; 3]);
        assert_eq!(read(&fs, &file, 1 << 63, 1), Err(Errno::EINVAL));
        assert_eq!(read(&fs, &file, MAX_OFFSET, 1), Err(Errno::EINVAL));
        assert_eq!(read(&fs, &file, MAX_OFFSET - 1, 1).unwrap(), b"");
    }

    #[test]
    fn appending_ignores_the_offset() {
        let (fs, root) = tree();
        let (node, writer) = file(&fs, &root, "f", AccessMode::Write);
        write(&fs, &writer, 0, b"abc").unwrap();
        let flags = OpenFlags { append: true, ..OpenFlags::new(AccessMode::ReadWrite) };
        let appender = fs.open(&node, flags).unwrap();
        write(&fs, &appender, 0, b"def").unwrap();
        assert_eq!(read(&fs, &appender, 0, 9).unwrap(), b"abcdef");
    }

    #[test]
    fn a_full_tree_takes_what_fits() {
        let fs = MemFs::new(5 * PAGE);
        let root = fs.attach().unwrap().0;
        let (node, file) = file(&fs, &root, "f", AccessMode::ReadWrite);
        assert_eq!(write(&fs, &file, 1, &[7; 40_000]), Ok(4 * 4096 - 1));
        assert_eq!(write(&fs, &file, 40_000, b"x"), Err(Errno::ENOSPC));
        assert_eq!(write(&fs, &file, 0, b"x"), Ok(1), "what has a page needs none");
        assert_eq!(allocate(&fs, &file, Reserve, true, 0..1 << 40), Err(Errno::ENOSPC));
        assert_eq!(space(&fs, &node), (4 * PAGE, 4));
        resize(&fs, &node, 0).unwrap();
        assert_eq!(write(&fs, &file, 40_000, b"x"), Ok(1));
    }

    #[test]
    fn what_was_cut_off_does_not_come_back() {
        let (fs, root) = tree();
        let (node, file) = file(&fs, &root, "f", AccessMode::ReadWrite);
        write(&fs, &file, 0, &[7; 9000]).unwrap();
        resize(&fs, &node, 5000).unwrap();
        assert_eq!(space(&fs, &node), (5000, 2));
        resize(&fs, &node, 9000).unwrap();
        assert_eq!(read(&fs, &file, 4999, 9000).unwrap(), [vec![7], vec![0; 4000]].concat());
        assert_eq!(resize(&fs, &node, 1 << 63), Err(Errno::EINVAL));
        assert_eq!(resize(&fs, &node, 1 << 62), Err(Errno::EFBIG));
        assert_eq!(resize(&fs, &root, 0), Err(Errno::EINVAL));
        let (link, _) = fs.symlink(&root, name("l"), b"f", crate::Owner::default()).unwrap();
        assert_eq!(resize(&fs, &link, 0), Err(Errno::EINVAL));
    }

    #[test]
    fn space_is_reserved_and_given_back() {
        let (fs, root) = tree();
        let (node, file) = file(&fs, &root, "f", AccessMode::ReadWrite);
        allocate(&fs, &file, Reserve, true, 0..5000).unwrap();
        assert_eq!(space(&fs, &node), (0, 2));
        allocate(&fs, &file, Reserve, false, 5000..9000).unwrap();
        assert_eq!(space(&fs, &node), (9000, 3));
        write(&fs, &file, 0, &[7; 9000]).unwrap();
        allocate(&fs, &file, PunchHole, false, 100..8192).unwrap();
        assert_eq!(space(&fs, &node), (9000, 2));
        let expected = [vec![7; 100], vec![0; 8092], vec![7; 808]].concat();
        assert_eq!(read(&fs, &file, 0, 9999).unwrap(), expected);
        allocate(&fs, &file, Zero, true, 8000..20_000).unwrap();
        assert_eq!(space(&fs, &node), (9000, 5));
        assert_eq!(read(&fs, &file, 100, 9999).unwrap(), [0; 8900]);
        allocate(&fs, &file, Zero, false, 0..10_000).unwrap();
        assert_eq!(read(&fs, &file, 0, 99_999).unwrap(), [0; 10_000]);
    }

    #[test]
    fn allocation_is_refused_as_on_linux() {
        let (fs, root) = tree();
        let (_, file) = file(&fs, &root, "f", AccessMode::ReadWrite);
        for kind in [Collapse, Insert, Unshare] {
            assert_eq!(allocate(&fs, &file, kind, false, 0..4096), Err(Errno::EOPNOTSUPP));
        }
        for (range, expected) in [
            (5..5, Errno::EINVAL),
            (1 << 63..(1 << 63) + 1, Errno::EINVAL),
            (0..1 << 63, Errno::EINVAL),
            (1 << 60..1 << 61, Errno::EFBIG),
            (MAX_OFFSET..MAX_OFFSET + 9, Errno::EFBIG),
        ] {
            assert_eq!(allocate(&fs, &file, Reserve, false, range), Err(expected));
        }
    }

    #[test]
    fn a_write_clears_set_id_where_asked() {
        let (fs, root) = tree();
        let (node, plain) = file(&fs, &root, "f", AccessMode::Write);
        let flags = OpenFlags { clears_set_id: true, ..OpenFlags::new(AccessMode::Write) };
        let clearing = fs.open(&node, flags).unwrap();
        for (file, bytes, before, after) in [
            (&plain, &b"x"[..], 0o6755, 0o6755),
            (&clearing, b"", 0o6755, 0o755),
            (&clearing, b"x", 0o6744, 0o2744),
        ] {
            fs.setattr(&node, None, &SetAttr { perm: Some(before), ..SetAttr::default() }).unwrap();
            write(&fs, file, 0, bytes).unwrap();
            assert_eq!(fs.getattr(&node).unwrap().perm, after);
        }
    }
}
