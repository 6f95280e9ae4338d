//! Byte-range locks, each owned by an open file.

use super::tree::{Ino, Tree};
use crate::{AccessMode, Errno, FileKind, Lock, LockHolder, LockKind, OpenFlags, Result};

/// The end of every file: the largest file offset of Linux.
const END: u64 = i64::MAX.cast_unsigned();

/// How many ranges the files open on one inode can hold in all.
const RANGES_MAX: usize = 4096;

/// The locks on a file. Those of one owner never overlap, nor touch with the same kind.
#[derive(Debug, Default)]
pub(super) struct Locks(Vec<Held>);

#[derive(Clone, Copy, Debug)]
struct Held {
    owner: u64,
    exclusive: bool,
    first: u64,
    last: u64,
}

/// Which locks in a range are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kinds {
    /// All.
    Both,
    /// Those that are exclusive when the range is not, and the other way round.
    Other,
}

impl Held {
    /// `EINVAL` for a range that reaches beyond the largest file offset.
    fn new(owner: u64, lock: Lock) -> Result<Self> {
        let Lock { kind, start, length } = lock;
        let last = match length {
            0 => END,
            _ => start.checked_add(length - 1).ok_or(Errno::EINVAL)?,
        };
        if start > END || last > END {
            return Err(Errno::EINVAL);
        }
        Ok(Self { owner, exclusive: kind == LockKind::Exclusive, first: start, last })
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    fn conflicts(&self, other: &Self) -> bool {
        self.owner != other.owner && self.overlaps(other) && (self.exclusive || other.exclusive)
    }

    /// Whether the two are one range in two parts.
    fn continues(&self, other: &Self) -> bool {
        self.owner == other.owner
            && self.exclusive == other.exclusive
            && (self.first == other.last.saturating_add(1) || other.first == self.last.saturating_add(1))
    }

    fn holder(&self) -> LockHolder {
        let kind = if self.exclusive { LockKind::Exclusive } else { LockKind::Shared };
        let length = if self.last == END { 0 } else { self.last - self.first + 1 };
        LockHolder { lock: Lock { kind, start: self.first, length }, pid: 0 }
    }
}

impl Locks {
    /// The lock in the way that begins first.
    fn conflict(&self, wanted: &Held) -> Option<&Held> {
        self.0.iter().filter(|held| held.conflicts(wanted)).min_by_key(|held| held.first)
    }

    /// Ends what the owner holds within the range; what sticks out on either side stays.
    fn release(&mut self, range: &Held, kinds: Kinds) {
        let mut parts = Vec::new();
        self.0.retain(|held| {
            let kept = kinds == Kinds::Other && held.exclusive == range.exclusive;
            if kept || held.owner != range.owner || !held.overlaps(range) {
                return true;
            }
            if held.first < range.first {
                parts.push(Held { last: range.first - 1, ..*held });
            }
            if held.last > range.last {
                parts.push(Held { first: range.last + 1, ..*held });
            }
            false
        });
        self.0.append(&mut parts);
    }

    /// Adds a range that its owner holds nothing in, as one with what it continues.
    fn add(&mut self, mut range: Held) {
        self.0.retain(|held| {
            let one = held.continues(&range);
            if one {
                range.first = range.first.min(held.first);
                range.last = range.last.max(held.last);
            }
            !one
        });
        self.0.push(range);
    }
}

impl Tree {
    /// A file may take locks of both kinds whatever it was opened for, as for `flock(2)`; but unless it was
    /// opened to read and write, a lock that changes its kind is given up before the other is tried. A
    /// directory, which nobody can write, has no exclusive locks.
    pub(super) fn lock(&mut self, ino: Ino, owner: u64, flags: &OpenFlags, lock: Lock) -> Result<bool> {
        let range = Held::new(owner, lock)?;
        let inode = &mut self.inodes[ino];
        let is_dir = inode.kind() == FileKind::Directory;
        let locks = &mut inode.locks;
        if lock.kind == LockKind::Unlock {
            locks.release(&range, Kinds::Both);
            return Ok(true);
        }
        if is_dir && range.exclusive {
            return Err(Errno::EBADF);
        }
        if flags.access != AccessMode::ReadWrite {
            locks.release(&range, Kinds::Other);
        }
        if locks.conflict(&range).is_some() {
            return Ok(false);
        }
        if locks.0.len() >= RANGES_MAX {
            return Err(Errno::ENOLCK);
        }
        locks.release(&range, Kinds::Both);
        locks.add(range);
        Ok(true)
    }

    pub(super) fn getlock(&self, ino: Ino, owner: u64, lock: Lock) -> Result<Option<LockHolder>> {
        if lock.kind == LockKind::Unlock {
            return Err(Errno::EINVAL);
        }
        let wanted = Held::new(owner, lock)?;
        Ok(self.inodes[ino].locks.conflict(&wanted).map(Held::holder))
    }

    /// Ends all locks of a file that is closed.
    pub(super) fn unlock_all(&mut self, ino: Ino, owner: u64) {
        self.inodes[ino].locks.0.retain(|held| held.owner != owner);
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
        assert_eq!(fs.lock(&reader, lock(Shared, 1, END)), Ok(true));
        assert_eq!(fs.getlock(&reader, lock(Unlock, 0, 0)), Err(Errno::EINVAL));
    }

    #[test]
    fn the_ranges_on_a_file_have_a_limit() {
        let (fs, one, _two) = two();
        let full = (0..).map(|n| fs.lock(&one, lock(Shared, 2 * n, 1))).find_map(Result::err);
        assert_eq!(full, Some(Errno::ENOLCK));
        assert_eq!(fs.lock(&one, lock(Unlock, 0, 0)), Ok(true));
        assert_eq!(fs.lock(&one, lock(Shared, 0, 1)), Ok(true));
    }
}
