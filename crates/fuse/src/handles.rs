//! The files and directories that the kernel has open.

use std::sync::{Arc, RwLock};

use foldhash::HashMap;
use fuser::{BackingId, FileHandle};
use gofer_vfs::{Backend, Errno, Result};

use crate::inodes::Inode;
use crate::unpoisoned;

/// An open file or directory.
pub(crate) struct Handle<B: Backend> {
    pub(crate) inode: Arc<Inode<B>>,
    pub(crate) file: B::File,
    /// What it may be used for is to write.
    pub(crate) writes: bool,
    /// The kernel reads and writes it by itself, and needs this as long.
    pub(crate) backing: Option<Arc<BackingId>>,
}

/// The open ones, each under a number that was never used before and is not 0.
pub(crate) struct Handles<B: Backend>(RwLock<Table<B>>);

struct Table<B: Backend> {
    last: u64,
    open: HashMap<u64, Arc<Handle<B>>>,
}

impl<B: Backend> Default for Handles<B> {
    fn default() -> Self {
        Self(RwLock::new(Table { last: 0, open: HashMap::default() }))
    }
}

impl<B: Backend> Handles<B> {
    pub(crate) fn add(&self, handle: Handle<B>) -> FileHandle {
        let mut table = unpoisoned(self.0.write());
        table.last += 1;
        let number = table.last;
        table.open.insert(number, Arc::new(handle));
        FileHandle(number)
    }

    /// # Errors
    /// `EBADF` for a number that is not open.
    pub(crate) fn named(&self, handle: FileHandle) -> Result<Arc<Handle<B>>> {
        unpoisoned(self.0.read()).open.get(&handle.0).cloned().ok_or(Errno::EBADF)
    }

    pub(crate) fn remove(&self, handle: FileHandle) -> Option<Arc<Handle<B>>> {
        unpoisoned(self.0.write()).open.remove(&handle.0)
    }
}
