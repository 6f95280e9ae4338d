//! [`MemFs`]: the smallest backend, and the model in tests.
//!
//! A tree of inodes behind one lock, with the answers that Linux gives to root on an ordinary file system.
//! There are no permissions: front-ends that check them do so before they ask. Devices, FIFOs and sockets are
//! names with attributes and nothing behind them.
//!
//! | file | holds |
//! |---|---|
//! | `tree.rs` | the table of inodes, what they cost, the clock they are stamped by |
//! | `open.rs` `io.rs` `attr.rs` `entry.rs` `dir.rs` `xattr.rs` `lock.rs` | the operations, by family |

mod attr;
mod dir;
mod entry;
#[cfg(test)]
pub(crate) mod fixture;
mod io;
mod lock;
mod open;
mod tree;
mod xattr;

use std::ops::Deref;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::tree::{Body, Ino, ROOT, Tree};
use crate::{
    Allocate, Attr, Backend, CreateFlags, Credentials, Entry, Errno, FileId, Lock, LockHolder, Name, NameBuf,
    OpenFlags, Owner, RenameFlags, Result, SetAttr, Sink, SocketKind, Source, Special, StatFs, Unlink,
    XattrFlags, XattrName,
};

/// A file tree in memory.
///
/// Time is logical: it begins at a fixed moment in 2001 and moves by a nanosecond with every change, so that
/// two runs of the same operations give the same attributes.
#[derive(Debug)]
pub struct MemFs {
    root: Node,
}

impl MemFs {
    /// An empty tree, its root owned by user and group 0 with mode 0755. Everything that is ever in it, names
    /// and attributes included, takes less than about `capacity_bytes` of memory; then the answer is `ENOSPC`.
    pub fn new(capacity_bytes: u64) -> Self {
        // Files of two trees are never the same file, so each tree is a device of its own.
        static DEVICES: AtomicU64 = AtomicU64::new(1);
        let dev = DEVICES.fetch_add(1, Ordering::Relaxed);
        let tree = Arc::new(Mutex::new(Tree::new(dev, capacity_bytes)));
        Self { root: Node(Arc::new(Place { tree, ino: ROOT, found: Mutex::new(None) })) }
    }
}

/// A place in a [`MemFs`]. It keeps its inode, also when that has no name any more.
#[derive(Clone, Debug)]
pub struct Node(Arc<Place>);

/// What the clones of a node share.
#[derive(Debug)]
pub struct Place {
    tree: Arc<Mutex<Tree>>,
    ino: Ino,
    /// The directory that it was found in, which it keeps too, and its name there. Locked after the tree.
    found: Mutex<Option<(Ino, NameBuf)>>,
}

impl Deref for Node {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.0
    }
}

impl Place {
    /// The whole tree. Nodes and files must not be dropped while this is held: they take the lock themselves.
    fn tree(&self) -> MutexGuard<'_, Tree> {
        // A panic elsewhere leaves the tree as usable as an error would.
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node for an inode that was found in `tree`, which is this node's.
    fn beside(&self, tree: &mut Tree, ino: Ino) -> Node {
        self.place(tree, ino, None)
    }

    fn place(&self, tree: &mut Tree, ino: Ino, found: Option<(Ino, NameBuf)>) -> Node {
        tree.pin(ino);
        if let Some((dir, _)) = found {
            tree.pin(dir);
        }
        Node(Arc::new(Place { tree: self.tree.clone(), ino, found: Mutex::new(found) }))
    }

    /// The node and the attributes of something that was just found or made in this directory.
    fn found(&self, tree: &mut Tree, ino: Ino, name: Name<'_>) -> (Node, Attr) {
        (self.place(tree, ino, Some((self.ino, name.into()))), tree.attr(ino))
    }

    /// Front-ends that serve several trees may bring nodes of two together.
    fn same_tree(&self, other: &Self) -> Result<()> {
        if Arc::ptr_eq(&self.tree, &other.tree) { Ok(()) } else { Err(Errno::EXDEV) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let found = self.found.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let mut tree = self.tree();
        tree.unpin(self.ino);
        if let Some((dir, _)) = found {
            tree.unpin(dir);
        }
    }
}

/// An open file or directory of a [`MemFs`].
#[derive(Debug)]
pub struct File {
    node: Node,
    flags: OpenFlags,
    /// Unlike that of any other file of the tree: whose the locks are.
    number: u64,
}

impl File {
    fn new(dir: &Node, tree: &mut Tree, ino: Ino, flags: OpenFlags) -> Self {
        Self { node: dir.beside(tree, ino), flags, number: tree.number_file() }
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.node.tree()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.tree().unlock_all(self.node.ino, self.number);
    }
}

impl Backend for MemFs {
    type Node = Node;
    type File = File;

    fn is_read_only(&self) -> bool {
        false
    }
    fn attach(&self) -> Result<(Node, Attr)> {
        let tree = self.root.tree();
        Ok((self.root.clone(), tree.attr(self.root.ino)))
    }

    fn walk(&self, dir: &Node, name: Name<'_>) -> Result<(Node, Attr)> {
        let mut tree = dir.tree();
        let ino = tree.find(dir.ino, name)?;
        Ok(dir.found(&mut tree, ino, name))
    }

    fn pass(&self, dir: &Node, name: Name<'_>) -> Result<(Node, Attr)> {
        self.walk(dir, name)
    }

    fn lookup(&self, dir: &Node, name: Name<'_>) -> Result<Attr> {
        let tree = dir.tree();
        let ino = tree.find(dir.ino, name)?;
        Ok(tree.attr(ino))
    }

    fn id(&self, node: &Node) -> FileId {
        node.tree().id(node.ino)
    }

    fn found_at(&self, node: &Node) -> Option<(Node, NameBuf)> {
        let mut tree = node.tree();
        let found = node.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.as_ref().map(|(dir, name)| (node.beside(&mut tree, *dir), name.clone()))
    }

    fn moved(&self, node: &Node, dir: &Node, name: Name<'_>) {
        let mut tree = node.tree();
        tree.pin(dir.ino);
        let mut found = node.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((old, _)) = found.replace((dir.ino, name.into())) {
            tree.unpin(old);
        }
    }

    fn open(&self, node: &Node, flags: OpenFlags) -> Result<File> {
        let mut tree = node.tree();
        tree.open(node.ino, &flags)?;
        Ok(File::new(node, &mut tree, node.ino, flags))
    }

    fn create(
        &self,
        dir: &Node,
        name: Name<'_>,
        flags: CreateFlags,
        perm: u32,
        owner: Owner,
    ) -> Result<(Node, File, Attr)> {
        let mut tree = dir.tree();
        let ino = tree.create(dir.ino, name, flags, perm, owner)?;
        let file = File::new(dir, &mut tree, ino, flags.open);
        let (node, attr) = dir.found(&mut tree, ino, name);
        Ok((node, file, attr))
    }

    fn donate(&self, _: &File) -> Result<OwnedFd> {
        Err(Errno::EOPNOTSUPP)
    }
    fn donate_root(&self) -> Result<OwnedFd> {
        Err(Errno::EOPNOTSUPP)
    }
    fn lend<'f>(&self, _: &'f File) -> Option<BorrowedFd<'f>> {
        None
    }

    fn read(&self, file: &File, offset: u64, len: usize, into: &mut dyn Sink) -> Result<usize> {
        file.tree().read(file.node.ino, &file.flags, offset, len, into)
    }

    fn write(&self, file: &File, offset: u64, from: &mut dyn Source) -> Result<usize> {
        file.tree().write(file.node.ino, &file.flags, offset, from)
    }

    fn fsync(&self, _: &File, _: bool) -> Result<()> {
        Ok(())
    }

    fn flush(&self, _: &File) -> Result<()> {
        Ok(())
    }

    fn allocate(&self, file: &File, what: Allocate) -> Result<()> {
        file.tree().allocate(file.node.ino, &file.flags, what)
    }

    fn getattr(&self, node: &Node) -> Result<Attr> {
        Ok(node.tree().attr(node.ino))
    }

    fn setattr(&self, node: &Node, _: Option<&File>, set: &SetAttr) -> Result<()> {
        node.tree().setattr(node.ino, set)
    }

    fn statfs(&self, node: &Node) -> Result<StatFs> {
        Ok(node.tree().statfs())
    }

    fn readlink(&self, node: &Node, into: &mut Vec<u8>) -> Result<()> {
        node.tree().readlink(node.ino, into)
    }

    fn mkdir(&self, dir: &Node, name: Name<'_>, perm: u32, owner: Owner) -> Result<(Node, Attr)> {
        let mut tree = dir.tree();
        let ino = tree.make(dir.ino, name, Body::directory(dir.ino), perm, owner)?;
        Ok(dir.found(&mut tree, ino, name))
    }

    fn mknod(
        &self,
        dir: &Node,
        name: Name<'_>,
        what: Special,
        perm: u32,
        owner: Owner,
    ) -> Result<(Node, Attr)> {
        let body = Body::special(what)?;
        let mut tree = dir.tree();
        let ino = tree.make(dir.ino, name, body, perm, owner)?;
        Ok(dir.found(&mut tree, ino, name))
    }

    fn symlink(&self, dir: &Node, name: Name<'_>, target: &[u8], owner: Owner) -> Result<(Node, Attr)> {
        let body = Body::symlink(target)?;
        let mut tree = dir.tree();
        let ino = tree.make(dir.ino, name, body, 0o777, owner)?;
        Ok(dir.found(&mut tree, ino, name))
    }

    fn link(&self, node: &Node, dir: &Node, name: Name<'_>) -> Result<()> {
        node.same_tree(dir)?;
        dir.tree().link(node.ino, dir.ino, name)
    }

    fn rename(
        &self,
        old_dir: &Node,
        old: Name<'_>,
        new_dir: &Node,
        new: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        old_dir.same_tree(new_dir)?;
        old_dir.tree().rename((old_dir.ino, old), (new_dir.ino, new), flags)
    }

    fn unlink(&self, dir: &Node, name: Name<'_>, what: Unlink) -> Result<()> {
        dir.tree().unlink(dir.ino, name, what)
    }

    fn readdir(
        &self,
        file: &File,
        cookie: u64,
        budget: usize,
        each: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<()> {
        let mut from = cookie;
        loop {
            // The lock is not held while `each` runs: it may come back here.
            let listed = file.tree().list(file.node.ino, from, budget)?;
            let Some(last) = listed.last() else { return Ok(()) };
            from = last.cookie();
            for entry in &listed {
                if !each(entry.entry()?) {
                    return Ok(());
                }
            }
        }
    }

    fn getxattr(&self, node: &Node, name: XattrName<'_>, into: &mut Vec<u8>) -> Result<()> {
        node.tree().getxattr(node.ino, name, into)
    }

    fn setxattr(&self, node: &Node, name: XattrName<'_>, value: &[u8], flags: XattrFlags) -> Result<()> {
        node.tree().setxattr(node.ino, name, value, flags)
    }

    fn listxattr(&self, node: &Node, into: &mut Vec<u8>) -> Result<()> {
        node.tree().listxattr(node.ino, into);
        Ok(())
    }

    fn removexattr(&self, node: &Node, name: XattrName<'_>) -> Result<()> {
        node.tree().removexattr(node.ino, name)
    }

    fn lock(&self, file: &File, lock: Lock) -> Result<bool> {
        file.tree().lock(file.node.ino, file.number, &file.flags, lock)
    }

    fn getlock(&self, file: &File, lock: Lock) -> Result<Option<LockHolder>> {
        file.tree().getlock(file.node.ino, file.number, lock)
    }

    fn connect(&self, _: &Node, _: SocketKind, _: Option<Credentials>) -> Result<OwnedFd> {
        // Nobody listens behind a name in memory.
        Err(Errno::ECONNREFUSED)
    }
    fn bind(&self, _: &Node, _: Name<'_>, _: SocketKind, _: u32, _: Owner) -> Result<(Node, Attr, OwnedFd)> {
        Err(Errno::EOPNOTSUPP)
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::*;
    use super::*;
    use crate::AccessMode;

    #[test]
    fn what_needs_a_host_is_refused() {
        let (fs, root) = tree();
        let (_, file) = file(&fs, &root, "f", AccessMode::ReadWrite);
        assert_eq!(fs.donate(&file).unwrap_err(), Errno::EOPNOTSUPP);
        let (socket, _) = fs.mknod(&root, name("s"), Special::Socket, 0o600, Owner::default()).unwrap();
        assert_eq!(fs.connect(&socket, SocketKind::Stream, None).unwrap_err(), Errno::ECONNREFUSED);
        fs.fsync(&file, true).unwrap();
        fs.flush(&file).unwrap();
    }

    #[test]
    fn two_trees_share_nothing() {
        let ((fs, root), (_, other)) = (tree(), tree());
        assert_ne!(fs.getattr(&root).unwrap().id, fs.getattr(&other).unwrap().id);
        let (node, _) = file(&fs, &root, "f", AccessMode::Read);
        assert_eq!(fs.link(&node, &other, name("f")), Err(Errno::EXDEV));
        assert_eq!(fs.rename(&root, name("f"), &other, name("f"), RenameFlags::Replace), Err(Errno::EXDEV));
    }

    #[test]
    fn a_node_outlives_the_tree_it_came_from() {
        let (fs, root) = tree();
        let (node, file) = file(&fs, &root, "f", AccessMode::ReadWrite);
        drop(fs);
        let fs = MemFs::new(0);
        assert_eq!(write(&fs, &file, 0, b"abc"), Ok(3));
        assert_eq!(fs.getattr(&node).unwrap().size, 3);
    }

    #[test]
    fn what_is_dropped_takes_no_space() {
        let (fs, root) = tree();
        let free = || fs.statfs(&root).unwrap();
        let before = free();
        let (node, file) = file(&fs, &root, "f", AccessMode::ReadWrite);
        write(&fs, &file, 0, &[1; 10_000]).unwrap();
        let attr = xattr("user.a");
        fs.setxattr(&node, attr, &[1; 5000], XattrFlags::Any).unwrap();
        fs.symlink(&root, name("l"), &[b'x'; 4000], Owner::default()).unwrap();
        fs.mkdir(&root, name("d"), 0o755, Owner::default()).unwrap();
        fs.link(&node, &root, name("g")).unwrap();
        assert!(free().blocks_free <= before.blocks_free - 5);
        for (gone, what) in
            [("f", Unlink::File), ("g", Unlink::File), ("l", Unlink::File), ("d", Unlink::Directory)]
        {
            fs.unlink(&root, name(gone), what).unwrap();
        }
        assert_ne!(free(), before, "still open");
        drop((node, file));
        assert_eq!(free(), before);
    }

    #[test]
    fn a_deep_tree_is_dropped_without_recursion() {
        let fs = MemFs::new(1 << 30);
        let mut at = fs.attach().unwrap().0;
        for _ in 0..50_000 {
            at = fs.mkdir(&at, name("d"), 0o755, Owner::default()).unwrap().0;
        }
    }

    #[test]
    fn threads_may_use_it_at_once() {
        let (fs, root) = tree();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (fs, root) = (&fs, &root);
                scope.spawn(move || {
                    for round in 0..200 {
                        let own = format!("{thread}.{round}");
                        let (node, opened) = file(fs, root, &own, AccessMode::ReadWrite);
                        write(fs, &opened, 0, own.as_bytes()).unwrap();
                        fs.rename(root, name(&own), root, name("shared"), RenameFlags::Replace).unwrap();
                        assert!(fs.getattr(&node).unwrap().nlink <= 1);
                    }
                });
            }
        });
        assert_eq!(names(&fs, &root), [".", "..", "shared"]);
    }
}
