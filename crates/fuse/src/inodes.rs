//! What the kernel knows: inodes, their numbers, and how often it looked each of them up.

use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::HashMap;
use fuser::INodeNo;
use gofer_vfs::{Attr, Backend, Errno, FileId, FileKind, Gid, Name, NameBuf, Numbers, Result};

use crate::lock::Owners;
use crate::open::Io;
use crate::unpoisoned;

/// A file or directory that the kernel holds by its number.
pub(crate) struct Inode<B: Backend> {
    /// By what the kernel names it: its number, and 1 for the root.
    pub(crate) nodeid: INodeNo,
    /// What programs see as `st_ino`.
    pub(crate) number: u64,
    pub(crate) kind: FileKind,
    node: RwLock<B::Node>,
    /// A directory that it was seen in, and its name there.
    found: Mutex<Option<(INodeNo, NameBuf)>>,
    /// How its content is reached while it is open.
    pub(crate) io: Mutex<Io>,
    /// Who holds byte-range locks in it.
    pub(crate) owners: Mutex<Owners<B>>,
    /// The directory, opened, where the kernel does not ask for that.
    pub(crate) listing: Mutex<Option<Arc<B::File>>>,
    /// Bytes that the kernel takes of the directory at once, as far as is known.
    pub(crate) budget: AtomicUsize,
    /// The group that new files in a directory inherit, behind a bit that says whether they do.
    heritage: AtomicU64,
}

/// Set in [`Inode::heritage`] when there is a group.
const INHERITS: u64 = 1 << 32;

impl<B: Backend> Inode<B> {
    fn new(
        nodeid: INodeNo,
        number: u64,
        node: B::Node,
        attr: &Attr,
        found: Option<(INodeNo, NameBuf)>,
    ) -> Self {
        let inode = Self {
            nodeid,
            number,
            kind: attr.kind,
            node: RwLock::new(node),
            found: Mutex::new(found),
            io: Mutex::default(),
            owners: Mutex::default(),
            listing: Mutex::new(None),
            budget: AtomicUsize::new(0),
            heritage: AtomicU64::new(0),
        };
        inode.saw(attr);
        inode
    }

    /// Notes of a directory's attributes what making something in it needs.
    pub(crate) fn saw(&self, attr: &Attr) {
        if self.kind == FileKind::Directory {
            let inherits = attr.perm & 0o2000 != 0;
            let heritage = if inherits { INHERITS | u64::from(attr.gid.0) } else { 0 };
            self.heritage.store(heritage, Ordering::Relaxed);
        }
    }

    /// The file, as a place.
    pub(crate) fn node(&self) -> B::Node {
        unpoisoned(self.node.read()).clone()
    }

    /// Takes another node of the file in the place of its own, unless somebody has it open.
    fn renew(&self, node: B::Node) {
        if !unpoisoned(self.io.lock()).is_open() {
            let old = std::mem::replace(&mut *unpoisoned(self.node.write()), node);
            // It may ask the backend for something: not under the lock.
            drop(old);
        }
    }

    /// Notes a name that it was given.
    pub(crate) fn found(&self, dir: INodeNo, name: Name<'_>) {
        *unpoisoned(self.found.lock()) = Some((dir, name.into()));
    }

    /// The group that new files in this directory get whoever makes them (`inode(7)`, the set-group-ID bit).
    pub(crate) fn heritage(&self) -> Option<Gid> {
        let heritage = self.heritage.load(Ordering::Relaxed);
        // The bits below the mark are a group id.
        (heritage & INHERITS != 0).then(|| Gid(u32::try_from(heritage ^ INHERITS).unwrap_or_default()))
    }
}

/// An inode, and how many lookups of it the kernel has not forgotten.
struct Known<B: Backend> {
    inode: Arc<Inode<B>>,
    lookups: u64,
}

/// The inodes that the kernel knows.
///
/// The kernel counts the replies that gave it an inode (lookup, mknod, mkdir, symlink, link, create, and each entry
/// of readdirplus) and takes counts back by forget. An inode stays as long as its count is above 0, so that its
/// number cannot come to mean another file; the root stays always.
pub(crate) struct Inodes<B: Backend> {
    root: Arc<Inode<B>>,
    root_id: FileId,
    numbers: Numbers<u64>,
    known: RwLock<HashMap<u64, Known<B>>>,
}

impl<B: Backend> Inodes<B> {
    /// With the root alone.
    pub(crate) fn new(root: B::Node, attr: &Attr) -> Result<Self> {
        // 0 stands for "no file" and 1 for the root.
        let numbers = Numbers::new(2);
        let number = numbers.number(attr.id.dev, attr.id.ino)?;
        let root = Arc::new(Inode::new(INodeNo::ROOT, number, root, attr, None));
        Ok(Self { root, root_id: attr.id, numbers, known: RwLock::default() })
    }

    fn known(&self) -> RwLockReadGuard<'_, HashMap<u64, Known<B>>> {
        unpoisoned(self.known.read())
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, HashMap<u64, Known<B>>> {
        unpoisoned(self.known.write())
    }

    /// The number that programs see for a file.
    pub(crate) fn number(&self, id: FileId) -> Result<u64> {
        self.numbers.number(id.dev, id.ino)
    }

    /// An inode that the kernel names.
    ///
    /// # Errors
    /// `ESTALE` for one that it does not hold.
    pub(crate) fn named(&self, nodeid: INodeNo) -> Result<Arc<Inode<B>>> {
        if nodeid == INodeNo::ROOT {
            return Ok(self.root.clone());
        }
        self.known().get(&nodeid.0).map(|known| known.inode.clone()).ok_or(Errno::ESTALE)
    }

    /// The inode of a node that was found in a directory, with one lookup more. Where it is known already the new
    /// node is dropped; with `renew` it takes the place of the old one, which the backend may have lost.
    pub(crate) fn hold(
        &self,
        dir: INodeNo,
        name: Name<'_>,
        node: B::Node,
        attr: &Attr,
        renew: bool,
    ) -> Result<Arc<Inode<B>>> {
        if attr.id == self.root_id {
            return Ok(self.root.clone());
        }
        let number = self.number(attr.id)?;
        let mut known = self.known_mut();
        let (held, left) = match known.entry(number) {
            Entry::Occupied(held) => (held.into_mut(), Some(node)),
            Entry::Vacant(room) => {
                let found = Some((dir, name.into()));
                let inode = Arc::new(Inode::new(INodeNo(number), number, node, attr, found));
                (room.insert(Known { inode, lookups: 0 }), None)
            }
        };
        held.lookups = held.lookups.saturating_add(1);
        let inode = held.inode.clone();
        drop(known);
        if let Some(node) = left.filter(|_| renew) {
            inode.renew(node);
            inode.found(dir, name);
        }
        inode.saw(attr);
        Ok(inode)
    }

    /// One lookup more of an inode that is in hand.
    ///
    /// # Errors
    /// `ESTALE` when the kernel has forgotten it meanwhile.
    pub(crate) fn hold_again(&self, inode: &Inode<B>) -> Result<()> {
        if inode.nodeid != INodeNo::ROOT {
            let mut known = self.known_mut();
            let held = known.get_mut(&inode.nodeid.0).ok_or(Errno::ESTALE)?;
            held.lookups = held.lookups.saturating_add(1);
        }
        Ok(())
    }

    /// Takes back `count` lookups.
    pub(crate) fn forget(&self, nodeid: INodeNo, count: u64) {
        let mut known = self.known_mut();
        let Some(held) = known.get_mut(&nodeid.0) else { return };
        held.lookups = held.lookups.saturating_sub(count);
        let gone = if held.lookups == 0 { known.remove(&nodeid.0) } else { None };
        drop(known);
        // What was held is closed when the lock is free again.
        drop(gone);
    }

    /// How many the kernel knows besides the root.
    pub(crate) fn len(&self) -> usize {
        self.known().len()
    }

    /// About a quarter of them, by directory and name: files that nobody has open. Directories are left out, for
    /// one that a program works in would seem removed to it.
    pub(crate) fn idle(&self) -> Vec<(INodeNo, NameBuf)> {
        let known = self.known();
        let idle = known
            .values()
            .filter(|held| held.inode.kind != FileKind::Directory && Arc::strong_count(&held.inode) == 1);
        idle.filter_map(|held| unpoisoned(held.inode.found.lock()).clone()).take(known.len() / 4).collect()
    }
}

#[cfg(test)]
mod tests {
    use gofer_vfs::{MemFs, Owner};

    use super::*;

    #[test]
    fn an_inode_stays_until_every_lookup_is_forgotten() {
        let fs = MemFs::new(1 << 20);
        let (root, attr) = fs.attach().unwrap();
        let inodes = Inodes::<MemFs>::new(root, &attr).unwrap();
        let (root, _) = fs.attach().unwrap();
        let name = Name::new(b"d").unwrap();
        let (node, attr) = fs.mkdir(&root, name, 0o2755, Owner::default()).unwrap();
        let first = inodes.hold(INodeNo::ROOT, name, node, &attr, false).unwrap();
        let (node, attr) = fs.walk(&root, name).unwrap();
        let again = inodes.hold(INodeNo::ROOT, name, node, &attr, false).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(first.heritage(), Some(attr.gid));
        inodes.forget(first.nodeid, 1);
        assert!(inodes.named(first.nodeid).is_ok());
        inodes.forget(first.nodeid, 1);
        assert_eq!(inodes.named(first.nodeid).err(), Some(Errno::ESTALE));
        assert_eq!(inodes.len(), 0);
    }

    #[test]
    fn the_root_is_never_forgotten() {
        let fs = MemFs::new(1 << 20);
        let (root, attr) = fs.attach().unwrap();
        let inodes = Inodes::<MemFs>::new(root, &attr).unwrap();
        let (root, attr) = fs.attach().unwrap();
        let name = Name::new(b"n").unwrap();
        assert_eq!(inodes.hold(INodeNo::ROOT, name, root, &attr, false).unwrap().nodeid, INodeNo::ROOT);
        inodes.forget(INodeNo::ROOT, 5);
        assert!(inodes.named(INodeNo::ROOT).is_ok());
    }
}
