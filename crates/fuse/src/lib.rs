//! Any [`Backend`] as a mounted file system, through the kernel's FUSE.
//!
//! ```no_run
//! use gofer_fuse::{Options, mount};
//! use gofer_localfs::LocalFs;
//!
//! let backend = LocalFs::open("/srv/data".as_ref())?;
//! let mounted = mount(backend, "/mnt".as_ref(), &Options::default())?;
//! mounted.wait();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The kernel asks by inode number; [`Backend`] answers by node and file. Between the two stand the inodes the
//! kernel knows, the files it has open, and nothing else: permissions are the kernel's to check
//! (`default_permissions`), with the owner, mode and access control list that the backend tells.
//!
//! Where the backend lends a descriptor of a regular file and this process may (`CAP_SYS_ADMIN`), the file is
//! handed to the kernel, which from then on reads, writes and maps it by itself (`FUSE_PASSTHROUGH`, Linux 6.9).
//! Everything else passes through a few threads, each with one request at a time.
//!
//! Locks, in the order in which they may be taken: an inode's `io`, its `owners`; the waiting locks; the tables of
//! inodes and of files, one at a time. None of the tables' is held across a call of the backend.

mod attr;
mod dir;
mod entry;
mod filesystem;
mod handles;
mod inodes;
mod io;
mod lock;
mod mount;
mod open;
mod walk;
mod xattr;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, LockResult, OnceLock, PoisonError};
use std::time::Duration;

use fuser::Notifier;
use gofer_vfs::{Backend, Errno, IdMap, Result, XattrPolicy};

use crate::handles::Handles;
use crate::inodes::Inodes;
use crate::lock::Waiting;

pub use mount::{Error, Mounted, mount};

/// What the kernel may remember.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cache {
    /// Nothing: every request reaches the backend, and what others change is seen at once.
    None,
    /// Names and attributes for one second; content from one open to the next, unless it changed meanwhile.
    #[default]
    Revalidate,
    /// Everything, also that a name does not exist, and writes are collected: nobody but this mount changes the
    /// tree. Locks are not shown to others.
    Exclusive,
}

impl Cache {
    /// How long names and attributes are good.
    fn validity(self) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Revalidate => Duration::from_secs(1),
            Self::Exclusive => Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// How a tree is mounted.
#[derive(Clone, Debug)]
pub struct Options {
    /// What `mount(8)` and `df(1)` show as the source.
    pub source: String,
    /// What the kernel may remember.
    pub cache: Cache,
    /// Mount it read-only, whatever the backend allows.
    pub read_only: bool,
    /// Users besides the one who mounts may use it.
    pub others: bool,
    /// Extended attributes that can be read and set. Access control lists are obeyed with any.
    pub xattr: XattrPolicy,
    /// How the ids of programs become the backend's.
    pub ids: IdMap,
    /// Device files may be made. They cannot be opened: the mount is `nodev`.
    pub devices: bool,
    /// Hand files to the kernel where that is possible.
    pub passthrough: bool,
    /// Requests that are answered at the same time, at least 1.
    pub threads: usize,
    /// Files that the kernel may know, as far as they are not open: each is a node of the backend's. Beyond that it
    /// is made to forget some.
    pub known: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            source: "gofer".to_owned(),
            cache: Cache::default(),
            read_only: false,
            others: false,
            xattr: XattrPolicy::default(),
            ids: IdMap::default(),
            devices: false,
            passthrough: true,
            threads: 8,
            known: 1 << 20,
        }
    }
}

/// A backend as the kernel sees it.
struct Served<B: Backend> {
    backend: B,
    options: Options,
    inodes: Inodes<B>,
    handles: Handles<B>,
    waiting: Waiting<B>,
    notifier: OnceLock<Notifier>,
    /// Told when the kernel knows too many files.
    surplus: SyncSender<()>,
    /// Files are handed to the kernel, as far as is known.
    passthrough: AtomicBool,
    /// The kernel collects writes.
    writeback: AtomicBool,
    /// The backend was found dead, and that was said.
    dead: AtomicBool,
    /// The backend has lost a node. The kernel looks again for what it is told so about, and what is found then takes
    /// the place of what is lost.
    stale: AtomicBool,
}

impl<B: Backend> Served<B> {
    fn new(backend: B, options: Options, surplus: SyncSender<()>) -> Result<Arc<Self>> {
        let (root, attr) = backend.attach()?;
        let inodes = Inodes::new(root, &attr)?;
        Ok(Arc::new(Self {
            backend,
            options,
            inodes,
            handles: Handles::default(),
            waiting: Waiting::default(),
            notifier: OnceLock::new(),
            surplus,
            passthrough: AtomicBool::new(false),
            writeback: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            stale: AtomicBool::new(false),
        }))
    }

    /// An error as the kernel may see it. What only a connection can say means that the backend is dead, for
    /// which programs know `EIO`.
    fn errno(&self, error: Errno) -> fuser::Errno {
        /// `ESHUTDOWN`.
        const SHUTDOWN: u16 = 108;
        let gone = matches!(
            error,
            Errno::ENOTCONN | Errno::ECONNRESET | Errno::ECONNABORTED | Errno::EPIPE | Errno::ETIMEDOUT
        ) || error.number() == SHUTDOWN;
        if gone && !self.dead.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "the server is gone: {error}; everything is answered EIO until this is unmounted"
            );
        }
        if error == Errno::ESTALE {
            self.stale.store(true, Ordering::Relaxed);
        }
        let error = if gone { Errno::EIO } else { error };
        // Numbers that may be sent are all below 134.
        fuser::Errno::from_i32(error.on_wire().cast_signed())
    }
}

/// What a lock guards. Whoever panicked with it did not leave half a change: every change under these locks is one
/// step.
fn unpoisoned<G>(lock: LockResult<G>) -> G {
    lock.unwrap_or_else(PoisonError::into_inner)
}
