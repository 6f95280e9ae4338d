//! Host files behind [`Backend`].
//!
//! The root of an export is opened once. From then on every operation is a system call relative to a
//! descriptor with at most one checked name: there is no path that could be redirected, nothing to keep up
//! to date when something is renamed, and no lock, because the host's kernel is one. A [`Node`] has a
//! descriptor of a place (`O_PATH`), for which nothing is opened, and can do without while it is not used
//! (`node`); a [`File`] is a description of its own.
//!
//! Everything is done with the rights of the process, and what they do not allow fails with the host's errno.

mod attr;
mod dir;
mod entry;
mod io;
mod lock;
mod node;
mod open;
mod socket;
mod walk;
mod xattr;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use gofer_sys::open::ProcFd;
use gofer_vfs::{
    AccessMode, Allocate, Attr, Backend, CreateFlags, Credentials, Entry, FileId, Lock, LockHolder, Name,
    NameBuf, OpenFlags, Owner, RenameFlags, Result, SetAttr, Sink, SocketKind, Source, Special, StatFs,
    Unlink, XattrFlags, XattrName,
};
#[doc(inline)]
pub use node::Node;
use node::Pinned;

/// A file tree of the host.
#[derive(Debug)]
pub struct LocalFs {
    root: Node,
    procfd: ProcFd,
    set_id_epoch: io::Epoch,
}

/// An open file or directory.
#[derive(Debug)]
pub struct File {
    fd: OwnedFd,
    access: AccessMode,
    opened: Opened,
    /// Its place is the file that it is, whatever becomes of its name.
    _place: Pinned,
}

/// What is kept for an open file besides its descriptor.
#[derive(Debug)]
enum Opened {
    Regular {
        /// When set-id bits were last looked for; `None` where they are not cleared.
        set_id_seen: Option<AtomicU64>,
        /// A description with the access that the file was not opened with, for the locks that need it.
        second: OnceLock<OwnedFd>,
    },
    Directory(dir::Listing),
    Fifo,
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl LocalFs {
    /// The tree at `path`, which may be a directory, a regular file or a socket. The path may lead through
    /// symbolic links but not end in one.
    ///
    /// To be called before the process gives up its rights and, for new files to get exactly the mode that is
    /// asked for in one step, after it set its umask; and not before a `fork(2)`.
    ///
    /// # Errors
    /// Those of `open(2)`; `ELOOP` for a symbolic link, `EPERM` for a FIFO or device, `ENOSYS` when no procfs
    /// is mounted at `/proc`.
    pub fn open(path: &Path) -> Result<Self> {
        Self::new(ProcFd::open()?, gofer_sys::walk::open_root(path)?)
    }

    /// Sets how many places of this process, in whatever trees, hold a descriptor at a time (there is no limit but the
    /// process's until it is set). Others give theirs up until they are used again. Not counted are roots and the places
    /// of open files.
    pub fn limit_places(places: usize) {
        node::set_limit(places);
    }

    /// The tree at a directory, regular file or socket that was opened in any way.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn from_fd(root: &impl AsFd) -> Result<Self> {
        let procfd = ProcFd::open()?;
        let root = procfd.place(root.as_fd())?;
        Self::new(procfd, root)
    }

    /// The tree at a place, by a way to open what is below it that was made before the process gave up its rights.
    ///
    /// # Errors
    /// `ELOOP` for a symbolic link, `EPERM` for a FIFO or device, `EMFILE` when there are no more descriptors.
    pub fn over(procfd: &ProcFd, root: BorrowedFd<'_>) -> Result<Self> {
        Self::new(procfd.clone(), gofer_sys::walk::dup(root)?)
    }

    /// The same at a place that may also be a FIFO or device, to look at: a device cannot be opened.
    ///
    /// # Errors
    /// `ELOOP` for a symbolic link, `EMFILE` when there are no more descriptors.
    pub fn over_any(procfd: &ProcFd, root: BorrowedFd<'_>) -> Result<Self> {
        Self::at_any(procfd.clone(), gofer_sys::walk::dup(root)?)
    }
}

impl Backend for LocalFs {
    type Node = Node;
    type File = File;

    fn is_read_only(&self) -> bool {
        false
    }
    fn id(&self, node: &Node) -> FileId {
        node.id()
    }
    fn attach(&self) -> Result<(Node, Attr)> {
        self.attach()
    }
    fn walk(&self, dir: &Node, name: Name<'_>) -> Result<(Node, Attr)> {
        self.walk(dir, name)
    }
    fn pass(&self, dir: &Node, name: Name<'_>) -> Result<(Node, Attr)> {
        self.pass(dir, name)
    }
    fn lookup(&self, dir: &Node, name: Name<'_>) -> Result<Attr> {
        gofer_sys::attr::stat_child(dir.hold()?.as_fd(), name)
    }
    fn found_at(&self, node: &Node) -> Option<(Node, NameBuf)> {
        node.found_at()
    }
    fn moved(&self, node: &Node, dir: &Node, name: Name<'_>) {
        node.moved(dir, name);
    }
    fn open(&self, node: &Node, flags: OpenFlags) -> Result<File> {
        self.open_node(node, flags)
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
        self.donate_root()
    }
    fn lend<'f>(&self, file: &'f File) -> Option<BorrowedFd<'f>> {
        file.lent()
    }
    fn read(&self, file: &File, offset: u64, len: usize, into: &mut dyn Sink) -> Result<usize> {
        io::read(file, offset, len, into)
    }
    fn write(&self, file: &File, offset: u64, from: &mut dyn Source) -> Result<usize> {
        self.write(file, offset, from)
    }
    fn fsync(&self, file: &File, data_only: bool) -> Result<()> {
        gofer_sys::io::sync(file.as_fd(), data_only)
    }
    fn flush(&self, file: &File) -> Result<()> {
        io::flush(file)
    }
    fn allocate(&self, file: &File, what: Allocate) -> Result<()> {
        self.allocate(file, what)
    }
    fn getattr(&self, node: &Node) -> Result<Attr> {
        gofer_sys::attr::stat(node.hold()?.as_fd())
    }
    fn setattr(&self, node: &Node, file: Option<&File>, set: &SetAttr) -> Result<()> {
        self.setattr(node, file, set)
    }
    fn statfs(&self, node: &Node) -> Result<StatFs> {
        gofer_sys::attr::stat_fs(node.hold()?.as_fd())
    }
    fn readlink(&self, node: &Node, into: &mut Vec<u8>) -> Result<()> {
        attr::readlink(node, into)
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
        let (from, to) = (old_dir.hold()?, new_dir.hold()?);
        gofer_sys::entry::rename(from.as_fd(), old, to.as_fd(), new, flags)?;
        node::note_move(new_dir, &to, new);
        if flags == RenameFlags::Exchange {
            node::note_move(old_dir, &from, old);
        }
        Ok(())
    }
    fn unlink(&self, dir: &Node, name: Name<'_>, what: Unlink) -> Result<()> {
        gofer_sys::entry::unlink(dir.hold()?.as_fd(), name, what)
    }
    fn readdir(
        &self,
        file: &File,
        cookie: u64,
        budget: usize,
        each: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<()> {
        dir::readdir(file, cookie, budget, each)
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
        lock::getlock(file, lock)
    }
    fn connect(&self, node: &Node, kind: SocketKind, user: Option<Credentials>) -> Result<OwnedFd> {
        self.connect(node, kind, user)
    }
    fn bind(
        &self,
        dir: &Node,
        name: Name<'_>,
        kind: SocketKind,
        perm: u32,
        owner: Owner,
    ) -> Result<(Node, Attr, OwnedFd)> {
        self.bind(dir, name, kind, perm, owner)
    }
}
