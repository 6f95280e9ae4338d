//! readdir.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use gofer_sys::attr::stat_child;
use gofer_sys::dir::{BATCH_MAX, BATCH_MIN, RECORD_MAX, Record, read, seek};
use gofer_vfs::{Entry, EntryName, Errno, FileId, FileKind, Name, Result};

use crate::{File, Opened};

/// What one entry counts in a budget besides the bytes of its name.
const ENTRY_LEN: usize = 24;

/// The state of listing an open directory.
#[derive(Debug)]
pub(crate) struct Listing {
    dev: u64,
    /// Where the host's description stands: the cookie of the last entry read, or `None` where that was not
    /// noted. Held while the host reads, for the position belongs to all who list by this file.
    position: Mutex<Option<u64>>,
}

impl Listing {
    pub(crate) fn new(dev: u64) -> Self {
        Self { dev, position: Mutex::new(Some(0)) }
    }

    /// An entry of the host's; `None` when it cannot be had as one: its file is gone meanwhile, its name is
    /// longer than any, or neither the directory nor its file tells its kind.
    ///
    /// A directory may be a mount point, of which the host lists the inode below the mount: it is looked at.
    fn entry<'a>(&self, dir: BorrowedFd<'_>, record: &Record<'a>) -> Option<Entry<'a>> {
        let listed = FileId { dev: self.dev, ino: record.ino };
        let (name, id, kind) = match record.name {
            b"." => (EntryName::Itself, listed, FileKind::Directory),
            b".." => (EntryName::Parent, listed, FileKind::Directory),
            bytes => {
                let name = Name::new(bytes).ok()?;
                let (id, kind) = match record.kind {
                    Some(kind) if kind != FileKind::Directory => (listed, kind),
                    told => match (stat_child(dir, name), told) {
                        (Ok(attr), _) => (attr.id, attr.kind),
                        (Err(Errno::ENOENT), _) | (Err(_), None) => return None,
                        (Err(_), Some(kind)) => (listed, kind),
                    },
                };
                (EntryName::Child(name), id, kind)
            }
        };
        Some(Entry { name, id, kind, cookie: record.cookie })
    }
}

/// Lists until the budget is nearly used up or the host has no more at once; but in any case, where there are
/// entries besides `.` and `..`, at least one of them.
pub(crate) fn readdir(
    file: &File,
    cookie: u64,
    budget: usize,
    each: &mut dyn FnMut(Entry<'_>) -> bool,
) -> Result<()> {
    let Opened::Directory(listing) = &file.opened else { return Err(Errno::ENOTDIR) };
    let mut position = listing.position.lock().unwrap_or_else(PoisonError::into_inner);
    // It is taken out, and put back only when it is known again.
    if position.take() != Some(cookie) {
        seek(file.as_fd(), cookie)?;
    }
    let mut at = cookie;
    let mut left = budget;
    let mut refused = false;
    let mut children = false;
    loop {
        // No record is smaller than 6/7 of what its entry counts, so that all that is read can be taken.
        let room = (left / 7 * 6).clamp(BATCH_MIN, BATCH_MAX);
        let batch = read(file.as_fd(), room, &mut |record| {
            at = record.cookie;
            let Some(entry) = listing.entry(file.as_fd(), &record) else { return true };
            refused = !each(entry);
            children |= !refused && matches!(entry.name, EntryName::Child(_));
            left = left.saturating_sub(ENTRY_LEN + record.name.len());
            !refused
        });
        match batch {
            // The entries that were taken are an answer; the error will come again.
            Err(_) if children => return Ok(()),
            Err(error) => return Err(error),
            Ok(_) if refused => return Ok(()),
            Ok(bytes) => {
                *position = Some(at);
                let is_short = bytes + RECORD_MAX <= room;
                if bytes == 0 || (children && (is_short || left < budget / 8)) {
                    return Ok(());
                }
                *position = None;
            }
        }
    }
}
