//! Qids: which file is which, in the 64 bits that 9P has for it.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use gofer_vfs::{Errno, FileId, FileKind, Result};
use gofer_wire::p9::{Qid, QidKind};

/// Devices that get a number of their own; the number behind them marks the ids that are handed out.
const DEVICES: usize = 255;
/// Bits of an inode number that fit beside the device's.
const INODE_BITS: u32 = 56;
/// How many ids can be handed out.
const EXTRA: usize = 1 << 20;

/// The qid paths of a server's exports. The device numbers of one mean nothing in another, so the same device
/// in two exports is two devices here.
///
/// Devices are numbered in the order in which they are first seen. A file on one of the first 255 devices
/// with an inode number below 2^56 has the path `device << 56 | inode`; any other gets the next number in the
/// range of device 255. A path never changes and never stands for two files.
#[derive(Debug)]
pub(crate) struct Qids {
    devices: [OnceLock<Device>; DEVICES],
    extra: Mutex<HashMap<(Device, u64), u64>>,
}

/// A device of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Device {
    export: usize,
    dev: u64,
}

impl Default for Qids {
    fn default() -> Self {
        Self { devices: [const { OnceLock::new() }; DEVICES], extra: Mutex::default() }
    }
}

impl Qids {
    /// The qid of a file in an export.
    ///
    /// # Errors
    /// `EOVERFLOW` when there is no number left for it.
    pub(crate) fn qid(&self, export: usize, id: FileId, kind: FileKind) -> Result<Qid> {
        let device = Device { export, dev: id.dev };
        Ok(Qid { kind: qid_kind(kind), version: 0, path: self.path(device, id.ino)? })
    }

    fn path(&self, device: Device, ino: u64) -> Result<u64> {
        if ino >> INODE_BITS == 0 {
            for (number, known) in (0u64..).zip(&self.devices) {
                if *known.get_or_init(|| device) == device {
                    return Ok(number << INODE_BITS | ino);
                }
            }
        }
        let mut extra = self.extra.lock().unwrap_or_else(PoisonError::into_inner);
        let next = extra.len();
        if let Some(path) = extra.get(&(device, ino)) {
            return Ok(*path);
        }
        if next >= EXTRA {
            return Err(Errno::EOVERFLOW);
        }
        let path = (DEVICES as u64) << INODE_BITS | next as u64;
        extra.insert((device, ino), path);
        Ok(path)
    }
}

/// The qid type of a kind of file. Sockets, FIFOs and character devices have the append bit, as in gVisor's
/// server; no client reads it.
fn qid_kind(kind: FileKind) -> QidKind {
    match kind {
        FileKind::Directory => QidKind::DIR,
        FileKind::Symlink => QidKind::SYMLINK,
        FileKind::Socket | FileKind::Fifo | FileKind::CharDevice => QidKind::APPEND,
        FileKind::Regular | FileKind::BlockDevice => QidKind::FILE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(qids: &Qids, dev: u64, ino: u64) -> u64 {
        qids.path(Device { export: 0, dev }, ino).unwrap()
    }

    #[test]
    fn devices_are_numbered_as_they_come() {
        let qids = Qids::default();
        assert_eq!(path(&qids, 0xfe01, 7), 7);
        assert_eq!(path(&qids, 9, 7), 1 << 56 | 7);
        assert_eq!(path(&qids, 0xfe01, 8), 8);
        assert_eq!(path(&qids, 0, 1), 2 << 56 | 1, "device 0 is a device too");
        let elsewhere = Device { export: 1, dev: 9 };
        assert_eq!(qids.path(elsewhere, 7), Ok(3 << 56 | 7), "another export's device is another");
    }

    #[test]
    fn what_does_not_fit_never_collides() {
        let qids = Qids::default();
        let mut seen = std::collections::HashSet::new();
        for dev in 0..600 {
            for ino in [1, 2, (1 << 56) - 1, 1 << 56, (1 << 56) + 1, u64::MAX] {
                assert!(seen.insert(path(&qids, dev, ino)), "{dev} {ino}");
            }
        }
        for dev in 0..600 {
            assert!(!seen.insert(path(&qids, dev, u64::MAX)), "the same file keeps its path");
        }
    }

    #[test]
    fn running_out_is_an_error() {
        let qids = Qids::default();
        for ino in 0..EXTRA as u64 {
            path(&qids, 1, 1 << 56 | ino);
        }
        assert_eq!(qids.path(Device { export: 0, dev: 1 }, u64::MAX), Err(Errno::EOVERFLOW));
        assert_eq!(path(&qids, 1, 1 << 56), 255 << 56, "what has a path keeps it");
    }
}
