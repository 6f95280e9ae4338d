//! Host files with a fault.

use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use gofer_localfs::LocalFs;
use gofer_vfs::*;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A walk to a link goes where an absolute one points to.
    Follows,
    /// Directories are made although it is read-only.
    MakesDirectories,
    /// Whoever creates a name gets it, whoever had it.
    CreatesOverAll,
    /// What is written is forgotten.
    DropsWrites,
}

/// A tree with a fault, if there is one.
pub(crate) struct Broken {
    pub(crate) inner: Access<LocalFs>,
    pub(crate) fault: Option<Fault>,
}

impl Broken {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn files(&self) -> &LocalFs {
        match &self.inner {
            Access::ReadWrite(files) | Access::ReadOnly(ReadOnly(files)) => files,
        }
    }
}

type Node = <LocalFs as Backend>::Node;
type File = <LocalFs as Backend>::File;

macro_rules! sound {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&self, $($arg: $type),*) -> $answer { self.inner.$name($($arg),*) })*
    };
}

impl Backend for Broken {
    type Node = Node;
    type File = File;

    fn walk(&self, dir: &Node, name: Name<'_>) -> Result<(Node, Attr)> {
        let found = self.inner.walk(dir, name)?;
        if self.has(Fault::Follows) && found.1.kind == FileKind::Symlink {
            let mut target = Vec::new();
            self.inner.readlink(&found.0, &mut target)?;
            if target.starts_with(b"/") && !target.starts_with(b"/proc") {
                return LocalFs::open(Path::new(OsStr::from_bytes(&target)))?.attach();
            }
        }
        Ok(found)
    }

    fn pass(&self, dir: &Node, name: Name<'_>) -> Result<(Node, Attr)> {
        self.walk(dir, name)
    }

    fn mkdir(&self, dir: &Node, name: Name<'_>, perm: u32, owner: Owner) -> Result<(Node, Attr)> {
        match self.inner.mkdir(dir, name, perm, owner) {
            Err(Errno::EROFS) if self.has(Fault::MakesDirectories) => {
                self.files().mkdir(dir, name, perm, owner)
            }
            Err(Errno::EEXIST) if self.has(Fault::CreatesOverAll) => self.inner.walk(dir, name),
            made => made,
        }
    }

    fn write(&self, file: &File, offset: u64, from: &mut dyn Source) -> Result<usize> {
        if self.has(Fault::DropsWrites) && offset > 0 {
            let mut lost = vec![0; from.left()];
            return Ok(from.take(&mut lost));
        }
        self.inner.write(file, offset, from)
    }

    fn lend<'f>(&self, file: &'f File) -> Option<BorrowedFd<'f>> {
        self.inner.lend(file)
    }

    sound! {
        is_read_only() -> bool;
        attach() -> Result<(Node, Attr)>;
        lookup(dir: &Node, name: Name<'_>) -> Result<Attr>;
        id(node: &Node) -> FileId;
        found_at(node: &Node) -> Option<(Node, NameBuf)>;
        moved(node: &Node, dir: &Node, name: Name<'_>) -> ();
        open(node: &Node, flags: OpenFlags) -> Result<File>;
        create(dir: &Node, name: Name<'_>, flags: CreateFlags, perm: u32, owner: Owner) -> Result<(Node, File, Attr)>;
        donate(file: &File) -> Result<OwnedFd>;
        donate_root() -> Result<OwnedFd>;
        read(file: &File, offset: u64, len: usize, into: &mut dyn Sink) -> Result<usize>;
        fsync(file: &File, data_only: bool) -> Result<()>;
        flush(file: &File) -> Result<()>;
        allocate(file: &File, what: Allocate) -> Result<()>;
        getattr(node: &Node) -> Result<Attr>;
        setattr(node: &Node, file: Option<&File>, set: &SetAttr) -> Result<()>;
        statfs(node: &Node) -> Result<StatFs>;
        readlink(node: &Node, into: &mut Vec<u8>) -> Result<()>;
        mknod(dir: &Node, name: Name<'_>, what: Special, perm: u32, owner: Owner) -> Result<(Node, Attr)>;
        symlink(dir: &Node, name: Name<'_>, target: &[u8], owner: Owner) -> Result<(Node, Attr)>;
        link(node: &Node, dir: &Node, name: Name<'_>) -> Result<()>;
        rename(old_dir: &Node, old: Name<'_>, new_dir: &Node, new: Name<'_>, flags: RenameFlags) -> Result<()>;
        unlink(dir: &Node, name: Name<'_>, what: Unlink) -> Result<()>;
        readdir(file: &File, cookie: u64, budget: usize, each: &mut dyn FnMut(Entry<'_>) -> bool) -> Result<()>;
        getxattr(node: &Node, name: XattrName<'_>, into: &mut Vec<u8>) -> Result<()>;
        setxattr(node: &Node, name: XattrName<'_>, value: &[u8], flags: XattrFlags) -> Result<()>;
        listxattr(node: &Node, into: &mut Vec<u8>) -> Result<()>;
        removexattr(node: &Node, name: XattrName<'_>) -> Result<()>;
        lock(file: &File, lock: Lock) -> Result<bool>;
        getlock(file: &File, lock: Lock) -> Result<Option<LockHolder>>;
        connect(node: &Node, kind: SocketKind, user: Option<Credentials>) -> Result<OwnedFd>;
        bind(dir: &Node, name: Name<'_>, kind: SocketKind, perm: u32, owner: Owner) -> Result<(Node, Attr, OwnedFd)>;
    }
}
