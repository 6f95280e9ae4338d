//! Read-only is a type.

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::{
    Allocate, Attr, Backend, CreateFlags, Credentials, Entry, Errno, FileId, Lock, LockHolder, LockKind,
    Name, NameBuf, OpenFlags, Owner, RenameFlags, Result, SetAttr, Sink, SocketKind, Source, Special, StatFs,
    Unlink, XattrFlags, XattrName,
};

/// Any backend, with everything that would change it answered `EROFS`.
///
/// Exclusive locks are refused too: a client that may not write shall not be able to hold off those who may.
#[derive(Debug)]
pub struct ReadOnly<B>(pub B);

/// A backend as an operator exports it. Both forms have the nodes and files of `B`, so that a server can hold
/// exports of both kinds.
#[derive(Debug)]
pub enum Access<B> {
    /// As it is.
    ReadWrite(B),
    /// Without any way to change it.
    ReadOnly(ReadOnly<B>),
}

impl<B: Backend> Backend for ReadOnly<B> {
    type Node = B::Node;
    type File = B::File;
    fn is_read_only(&self) -> bool {
        true
    }
    fn attach(&self) -> Result<(Self::Node, Attr)> {
        self.0.attach()
    }
    fn walk(&self, dir: &Self::Node, name: Name<'_>) -> Result<(Self::Node, Attr)> {
        self.0.walk(dir, name)
    }
    fn pass(&self, dir: &Self::Node, name: Name<'_>) -> Result<(Self::Node, Attr)> {
        self.0.pass(dir, name)
    }
    fn lookup(&self, dir: &Self::Node, name: Name<'_>) -> Result<Attr> {
        self.0.lookup(dir, name)
    }
    fn id(&self, node: &Self::Node) -> FileId {
        self.0.id(node)
    }
    fn found_at(&self, node: &Self::Node) -> Option<(Self::Node, NameBuf)> {
        self.0.found_at(node)
    }
    fn moved(&self, node: &Self::Node, dir: &Self::Node, name: Name<'_>) {
        self.0.moved(node, dir, name);
    }
    fn open(&self, node: &Self::Node, flags: OpenFlags) -> Result<Self::File> {
        if flags.changes() { Err(Errno::EROFS) } else { self.0.open(node, flags) }
    }
    fn create(
        &self,
        _: &Self::Node,
        _: Name<'_>,
        _: CreateFlags,
        _: u32,
        _: Owner,
    ) -> Result<(Self::Node, Self::File, Attr)> {
        Err(Errno::EROFS)
    }
    fn donate(&self, file: &Self::File) -> Result<OwnedFd> {
        self.0.donate(file)
    }
    fn donate_root(&self) -> Result<OwnedFd> {
        self.0.donate_root()
    }
    fn lend<'f>(&self, file: &'f Self::File) -> Option<BorrowedFd<'f>> {
        self.0.lend(file)
    }
    fn read(&self, file: &Self::File, offset: u64, len: usize, into: &mut dyn Sink) -> Result<usize> {
        self.0.read(file, offset, len, into)
    }
    fn write(&self, _: &Self::File, _: u64, _: &mut dyn Source) -> Result<usize> {
        Err(Errno::EROFS)
    }
    fn fsync(&self, file: &Self::File, data_only: bool) -> Result<()> {
        self.0.fsync(file, data_only)
    }
    fn flush(&self, file: &Self::File) -> Result<()> {
        self.0.flush(file)
    }
    fn allocate(&self, _: &Self::File, _: Allocate) -> Result<()> {
        Err(Errno::EROFS)
    }
    fn getattr(&self, node: &Self::Node) -> Result<Attr> {
        self.0.getattr(node)
    }
    fn setattr(&self, _: &Self::Node, _: Option<&Self::File>, _: &SetAttr) -> Result<()> {
        Err(Errno::EROFS)
    }
    fn statfs(&self, node: &Self::Node) -> Result<StatFs> {
        self.0.statfs(node)
    }
    fn readlink(&self, node: &Self::Node, into: &mut Vec<u8>) -> Result<()> {
        self.0.readlink(node, into)
    }
    fn mkdir(&self, _: &Self::Node, _: Name<'_>, _: u32, _: Owner) -> Result<(Self::Node, Attr)> {
        Err(Errno::EROFS)
    }
    fn mknod(&self, _: &Self::Node, _: Name<'_>, _: Special, _: u32, _: Owner) -> Result<(Self::Node, Attr)> {
        Err(Errno::EROFS)
    }
    fn symlink(&self, _: &Self::Node, _: Name<'_>, _: &[u8], _: Owner) -> Result<(Self::Node, Attr)> {
        Err(Errno::EROFS)
    }
    fn link(&self, _: &Self::Node, _: &Self::Node, _: Name<'_>) -> Result<()> {
        Err(Errno::EROFS)
    }
    fn rename(&self, _: &Self::Node, _: Name<'_>, _: &Self::Node, _: Name<'_>, _: RenameFlags) -> Result<()> {
        Err(Errno::EROFS)
    }
    fn unlink(&self, _: &Self::Node, _: Name<'_>, _: Unlink) -> Result<()> {
        Err(Errno::EROFS)
    }
    fn readdir(
        &self,
        file: &Self::File,
        cookie: u64,
        budget: usize,
        each: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<()> {
        self.0.readdir(file, cookie, budget, each)
    }
    fn getxattr(&self, node: &Self::Node, name: XattrName<'_>, into: &mut Vec<u8>) -> Result<()> {
        self.0.getxattr(node, name, into)
    }
    fn setxattr(&self, _: &Self::Node, _: XattrName<'_>, _: &[u8], _: XattrFlags) -> Result<()> {
        Err(Errno::EROFS)
    }
    fn listxattr(&self, node: &Self::Node, into: &mut Vec<u8>) -> Result<()> {
        self.0.listxattr(node, into)
    }
    fn removexattr(&self, _: &Self::Node, _: XattrName<'_>) -> Result<()> {
        Err(Errno::EROFS)
    }
    fn lock(&self, file: &Self::File, lock: Lock) -> Result<bool> {
        if lock.kind == LockKind::Exclusive { Err(Errno::EROFS) } else { self.0.lock(file, lock) }
    }
    fn getlock(&self, file: &Self::File, lock: Lock) -> Result<Option<LockHolder>> {
        self.0.getlock(file, lock)
    }
    fn connect(&self, node: &Self::Node, kind: SocketKind, user: Option<Credentials>) -> Result<OwnedFd> {
        self.0.connect(node, kind, user)
    }
    fn bind(
        &self,
        _: &Self::Node,
        _: Name<'_>,
        _: SocketKind,
        _: u32,
        _: Owner,
    ) -> Result<(Self::Node, Attr, OwnedFd)> {
        Err(Errno::EROFS)
    }
}

/// The same call on whichever form it is.
macro_rules! either {
    ($access:expr, $backend:ident => $call:expr) => {
        match $access {
            Access::ReadWrite($backend) => $call,
            Access::ReadOnly($backend) => $call,
        }
    };
}

impl<B: Backend> Backend for Access<B> {
    type Node = B::Node;
    type File = B::File;
    fn is_read_only(&self) -> bool {
        either!(self, b => b.is_read_only())
    }
    fn attach(&self) -> Result<(Self::Node, Attr)> {
        either!(self, b => b.attach())
    }
    fn walk(&self, dir: &Self::Node, name: Name<'_>) -> Result<(Self::Node, Attr)> {
        either!(self, b => b.walk(dir, name))
    }
    fn pass(&self, dir: &Self::Node, name: Name<'_>) -> Result<(Self::Node, Attr)> {
        either!(self, b => b.pass(dir, name))
    }
    fn lookup(&self, dir: &Self::Node, name: Name<'_>) -> Result<Attr> {
        either!(self, b => b.lookup(dir, name))
    }
    fn id(&self, node: &Self::Node) -> FileId {
        either!(self, b => b.id(node))
    }
    fn found_at(&self, node: &Self::Node) -> Option<(Self::Node, NameBuf)> {
        either!(self, b => b.found_at(node))
    }
    fn moved(&self, node: &Self::Node, dir: &Self::Node, name: Name<'_>) {
        either!(self, b => b.moved(node, dir, name));
    }
    fn open(&self, node: &Self::Node, flags: OpenFlags) -> Result<Self::File> {
        either!(self, b => b.open(node, flags))
    }
    fn create(
        &self,
        dir: &Self::Node,
        name: Name<'_>,
        flags: CreateFlags,
        perm: u32,
        owner: Owner,
    ) -> Result<(Self::Node, Self::File, Attr)> {
        either!(self, b => b.create(dir, name, flags, perm, owner))
    }
    fn donate(&self, file: &Self::File) -> Result<OwnedFd> {
        either!(self, b => b.donate(file))
    }
    fn donate_root(&self) -> Result<OwnedFd> {
        either!(self, b => b.donate_root())
    }
    fn lend<'f>(&self, file: &'f Self::File) -> Option<BorrowedFd<'f>> {
        either!(self, b => b.lend(file))
    }
    fn read(&self, file: &Self::File, offset: u64, len: usize, into: &mut dyn Sink) -> Result<usize> {
        either!(self, b => b.read(file, offset, len, into))
    }
    fn write(&self, file: &Self::File, offset: u64, from: &mut dyn Source) -> Result<usize> {
        either!(self, b => b.write(file, offset, from))
    }
    fn fsync(&self, file: &Self::File, data_only: bool) -> Result<()> {
        either!(self, b => b.fsync(file, data_only))
    }
    fn flush(&self, file: &Self::File) -> Result<()> {
        either!(self, b => b.flush(file))
    }
    fn allocate(&self, file: &Self::File, what: Allocate) -> Result<()> {
        either!(self, b => b.allocate(file, what))
    }
    fn getattr(&self, node: &Self::Node) -> Result<Attr> {
        either!(self, b => b.getattr(node))
    }
    fn setattr(&self, node: &Self::Node, file: Option<&Self::File>, set: &SetAttr) -> Result<()> {
        either!(self, b => b.setattr(node, file, set))
    }
    fn statfs(&self, node: &Self::Node) -> Result<StatFs> {
        either!(self, b => b.statfs(node))
    }
    fn readlink(&self, node: &Self::Node, into: &mut Vec<u8>) -> Result<()> {
        either!(self, b => b.readlink(node, into))
    }
    fn mkdir(&self, dir: &Self::Node, name: Name<'_>, perm: u32, owner: Owner) -> Result<(Self::Node, Attr)> {
        either!(self, b => b.mkdir(dir, name, perm, owner))
    }
    fn mknod(
        &self,
        dir: &Self::Node,
        name: Name<'_>,
        what: Special,
        perm: u32,
        owner: Owner,
    ) -> Result<(Self::Node, Attr)> {
        either!(self, b => b.mknod(dir, name, what, perm, owner))
    }
    fn symlink(
        &self,
        dir: &Self::Node,
        name: Name<'_>,
        target: &[u8],
        owner: Owner,
    ) -> Result<(Self::Node, Attr)> {
        either!(self, b => b.symlink(dir, name, target, owner))
    }
    fn link(&self, node: &Self::Node, dir: &Self::Node, name: Name<'_>) -> Result<()> {
        either!(self, b => b.link(node, dir, name))
    }
    fn rename(
        &self,
        old_dir: &Self::Node,
        old: Name<'_>,
        new_dir: &Self::Node,
        new: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        either!(self, b => b.rename(old_dir, old, new_dir, new, flags))
    }
    fn unlink(&self, dir: &Self::Node, name: Name<'_>, what: Unlink) -> Result<()> {
        either!(self, b => b.unlink(dir, name, what))
    }
    fn readdir(
        &self,
        file: &Self::File,
        cookie: u64,
        budget: usize,
        each: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<()> {
        either!(self, b => b.readdir(file, cookie, budget, each))
    }
    fn getxattr(&self, node: &Self::Node, name: XattrName<'_>, into: &mut Vec<u8>) -> Result<()> {
        either!(self, b => b.getxattr(node, name, into))
    }
    fn setxattr(
        &self,
        node: &Self::Node,
        name: XattrName<'_>,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        either!(self, b => b.setxattr(node, name, value, flags))
    }
    fn listxattr(&self, node: &Self::Node, into: &mut Vec<u8>) -> Result<()> {
        either!(self, b => b.listxattr(node, into))
    }
    fn removexattr(&self, node: &Self::Node, name: XattrName<'_>) -> Result<()> {
        either!(self, b => b.removexattr(node, name))
    }
    fn lock(&self, file: &Self::File, lock: Lock) -> Result<bool> {
        either!(self, b => b.lock(file, lock))
    }
    fn getlock(&self, file: &Self::File, lock: Lock) -> Result<Option<LockHolder>> {
        either!(self, b => b.getlock(file, lock))
    }
    fn connect(&self, node: &Self::Node, kind: SocketKind, user: Option<Credentials>) -> Result<OwnedFd> {
        either!(self, b => b.connect(node, kind, user))
    }
    fn bind(
        &self,
        dir: &Self::Node,
        name: Name<'_>,
        kind: SocketKind,
        perm: u32,
        owner: Owner,
    ) -> Result<(Self::Node, Attr, OwnedFd)> {
        either!(self, b => b.bind(dir, name, kind, perm, owner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::fixture::{file, name, names, read, tree, write, xattr};
    use crate::{AccessMode, AllocateKind, MemFs};

    const READ: OpenFlags = OpenFlags::new(AccessMode::Read);
    const SPACE: Allocate = Allocate { kind: AllocateKind::Reserve, keep_size: false, offset: 0, length: 9 };

    fn lock(kind: LockKind) -> Lock {
        Lock { kind, start: 0, length: 1 }
    }

    /// What can be learnt of the file `f` and the link `l` in the root, and of a lock on `f` that another holds.
    fn looks<B: Backend>(fs: &B) {
        let (root, _) = fs.attach().unwrap();
        let (f, _) = fs.walk(&root, name("f")).unwrap();
        let (l, _) = fs.walk(&root, name("l")).unwrap();
        let opened = fs.open(&f, READ).unwrap();
        assert_eq!(read(fs, &opened, 0, 9).unwrap(), b"abc");
        let (mut target, mut value, mut list) = (Vec::new(), Vec::new(), Vec::new());
        fs.readlink(&l, &mut target).unwrap();
        fs.getxattr(&f, xattr("user.a"), &mut value).unwrap();
        fs.listxattr(&f, &mut list).unwrap();
        assert_eq!((&target[..], &value[..], &list[..]), (&b"f"[..], &b"1"[..], &b"user.a\0"[..]));
        assert!(names(fs, &root).contains(&"f".to_owned()));
        assert_eq!(fs.lock(&opened, lock(LockKind::Shared)), Ok(false));
        assert_eq!(fs.lock(&opened, Lock { start: 1, ..lock(LockKind::Shared) }), Ok(true));
        assert!(fs.getlock(&opened, lock(LockKind::Shared)).unwrap().is_some());
        let found = || fs.found_at(&f).unwrap().1.as_name().as_bytes().to_vec();
        assert_eq!(found(), b"f");
        fs.moved(&f, &root, name("g"));
        assert_eq!(found(), b"g");
    }

    /// What [`looks`] looks at; the lock is held as long as the file is.
    fn furnished() -> (MemFs, <MemFs as Backend>::File) {
        let (fs, root) = tree();
        let (f, opened) = file(&fs, &root, "f", AccessMode::ReadWrite);
        write(&fs, &opened, 0, b"abc").unwrap();
        fs.symlink(&root, name("l"), b"f", Owner::default()).unwrap();
        fs.setxattr(&f, xattr("user.a"), b"1", XattrFlags::Any).unwrap();
        assert_eq!(fs.lock(&opened, lock(LockKind::Exclusive)), Ok(true));
        (fs, opened)
    }

    #[test]
    fn a_read_only_tree_is_looked_at_and_not_changed() {
        let (fs, held) = furnished();
        let fs = Access::ReadOnly(ReadOnly(fs));
        assert!(fs.is_read_only());
        looks(&fs);
        let (root, _) = fs.attach().unwrap();
        let (f, before) = fs.walk(&root, name("f")).unwrap();
        let changes = [
            write(&fs, &held, 0, b"x").map(drop),
            fs.allocate(&held, SPACE),
            fs.setattr(&f, None, &SetAttr { size: Some(0), ..SetAttr::default() }),
            fs.link(&f, &root, name("h")),
            fs.rename(&root, name("f"), &root, name("h"), RenameFlags::Replace),
            fs.unlink(&root, name("f"), Unlink::File),
            fs.setxattr(&f, xattr("user.a"), b"2", XattrFlags::Any),
            fs.removexattr(&f, xattr("user.a")),
            fs.lock(&held, lock(LockKind::Exclusive)).map(drop),
            fs.open(&f, OpenFlags::new(AccessMode::Write)).map(drop),
        ];
        assert_eq!(changes, [Err(Errno::EROFS); 10]);
        assert_eq!(fs.getattr(&f), Ok(before));
    }

    #[test]
    fn a_tree_that_may_be_changed_is() {
        let (fs, held) = furnished();
        let fs = Access::ReadWrite(fs);
        assert!(!fs.is_read_only());
        looks(&fs);
        let (root, _) = fs.attach().unwrap();
        let (f, _) = fs.walk(&root, name("f")).unwrap();
        assert_eq!(write(&fs, &held, 0, b"xy"), Ok(2));
        fs.allocate(&held, SPACE).unwrap();
        assert_eq!(fs.getattr(&f).unwrap().size, 9);
        fs.setattr(&f, None, &SetAttr { size: Some(1), ..SetAttr::default() }).unwrap();
        assert_eq!(read(&fs, &held, 0, 9).unwrap(), b"x");
        fs.link(&f, &root, name("g")).unwrap();
        fs.rename(&root, name("g"), &root, name("h"), RenameFlags::Replace).unwrap();
        fs.unlink(&root, name("f"), Unlink::File).unwrap();
        assert_eq!(fs.lookup(&root, name("f")), Err(Errno::ENOENT));
        assert_eq!(fs.lookup(&root, name("h")), fs.getattr(&f));
        let mut value = Vec::new();
        fs.setxattr(&f, xattr("user.a"), b"2", XattrFlags::Replace).unwrap();
        fs.getxattr(&f, xattr("user.a"), &mut value).unwrap();
        assert_eq!(value, b"2");
        fs.removexattr(&f, xattr("user.a")).unwrap();
        assert_eq!(fs.getxattr(&f, xattr("user.a"), &mut value), Err(Errno::ENODATA));
    }
}
