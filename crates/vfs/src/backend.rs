//! [`Backend`]: the contract between front-ends and file trees.

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::{
    Allocate, Attr, CreateFlags, Credentials, FileId, FileKind, Lock, LockHolder, Name, NameBuf, OpenFlags,
    Owner, RenameFlags, Result, SetAttr, Sink, SocketKind, Source, Special, StatFs, Unlink, XattrFlags,
    XattrName,
};

/// A file tree: host files, a remote server, a tree in memory, or a wrapper around one of them.
///
/// There are no paths. A [`Node`](Self::Node) is a place that was reached by single steps from the root; it
/// never stands for another file, whatever happens to its name. A backend may have to look a place up again by
/// the name it was found under; where that is another file's or gone, operations on the node answer `ESTALE`.
/// That does not happen to the root and to nodes that are open. A [`File`](Self::File) is a node that was
/// opened. Both are released by dropping them.
///
/// Every method may be called from any number of threads at once and answers an [`Errno`](crate::Errno) of
/// Linux's, the one that the system call named in its doc would give, unless it says otherwise. No method has
/// a default: a new one has to be answered by every backend. No symbolic link is ever followed.
///
/// Attributes of a node always come from the node itself, never from a second look at its name.
pub trait Backend: Send + Sync + 'static {
    /// A place in the tree. Clones are the same one.
    type Node: Clone + Send + Sync + 'static;
    /// An open file or directory. Closing it releases its locks.
    type File: Send + Sync + 'static;

    /// Whether every change is answered `EROFS`, so that a front-end can say so before it takes one in parts.
    fn is_read_only(&self) -> bool;

    // walk

    /// The root, as a node of its own.
    fn attach(&self) -> Result<(Self::Node, Attr)>;

    /// One step down from a directory. Opens nothing: a device, a FIFO or a symbolic link is just a place.
    fn walk(&self, dir: &Self::Node, name: Name<'_>) -> Result<(Self::Node, Attr)>;

    /// The same for a step that others follow, the place not being kept. What is known already need not be found anew.
    fn pass(&self, dir: &Self::Node, name: Name<'_>) -> Result<(Self::Node, Attr)>;

    /// The attributes of what `name` stands for, without keeping hold of it (`fstatat(2)`).
    fn lookup(&self, dir: &Self::Node, name: Name<'_>) -> Result<Attr>;

    /// The identity of a node, which never changes. Asks nobody.
    fn id(&self, node: &Self::Node) -> FileId;

    /// The directory and the name in it that a node was found by, or has [moved](Self::moved) to. `None` for the
    /// root. The directory may be answered as a node of which nothing of the kind is known.
    fn found_at(&self, node: &Self::Node) -> Option<(Self::Node, NameBuf)>;

    /// Notes where a node was moved to. Nothing is noted where it would come to lie below itself: then another
    /// move was not told.
    fn moved(&self, node: &Self::Node, dir: &Self::Node, name: Name<'_>);

    // open

    /// Opens a regular file, directory or FIFO; whether a kind may be opened at all is the front-end's policy.
    /// Never waits: a FIFO without a reader gives `ENXIO` to a writer.
    fn open(&self, node: &Self::Node, flags: OpenFlags) -> Result<Self::File>;

    /// Makes a regular file and opens it. `perm` (07777) and owner are exactly those given. On failure
    /// nothing is left behind.
    fn create(
        &self,
        dir: &Self::Node,
        name: Name<'_>,
        flags: CreateFlags,
        perm: u32,
        owner: Owner,
    ) -> Result<(Self::Node, Self::File, Attr)>;

    /// A descriptor of an open regular file or FIFO for the client to keep: a description of its own, with
    /// exactly the access the file was opened with. `EOPNOTSUPP` for a directory, which would be a way out of
    /// the tree, and where there is no host file behind it.
    fn donate(&self, file: &Self::File) -> Result<OwnedFd>;

    /// A descriptor of the root for the client to keep, opened for reading, or a mere place where that cannot be.
    /// From a directory it leads to everything below and, unless something else holds the client, above it.
    /// `EOPNOTSUPP` where there is no host file behind it.
    fn donate_root(&self) -> Result<OwnedFd>;

    /// A descriptor of the same open regular file, for a front-end to use while the file is open: to hand to the
    /// kernel, or to ask what only the host can say. It has exactly the access the file was opened with; its position
    /// and flags mean nothing. `None` where there is no host file behind it. Asks nobody.
    fn lend<'f>(&self, file: &'f Self::File) -> Option<BorrowedFd<'f>>;

    // io

    /// Reads at `offset`, at most `len` bytes, into `into`. Fewer bytes are normal; 0 is the end of the file.
    fn read(&self, file: &Self::File, offset: u64, len: usize, into: &mut dyn Sink) -> Result<usize>;

    /// Writes what `from` holds at `offset`, or at the end where the file was opened to append. Fewer bytes
    /// are normal.
    fn write(&self, file: &Self::File, offset: u64, from: &mut dyn Source) -> Result<usize>;

    /// Puts the file (or, with `data_only`, its content and size) on disk (`fsync(2)`).
    fn fsync(&self, file: &Self::File, data_only: bool) -> Result<()>;

    /// What `close(2)` would report, without closing: errors of delayed writes on some file systems.
    fn flush(&self, file: &Self::File) -> Result<()>;

    /// Changes the space a file takes (`fallocate(2)`).
    fn allocate(&self, file: &Self::File, what: Allocate) -> Result<()>;

    // attr

    /// The attributes of a node; `nlink` is 0 for one that was removed.
    fn getattr(&self, node: &Self::Node) -> Result<Attr>;

    /// Changes attributes of a node, also of a symbolic link and of a file that was removed. `file`, where
    /// there is one, is the node opened, and is used for the size when it can write. Later changes are tried
    /// after one failed; the first error is the answer.
    fn setattr(&self, node: &Self::Node, file: Option<&Self::File>, set: &SetAttr) -> Result<()>;

    /// The file system below a node (`fstatfs(2)`).
    fn statfs(&self, node: &Self::Node) -> Result<StatFs>;

    /// Appends the target of a symbolic link to `into` (`readlinkat(2)`).
    fn readlink(&self, node: &Self::Node, into: &mut Vec<u8>) -> Result<()>;

    // entry

    /// Makes a directory. `perm` (07777) and owner as for [`create`](Self::create).
    fn mkdir(&self, dir: &Self::Node, name: Name<'_>, perm: u32, owner: Owner) -> Result<(Self::Node, Attr)>;

    /// Makes a file that is not opened. `perm` and owner as for [`create`](Self::create).
    fn mknod(
        &self,
        dir: &Self::Node,
        name: Name<'_>,
        what: Special,
        perm: u32,
        owner: Owner,
    ) -> Result<(Self::Node, Attr)>;

    /// Makes a symbolic link to `target`, which is never interpreted. `EINVAL` with a NUL inside, `ENOENT`
    /// when empty.
    fn symlink(
        &self,
        dir: &Self::Node,
        name: Name<'_>,
        target: &[u8],
        owner: Owner,
    ) -> Result<(Self::Node, Attr)>;

    /// Gives a file that has one another name. `EPERM` for directories, `ENOENT` for a file without a name.
    fn link(&self, node: &Self::Node, dir: &Self::Node, name: Name<'_>) -> Result<()>;

    /// Moves what `old` names to `new` (`renameat2(2)`).
    fn rename(
        &self,
        old_dir: &Self::Node,
        old: Name<'_>,
        new_dir: &Self::Node,
        new: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()>;

    /// Removes a name (`unlinkat(2)`).
    fn unlink(&self, dir: &Self::Node, name: Name<'_>, what: Unlink) -> Result<()>;

    // dir

    /// Lists an open directory from `cookie` on (0 is the start) until the end or until `each` answers
    /// `false`; the entry it was called with then counts as not taken. `budget` says how many bytes the
    /// caller can take, counted as 24 for an entry and one for each byte of its name, so that no more is read
    /// than can be used. It may end early, but not before an entry besides `.` and `..` was taken where there
    /// is one. `.` and `..` are listed, in the host's place and order.
    ///
    /// The cookie of an entry is never 0 and stands for the position behind it, as long as the file is open.
    fn readdir(
        &self,
        file: &Self::File,
        cookie: u64,
        budget: usize,
        each: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<()>;

    // xattr

    /// Appends the value of an extended attribute to `into`; `ENODATA` where there is none.
    fn getxattr(&self, node: &Self::Node, name: XattrName<'_>, into: &mut Vec<u8>) -> Result<()>;

    /// Sets an extended attribute.
    fn setxattr(&self, node: &Self::Node, name: XattrName<'_>, value: &[u8], flags: XattrFlags)
    -> Result<()>;

    /// Appends the names of all extended attributes to `into`, each with a NUL behind it. The caller filters.
    fn listxattr(&self, node: &Self::Node, into: &mut Vec<u8>) -> Result<()>;

    /// Removes an extended attribute; `ENODATA` where there is none.
    fn removexattr(&self, node: &Self::Node, name: XattrName<'_>) -> Result<()>;

    // lock

    /// Takes or releases a byte-range lock that belongs to `file` and ends with it. Never waits: `false` says
    /// that another's lock is in the way.
    fn lock(&self, file: &Self::File, lock: Lock) -> Result<bool>;

    /// A lock that would be in the way of `lock`, if there is one.
    fn getlock(&self, file: &Self::File, lock: Lock) -> Result<Option<LockHolder>>;

    // socket

    /// Connects to the unix socket that a node is, without waiting (`EAGAIN` when its queue is full); as another
    /// user where one is named and the process may be that user.
    fn connect(&self, node: &Self::Node, kind: SocketKind, user: Option<Credentials>) -> Result<OwnedFd>;

    /// Makes a unix socket with a name, which neither listens nor waits. `perm` (07777) and owner as for
    /// [`create`](Self::create). `EADDRINUSE` when the name is taken, `EINVAL` when it is too long for an address
    /// (`unix(7)`), `EOPNOTSUPP` where there is no host file behind it.
    fn bind(
        &self,
        dir: &Self::Node,
        name: Name<'_>,
        kind: SocketKind,
        perm: u32,
        owner: Owner,
    ) -> Result<(Self::Node, Attr, OwnedFd)>;
}

/// The name in a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryName<'a> {
    /// `.`
    Itself,
    /// `..`
    Parent,
    /// Anything else.
    Child(Name<'a>),
}

impl<'a> EntryName<'a> {
    /// The bytes of the name.
    pub fn as_bytes(&self) -> &'a [u8] {
        match self {
            Self::Itself => b".",
            Self::Parent => b"..",
            Self::Child(name) => name.as_bytes(),
        }
    }
}

/// One entry of a directory.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its name.
    pub name: EntryName<'a>,
    /// What it is. For `..` this need not be the truth: a front-end must not pass it on.
    pub id: FileId,
    /// Its kind.
    pub kind: FileKind,
    /// The position behind it.
    pub cookie: u64,
}
