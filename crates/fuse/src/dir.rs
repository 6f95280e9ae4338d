//! opendir, readdir, readdirplus.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fuser::{FileHandle, FopenFlags, INodeNo, ReplyDirectory, ReplyDirectoryPlus};
use gofer_vfs::{AccessMode, Backend, Entry, EntryName, Errno, FileId, OpenFlags, Result};

use crate::handles::Handle;
use crate::inodes::Inode;
use crate::{Cache, Served, attr};

/// What a directory is listed with at first, counted as `Backend::readdir` does, and at most. The kernel does not
/// say through fuser how much it takes; what it took tells.
const BUDGET: usize = 4 * 1024;
const BUDGET_MAX: usize = 64 * 1024;
/// What an entry counts besides its name.
const ENTRY_LEN: usize = 24;

/// Takes an entry of a directory; `false` says that there is no more room.
type Add<'a, B> = dyn FnMut(&Arc<Inode<B>>, Entry<'_>) -> Result<bool> + 'a;

impl<B: Backend> Served<B> {
    pub(crate) fn opendir(&self, nodeid: INodeNo) -> Result<(FileHandle, FopenFlags)> {
        let inode = self.inodes.named(nodeid)?;
        let flags = OpenFlags { directory: true, ..OpenFlags::new(AccessMode::Read) };
        let file = self.backend.open(&inode.node, flags)?;
        let budget = AtomicUsize::new(BUDGET);
        let file = self.handles.add(Handle { inode, file, writes: false, backing: None, budget });
        let told = match self.options.cache {
            Cache::Exclusive => FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR,
            Cache::None | Cache::Revalidate => FopenFlags::empty(),
        };
        Ok((file, told))
    }

    pub(crate) fn readdir(&self, file: FileHandle, from: u64, reply: &mut ReplyDirectory) -> Result<()> {
        self.list(file, from, &mut |dir, entry| {
            let number = self.listed(dir, entry.name, entry.id)?;
            let name = OsStr::from_bytes(entry.name.as_bytes());
            Ok(!reply.add(INodeNo(number), entry.cookie, attr::file_type(entry.kind), name))
        })
    }

    /// Entries with the attributes of their files, each of which is one lookup.
    pub(crate) fn readdirplus(
        &self,
        file: FileHandle,
        from: u64,
        reply: &mut ReplyDirectoryPlus,
    ) -> Result<()> {
        let validity = self.options.cache.validity();
        let generation = fuser::Generation(0);
        self.list(file, from, &mut |dir, entry| {
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
            match self.backend.walk(&dir.node, child) {
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
    fn list(&self, file: FileHandle, from: u64, add: &mut Add<'_, B>) -> Result<()> {
        let handle = self.handles.named(file)?;
        let budget = handle.budget.load(Ordering::Relaxed);
        let (mut taken, mut is_full, mut failed) = (0usize, false, None);
        let listed =
            self.backend.readdir(&handle.file, from, budget, &mut |entry| match add(&handle.inode, entry) {
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
        handle.budget.store(next.clamp(BUDGET, BUDGET_MAX), Ordering::Relaxed);
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
