//! Byte-range locks, each owned by an open file.

use super::tree::{Ino, Tree};
use crate::{AccessMode, Errno, FileKind, Lock, LockHolder, LockKind, OpenFlags, Result};

/// How many ranges the files open on one inode can hold in all.
const RANGES_MAX: usize = 4096;

impl Tree {
    /// A file may take locks of both kinds whatever it was opened for, as for `flock(2)`; but unless it was
    /// opened to read and write, a lock that changes its kind is given up before the other is tried. A
    /// directory, which nobody can write, has no exclusive locks.
    pub(super) fn lock(&mut self, ino: Ino, owner: u64, flags: &OpenFlags, lock: Lock) -> Result<bool> {
        let inode = &mut self.inodes[ino];
        let is_dir = inode.kind() == FileKind::Directory;
        let locks = &mut inode.locks;
        let blocked = locks.conflict(owner, lock)?.is_some();
        if lock.kind == LockKind::Unlock {
            locks.set(owner, lock)?;
            return Ok(true);
        }
        if is_dir && lock.kind == LockKind::Exclusive {
            return Err(Errno::EBADF);
        }
        if flags.access != AccessMode::ReadWrite {
            locks.release_other_kind(owner, lock)?;
        }
        if blocked {
            return Ok(false);
        }
        if locks.len() >= RANGES_MAX {
            return Err(Errno::ENOLCK);
        }
        locks.set(owner, lock)?;
        Ok(true)
    }

    pub(super) fn getlock(&self, ino: Ino, owner: u64, lock: Lock) -> Result<Option<LockHolder>> {
        if lock.kind == LockKind::Unlock {
            return Err(Errno::EINVAL);
        }
        self.inodes[ino].locks.conflict(owner, lock)
    }

    /// Ends all locks of a file that is closed.
    pub(super) fn unlock_all(&mut self, ino: Ino, owner: u64) {
        self.inodes[ino].locks.release_all(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::super::{File, MemFs};
    use super::*;
    use crate::Backend;
    use LockKind::{Exclusive, Shared, Unlock};

    /// Two files open on one node, the second through another name.
    fn two() -> (MemFs, File, File) {
        let (fs, root) = tree();
        let (node, one) = file(&fs, &root, "f", AccessMode::ReadWrite);
        fs.link(&node, &root, name("g")).unwrap();
        let (again, _) = fs.walk(&root, name("g")).unwrap();
        let two = fs.open(&again, OpenFlags::new(AccessMode::ReadWrite)).unwrap();
        (fs, one, two)
    }

    fn lock(kind: LockKind, start: u64, length: u64) -> Lock {
        Lock { kind, start, length }
    }

    /// What others see of the locks on a file: its bytes in the way of an exclusive lock, as ranges.
    fn seen(fs: &MemFs, other: &File) -> Vec<(LockKind, u64, u64)> {
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(holder) = fs.getlock(other, lock(Exclusive, from, 0)).unwrap() {
            let Lock { kind, start, length } = holder.lock;
            assert_eq!(holder.pid, 0);
            assert!(length == 0 || start + length > from, "{start} and {length} bytes lie before {from}");
            found.push((kind, start, length));
            if length == 0 {
                break;
            }
            from = start + length;
        }
        found
    }

    #[test]
    fn locks_of_two_files_conflict_and_of_one_do_not() {
        let (fs, one, two) = two();
        assert_eq!(fs.lock(&one, lock(Shared, 0, 10)), Ok(true));
        assert_eq!(fs.lock(&two, lock(Shared, 5, 10)), Ok(true));
        assert_eq!(fs.lock(&one, lock(Exclusive, 0, 6)), Ok(false));
        assert_eq!(fs.lock(&one, lock(Exclusive, 0, 5)), Ok(true));
        assert_eq!(fs.lock(&two, lock(Shared, 4, 1)), Ok(false));
        assert_eq!(fs.lock(&two, lock(Exclusive, 20, 0)), Ok(true));
        assert_eq!(fs.lock(&one, lock(Shared, 1 << 40, 1)), Ok(false));
        assert_eq!(fs.getlock(&two, lock(Shared, 5, 5)), Ok(None));
        assert_eq!(seen(&fs, &two), [(Exclusive, 0, 5), (Shared, 5, 5)]);
    }

    #[test]
    fn ranges_are_cut_and_joined() {
        let (fs, one, two) = two();
        fs.lock(&one, lock(Exclusive, 10, 0)).unwrap();
        fs.lock(&one, lock(Unlock, 20, 10)).unwrap();
        assert_eq!(seen(&fs, &two), [(Exclusive, 10, 10), (Exclusive, 30, 0)]);
        fs.lock(&one, lock(Shared, 15, 5)).unwrap();
        assert_eq!(seen(&fs, &two), [(Exclusive, 10, 5), (Shared, 15, 5), (Exclusive, 30, 0)]);
        fs.lock(&one, lock(Exclusive, 15, 15)).unwrap();
        assert_eq!(seen(&fs, &two), [(Exclusive, 10, 0)]);
        fs.lock(&one, lock(Unlock, 0, 0)).unwrap();
        assert_eq!(seen(&fs, &two), []);
    }

    #[test]
    fn closing_a_file_ends_its_locks_only() {
        let (fs, one, two) = two();
        fs.lock(&one, lock(Exclusive, 0, 1)).unwrap();
        fs.lock(&two, lock(Exclusive, 1, 1)).unwrap();
        drop(one);
        assert_eq!(fs.lock(&two, lock(Exclusive, 0, 1)), Ok(true));
        let three = fs.open(&two.node, OpenFlags::new(AccessMode::Read)).unwrap();
        assert_eq!(seen(&fs, &three), [(Exclusive, 0, 2)]);
    }

    #[test]
    fn a_change_of_kind_that_fails_loses_the_lock_unless_open_for_both() {
        let (fs, one, two) = two();
        let reader = fs.open(&two.node, OpenFlags::new(AccessMode::Read)).unwrap();
        for file in [&one, &two, &reader] {
            assert_eq!(fs.lock(file, lock(Shared, 0, 10)), Ok(true));
        }
        assert_eq!(fs.lock(&two, lock(Exclusive, 0, 5)), Ok(false));
        assert_eq!(fs.lock(&reader, lock(Exclusive, 0, 5)), Ok(false));
        drop(one);
        assert_eq!(seen(&fs, &reader), [(Shared, 0, 10)]);
        assert_eq!(seen(&fs, &two), [(Shared, 5, 5)]);
        drop(two);
        assert_eq!(fs.lock(&reader, lock(Exclusive, 0, 5)), Ok(true));
    }

    #[test]
    fn a_lock_needs_a_range_and_something_to_write_where_it_is_exclusive() {
        let (fs, root) = tree();
        let opened = fs.open(&root, OpenFlags::new(AccessMode::Read)).unwrap();
        assert_eq!(fs.lock(&opened, lock(Shared, 0, 1)), Ok(true));
        assert_eq!(fs.lock(&opened, lock(Exclusive, 0, 1)), Err(Errno::EBADF));
        let (_, reader) = file(&fs, &root, "f", AccessMode::Read);
        assert_eq!(fs.lock(&reader, lock(Shared, 1 << 63, 1)), Err(Errno::EINVAL));
        assert_eq!(fs.lock(&reader, lock(Shared, 1, 1 << 63)), Err(Errno::EINVAL));
        assert_eq!(fs.lock(&reader, lock(Shared, 2, u64::MAX)), Err(Errno::EINVAL));
        assert_eq!(fs.lock(&reader, lock(Shared, 1, i64::MAX.cast_unsigned())), Ok(true));
        assert_eq!(fs.getlock(&reader, lock(Unlock, 0, 0)), Err(Errno::EINVAL));
    }

    #[test]
    fn the_ranges_on_a_file_have_a_limit() {
        let (fs, one, _two) = two();
        let full =
            (0..=RANGES_MAX as u64).map(|n| fs.lock(&one, lock(Shared, 2 * n, 1))).find_map(Result::err);
        assert_eq!(full, Some(Errno::ENOLCK));
        assert_eq!(fs.lock(&one, lock(Unlock, 0, 0)), Ok(true));
        assert_eq!(fs.lock(&one, lock(Shared, 0, 1)), Ok(true));
    }
}
