//! Numbers by chance, and bytes that follow from a number.

use crate::journal::Version;

/// Marsaglia's xorshift.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        // SplitMix64's constant: never 0 for any seed that occurs, and far apart for near ones.
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap_or(0) % end
    }
}

/// The content of a file of this version.
pub(crate) fn content(version: Version) -> Vec<u8> {
    let mut chance = Chance::new(version.seed);
    let mut bytes = Vec::with_capacity(version.len + 8);
    while bytes.len() < version.len {
        bytes.extend_from_slice(&chance.next().to_le_bytes());
    }
    bytes.truncate(version.len);
    bytes
}
