//! [`Table`]: what a client holds, by its numbers.

use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::hash::Hash;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use foldhash::HashMap;
use gofer_vfs::{Errno, Result};

use crate::sync::{AtomicUsize, Mutex, MutexGuard};

/// How many maps the numbers are spread over, so that requests seldom meet at one lock.
const SHARDS: usize = 6;

/// A part of the table.
pub(crate) type Shard<K, V> = HashMap<K, V>;

/// Values by their numbers, never more than a limit.
///
/// No lock is held while a value is made or dropped, which may open or close files: values leave the table first and
/// are dropped after.
pub(crate) struct Table<K, V> {
    shards: [Mutex<Shard<K, V>>; SHARDS],
    held: AtomicUsize,
    limit: usize,
}

impl<K: Copy + Eq + Hash + Into<u64>, V> Table<K, V> {
    /// Nothing yet, and never more than `limit` values.
    pub(crate) fn new(limit: usize) -> Self {
        Self { shards: Default::default(), held: AtomicUsize::new(0), limit }
    }

    /// The part of the table that a number is in, locked.
    pub(crate) fn shard(&self, key: K) -> MutexGuard<'_, Shard<K, V>> {
        // The remainder is less than the number of shards.
        let at = usize::try_from(key.into() % SHARDS as u64).unwrap_or(0);
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a number stand for a value, whatever it stood for before.
    ///
    /// # Errors
    /// `ENFILE` at the limit.
    pub(crate) fn put(&self, key: K, value: V) -> Result<()> {
        let mut shard = self.shard(key);
        let old = match shard.entry(key) {
            Occupied(mut known) => Some(known.insert(value)),
            Vacant(free) => {
                if self.held.fetch_add(1, Ordering::Relaxed) >= self.limit {
                    self.held.fetch_sub(1, Ordering::Relaxed);
                    drop(shard);
                    drop(value);
                    return Err(Errno::ENFILE);
                }
                free.insert(value);
                None
            }
        };
        drop(shard);
        drop(old);
        Ok(())
    }

    /// Room for `n` values that are yet to be made.
    ///
    /// # Errors
    /// `ENFILE` where they would be too many.
    pub(crate) fn room(&self, n: usize) -> Result<Room<'_, K, V>> {
        if self.held.fetch_add(n, Ordering::Relaxed) + n > self.limit {
            self.held.fetch_sub(n, Ordering::Relaxed);
            return Err(Errno::ENFILE);
        }
        Ok(Room { table: self, left: n })
    }

    /// Takes a number out of use and hands over what it stood for.
    ///
    /// # Errors
    /// `EBADF` when it was not in use.
    pub(crate) fn remove(&self, key: K) -> Result<V> {
        let mut shard = self.shard(key);
        let value = shard.remove(&key).ok_or(Errno::EBADF)?;
        self.held.fetch_sub(1, Ordering::Relaxed);
        if shard.capacity() > 64 && shard.len() < shard.capacity() / 8 {
            let room = shard.len() * 2;
            shard.shrink_to(room);
        }
        Ok(value)
    }

    /// Takes all numbers out of use.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let all = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            self.held.fetch_sub(all.len(), Ordering::Relaxed);
        }
    }
}

/// Room for values, given back when it is dropped.
pub(crate) struct Room<'t, K, V> {
    table: &'t Table<K, V>,
    left: usize,
}

impl<K: Copy + Eq + Hash + Into<u64>, V> Room<'_, K, V> {
    /// Makes a number that stands for nothing stand for a value, of which there are no more than there is room for.
    pub(crate) fn put(&mut self, key: K, value: V) {
        self.left -= 1;
        self.table.shard(key).insert(key, value);
    }
}

impl<K, V> Drop for Room<'_, K, V> {
    fn drop(&mut self) {
        self.table.held.fetch_sub(self.left, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the numbers 0 to 9 stand for.
    fn known(table: &Table<u64, char>) -> String {
        (0..10).filter_map(|key| table.shard(key).get(&key).copied()).collect()
    }

    #[test]
    fn a_number_stands_for_what_was_put_last() {
        let table = Table::new(3);
        for (key, value) in [(0, 'a'), (7, 'b'), (9, 'c')] {
            assert_eq!(table.put(key, value), Ok(()));
        }
        assert_eq!(table.put(8, 'd'), Err(Errno::ENFILE));
        assert_eq!(table.put(7, 'e'), Ok(()), "one for another");
        assert_eq!(known(&table), "aec");
        assert_eq!((table.remove(7), table.remove(7)), (Ok('e'), Err(Errno::EBADF)));
        assert_eq!((table.put(8, 'd'), table.put(7, 'b')), (Ok(()), Err(Errno::ENFILE)));
        table.clear();
        assert_eq!(known(&table), "");
        assert_eq!(table.room(3).map(|_| ()), Ok(()), "all of it is there again");
    }

    #[test]
    fn room_counts_until_it_is_given_back() {
        let table = Table::new(3);
        assert_eq!(table.room(4).err(), Some(Errno::ENFILE));
        let mut room = table.room(2).unwrap();
        assert_eq!(table.room(2).err(), Some(Errno::ENFILE));
        assert_eq!(table.put(0, 'a'), Ok(()));
        assert_eq!(table.put(1, 'b'), Err(Errno::ENFILE));
        room.put(2, 'c');
        assert_eq!(table.put(1, 'b'), Err(Errno::ENFILE));
        drop(room);
        assert_eq!((table.put(1, 'b'), table.put(3, 'd')), (Ok(()), Err(Errno::ENFILE)));
        assert_eq!(known(&table), "abc");
    }

    #[test]
    fn a_part_of_which_little_is_in_use_is_made_smaller() {
        let table = Table::new(1000);
        let keys: Vec<_> = (0..600).map(|n| n * SHARDS as u64).collect();
        for key in &keys {
            table.put(*key, *key).unwrap();
        }
        let capacity = || table.shard(0).capacity();
        let full = capacity();
        let (much, little) = (full / 4, full / 32);
        for key in &keys[much..] {
            table.remove(*key).unwrap();
        }
        assert!(capacity() > full / 2);
        for key in &keys[little..much] {
            table.remove(*key).unwrap();
        }
        assert!(capacity() < full / 2);
        for key in &keys[..little] {
            assert_eq!(table.remove(*key), Ok(*key));
        }
    }
}
