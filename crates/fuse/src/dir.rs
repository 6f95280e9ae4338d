//! opendir, readdir, readdirplus.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fuser::{FileHandle, INodeNo, ReplyDirectory, ReplyDirectoryPlus};
use gofer_vfs::{AccessMode, Backend, Entry, EntryName, Errno, FileId, OpenFlags, Result};

use crate::handles::Handle;
use crate::inodes::Inode;
use crate::{Cache, Served, attr, unpoisoned};

/// What a directory is listed with at first, counted as `Backend::readdir` does, and at most. The kernel does not
/// say through fuser how much it takes; what it took tells.
const BUDGET: usize = 4 * 1024;
const BUDGET_MAX: usize = 64 * 1024;
/// What an entry counts besides its name.
const ENTRY_LEN: usize = 24;

const DIRECTORY: OpenFlags = OpenFlags { directory: true, ..OpenFlags::new(AccessMode::Read) };

/// Takes an entry of a directory; `false` says that there is no more room.
type Add<'a, B> = dyn FnMut(&Arc<Inode<B>>, Entry<'_>) -> Result<bool> + 'a;

/// What stands for a directory that the kernel did not ask to be opened.
const UNOPENED: FileHandle = FileHandle(0);

impl<B: Backend> Served<B> {
    /// Opens a directory. Where the kernel keeps what is listed, `ENOSYS` tells it not to ask any more: to open what
    /// it knows by heart would be most of the work of programs that look through a tree.
    pub(crate) fn opendir(&self, nodeid: INodeNo) -> Result<FileHandle> {
        if self.options.cache == Cache::Exclusive {
            return Err(Errno::ENOSYS);
        }
        let inode = self.inodes.named(nodeid)?;
        let file = self.backend.open(&inode.node(), DIRECTORY)?;
        Ok(self.handles.add(Handle { inode, file, writes: false, backing: None }))
    }

    /// A directory that the kernel did not ask to be opened, opened: once for as long as it is known, for the
    /// positions in a listing belong to the file.
    fn unopened(&self, inode: &Inode<B>) -> Result<Arc<B::File>> {
        let mut listing = unpoisoned(inode.listing.lock());
        if let Some(file) = &*listing {
            return Ok(file.clone());
        }
        let file = Arc::new(self.backend.open(&inode.node(), DIRECTORY)?);
        *listing = Some(file.clone());
        Ok(file)
    }

    pub(crate) fn fsyncdir(&self, nodeid: INodeNo, file: FileHandle, data_only: bool) -> Result<()> {
        if file == UNOPENED {
            let opened = self.unopened(&*self.inodes.named(nodeid)?)?;
            return self.backend.fsync(&opened, data_only);
        }
        self.fsync(file, data_only)
    }

    pub(crate) fn readdir(
        &self,
        nodeid: INodeNo,
        file: FileHandle,
        from: u64,
        reply: &mut ReplyDirectory,
    ) -> Result<()> {
        self.list(nodeid, file, from, &mut |dir, entry| {
            let number = self.listed(dir, entry.name, entry.id)?;
            let name = OsStr::from_bytes(entry.name.as_bytes());
            Ok(!reply.add(INodeNo(number), entry.cookie, attr::file_type(entry.kind), name))
        })
    }

    /// Entries with the attributes of their files, each of which is one lookup.
    pub(crate) fn readdirplus(
        &self,
        nodeid: INodeNo,
        file: FileHandle,
        from: u64,
        reply: &mut ReplyDirectoryPlus,
    ) -> Result<()> {
        let validity = self.options.cache.validity();
        let generation = fuser::Generation(0);
        self.list(nodeid, file, from, &mut |dir, entry| {
            let name = OsStr::from_bytes(entry.name.as_bytes());
            let EntryName::Child(child) = entry.name else {
                let number = self.listed(dir, entry.name, entry.id)?;
                let told = fuser::FileAttr {
                    ino: INodeNo(number),
                    kind: attr::file_type(entry.kind),
                    ..attr::nothing()
                };
                return Ok(!reply.add(INodeNo(0), entry.cookie, name, &validity, &told, generation));
            };
            match self.backend.walk(&dir.node(), child) {
                Ok((node, attr)) => {
                    let (inode, told) = self.hold(dir, child, node, &attr)?;
                    let added = !reply.add(inode.nodeid, entry.cookie, name, &validity, &told, generation);
                    if !added {
                        self.inodes.forget(inode.nodeid, 1);
                    }
                    Ok(added)
                }
                // It is gone meanwhile.
                Err(Errno::ENOENT) => Ok(true),
                // It is there, and the kernel shall ask for it by name.
                Err(_) => {
                    let number = self.inodes.number(entry.id)?;
                    let told = fuser::FileAttr {
                        ino: INodeNo(number),
                        kind: attr::file_type(entry.kind),
                        ..attr::nothing()
                    };
                    Ok(!reply.add(INodeNo(0), entry.cookie, name, &validity, &told, generation))
                }
            }
        })
    }

    /// The number in an entry. That of the parent is not known here, and a root's would be above the tree.
    fn listed(&self, dir: &Arc<Inode<B>>, name: EntryName<'_>, id: FileId) -> Result<u64> {
        match name {
            EntryName::Itself | EntryName::Parent => Ok(dir.number),
            EntryName::Child(_) => self.inodes.number(id),
        }
    }

    /// Lists a directory until `add` has no more room.
    fn list(&self, nodeid: INodeNo, file: FileHandle, from: u64, add: &mut Add<'_, B>) -> Result<()> {
        let inode = self.inodes.named(nodeid)?;
        let (unopened, handle);
        let file = if file == UNOPENED {
            unopened = self.unopened(&inode)?;
            &*unopened
        } else {
            handle = self.handles.named(file)?;
            &handle.file
        };
        let budget = inode.budget.load(Ordering::Relaxed).clamp(BUDGET, BUDGET_MAX);
        let (mut taken, mut is_full, mut failed) = (0usize, false, None);
        let listed = self.backend.readdir(file, from, budget, &mut |entry| match add(&inode, entry) {
            Ok(true) => {
                taken += ENTRY_LEN + entry.name.as_bytes().len();
                true
            }
            Ok(false) => {
                is_full = true;
                false
            }
            Err(error) => {
                failed = Some(error);
                false
            }
        });
        let next = if is_full { taken } else { budget.saturating_mul(2) };
        inode.budget.store(next, Ordering::Relaxed);
        match (listed, failed) {
            // The entries that were taken are an answer; the error will come again.
            _ if taken > 0 => Ok(()),
            (_, Some(error)) => Err(error),
            // The host lists nothing in a directory that was removed.
            (Err(Errno::ENOENT), None) => Ok(()),
            (listed, None) => listed,
        }
    }
}
