//! [`Backend`], method by method; what each does stands in the file of its family, for each protocol.

use std::os::fd::{BorrowedFd, OwnedFd};

use gofer_vfs::{
    Allocate, Attr, Backend, CreateFlags, Credentials, Entry, Errno, FileId, Lock, LockHolder, Name, NameBuf,
    OpenFlags, Owner, RenameFlags, Result, SetAttr, Sink, SocketKind, Source, Special, StatFs, Unlink,
    XattrFlags, XattrName,
};

macro_rules! backend {
    ($client:ty, $node:ty, $file:ty) => {
        impl Backend for $client {
            type Node = $node;
            type File = $file;

            /// The protocols do not tell.
            fn is_read_only(&self) -> bool {
                false
            }
            fn attach(&self) -> Result<(Self::Node, Attr)> {
                self.attach()
            }
            fn walk(&self, dir: &Self::Node, name: Name<'_>) -> Result<(Self::Node, Attr)> {
                self.walk(dir, name)
            }
            fn pass(&self, dir: &Self::Node, name: Name<'_>) -> Result<(Self::Node, Attr)> {
                self.walk(dir, name)
            }
            fn lookup(&self, dir: &Self::Node, name: Name<'_>) -> Result<Attr> {
                self.lookup(dir, name)
            }
            fn id(&self, node: &Self::Node) -> FileId {
                self.id_of(node)
            }
            fn found_at(&self, node: &Self::Node) -> Option<(Self::Node, NameBuf)> {
                node.found_at()
            }
            fn moved(&self, node: &Self::Node, dir: &Self::Node, name: Name<'_>) {
                node.moved(dir, name);
            }
            fn open(&self, node: &Self::Node, flags: OpenFlags) -> Result<Self::File> {
                self.open(node, flags)
            }
            fn create(
                &self,
                dir: &Self::Node,
                name: Name<'_>,
                flags: CreateFlags,
                perm: u32,
                owner: Owner,
            ) -> Result<(Self::Node, Self::File, Attr)> {
                self.create(dir, name, flags, perm, owner)
            }
            fn donate(&self, file: &Self::File) -> Result<OwnedFd> {
                self.donate(file)
            }
            fn donate_root(&self) -> Result<OwnedFd> {
                // One that came with the root is not kept.
                Err(Errno::EOPNOTSUPP)
            }
            fn lend<'f>(&self, file: &'f Self::File) -> Option<BorrowedFd<'f>> {
                file.lent()
            }
            fn read(&self, file: &Self::File, offset: u64, len: usize, into: &mut dyn Sink) -> Result<usize> {
                self.read(file, offset, len, into)
            }
            fn write(&self, file: &Self::File, offset: u64, from: &mut dyn Source) -> Result<usize> {
                self.write(file, offset, from)
            }
            fn fsync(&self, file: &Self::File, data_only: bool) -> Result<()> {
                self.fsync(file, data_only)
            }
            fn flush(&self, file: &Self::File) -> Result<()> {
                self.flush(file)
            }
            fn allocate(&self, file: &Self::File, what: Allocate) -> Result<()> {
                self.allocate(file, what)
            }
            fn getattr(&self, node: &Self::Node) -> Result<Attr> {
                self.getattr(node)
            }
            fn setattr(&self, node: &Self::Node, file: Option<&Self::File>, set: &SetAttr) -> Result<()> {
                self.setattr(node, file, set)
            }
            fn statfs(&self, node: &Self::Node) -> Result<StatFs> {
                self.statfs(node)
            }
            fn readlink(&self, node: &Self::Node, into: &mut Vec<u8>) -> Result<()> {
                self.readlink(node, into)
            }
            fn mkdir(
                &self,
                dir: &Self::Node,
                name: Name<'_>,
                perm: u32,
                owner: Owner,
            ) -> Result<(Self::Node, Attr)> {
                self.mkdir(dir, name, perm, owner)
            }
            fn mknod(
                &self,
                dir: &Self::Node,
                name: Name<'_>,
                what: Special,
                perm: u32,
                owner: Owner,
            ) -> Result<(Self::Node, Attr)> {
                self.mknod(dir, name, what, perm, owner)
            }
            fn symlink(
                &self,
                dir: &Self::Node,
                name: Name<'_>,
                target: &[u8],
                owner: Owner,
            ) -> Result<(Self::Node, Attr)> {
                self.symlink(dir, name, target, owner)
            }
            fn link(&self, node: &Self::Node, dir: &Self::Node, name: Name<'_>) -> Result<()> {
                self.link(node, dir, name)
            }
            fn rename(
                &self,
                old_dir: &Self::Node,
                old: Name<'_>,
                new_dir: &Self::Node,
                new: Name<'_>,
                flags: RenameFlags,
            ) -> Result<()> {
                self.rename(old_dir, old, new_dir, new, flags)
            }
            fn unlink(&self, dir: &Self::Node, name: Name<'_>, what: Unlink) -> Result<()> {
                self.unlink(dir, name, what)
            }
            fn readdir(
                &self,
                file: &Self::File,
                cookie: u64,
                budget: usize,
                each: &mut dyn FnMut(Entry<'_>) -> bool,
            ) -> Result<()> {
                self.readdir(file, cookie, budget, each)
            }
            fn getxattr(&self, node: &Self::Node, name: XattrName<'_>, into: &mut Vec<u8>) -> Result<()> {
                self.getxattr(node, name, into)
            }
            fn setxattr(
                &self,
                node: &Self::Node,
                name: XattrName<'_>,
                value: &[u8],
                flags: XattrFlags,
            ) -> Result<()> {
                self.setxattr(node, name, value, flags)
            }
            fn listxattr(&self, node: &Self::Node, into: &mut Vec<u8>) -> Result<()> {
                self.listxattr(node, into)
            }
            fn removexattr(&self, node: &Self::Node, name: XattrName<'_>) -> Result<()> {
                self.removexattr(node, name)
            }
            fn lock(&self, file: &Self::File, lock: Lock) -> Result<bool> {
                self.lock(file, lock)
            }
            fn getlock(&self, file: &Self::File, lock: Lock) -> Result<Option<LockHolder>> {
                self.getlock(file, lock)
            }
            fn connect(
                &self,
                node: &Self::Node,
                kind: SocketKind,
                user: Option<Credentials>,
            ) -> Result<OwnedFd> {
                self.connect_socket(node, kind, user)
            }
            fn bind(
                &self,
                dir: &Self::Node,
                name: Name<'_>,
                kind: SocketKind,
                perm: u32,
                owner: Owner,
            ) -> Result<(Self::Node, Attr, OwnedFd)> {
                self.bind(dir, name, kind, perm, owner)
            }
        }
    };
}

backend!(crate::Client, crate::Node, crate::File);
backend!(crate::lisafs::Client, crate::lisafs::Node, crate::lisafs::File);
