//! [`Node`] and [`File`]: what the server holds for us.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gofer_transport::Donated;
use gofer_vfs::{Errno, FileKind, Name, NameBuf, OpenFlags, Result};
use gofer_wire::Str;
use gofer_wire::p9::{Fid, Qid, Tlock};

use crate::emulated::Found;
use crate::p9::rpc::Rpc;

/// A fid, released by dropping.
pub(crate) struct Held {
    rpc: Arc<Rpc>,
    fid: Fid,
}

impl Held {
    /// A fid that a request has made.
    pub(crate) fn new(rpc: &Arc<Rpc>, fid: Fid) -> Self {
        Self { rpc: Arc::clone(rpc), fid }
    }

    pub(crate) fn fid(&self) -> Fid {
        self.fid
    }

    /// The fid, which somebody else releases.
    pub(crate) fn into_fid(mut self) -> Fid {
        std::mem::replace(&mut self.fid, Fid::NONE)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.fid != Fid::NONE {
            self.rpc.clunk(self.fid);
        }
    }
}

/// A place in a remote tree.
#[derive(Clone)]
pub struct Node {
    pub(crate) held: Arc<Held>,
    pub(crate) qid: Qid,
    pub(crate) kind: FileKind,
    found: Option<Found<Node>>,
}

impl Node {
    /// A place of which it is not known where it was found.
    pub(crate) fn new(held: Arc<Held>, qid: Qid, kind: FileKind) -> Self {
        Self { held, qid, kind, found: None }
    }

    /// The same place, found in `dir`.
    pub(crate) fn in_dir(self, dir: &Self, name: Name<'_>) -> Self {
        let dir = Self { found: None, ..dir.clone() };
        Self { found: Some(Found::new(dir, name)), ..self }
    }

    pub(crate) fn found_at(&self) -> Option<(Self, NameBuf)> {
        self.found.as_ref().map(Found::get)
    }

    pub(crate) fn moved(&self, dir: &Self, name: Name<'_>) {
        if let Some(found) = &self.found {
            found.set(Self { found: None, ..dir.clone() }, name);
        }
    }

    pub(crate) fn fid(&self) -> Fid {
        self.held.fid()
    }

    /// The fid, of a directory.
    ///
    /// # Errors
    /// `ENOTDIR` for anything else, which Google's servers answer otherwise.
    pub(crate) fn dir(&self) -> Result<Fid> {
        if self.kind == FileKind::Directory { Ok(self.fid()) } else { Err(Errno::ENOTDIR) }
    }

    /// Programs that use several trees may bring nodes of two together.
    pub(crate) fn same_tree(&self, other: &Self) -> Result<()> {
        if Arc::ptr_eq(&self.held.rpc, &other.held.rpc) { Ok(()) } else { Err(Errno::EXDEV) }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("fid", &self.fid()).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// An open file or directory of a remote tree.
pub struct File {
    /// The file as a place, to be opened again.
    pub(crate) place: Arc<Held>,
    pub(crate) held: Held,
    pub(crate) qid: Qid,
    pub(crate) kind: FileKind,
    pub(crate) flags: OpenFlags,
    /// The most that one message reads or writes, in bytes.
    pub(crate) chunk: usize,
    /// The file itself, where the server gave it.
    pub(crate) donated: Option<Donated>,
    /// Set-id bits were looked for, where that is the client's to do.
    pub(crate) set_id_cleared: AtomicBool,
    /// There were locks.
    pub(crate) locked: AtomicBool,
}

impl File {
    pub(crate) fn fid(&self) -> Fid {
        self.held.fid()
    }

    pub(crate) fn lent(&self) -> Option<BorrowedFd<'_>> {
        self.donated.as_ref().map(AsFd::as_fd)
    }
}

impl Drop for File {
    /// The clunk of a fid is not waited for, but when this returns its locks are to be gone.
    fn drop(&mut self) {
        if *self.locked.get_mut() {
            let (fid, client_id) = (self.fid(), Str::default());
            let unlock =
                Tlock { fid, kind: Tlock::UNLCK, flags: 0, start: 0, length: 0, proc_id: fid.0, client_id };
            drop(self.held.rpc.call(unlock));
        }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("fid", &self.fid())
            .field("kind", &self.kind)
            .field("donated", &self.donated.is_some())
            .field("locked", &self.locked.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}
