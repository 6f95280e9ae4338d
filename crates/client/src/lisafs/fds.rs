//! [`Node`] and [`File`]: what the server holds for us.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use gofer_transport::Donated;
use gofer_transport::donated::Fifo;
use gofer_vfs::{Errno, FileId, FileKind, Name, NameBuf, OpenFlags, Result};
use gofer_wire::lisafs::FdId;

use super::dir::Listing;
use super::rpc::Rpc;
use crate::emulated::Found;

/// A number for something, closed by dropping.
pub(crate) struct Held {
    rpc: Arc<Rpc>,
    pub(crate) fd: FdId,
    /// Others notice when it is closed.
    pub(crate) at_once: bool,
}

impl Held {
    /// A number that a reply brought.
    ///
    /// # Errors
    /// `EIO` where it is none, which ends the connection.
    pub(crate) fn new(rpc: &Arc<Rpc>, fd: FdId) -> Result<Self> {
        if fd == FdId::NONE {
            return Err(rpc.violated());
        }
        Ok(Self { rpc: Arc::clone(rpc), fd, at_once: false })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.rpc.close(self.fd);
        if self.at_once {
            self.rpc.close_all();
        }
    }
}

/// A place in a remote tree: a control FD.
#[derive(Clone)]
pub struct Node {
    pub(crate) held: Arc<Held>,
    pub(crate) id: FileId,
    pub(crate) kind: FileKind,
    found: Option<Found<Node>>,
}

impl Node {
    /// A place of which it is not known where it was found.
    pub(crate) fn new(held: Arc<Held>, id: FileId, kind: FileKind) -> Self {
        Self { held, id, kind, found: None }
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

    pub(crate) fn fd(&self) -> FdId {
        self.held.fd
    }

    /// The number, of a directory.
    ///
    /// # Errors
    /// `ENOTDIR` for anything else.
    pub(crate) fn dir(&self) -> Result<FdId> {
        if self.kind == FileKind::Directory { Ok(self.fd()) } else { Err(Errno::ENOTDIR) }
    }

    /// Programs that use several trees may bring nodes of two together.
    pub(crate) fn same_tree(&self, other: &Self) -> Result<()> {
        if Arc::ptr_eq(&self.held.rpc, &other.held.rpc) { Ok(()) } else { Err(Errno::EXDEV) }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("fd", &self.fd()).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A descriptor that came with an open file, looked at.
#[derive(Debug)]
pub(crate) enum Given {
    Nothing,
    Regular(Donated),
    Fifo(Fifo),
}

/// An open file or directory of a remote tree: an open FD.
pub struct File {
    /// The file as a place, to be opened again.
    pub(crate) place: Arc<Held>,
    pub(crate) held: Held,
    pub(crate) id: FileId,
    pub(crate) kind: FileKind,
    pub(crate) flags: OpenFlags,
    pub(crate) given: Given,
    /// Of a directory.
    pub(crate) listing: Mutex<Listing>,
    /// When set-id bits were last looked for, as the client counts.
    pub(crate) set_id_seen: AtomicU64,
}

impl File {
    pub(crate) fn fd(&self) -> FdId {
        self.held.fd
    }

    pub(crate) fn lent(&self) -> Option<BorrowedFd<'_>> {
        if let Given::Regular(donated) = &self.given { Some(donated.as_fd()) } else { None }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("fd", &self.fd())
            .field("kind", &self.kind)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}
