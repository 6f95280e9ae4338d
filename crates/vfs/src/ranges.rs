//! [`Ranges`]: byte-range locks, as `fcntl(2)` keeps them.

use crate::{Errno, Lock, LockHolder, LockKind, Result};

/// The end of every file: the largest file offset of Linux.
const END: u64 = i64::MAX.cast_unsigned();

/// Byte-range locks on one file, each held by an owner, which is a number. Those of one owner never overlap,
/// nor touch with the same kind: a lock replaces what its owner held in its range.
#[derive(Debug, Default)]
pub struct Ranges(Vec<Held>);

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

impl Ranges {
    /// How many ranges are held.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none are held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Holds a lock, or releases a range, whatever others hold.
    ///
    /// # Errors
    /// `EINVAL` for a range that reaches beyond the largest file offset.
    pub fn set(&mut self, owner: u64, lock: Lock) -> Result<()> {
        let range = Held::new(owner, lock)?;
        self.release(&range, Kinds::Both);
        if lock.kind != LockKind::Unlock {
            self.add(range);
        }
        Ok(())
    }

    /// Whether setting a lock can make more ranges of those that its owner holds: anything but an unlock can,
    /// and one that leaves something on both of its sides.
    ///
    /// # Errors
    /// As for [`set`](Self::set).
    pub fn grows(&self, owner: u64, lock: Lock) -> Result<bool> {
        let range = Held::new(owner, lock)?;
        let splits = |held: &Held| held.owner == owner && held.first < range.first && range.last < held.last;
        Ok(lock.kind != LockKind::Unlock || self.0.iter().any(splits))
    }

    /// Releases what the owner holds in the range of a lock and of another kind than that.
    ///
    /// # Errors
    /// As for [`set`](Self::set).
    pub fn release_other_kind(&mut self, owner: u64, lock: Lock) -> Result<()> {
        self.release(&Held::new(owner, lock)?, Kinds::Other);
        Ok(())
    }

    /// Releases all that an owner holds.
    pub fn release_all(&mut self, owner: u64) {
        self.0.retain(|held| held.owner != owner);
    }

    /// Another's lock in the way of a lock, the one that begins first.
    ///
    /// # Errors
    /// As for [`set`](Self::set).
    pub fn conflict(&self, owner: u64, lock: Lock) -> Result<Option<LockHolder>> {
        let wanted = Held::new(owner, lock)?;
        let first = self.0.iter().filter(|held| held.conflicts(&wanted)).min_by_key(|held| held.first);
        Ok(first.map(Held::holder))
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

#[cfg(test)]
mod tests {
    use super::*;
    use LockKind::{Exclusive, Shared, Unlock};

    fn lock(kind: LockKind, start: u64, length: u64) -> Lock {
        Lock { kind, start, length }
    }

    #[test]
    fn a_lock_replaces_what_its_owner_held_and_joins_what_it_touches() {
        let mut ranges = Ranges::default();
        ranges.set(1, lock(Shared, 0, 10)).unwrap();
        ranges.set(1, lock(Exclusive, 4, 2)).unwrap();
        assert_eq!(ranges.len(), 3, "split");
        ranges.set(1, lock(Shared, 4, 2)).unwrap();
        assert_eq!(ranges.len(), 1, "joined");
        assert_eq!(ranges.grows(1, lock(Unlock, 4, 2)), Ok(true));
        assert_eq!(ranges.grows(1, lock(Unlock, 0, 2)), Ok(false));
        assert_eq!(ranges.grows(2, lock(Unlock, 4, 2)), Ok(false));
        ranges.set(1, lock(Unlock, 0, 0)).unwrap();
        assert!(ranges.is_empty());
    }

    #[test]
    fn a_range_ends_with_the_largest_file() {
        for (start, length, result) in [
            (END, 0, Ok(())),
            (END, 1, Ok(())),
            (0, END + 1, Ok(())),
            (END, 2, Err(Errno::EINVAL)),
            (END + 1, 0, Err(Errno::EINVAL)),
            (0, END + 2, Err(Errno::EINVAL)),
            (u64::MAX, 2, Err(Errno::EINVAL)),
        ] {
            assert_eq!(Ranges::default().set(1, lock(Shared, start, length)), result, "{start} {length}");
        }
    }

    /// How bytes 0, 1, 2 are held, and all that follow as if they were one.
    type Bytes = [Option<LockKind>; 4];

    /// Sets a lock, or releases what is of another kind.
    #[derive(Clone, Copy, Debug)]
    struct Step {
        sets: bool,
        kind: LockKind,
        first: usize,
        last: usize,
    }

    impl Step {
        fn every() -> Vec<Self> {
            let deeds =
                [(true, Unlock), (true, Shared), (true, Exclusive), (false, Shared), (false, Exclusive)];
            let spans = (0..4).flat_map(|first| (first..4).map(move |last| (first, last)));
            spans
                .flat_map(|(first, last)| deeds.map(|(sets, kind)| Self { sets, kind, first, last }))
                .collect()
        }

        fn take(self, ranges: &mut Ranges, bytes: &mut Bytes) {
            let lock = span(self.kind, self.first, self.last);
            let (before, grows) = (ranges.len(), ranges.grows(1, lock).unwrap());
            let deed = if self.sets { Ranges::set } else { Ranges::release_other_kind };
            deed(ranges, 1, lock).unwrap();
            for byte in &mut bytes[self.first..=self.last] {
                *byte = match self.kind {
                    Unlock => None,
                    kind if self.sets => Some(kind),
                    kind => byte.filter(|held| *held == kind),
                };
            }
            assert_eq!(grows, self.kind != Unlock || ranges.len() > before);
        }
    }

    fn span(kind: LockKind, first: usize, last: usize) -> Lock {
        let length = if last == 3 { 0 } else { last - first + 1 };
        lock(kind, first as u64, length as u64)
    }

    /// One lock for all bytes of a kind that touch.
    fn joined(bytes: &Bytes) -> Vec<Lock> {
        let mut first = 0;
        let parts = bytes.chunk_by(|one, next| one == next).filter_map(|part| {
            let start = first;
            first += part.len();
            part[0].map(|kind| span(kind, start, first - 1))
        });
        parts.collect()
    }

    #[test]
    fn a_byte_is_held_as_the_last_step_left_it() {
        let every = Step::every();
        let pairs = every.iter().flat_map(|one| every.iter().map(move |other| (one, other)));
        for steps in pairs.flat_map(|(one, other)| every.iter().map(move |last| [*one, *other, *last])) {
            let (mut ranges, mut bytes) = (Ranges::default(), Bytes::default());
            for step in steps {
                step.take(&mut ranges, &mut bytes);
            }
            let held = joined(&bytes);
            assert_eq!((ranges.len(), ranges.is_empty()), (held.len(), held.is_empty()), "{steps:?}");
            for lock in held {
                let holder = Some(LockHolder { lock, pid: 0 });
                let conflict = |kind| ranges.conflict(2, Lock { kind, length: 1, ..lock });
                assert_eq!(conflict(Exclusive), Ok(holder), "{steps:?}");
                assert_eq!(conflict(Shared), Ok(holder.filter(|_| lock.kind == Exclusive)), "{steps:?}");
            }
        }
    }

    #[test]
    fn owners_leave_each_other_alone() {
        let mut ranges = Ranges::default();
        for (owner, start) in [(1, 4), (2, 6), (2, 2)] {
            ranges.set(owner, lock(Shared, start, 2)).unwrap();
        }
        let first = LockHolder { lock: lock(Shared, 2, 2), pid: 0 };
        assert_eq!(ranges.conflict(3, lock(Exclusive, 0, 0)), Ok(Some(first)));
        ranges.release_other_kind(1, lock(Exclusive, 0, 0)).unwrap();
        assert_eq!(ranges.len(), 2);
        ranges.release_all(1);
        assert_eq!(ranges.len(), 2);
        ranges.release_all(2);
        assert!(ranges.is_empty());
    }

    #[test]
    fn only_anothers_lock_is_in_the_way() {
        let mut ranges = Ranges::default();
        ranges.set(1, lock(Shared, 5, 0)).unwrap();
        assert_eq!(ranges.conflict(1, lock(Exclusive, 0, 0)), Ok(None));
        assert_eq!(ranges.conflict(2, lock(Shared, 0, 0)), Ok(None));
        let holder = LockHolder { lock: lock(Shared, 5, 0), pid: 0 };
        assert_eq!(ranges.conflict(2, lock(Exclusive, 0, 0)), Ok(Some(holder)));
        assert_eq!(ranges.conflict(2, lock(Exclusive, 0, 5)), Ok(None));
        assert_eq!(ranges.set(1, lock(Shared, u64::MAX, 2)), Err(Errno::EINVAL));
    }
}
