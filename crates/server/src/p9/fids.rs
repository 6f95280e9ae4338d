//! Fids: what a client holds.

#[cfg(test)]
mod fixture;
#[cfg(all(test, loom))]
mod model;

use std::sync::{Arc, OnceLock};

use gofer_vfs::{AccessMode, Backend, Errno, FileKind, PeerUid, Result};
use gofer_wire::p9::{self, Version};

use super::lock::HeldLocks;
use super::xattr::XattrFid;
use crate::quota::{Quota, Share};
use crate::sync::{Mutex, MutexGuard};
use crate::table::{Shard, Table};

/// A node that was walked to, with what never changes about it. Clones are the same place.
pub(crate) struct Place<B: Backend> {
    pub(crate) node: B::Node,
    /// The user that the attach was made for; owns what is created below.
    pub(crate) user: PeerUid,
    /// Which export it is in.
    pub(crate) export: u16,
    pub(crate) kind: FileKind,
    /// Whether it was attached: then it cannot be renamed or removed by its own fid.
    pub(crate) is_root: bool,
}

impl<B: Backend> Clone for Place<B> {
    fn clone(&self) -> Self {
        Self { node: self.node.clone(), ..*self }
    }
}

/// An open file, and what it was opened for.
pub(crate) struct Open<B: Backend> {
    pub(crate) file: B::File,
    pub(crate) access: AccessMode,
    pub(crate) locks: Mutex<Option<HeldLocks>>,
    /// Of the descriptors that the connection may hold.
    _share: Share,
}

impl<B: Backend> Open<B> {
    pub(crate) fn new(room: Share, file: B::File, access: AccessMode) -> Self {
        Self { file, access, locks: Mutex::new(None), _share: room }
    }
}

/// A place that is open, or is being opened.
pub(crate) struct Opened<B: Backend> {
    pub(crate) place: Place<B>,
    open: OnceLock<Open<B>>,
}

impl<B: Backend> Opened<B> {
    pub(crate) fn open(&self) -> Option<&Open<B>> {
        self.open.get()
    }
}

/// A fid of a file, for as long as a request needs it: a place that may be open.
///
/// ```text
/// walked ---claim---> opening ---set_open---> open, until clunked
///    ^                   |
///    +--- claim dropped -+
/// ```
pub(crate) struct Fid<B: Backend> {
    pub(crate) place: Place<B>,
    opened: Option<Arc<Opened<B>>>,
}

impl<B: Backend> Fid<B> {
    pub(crate) fn open(&self) -> Option<&Open<B>> {
        self.opened.as_ref()?.open()
    }

    /// That something can be made, removed or renamed in it.
    ///
    /// # Errors
    /// `EINVAL` for what is no directory or, on a Google session, is open.
    pub(crate) fn check_dir(&self, version: Version) -> Result<()> {
        let closed = self.open().is_none() || !version.is_google();
        if self.place.kind == FileKind::Directory && closed { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

/// The right to open a fid, which one request at a time can have. Dropping it gives it back, unless the fid
/// was opened or stands for something else.
pub(crate) struct Claim<'f, B: Backend> {
    fids: &'f Fids<B>,
    at: p9::Fid,
    opened: Arc<Opened<B>>,
}

impl<B: Backend> Claim<'_, B> {
    /// The place that may be opened.
    pub(crate) fn place(&self) -> &Place<B> {
        &self.opened.place
    }

    /// Opens the fid.
    pub(crate) fn set_open(self, open: Open<B>) {
        // Nobody else has the right to.
        let _ = self.opened.open.set(open);
    }

    /// Makes the number stand for another place, which is open.
    ///
    /// # Errors
    /// `EBADF` when it does not stand for what was claimed any more.
    pub(crate) fn replace(self, place: Place<B>, open: Open<B>) -> Result<()> {
        self.swap(Entry::Opened(Arc::new(Opened { place, open: open.into() })))
    }

    /// As [`replace`](Self::replace), for an extended attribute.
    ///
    /// # Errors
    /// As [`replace`](Self::replace).
    pub(crate) fn replace_with_xattr(self, fid: XattrFid<B>) -> Result<()> {
        self.swap(Entry::Xattr(Arc::new(fid)))
    }

    fn swap(&self, new: Entry<B>) -> Result<()> {
        let mut shard = self.fids.shard(self.at);
        let current = shard.get_mut(&self.at.0).filter(|entry| entry.is_opened(&self.opened));
        let (unused, result) = match current {
            Some(entry) => (std::mem::replace(entry, new), Ok(())),
            None => (new, Err(Errno::EBADF)),
        };
        drop(shard);
        // It may close a file: not under the lock.
        drop(unused);
        result
    }
}

impl<B: Backend> Drop for Claim<'_, B> {
    fn drop(&mut self) {
        if self.opened.open().is_none() {
            // It may stand for something else by now.
            let _ = self.swap(Entry::Walked(self.opened.place.clone()));
        }
    }
}

/// What a fid number stands for. The first costs no memory but its entry and the node's.
pub(crate) enum Entry<B: Backend> {
    Walked(Place<B>),
    Opened(Arc<Opened<B>>),
    Xattr(Arc<XattrFid<B>>),
}

impl<B: Backend> Clone for Entry<B> {
    fn clone(&self) -> Self {
        match self {
            Self::Walked(place) => Self::Walked(place.clone()),
            Self::Opened(opened) => Self::Opened(Arc::clone(opened)),
            Self::Xattr(fid) => Self::Xattr(Arc::clone(fid)),
        }
    }
}

impl<B: Backend> Entry<B> {
    fn is_opened(&self, other: &Arc<Opened<B>>) -> bool {
        matches!(self, Self::Opened(opened) if Arc::ptr_eq(opened, other))
    }
}

/// The fids of a connection.
pub(crate) struct Fids<B: Backend> {
    table: Table<u32, Entry<B>>,
    /// The descriptors of open files.
    descriptors: Quota,
}

impl<B: Backend> Fids<B> {
    /// No fids yet, and never more than `limit`, their open files with so many descriptors.
    pub(crate) fn new(limit: usize, descriptors: Quota) -> Self {
        Self { table: Table::new(limit), descriptors }
    }

    fn shard(&self, fid: p9::Fid) -> MutexGuard<'_, Shard<u32, Entry<B>>> {
        self.table.shard(fid.0)
    }

    /// Room for descriptors, to be had before they are.
    ///
    /// # Errors
    /// `ENFILE` when the connection holds as many as it may.
    pub(crate) fn room(&self, descriptors: usize) -> Result<Share> {
        self.descriptors.take(descriptors).ok_or(Errno::ENFILE)
    }

    /// What a fid stands for, of whatever kind.
    ///
    /// # Errors
    /// `EBADF` when it is not in use.
    pub(crate) fn entry(&self, fid: p9::Fid) -> Result<Entry<B>> {
        self.shard(fid).get(&fid.0).cloned().ok_or(Errno::EBADF)
    }

    /// The file a fid stands for.
    ///
    /// # Errors
    /// `EBADF` when it is not in use or is of an extended attribute.
    pub(crate) fn get(&self, fid: p9::Fid) -> Result<Fid<B>> {
        match self.shard(fid).get(&fid.0) {
            Some(Entry::Walked(place)) => Ok(Fid { place: place.clone(), opened: None }),
            Some(Entry::Opened(opened)) => {
                Ok(Fid { place: opened.place.clone(), opened: Some(Arc::clone(opened)) })
            }
            Some(Entry::Xattr(_)) | None => Err(Errno::EBADF),
        }
    }

    /// The right to open a fid.
    ///
    /// # Errors
    /// As for [`get`](Self::get); `EINVAL` when it is open or another request is opening it.
    pub(crate) fn claim(&self, at: p9::Fid) -> Result<Claim<'_, B>> {
        let mut shard = self.shard(at);
        let entry = shard.get_mut(&at.0).ok_or(Errno::EBADF)?;
        let place = match entry {
            Entry::Walked(place) => place.clone(),
            Entry::Opened(_) => return Err(Errno::EINVAL),
            Entry::Xattr(_) => return Err(Errno::EBADF),
        };
        let opened = Arc::new(Opened { place, open: OnceLock::new() });
        *entry = Entry::Opened(Arc::clone(&opened));
        Ok(Claim { fids: self, at, opened })
    }

    /// Makes a number stand for a place, whatever it stood for before.
    ///
    /// # Errors
    /// `EINVAL` for the number that means "no fid", `ENFILE` at the limit.
    pub(crate) fn insert(&self, at: p9::Fid, place: Place<B>) -> Result<()> {
        self.put(at, Entry::Walked(place))
    }

    /// As [`insert`](Self::insert), for an extended attribute.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub(crate) fn insert_xattr(&self, at: p9::Fid, fid: XattrFid<B>) -> Result<()> {
        self.put(at, Entry::Xattr(Arc::new(fid)))
    }

    fn put(&self, at: p9::Fid, entry: Entry<B>) -> Result<()> {
        if at == p9::Fid::NONE {
            return Err(Errno::EINVAL);
        }
        self.table.put(at.0, entry)
    }

    /// Takes a number out of use and hands over what it stood for.
    ///
    /// # Errors
    /// `EBADF` when it was not in use.
    pub(crate) fn remove(&self, fid: p9::Fid) -> Result<Entry<B>> {
        self.table.remove(fid.0)
    }

    /// Takes all numbers out of use. Extended attributes that were not clunked are not written.
    pub(crate) fn clear(&self) {
        self.table.clear();
    }
}

#[cfg(test)]
mod tests {
    use gofer_vfs::MemFs;

    use super::fixture::{FID, Held, OTHER};
    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<(u32, Entry<MemFs>)>(), 24, "MemFs has nodes of a pointer, as LocalFs has");
    }

    #[test]
    fn one_at_a_time_opens_a_fid() {
        let held = Held::new(1);
        assert_eq!(held.fids.claim(FID).err(), Some(Errno::EBADF));
        held.fids.insert(FID, held.place(0)).unwrap();
        let claim = held.fids.claim(FID).unwrap();
        assert_eq!(held.fids.claim(FID).err(), Some(Errno::EINVAL));
        assert!(held.fids.get(FID).unwrap().open().is_none(), "not yet");
        drop(claim);
        let claim = held.fids.claim(FID).unwrap();
        let open = held.open(claim.place());
        claim.set_open(open);
        assert_eq!(held.fids.claim(FID).err(), Some(Errno::EINVAL));
        assert!(held.fids.get(FID).unwrap().open().is_some());
        held.fids.clear();
        assert_eq!(held.fids.get(FID).err(), Some(Errno::EBADF));
        assert!(held.fids.room(1).is_ok(), "the file is closed");
    }

    #[test]
    fn what_is_created_takes_the_place_of_what_was_claimed_only() {
        let held = Held::new(1);
        held.fids.insert(FID, held.place(0)).unwrap();
        let claim = held.fids.claim(FID).unwrap();
        let open = held.open(claim.place());
        assert_eq!(claim.replace(held.place(7), open), Ok(()));
        let created = held.fids.get(FID).unwrap();
        assert_eq!((created.place.export, created.open().is_some()), (7, true));
        drop(created);

        held.fids.insert(FID, held.place(0)).unwrap();
        let claim = held.fids.claim(FID).unwrap();
        held.fids.insert(FID, held.place(1)).unwrap();
        let open = held.open(claim.place());
        assert_eq!(claim.replace(held.place(7), open), Err(Errno::EBADF));
        let fid = held.fids.get(FID).unwrap();
        assert_eq!((fid.place.export, fid.open().is_some()), (1, false));
        assert!(held.fids.room(1).is_ok(), "what was created is closed");
    }

    #[test]
    fn no_fid_is_no_number_for_a_place() {
        let held = Held::new(1);
        assert_eq!(held.fids.insert(p9::Fid::NONE, held.place(0)), Err(Errno::EINVAL));
        assert_eq!(held.fids.insert(FID, held.place(0)), Ok(()));
        assert_eq!(held.fids.insert(OTHER, held.place(0)), Err(Errno::ENFILE));
    }

    #[test]
    fn names_change_in_directories_and_for_google_in_closed_ones() {
        let google = Version(1);
        let open = Held::with_open();
        assert_eq!(open.fids.get(FID).unwrap().check_dir(Version::BASE), Ok(()));
        assert_eq!(open.fids.get(FID).unwrap().check_dir(google), Err(Errno::EINVAL));

        let held = Held::new(2);
        held.fids.insert(FID, held.place(0)).unwrap();
        held.fids.insert(OTHER, Place { kind: FileKind::Regular, ..held.place(0) }).unwrap();
        for version in [Version::BASE, google] {
            assert_eq!(held.fids.get(FID).unwrap().check_dir(version), Ok(()));
            assert_eq!(held.fids.get(OTHER).unwrap().check_dir(version), Err(Errno::EINVAL));
        }
    }
}
