//! A backend that can die, in part or whole.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gofer_vfs::{
    Allocate, Attr, Backend, CreateFlags, Credentials, Entry, Errno, FileId, Lock, LockHolder, Name, NameBuf,
    OpenFlags, Owner, RenameFlags, Result, SetAttr, Sink, SocketKind, Source, Special, StatFs, Unlink,
    XattrFlags, XattrName,
};

/// Whether a backend still lives, and how much of its files can be read.
#[derive(Clone, Default)]
pub(crate) struct Life {
    over: Arc<AtomicBool>,
    /// What is behind so many bytes cannot be; 0 is no such place.
    readable: Arc<AtomicU64>,
}

impl Life {
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    pub(crate) fn limit_reads(&self, readable: u64) {
        self.readable.store(readable, Ordering::SeqCst);
    }
}

/// Any backend, as one behind a connection: when its life has ended everything is answered `ENOTCONN`, and what cannot
/// be read `EIO`.
pub(crate) struct Mortal<B> {
    pub(crate) backend: B,
    pub(crate) life: Life,
}

impl<B> Mortal<B> {
    fn alive(&self) -> Result<&B> {
        if self.life.over.load(Ordering::SeqCst) { Err(Errno::ENOTCONN) } else { Ok(&self.backend) }
    }
}

impl<B: Backend> Backend for Mortal<B> {
    type Node = B::Node;
    type File = B::File;
    fn is_read_only(&self) -> bool {
        self.backend.is_read_only()
    }
    fn attach(&self) -> Result<(Self::Node, Attr)> {
        self.alive()?.attach()
    }
    fn walk(&self, dir: &Self::Node, name: Name<'_>) -> Result<(Self::Node, Attr)> {
        self.alive()?.walk(dir, name)
    }
    fn pass(&self, dir: &Self::Node, name: Name<'_>) -> Result<(Self::Node, Attr)> {
        self.alive()?.pass(dir, name)
    }
    fn lookup(&self, dir: &Self::Node, name: Name<'_>) -> Result<Attr> {
        self.alive()?.lookup(dir, name)
    }
    fn id(&self, node: &Self::Node) -> FileId {
        self.backend.id(node)
    }
    fn found_at(&self, node: &Self::Node) -> Option<(Self::Node, NameBuf)> {
        self.backend.found_at(node)
    }
    fn moved(&self, node: &Self::Node, dir: &Self::Node, name: Name<'_>) {
        self.backend.moved(node, dir, name);
    }
    fn open(&self, node: &Self::Node, flags: OpenFlags) -> Result<Self::File> {
        self.alive()?.open(node, flags)
    }
    fn create(
        &self,
        dir: &Self::Node,
        name: Name<'_>,
        flags: CreateFlags,
        perm: u32,
        owner: Owner,
    ) -> Result<(Self::Node, Self::File, Attr)> {
        self.alive()?.create(dir, name, flags, perm, owner)
    }
    fn donate_root(&self) -> Result<OwnedFd> {
        self.alive()?.donate_root()
    }
    fn donate(&self, file: &Self::File) -> Result<OwnedFd> {
        self.alive()?.donate(file)
    }
    fn lend<'f>(&self, file: &'f Self::File) -> Option<BorrowedFd<'f>> {
        self.backend.lend(file)
    }
    fn read(&self, file: &Self::File, offset: u64, len: usize, into: &mut dyn Sink) -> Result<usize> {
        let len = match self.life.readable.load(Ordering::SeqCst) {
            0 => len,
            end if offset >= end => return Err(Errno::EIO),
            end => len.min(usize::try_from(end - offset).unwrap_or(len)),
        };
        self.alive()?.read(file, offset, len, into)
    }
    fn write(&self, file: &Self::File, offset: u64, from: &mut dyn Source) -> Result<usize> {
        self.alive()?.write(file, offset, from)
    }
    fn fsync(&self, file: &Self::File, data_only: bool) -> Result<()> {
        self.alive()?.fsync(file, data_only)
    }
    fn flush(&self, file: &Self::File) -> Result<()> {
        self.alive()?.flush(file)
    }
    fn allocate(&self, file: &Self::File, what: Allocate) -> Result<()> {
        self.alive()?.allocate(file, what)
    }
    fn getattr(&self, node: &Self::Node) -> Result<Attr> {
        self.alive()?.getattr(node)
    }
    fn setattr(&self, node: &Self::Node, file: Option<&Self::File>, set: &SetAttr) -> Result<()> {
        self.alive()?.setattr(node, file, set)
    }
    fn statfs(&self, node: &Self::Node) -> Result<StatFs> {
        self.alive()?.statfs(node)
    }
    fn readlink(&self, node: &Self::Node, into: &mut Vec<u8>) -> Result<()> {
        self.alive()?.readlink(node, into)
    }
    fn mkdir(&self, dir: &Self::Node, name: Name<'_>, perm: u32, owner: Owner) -> Result<(Self::Node, Attr)> {
        self.alive()?.mkdir(dir, name, perm, owner)
    }
    fn mknod(
        &self,
        dir: &Self::Node,
        name: Name<'_>,
        what: Special,
        perm: u32,
        owner: Owner,
    ) -> Result<(Self::Node, Attr)> {
        self.alive()?.mknod(dir, name, what, perm, owner)
    }
    fn symlink(
        &self,
        dir: &Self::Node,
        name: Name<'_>,
        target: &[u8],
        owner: Owner,
    ) -> Result<(Self::Node, Attr)> {
        self.alive()?.symlink(dir, name, target, owner)
    }
    fn link(&self, node: &Self::Node, dir: &Self::Node, name: Name<'_>) -> Result<()> {
        self.alive()?.link(node, dir, name)
    }
    fn rename(
        &self,
        old_dir: &Self::Node,
        old: Name<'_>,
        new_dir: &Self::Node,
        new: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        self.alive()?.rename(old_dir, old, new_dir, new, flags)
    }
    fn unlink(&self, dir: &Self::Node, name: Name<'_>, what: Unlink) -> Result<()> {
        self.alive()?.unlink(dir, name, what)
    }
    fn readdir(
        &self,
        file: &Self::File,
        cookie: u64,
        budget: usize,
        each: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<()> {
        self.alive()?.readdir(file, cookie, budget, each)
    }
    fn getxattr(&self, node: &Self::Node, name: XattrName<'_>, into: &mut Vec<u8>) -> Result<()> {
        self.alive()?.getxattr(node, name, into)
    }
    fn setxattr(
        &self,
        node: &Self::Node,
        name: XattrName<'_>,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        self.alive()?.setxattr(node, name, value, flags)
    }
    fn listxattr(&self, node: &Self::Node, into: &mut Vec<u8>) -> Result<()> {
        self.alive()?.listxattr(node, into)
    }
    fn removexattr(&self, node: &Self::Node, name: XattrName<'_>) -> Result<()> {
        self.alive()?.removexattr(node, name)
    }
    fn lock(&self, file: &Self::File, lock: Lock) -> Result<bool> {
        self.alive()?.lock(file, lock)
    }
    fn getlock(&self, file: &Self::File, lock: Lock) -> Result<Option<LockHolder>> {
        self.alive()?.getlock(file, lock)
    }
    fn connect(&self, node: &Self::Node, kind: SocketKind, user: Option<Credentials>) -> Result<OwnedFd> {
        self.alive()?.connect(node, kind, user)
    }
    fn bind(
        &self,
        dir: &Self::Node,
        name: Name<'_>,
        kind: SocketKind,
        perm: u32,
        owner: Owner,
    ) -> Result<(Self::Node, Attr, OwnedFd)> {
        self.alive()?.bind(dir, name, kind, perm, owner)
    }
}
