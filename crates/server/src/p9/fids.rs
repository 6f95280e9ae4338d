//! Fids: what a client holds.

use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use gofer_vfs::{AccessMode, Attr, Backend, Errno, FileKind, NameBuf, PeerUid, Result};
use gofer_wire::p9::{self, Qid, Version};

use super::lock::HeldLocks;
use super::xattr::XattrFid;
use crate::export::Exports;
use crate::quota::{Quota, Share};
use crate::recycle::{Pool, Shared};

/// A node that was walked to, with what never changes about it. Fids cloned from one another share it.
pub(crate) struct Place<B: Backend> {
    /// Which export it is in.
    pub(crate) export: usize,
    pub(crate) node: B::Node,
    pub(crate) kind: FileKind,
    pub(crate) qid: Qid,
    /// Of the descriptors that the connection may hold.
    _share: Share,
}

impl<B: Backend> Place<B> {
    /// A place that was reached.
    ///
    /// # Errors
    /// `EOVERFLOW` when there is no qid left for it.
    pub(crate) fn new(
        room: Share,
        export: usize,
        exports: &Exports<B>,
        node: B::Node,
        attr: &Attr,
    ) -> Result<Self> {
        let qid = exports.qid(export, attr.id, attr.kind)?;
        Ok(Self { export, node, kind: attr.kind, qid, _share: room })
    }
}

/// Where a fid was found: kept only for Trename and Tremove, which name a file by its fid, and checked
/// against the place's identity before use.
pub(crate) struct Link<B: Backend> {
    pub(crate) parent: Shared<Place<B>>,
    pub(crate) name: NameBuf,
}

impl<B: Backend> Clone for Link<B> {
    fn clone(&self) -> Self {
        Self { parent: self.parent.clone(), name: self.name.clone() }
    }
}

/// A fid of a file: a place that may be open.
///
/// ```text
/// walked ---claim---> opening ---set_open---> open, until clunked
///    ^                   |
///    +--- claim dropped -+
/// ```
pub(crate) struct Fid<B: Backend> {
    pub(crate) place: Shared<Place<B>>,
    /// The user that the attach was made for; owns what is created below.
    pub(crate) user: PeerUid,
    /// `None` for what was attached: it cannot be renamed or removed by its own fid.
    link: Mutex<Option<Link<B>>>,
    claimed: AtomicBool,
    open: OnceLock<Open<B>>,
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

/// The right to open a fid, which one request at a time can have. Dropping it gives it back, unless the fid
/// was opened.
pub(crate) struct Claim<'f, B: Backend>(&'f Fid<B>);

impl<B: Backend> Fid<B> {
    pub(crate) fn new(place: Shared<Place<B>>, user: PeerUid, link: Option<Link<B>>) -> Self {
        Self { place, user, link: Mutex::new(link), claimed: AtomicBool::new(false), open: OnceLock::new() }
    }

    /// The same place under another fid, not open.
    pub(crate) fn unopened(&self) -> Self {
        Self::new(self.place.clone(), self.user, self.link())
    }

    /// A fid that is open from the start.
    pub(crate) fn opened(self, open: Open<B>) -> Self {
        Self { claimed: AtomicBool::new(true), open: open.into(), ..self }
    }

    pub(crate) fn link(&self) -> Option<Link<B>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn relink(&self, link: Link<B>) {
        let old = self.link.lock().unwrap_or_else(PoisonError::into_inner).replace(link);
        // It may close a descriptor: not under the lock.
        drop(old);
    }

    pub(crate) fn open(&self) -> Option<&Open<B>> {
        self.open.get()
    }

    /// That something can be made, removed or renamed in it.
    ///
    /// # Errors
    /// `EINVAL` for what is no directory or, on a Google session, is open.
    pub(crate) fn check_dir(&self, version: Version) -> Result<()> {
        let closed = self.open().is_none() || !version.is_google();
        if self.place.kind == FileKind::Directory && closed { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// The right to open it.
    ///
    /// # Errors
    /// `EINVAL` when it is open or another request is opening it.
    pub(crate) fn claim(&self) -> Result<Claim<'_, B>> {
        self.claimed
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .map(|_| Claim(self))
            .map_err(|_| Errno::EINVAL)
    }
}

impl<B: Backend> Claim<'_, B> {
    /// Opens the fid.
    pub(crate) fn set_open(self, open: Open<B>) {
        // Nobody else has the right to, so it is not open.
        drop(self.0.open.set(open));
    }
}

impl<B: Backend> Drop for Claim<'_, B> {
    fn drop(&mut self) {
        if self.0.open.get().is_none() {
            self.0.claimed.store(false, Ordering::Release);
        }
    }
}

/// What a fid number stands for.
pub(crate) enum Entry<B: Backend> {
    File(Shared<Fid<B>>),
    Xattr(Arc<XattrFid<B>>),
}

impl<B: Backend> Clone for Entry<B> {
    fn clone(&self) -> Self {
        match self {
            Self::File(fid) => Self::File(fid.clone()),
            Self::Xattr(fid) => Self::Xattr(Arc::clone(fid)),
        }
    }
}

type Shard<B> = HashMap<u32, Entry<B>>;

/// How many tables the fids are spread over, so that requests seldom meet at one lock.
const SHARDS: usize = 8;

/// The fids of a connection.
///
/// No lock is held while a file is opened or closed: entries leave the table first and are dropped after.
pub(crate) struct Fids<B: Backend> {
    shards: [Mutex<Shard<B>>; SHARDS],
    held: AtomicUsize,
    limit: usize,
    /// The descriptors behind places and open files.
    descriptors: Quota,
    places: Pool<Place<B>>,
    files: Pool<Fid<B>>,
}

impl<B: Backend> Fids<B> {
    /// No fids yet, and never more than `limit`, with so many descriptors.
    pub(crate) fn new(limit: usize, descriptors: usize) -> Self {
        Self {
            shards: Default::default(),
            held: AtomicUsize::new(0),
            limit,
            descriptors: Quota::new(descriptors),
            places: Pool::default(),
            files: Pool::default(),
        }
    }

    fn shard(&self, fid: p9::Fid) -> MutexGuard<'_, Shard<B>> {
        let at = fid.0 as usize % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for a descriptor, to be had before the descriptor is.
    ///
    /// # Errors
    /// `ENFILE` when the connection holds as many as it may.
    pub(crate) fn room(&self) -> Result<Share> {
        self.descriptors.take(1).ok_or(Errno::ENFILE)
    }

    pub(crate) fn share_place(&self, place: Place<B>) -> Shared<Place<B>> {
        self.places.share(place)
    }

    /// Gives up a place that is of no more use.
    pub(crate) fn release_place(&self, place: Shared<Place<B>>) {
        drop(self.places.release(place));
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
    pub(crate) fn get(&self, fid: p9::Fid) -> Result<Shared<Fid<B>>> {
        match self.shard(fid).get(&fid.0) {
            Some(Entry::File(fid)) => Ok(fid.clone()),
            Some(Entry::Xattr(_)) | None => Err(Errno::EBADF),
        }
    }

    /// Makes a number stand for a file, whatever it stood for before.
    ///
    /// # Errors
    /// `EINVAL` for the number that means "no fid", `ENFILE` at the limit.
    pub(crate) fn insert(&self, at: p9::Fid, fid: Fid<B>) -> Result<()> {
        let fid = Entry::File(self.files.share(fid));
        self.put(at, fid)
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
        let mut shard = self.shard(at);
        let old = match shard.entry(at.0) {
            Occupied(mut known) => Some(known.insert(entry)),
            Vacant(free) => {
                if self.held.fetch_add(1, Ordering::Relaxed) >= self.limit {
                    self.held.fetch_sub(1, Ordering::Relaxed);
                    drop(shard);
                    self.release(entry);
                    return Err(Errno::ENFILE);
                }
                free.insert(entry);
                None
            }
        };
        drop(shard);
        if let Some(old) = old {
            self.release(old);
        }
        Ok(())
    }

    /// Makes a number that stands for `old` stand for `new`.
    ///
    /// # Errors
    /// `EBADF` when it does not stand for `old` any more.
    pub(crate) fn replace(&self, at: p9::Fid, old: &Shared<Fid<B>>, new: Fid<B>) -> Result<()> {
        let new = Entry::File(self.files.share(new));
        self.swap(at, old, new)
    }

    /// As [`replace`](Self::replace), for an extended attribute.
    ///
    /// # Errors
    /// As [`replace`](Self::replace).
    pub(crate) fn replace_with_xattr(
        &self,
        at: p9::Fid,
        old: &Shared<Fid<B>>,
        new: XattrFid<B>,
    ) -> Result<()> {
        self.swap(at, old, Entry::Xattr(Arc::new(new)))
    }

    fn swap(&self, at: p9::Fid, old: &Shared<Fid<B>>, new: Entry<B>) -> Result<()> {
        let mut shard = self.shard(at);
        let current = shard.get_mut(&at.0).filter(|entry| matches!(entry, Entry::File(now) if now.same(old)));
        let (unused, result) = match current {
            Some(entry) => (std::mem::replace(entry, new), Ok(())),
            None => (new, Err(Errno::EBADF)),
        };
        drop(shard);
        self.release(unused);
        result
    }

    /// Takes a number out of use and hands over what it stood for, to be [released](Self::release).
    ///
    /// # Errors
    /// `EBADF` when it was not in use.
    pub(crate) fn remove(&self, fid: p9::Fid) -> Result<Entry<B>> {
        let mut shard = self.shard(fid);
        let entry = shard.remove(&fid.0).ok_or(Errno::EBADF)?;
        self.held.fetch_sub(1, Ordering::Relaxed);
        if shard.capacity() > 64 && shard.len() < shard.capacity() / 8 {
            let room = shard.len() * 2;
            shard.shrink_to(room);
        }
        Ok(entry)
    }

    /// Drops an entry that has left the table; its memory is used again where this was the last holder.
    pub(crate) fn release(&self, entry: Entry<B>) {
        let Entry::File(fid) = entry else { return };
        let Some(Fid { place, link, open, .. }) = self.files.release(fid) else { return };
        drop(open);
        self.release_place(place);
        if let Some(link) = link.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.release_place(link.parent);
        }
    }

    /// Takes all numbers out of use. Extended attributes that were not clunked are not written.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let all = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            self.held.fetch_sub(all.len(), Ordering::Relaxed);
        }
    }
}
