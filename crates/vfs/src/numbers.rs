//! [`Numbers`]: which file is which, in 64 bits.

use std::hash::Hash;
use std::sync::{Mutex, OnceLock, PoisonError};

use foldhash::HashMap;

use crate::{Errno, Result};

/// Devices that get a number of their own; the number behind them marks the ones that are handed out.
const DEVICES: usize = 255;
/// Bits of an inode number that fit beside the device's.
const INODE_BITS: u32 = 56;
/// How many can be handed out.
const EXTRA: usize = 1 << 20;

/// Numbers for files, as 9P's qid paths and FUSE's inode numbers are: unique for (device, inode) and the same as
/// long as this value lives.
///
/// Devices are numbered in the order in which they are first seen. A file on one of the first 255 devices
/// with an inode number below 2^56 has the number `device << 56 | inode`; any other gets the next one in the
/// range of device 255.
#[derive(Debug)]
pub struct Numbers<D> {
    least: u64,
    devices: [OnceLock<D>; DEVICES],
    extra: Mutex<HashMap<(D, u64), u64>>,
}

impl<D: Copy + Eq + Hash> Numbers<D> {
    /// Numbers of which none is below `least`.
    pub fn new(least: u64) -> Self {
        Self { least, devices: [const { OnceLock::new() }; DEVICES], extra: Mutex::default() }
    }

    /// The number of an inode of a device.
    ///
    /// # Errors
    /// `EOVERFLOW` when there is no number left for it.
    pub fn number(&self, device: D, ino: u64) -> Result<u64> {
        if ino >> INODE_BITS == 0 {
            for (number, known) in (0u64..).zip(&self.devices) {
                if *known.get_or_init(|| device) == device {
                    let number = number << INODE_BITS | ino;
                    if number >= self.least {
                        return Ok(number);
                    }
                    break;
                }
            }
        }
        let mut extra = self.extra.lock().unwrap_or_else(PoisonError::into_inner);
        let next = extra.len();
        if let Some(number) = extra.get(&(device, ino)) {
            return Ok(*number);
        }
        if next >= EXTRA {
            return Err(Errno::EOVERFLOW);
        }
        let number = (DEVICES as u64) << INODE_BITS | next as u64;
        extra.insert((device, ino), number);
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_numbered_as_they_come() {
        let numbers = Numbers::new(0);
        assert_eq!(numbers.number(0xfe01, 7), Ok(7));
        assert_eq!(numbers.number(9, 7), Ok(1 << 56 | 7));
        assert_eq!(numbers.number(0xfe01, 8), Ok(8));
        assert_eq!(numbers.number(0, 1), Ok(2 << 56 | 1), "device 0 is a device too");
    }

    #[test]
    fn none_is_below_the_least() {
        let numbers = Numbers::new(2);
        assert_eq!(numbers.number(5, 1), Ok(255 << 56));
        assert_eq!(numbers.number(5, 2), Ok(2));
        assert_eq!(numbers.number(6, 1), Ok(1 << 56 | 1));
        assert_eq!(numbers.number(5, 1), Ok(255 << 56), "and keeps it");
    }

    #[test]
    fn what_does_not_fit_never_collides() {
        let numbers = Numbers::new(2);
        let mut seen = std::collections::HashSet::new();
        for dev in 0..600 {
            for ino in [1, 2, (1 << 56) - 1, 1 << 56, (1 << 56) + 1, u64::MAX] {
                assert!(seen.insert(numbers.number(dev, ino).unwrap()), "{dev} {ino}");
            }
        }
        for dev in 0..600 {
            assert!(!seen.insert(numbers.number(dev, u64::MAX).unwrap()), "the same file keeps its number");
        }
    }

    #[test]
    fn running_out_is_an_error() {
        let numbers = Numbers::new(0);
        for ino in 0..EXTRA as u64 {
            numbers.number(1, 1 << 56 | ino).unwrap();
        }
        assert_eq!(numbers.number(1, u64::MAX), Err(Errno::EOVERFLOW));
        assert_eq!(numbers.number(1, 1 << 56), Ok(255 << 56), "what has a number keeps it");
    }
}
