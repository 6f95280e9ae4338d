//! [`Backend`], method by method; what each does stands in the file of its family.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use gofer_vfs::{
    Allocate, Attr, Backend, CreateFlags, Credentials, Entry, Errno, FileId, Lock, LockHolder, Name, NameBuf,
    OpenFlags, Owner, RenameFlags, Result, SetAttr, Sink, SocketKind, Source, Special, StatFs, Unlink,
    XattrFlags, XattrName,
};

use crate::{Client, File, Node};

impl Backend for Client {
    type Node = Node;
    type File = File;

    /// The protocol does not tell.
    fn is_read_only(&self) -> bool {
        false
    }
    fn attach(&self) -> Result<(Node, Attr)> {
        self.attach()
    }
    fn walk(&self, dir: &Node, name: Name<'_>) -> Result<(Node, Attr)> {
        self.walk(dir, name)
    }
    fn lookup(&self, dir: &Node, name: Name<'_>) -> Result<Attr> {
        self.lookup(dir, name)
    }
    fn id(&self, node: &Node) -> FileId {
        self.id(node.qid)
    }
    fn found_at(&self, node: &Node) -> Option<(Node, NameBuf)> {
        node.found_at()
    }
    fn moved(&self, node: &Node, dir: &Node, name: Name<'_>) {
        node.moved(dir, name);
    }
    fn open(&self, node: &Node, flags: OpenFlags) -> Result<File> {
        self.open(node, flags)
    }
    fn create(
        &self,
        dir: &Node,
        name: Name<'_>,
        flags: CreateFlags,
        perm: u32,
        owner: Owner,
    ) -> Result<(Node, File, Attr)> {
        self.create(dir, name, flags, perm, owner)
    }
    fn donate(&self, file: &File) -> Result<OwnedFd> {
        self.donate(file)
    }
    fn donate_root(&self) -> Result<OwnedFd> {
        Err(Errno::EOPNOTSUPP)
    }
    fn lend<'f>(&self, file: &'f File) -> Option<BorrowedFd<'f>> {
        file.donated.as_ref().map(AsFd::as_fd)
    }
    fn read(&self, file: &File, offset: u64, len: usize, into: &mut dyn Sink) -> Result<usize> {
        self.read(file, offset, len, into)
    }
    fn write(&self, file: &File, offset: u64, from: &mut dyn Source) -> Result<usize> {
        self.write(file, offset, from)
    }
    fn fsync(&self, file: &File, data_only: bool) -> Result<()> {
        self.fsync(file, data_only)
    }
    fn flush(&self, file: &File) -> Result<()> {
        self.flush(file)
    }
    fn allocate(&self, file: &File, what: Allocate) -> Result<()> {
        self.allocate(file, what)
    }
    fn getattr(&self, node: &Node) -> Result<Attr> {
        self.getattr(node)
    }
    fn setattr(&self, node: &Node, file: Option<&File>, set: &SetAttr) -> Result<()> {
        self.setattr(node, file, set)
    }
    fn statfs(&self, node: &Node) -> Result<StatFs> {
        self.statfs(node)
    }
    fn readlink(&self, node: &Node, into: &mut Vec<u8>) -> Result<()> {
        self.readlink(node, into)
    }
    fn mkdir(&self, dir: &Node, name: Name<'_>, perm: u32, owner: Owner) -> Result<(Node, Attr)> {
        self.mkdir(dir, name, perm, owner)
    }
    fn mknod(
        &self,
        dir: &Node,
        name: Name<'_>,
        what: Special,
        perm: u32,
        owner: Owner,
    ) -> Result<(Node, Attr)> {
        self.mknod(dir, name, what, perm, owner)
    }
    fn symlink(&self, dir: &Node, name: Name<'_>, target: &[u8], owner: Owner) -> Result<(Node, Attr)> {
        self.symlink(dir, name, target, owner)
    }
    fn link(&self, node: &Node, dir: &Node, name: Name<'_>) -> Result<()> {
        self.link(node, dir, name)
    }
    fn rename(
        &self,
        old_dir: &Node,
        old: Name<'_>,
        new_dir: &Node,
        new: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        self.rename(old_dir, old, new_dir, new, flags)
    }
    fn unlink(&self, dir: &Node, name: Name<'_>, what: Unlink) -> Result<()> {
        self.unlink(dir, name, what)
    }
    fn readdir(
        &self,
        file: &File,
        cookie: u64,
        budget: usize,
        each: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<()> {
        self.readdir(file, cookie, budget, each)
    }
    fn getxattr(&self, node: &Node, name: XattrName<'_>, into: &mut Vec<u8>) -> Result<()> {
        self.getxattr(node, name, into)
    }
    fn setxattr(&self, node: &Node, name: XattrName<'_>, value: &[u8], flags: XattrFlags) -> Result<()> {
        self.setxattr(node, name, value, flags)
    }
    fn listxattr(&self, node: &Node, into: &mut Vec<u8>) -> Result<()> {
        self.listxattr(node, into)
    }
    fn removexattr(&self, node: &Node, name: XattrName<'_>) -> Result<()> {
        self.removexattr(node, name)
    }
    fn lock(&self, file: &File, lock: Lock) -> Result<bool> {
        self.lock(file, lock)
    }
    fn getlock(&self, file: &File, lock: Lock) -> Result<Option<LockHolder>> {
        self.getlock(file, lock)
    }
    fn connect(&self, node: &Node, kind: SocketKind, _: Option<Credentials>) -> Result<OwnedFd> {
        self.connect_socket(node, kind)
    }
    fn bind(&self, _: &Node, _: Name<'_>, _: SocketKind, _: u32, _: Owner) -> Result<(Node, Attr, OwnedFd)> {
        // No version has a message for it that servers answer.
        Err(Errno::EOPNOTSUPP)
    }
}
