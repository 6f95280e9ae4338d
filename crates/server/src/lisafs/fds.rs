//! What a client holds: places, open files, and sockets that it made. gVisor calls them control, open and bound
//! socket FDs.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use gofer_vfs::{AccessMode, Backend, Errno, FileKind, Result};
use gofer_wire::lisafs::FdId;

use crate::quota::{Quota, Share};
use crate::sync::{AtomicU64, Mutex};
use crate::table::{Room, Table};

/// A node that was walked to, with what never changes about it. Clones are the same place.
pub(crate) struct Place<B: Backend> {
    pub(crate) node: B::Node,
    pub(crate) kind: FileKind,
    /// Whether it is what Mount answered.
    pub(crate) is_root: bool,
}

impl<B: Backend> Clone for Place<B> {
    fn clone(&self) -> Self {
        Self { node: self.node.clone(), ..*self }
    }
}

/// An open file.
pub(crate) struct Open<B: Backend> {
    pub(crate) place: Place<B>,
    pub(crate) file: B::File,
    /// What it was opened for; `None` is neither reading nor writing.
    pub(crate) access: Option<AccessMode>,
    /// Where the next listing goes on. Held while a directory is listed.
    pub(crate) position: Mutex<u64>,
    /// Of the descriptors that the connection may hold.
    _share: Share,
}

impl<B: Backend> Open<B> {
    pub(crate) fn new(room: Share, place: Place<B>, file: B::File, access: Option<AccessMode>) -> Self {
        Self { place, file, access, position: Mutex::new(0), _share: room }
    }

    /// # Errors
    /// `EBADF` unless it was opened for reading; `ESPIPE` for a FIFO, which has no positions: clients have a descriptor
    /// of it.
    pub(crate) fn check_reads(&self) -> Result<()> {
        self.check(AccessMode::reads)
    }

    /// # Errors
    /// As [`check_reads`](Self::check_reads), of writing.
    pub(crate) fn check_writes(&self) -> Result<()> {
        self.check(AccessMode::writes)
    }

    fn check(&self, has: fn(AccessMode) -> bool) -> Result<()> {
        match self.place.kind {
            _ if !self.access.is_some_and(has) => Err(Errno::EBADF),
            FileKind::Fifo => Err(Errno::ESPIPE),
            _ => Ok(()),
        }
    }
}

/// A socket that was given a name.
pub(crate) struct Bound<B: Backend> {
    /// What has the name.
    pub(crate) place: Place<B>,
    /// The client has it, too.
    pub(crate) socket: Arc<OwnedFd>,
    pub(crate) _share: Share,
}

/// What a number stands for.
pub(crate) enum Entry<B: Backend> {
    Place(Place<B>),
    Open(Arc<Open<B>>),
    Bound(Arc<Bound<B>>),
}

impl<B: Backend> Clone for Entry<B> {
    fn clone(&self) -> Self {
        match self {
            Self::Place(place) => Self::Place(place.clone()),
            Self::Open(open) => Self::Open(Arc::clone(open)),
            Self::Bound(bound) => Self::Bound(Arc::clone(bound)),
        }
    }
}

/// Room for `N` numbers.
pub(crate) struct Numbers<'f, B: Backend, const N: usize> {
    room: Room<'f, u64, Entry<B>>,
    last: &'f AtomicU64,
}

impl<B: Backend, const N: usize> Numbers<'_, B, N> {
    /// The numbers, one after the other.
    pub(crate) fn give(mut self, entries: [Entry<B>; N]) -> [FdId; N] {
        let mut id = self.last.fetch_add(N as u64, Ordering::Relaxed);
        entries.map(|entry| {
            id += 1;
            self.room.put(id, entry);
            FdId(id)
        })
    }
}

/// The numbers of a connection. Each is used once.
pub(crate) struct Fds<B: Backend> {
    table: Table<u64, Entry<B>>,
    last: AtomicU64,
    /// The descriptors of open files.
    descriptors: Quota,
}

impl<B: Backend> Fds<B> {
    /// No numbers yet, and never more than `limit`, their open files with so many descriptors.
    pub(crate) fn new(limit: usize, descriptors: Quota) -> Self {
        Self { table: Table::new(limit), last: AtomicU64::new(0), descriptors }
    }

    /// Room for descriptors, to be had before they are.
    ///
    /// # Errors
    /// `ENFILE` when the connection holds as many as it may.
    pub(crate) fn room(&self, descriptors: usize) -> Result<Share> {
        self.descriptors.take(descriptors).ok_or(Errno::ENFILE)
    }

    /// Room for new numbers, to be had before what they will stand for is made.
    ///
    /// # Errors
    /// `ENFILE` at the limit.
    pub(crate) fn numbers<const N: usize>(&self) -> Result<Numbers<'_, B, N>> {
        Ok(Numbers { room: self.table.room(N)?, last: &self.last })
    }

    /// Takes a number out of use.
    ///
    /// # Errors
    /// `EBADF` when it was not in use.
    pub(crate) fn remove(&self, fd: FdId) -> Result<Entry<B>> {
        self.table.remove(fd.0)
    }

    /// What a number stands for, of whatever kind.
    ///
    /// # Errors
    /// `EBADF` when it is not in use.
    pub(crate) fn entry(&self, fd: FdId) -> Result<Entry<B>> {
        self.table.shard(fd.0).get(&fd.0).cloned().ok_or(Errno::EBADF)
    }

    /// A place.
    ///
    /// # Errors
    /// `EBADF` when the number is not in use, `EINVAL` when it stands for something else.
    pub(crate) fn place(&self, fd: FdId) -> Result<Place<B>> {
        match self.table.shard(fd.0).get(&fd.0) {
            Some(Entry::Place(place)) => Ok(place.clone()),
            Some(_) => Err(Errno::EINVAL),
            None => Err(Errno::EBADF),
        }
    }

    /// The place of a directory.
    ///
    /// # Errors
    /// As [`place`](Self::place); `ENOTDIR` for anything else.
    pub(crate) fn dir(&self, fd: FdId) -> Result<Place<B>> {
        let place = self.place(fd)?;
        if place.kind == FileKind::Directory { Ok(place) } else { Err(Errno::ENOTDIR) }
    }

    /// An open file.
    ///
    /// # Errors
    /// As [`place`](Self::place).
    pub(crate) fn open(&self, fd: FdId) -> Result<Arc<Open<B>>> {
        match self.entry(fd)? {
            Entry::Open(open) => Ok(open),
            _ => Err(Errno::EINVAL),
        }
    }

    /// A socket that was bound.
    ///
    /// # Errors
    /// As [`place`](Self::place).
    pub(crate) fn bound(&self, fd: FdId) -> Result<Arc<Bound<B>>> {
        match self.entry(fd)? {
            Entry::Bound(bound) => Ok(bound),
            _ => Err(Errno::EINVAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use gofer_vfs::{MemFs, OpenFlags};

    use super::*;

    fn fds() -> Fds<MemFs> {
        Fds::new(10, Quota::new(10))
    }

    fn place(kind: FileKind) -> Place<MemFs> {
        let (node, _) = MemFs::new(1 << 20).attach().unwrap();
        Place { node, kind, is_root: false }
    }

    fn open(fds: &Fds<MemFs>, kind: FileKind, access: Option<AccessMode>) -> Open<MemFs> {
        let tree = MemFs::new(1 << 20);
        let (node, _) = tree.attach().unwrap();
        let file = tree.open(&node, OpenFlags::new(AccessMode::Read)).unwrap();
        Open::new(fds.room(1).unwrap(), Place { node, kind, is_root: false }, file, access)
    }

    #[test]
    fn a_number_is_used_once() {
        let fds = fds();
        let entry = || Entry::Place(place(FileKind::Directory));
        let [one, two] = fds.numbers().unwrap().give([entry(), entry()]);
        assert!(one != FdId::NONE && two != FdId::NONE && one != two);
        assert!(fds.place(one).is_ok() && fds.place(two).is_ok());
        assert!(fds.remove(one).is_ok() && fds.remove(two).is_ok());
        assert_eq!(fds.place(one).err(), Some(Errno::EBADF));
        let [three] = fds.numbers().unwrap().give([entry()]);
        assert!(![FdId::NONE, one, two].contains(&three));
    }

    #[test]
    fn a_number_stands_for_one_kind() {
        let fds = fds();
        let opened = open(&fds, FileKind::Regular, None);
        let (socket, _share) = (Arc::new(std::io::pipe().unwrap().0.into()), fds.room(1).unwrap());
        let bound = Bound { place: place(FileKind::Socket), socket, _share };
        let [dir, file, opened, bound] = fds.numbers().unwrap().give([
            Entry::Place(place(FileKind::Directory)),
            Entry::Place(place(FileKind::Regular)),
            Entry::Open(Arc::new(opened)),
            Entry::Bound(Arc::new(bound)),
        ]);
        let each = [dir, file, opened, bound, FdId::NONE];
        let (no, bad) = (Some(Errno::EINVAL), Some(Errno::EBADF));
        assert_eq!(each.map(|fd| fds.place(fd).err()), [None, None, no, no, bad]);
        assert_eq!(each.map(|fd| fds.dir(fd).err()), [None, Some(Errno::ENOTDIR), no, no, bad]);
        assert_eq!(each.map(|fd| fds.open(fd).err()), [no, no, None, no, bad]);
        assert_eq!(each.map(|fd| fds.bound(fd).err()), [no, no, no, None, bad]);
    }

    #[test]
    fn a_file_is_used_as_it_was_opened_and_a_fifo_elsewhere() {
        let fds = fds();
        let bad = Err(Errno::EBADF);
        for (access, reads, writes) in [
            (None, bad, bad),
            (Some(AccessMode::Read), Ok(()), bad),
            (Some(AccessMode::Write), bad, Ok(())),
            (Some(AccessMode::ReadWrite), Ok(()), Ok(())),
        ] {
            let file = open(&fds, FileKind::Regular, access);
            assert_eq!((file.check_reads(), file.check_writes()), (reads, writes), "{access:?}");
            let fifo = open(&fds, FileKind::Fifo, access);
            let elsewhere = |result: Result<()>| result.and(Err(Errno::ESPIPE));
            assert_eq!((fifo.check_reads(), fifo.check_writes()), (elsewhere(reads), elsewhere(writes)));
        }
    }
}
