//! open, create, and handing files to the kernel.

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fuser::{BackingId, FileAttr, FileHandle, FopenFlags, INodeNo};
use gofer_sys::task::without_fsetid;
use gofer_vfs::{AccessMode, Backend, CreateFlags, Errno, FileKind, OpenFlags, Result, Sync};

use crate::entry::Maker;
use crate::handles::Handle;
use crate::inodes::Inode;
use crate::walk::name;
use crate::{Cache, Served, unpoisoned};

/// Flags of `open(2)`, the same on x86-64 and aarch64.
const ACCESS: i32 = 0o3;
const WRITE_ONLY: i32 = 0o1;
const READ_WRITE: i32 = 0o2;
const EXCLUSIVE: i32 = 0o200;
const APPEND: i32 = 0o2000;
const DSYNC: i32 = 0o10000;
const SYNC: i32 = 0o4_010_000;
const NO_ATIME: i32 = 0o1_000_000;

/// How the content of a file is reached while it is open. The kernel does not take both ways for one inode at the
/// same time, and not two backing files:
///
/// ```text
///           first opened, lent                       last closed
///  Closed ------------------------> Through(id, n) ---------------> Closed
///         ------------------------> Asked(n) --------------------->
///           first opened, otherwise
/// ```
#[derive(Debug, Default)]
pub(crate) enum Io {
    /// Nobody has it open.
    #[default]
    Closed,
    /// The kernel reads and writes this backing file.
    Through(Arc<BackingId>, usize),
    /// The kernel asks for what is read and written.
    Asked(usize),
}

impl Io {
    /// One more has it open. `backing` is asked for a backing file where the way is free.
    fn join(&mut self, backing: impl FnOnce() -> Option<BackingId>) -> Option<Arc<BackingId>> {
        match self {
            Self::Through(id, users) => {
                *users += 1;
                return Some(id.clone());
            }
            Self::Asked(users) => *users += 1,
            Self::Closed => match backing().map(Arc::new) {
                Some(id) => {
                    *self = Self::Through(id.clone(), 1);
                    return Some(id);
                }
                None => *self = Self::Asked(1),
            },
        }
        None
    }

    pub(crate) fn is_open(&self) -> bool {
        !matches!(self, Self::Closed)
    }

    /// One less has it open.
    pub(crate) fn leave(&mut self) {
        match self {
            Self::Through(_, users) | Self::Asked(users) if *users > 1 => *users -= 1,
            _ => *self = Self::Closed,
        }
    }
}

/// Gives the kernel a descriptor to serve by itself.
pub(crate) type Register<'a> = &'a dyn Fn(BorrowedFd<'_>) -> io::Result<BackingId>;

/// What the kernel is told of a file it has opened.
pub(crate) struct Opened {
    pub(crate) file: FileHandle,
    pub(crate) flags: FopenFlags,
    pub(crate) backing: Option<Arc<BackingId>>,
}

impl<B: Backend> Served<B> {
    pub(crate) fn open(&self, nodeid: INodeNo, flags: i32, register: Register<'_>) -> Result<Opened> {
        let inode = self.inodes.named(nodeid)?;
        let flags = self.open_flags(flags)?;
        let file = match self.backend.open(&inode.node(), flags) {
            // The kernel alone wanted to read, to complete pages.
            Err(Errno::EACCES) if self.reads_to_write(flags) => {
                self.backend.open(&inode.node(), OpenFlags { access: AccessMode::Write, ..flags })?
            }
            opened => opened?,
        };
        Ok(self.opened(inode, file, flags, register))
    }

    /// Makes a file and opens it. It has to be new: of one that is there the kernel has not checked whether the
    /// caller may open it, and with `ESTALE` it looks again.
    pub(crate) fn create(
        &self,
        dir: INodeNo,
        child: &OsStr,
        maker: Maker,
        flags: i32,
        register: Register<'_>,
    ) -> Result<(FileAttr, Opened)> {
        let (dir, child) = (self.inodes.named(dir)?, name(child)?);
        let open = self.open_flags(flags)?;
        let (perm, owner) = (self.perm(&dir, maker), self.owner(&dir, maker));
        let create = CreateFlags { open, exclusive: true };
        let made = self.backend.create(&dir.node(), child, create, perm, owner);
        let (node, file, attr) = made.map_err(|error| match error {
            Errno::EEXIST if flags & EXCLUSIVE == 0 => Errno::ESTALE,
            other => other,
        })?;
        let (inode, told) = self.hold(&dir, child, node, &attr)?;
        Ok((told, self.opened(inode, file, open, register)))
    }

    /// What is to be done, from the flags of `open(2)`. `O_TRUNC` is not among them: the kernel empties a file when it
    /// has opened it.
    fn open_flags(&self, flags: i32) -> Result<OpenFlags> {
        let collects = self.writeback.load(Ordering::Relaxed);
        let access = match flags & ACCESS {
            0 => AccessMode::Read,
            WRITE_ONLY if collects => AccessMode::ReadWrite,
            WRITE_ONLY => AccessMode::Write,
            READ_WRITE => AccessMode::ReadWrite,
            _ => return Err(Errno::EINVAL),
        };
        Ok(OpenFlags {
            // A kernel that collects writes knows where the end is.
            append: flags & APPEND != 0 && !collects,
            sync: match flags & SYNC {
                SYNC => Sync::Full,
                DSYNC => Sync::Data,
                _ => Sync::None,
            },
            no_atime: flags & NO_ATIME != 0,
            // The kernel leaves that to us.
            clears_set_id: access.writes(),
            ..OpenFlags::new(access)
        })
    }

    fn reads_to_write(&self, flags: OpenFlags) -> bool {
        flags.access == AccessMode::ReadWrite && self.writeback.load(Ordering::Relaxed)
    }

    fn opened(
        &self,
        inode: Arc<Inode<B>>,
        file: B::File,
        flags: OpenFlags,
        register: Register<'_>,
    ) -> Opened {
        let backing = match inode.kind {
            FileKind::Regular => unpoisoned(inode.io.lock()).join(|| self.backing(&file, register)),
            _ => None,
        };
        let told = match (&backing, self.options.cache) {
            (Some(_), _) | (None, Cache::Revalidate) => FopenFlags::empty(),
            (None, Cache::None) => FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES,
            (None, Cache::Exclusive) => FopenFlags::FOPEN_KEEP_CACHE,
        };
        // Closing a file that was only read tells nobody anything, where locks are the kernel's own.
        let silent = !flags.access.writes() && self.options.cache == Cache::Exclusive;
        let told = if silent { told | FopenFlags::FOPEN_NOFLUSH } else { told };
        let handle = Handle { inode, file, writes: flags.access.writes(), backing: backing.clone() };
        Opened { file: self.handles.add(handle), flags: told, backing }
    }

    /// A backing file, where the backend lends one and the kernel takes it.
    ///
    /// The kernel opens a file of its own for each opening of ours, with the flags of that and this thread's rights.
    /// One of them is left out: as an ordinary user's write would, theirs shall take set-id bits away.
    fn backing(&self, file: &B::File, register: Register<'_>) -> Option<BackingId> {
        if !self.passthrough.load(Ordering::Relaxed) {
            return None;
        }
        let lent = self.backend.lend(file)?;
        let registered = without_fsetid(|| register(lent)).ok()?;
        match registered {
            Ok(id) => Some(id),
            Err(error) => {
                // Of one file it may be the file system that cannot (EOPNOTSUPP, ELOOP); rights are the same for all.
                if error.raw_os_error() == Some(Errno::EPERM.number().into()) {
                    self.passthrough.store(false, Ordering::Relaxed);
                }
                tracing::debug!("the kernel does not take a file over: {error}");
                None
            }
        }
    }
}
