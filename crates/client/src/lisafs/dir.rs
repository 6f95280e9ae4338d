//! Getdents64.
//!
//! The server can only read on, or start again. Its position is that of the last entry it gave; entries that were
//! read and not taken wait here. A position that is neither among them nor at the server's is looked for from the
//! start. A position is the host's, so that it is there after the start again, unless its entry is gone.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use gofer_vfs::{Entry, EntryName, Errno, FileId, FileKind, Name, NameBuf, Result};
use gofer_wire::lisafs::{Dirent, Dirents, Getdents64Req, Getdents64Resp, Pad};

use super::{Client, File, Node};
use crate::emulated::{ITSELF, list_dots};

/// Room for an entry with the longest name, and the most that is asked for at once, in bytes of the host's records.
const LEAST: usize = Dirent::record_len(Name::MAX);
const MOST: usize = 64 * 1024;

/// Replies in a row with nothing but `.` and `..`, for servers that list them.
const ASIDE: usize = 16;
/// How many entries may lie before a position that is looked for.
const BEFORE: usize = 1 << 24;

/// An entry as it came, checked.
#[derive(Debug)]
struct Listed {
    name: NameBuf,
    id: FileId,
    /// `None` where the server's file system does not tell.
    kind: Option<FileKind>,
    cookie: u64,
}

/// What was read of an open directory and not taken. It is locked while the server reads, whose position belongs to
/// all who list by this file.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The server has to start again: where it is is not known.
    starts: bool,
    /// The position before the first of the entries; 0 is the start.
    from: u64,
    entries: VecDeque<Listed>,
}

impl Default for Listing {
    /// At the start.
    fn default() -> Self {
        Self { starts: true, from: 0, entries: VecDeque::new() }
    }
}

impl Listing {
    /// Drops what lies before a position. `false` where that is not here.
    fn skip_to(&mut self, cookie: u64) -> bool {
        if self.from == cookie {
            return true;
        }
        let Some(at) = self.entries.iter().position(|listed| listed.cookie == cookie) else { return false };
        self.entries.drain(..=at);
        self.from = cookie;
        true
    }
}

impl Client {
    pub(crate) fn readdir(
        &self,
        file: &File,
        cookie: u64,
        budget: usize,
        each: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<()> {
        if file.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let mut listing = file.listing.lock().unwrap_or_else(PoisonError::into_inner);
        if cookie == 0 {
            // Whoever starts again is to see what is new.
            *listing = Listing::default();
        }
        let behind_dots = if cookie >= ITSELF { 0 } else { cookie };
        self.seek(file, &mut listing, behind_dots)?;
        if listing.entries.is_empty() {
            self.read_on(file, &mut listing, budget.clamp(LEAST, MOST))?;
            // One that was removed has not even `.`.
            if cookie == 0 && listing.entries.is_empty() && self.is_removed(file) {
                return Err(Errno::ENOENT);
            }
        }
        if list_dots(file.id, cookie, each).is_none() {
            return Ok(());
        }
        while let Some(listed) = listing.entries.front() {
            let name = listed.name.as_name();
            let kind = listed.kind.unwrap_or_else(|| self.kind_of(file, name));
            if !each(Entry { name: EntryName::Child(name), id: listed.id, kind, cookie: listed.cookie }) {
                return Ok(());
            }
            listing.from = listed.cookie;
            listing.entries.pop_front();
        }
        Ok(())
    }

    /// Makes the entries behind `cookie` the next, be they here or at the server.
    fn seek(&self, file: &File, listing: &mut Listing, cookie: u64) -> Result<()> {
        if listing.skip_to(cookie) {
            return Ok(());
        }
        *listing = Listing::default();
        let mut before = 0;
        while !listing.skip_to(cookie) {
            self.read_on(file, listing, MOST)?;
            before += listing.entries.len();
            if listing.entries.is_empty() || before > BEFORE {
                *listing = Listing::default();
                return Err(Errno::EINVAL);
            }
        }
        Ok(())
    }

    /// Reads the entries that follow, at least one if there is one, in the place of those that are here. Where it fails
    /// the server has to start again.
    fn read_on(&self, file: &File, listing: &mut Listing, count: usize) -> Result<()> {
        let signed = i32::try_from(count).map_err(|_| Errno::EIO)?;
        let Listing { mut starts, from, mut entries } = std::mem::take(listing);
        let from = entries.back().map_or(from, |last| last.cookie);
        entries.clear();
        for _ in 0..ASIDE {
            let count = if starts { -signed } else { signed };
            starts = false;
            let answer = match self.rpc.call(&Getdents64Req { fd: file.fd(), count, pad: Pad }) {
                // That of a directory which was removed.
                Err(Errno::EINVAL) if self.is_removed(file) => return Err(Errno::ENOENT),
                other => other?,
            };
            let Getdents64Resp { entries: Dirents(dirents) } = answer.body()?;
            let mut records = 0;
            for dirent in dirents {
                records += Dirent::record_len(dirent.name.as_bytes().len());
                entries.extend(self.listed(&dirent)?);
            }
            if records > signed.unsigned_abs() as usize {
                return Err(self.rpc.violated());
            }
            if dirents.is_empty() || !entries.is_empty() {
                *listing = Listing { starts, from, entries };
                return Ok(());
            }
        }
        Err(self.rpc.violated())
    }

    /// An entry as it came, checked; `None` for `.` and `..`, which were made up already.
    ///
    /// # Errors
    /// `EIO` for a name that is none and a position that cannot be.
    fn listed(&self, dirent: &Dirent<'_>) -> Result<Option<Listed>> {
        let name = match dirent.name.as_bytes() {
            b"." | b".." => return Ok(None),
            name => Name::new(name).map_err(|_| self.rpc.violated())?,
        };
        if dirent.offset == 0 || dirent.offset >= ITSELF {
            return Err(self.rpc.violated());
        }
        Ok(Some(Listed {
            name: name.into(),
            id: self.file_id(dirent.dev_major, dirent.dev_minor, dirent.ino),
            kind: FileKind::of_dirent_type(dirent.kind),
            cookie: dirent.offset,
        }))
    }

    /// The kind of an entry where the server's file system does not tell.
    fn kind_of(&self, file: &File, name: Name<'_>) -> FileKind {
        let dir = Node::new(Arc::clone(&file.place), file.id, file.kind);
        self.lookup(&dir, name).map_or(FileKind::Regular, |attr| attr.kind)
    }

    /// Why a directory has no entries: the host finds nothing in one that was removed, but servers list it as empty, or
    /// refuse.
    fn is_removed(&self, file: &File) -> bool {
        self.getattr_fd(file.fd()).is_ok_and(|attr| attr.is_removed())
    }
}
