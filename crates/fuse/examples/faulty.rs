//! A file system in memory on which operations fail now and then: for tests of what uses it.
//!
//! usage: faulty MOUNTPOINT BYTES IN
//!
//! One operation in IN fails with EIO before it does anything. Walks and attributes do not: the kernel asks for them
//! behind other operations, which would then fail after they are done, and it would count links wrongly. It is
//! unmounted by `fusermount3 -u` or `umount`.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use gofer_fuse::{Options, mount};
use gofer_vfs::{
    Allocate, Attr, Backend, CreateFlags, Credentials, Entry, Errno, FileId, Lock, LockHolder, MemFs, Name,
    NameBuf, OpenFlags, Owner, RenameFlags, Result, SetAttr, Sink, SocketKind, Source, Special, StatFs,
    Unlink, XattrFlags, XattrName,
};

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [at, bytes, one_in] = args.as_slice() else { return Err("usage: faulty MOUNTPOINT BYTES IN".into()) };
    let faulty =
        Faulty { inner: MemFs::new(bytes.parse()?), one_in: one_in.parse()?, state: AtomicU64::new(1) };
    mount(faulty, at.as_ref(), &Options { others: true, ..Options::default() })?.wait();
    Ok(())
}

struct Faulty {
    inner: MemFs,
    one_in: u64,
    state: AtomicU64,
}

impl Faulty {
    /// Knuth's generator, whose upper bits are good enough for this.
    fn may(&self) -> Result<()> {
        let next = |state: u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        let state = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default();
        if (state >> 33).is_multiple_of(self.one_in) { Err(Errno::EIO) } else { Ok(()) }
    }
}

type Node = <MemFs as Backend>::Node;
type File = <MemFs as Backend>::File;

macro_rules! may_fail {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&self, $($arg: $type),*) -> Result<$answer> {
            self.may()?;
            self.inner.$name($($arg),*)
        })*
    };
}

impl Backend for Faulty {
    type Node = Node;
    type File = File;

    fn is_read_only(&self) -> bool {
        false
    }
    fn attach(&self) -> Result<(Node, Attr)> {
        self.inner.attach()
    }
    fn id(&self, node: &Node) -> FileId {
        self.inner.id(node)
    }
    fn found_at(&self, node: &Node) -> Option<(Node, NameBuf)> {
        self.inner.found_at(node)
    }
    fn moved(&self, node: &Node, dir: &Node, name: Name<'_>) {
        self.inner.moved(node, dir, name);
    }

    fn lend<'f>(&self, file: &'f File) -> Option<BorrowedFd<'f>> {
        self.inner.lend(file)
    }
    fn walk(&self, dir: &Node, name: Name<'_>) -> Result<(Node, Attr)> {
        self.inner.walk(dir, name)
    }
    fn pass(&self, dir: &Node, name: Name<'_>) -> Result<(Node, Attr)> {
        self.inner.pass(dir, name)
    }
    fn lookup(&self, dir: &Node, name: Name<'_>) -> Result<Attr> {
        self.inner.lookup(dir, name)
    }
    fn getattr(&self, node: &Node) -> Result<Attr> {
        self.inner.getattr(node)
    }

    may_fail! {
        fn open(node: &Node, flags: OpenFlags) -> File;
        fn create(dir: &Node, name: Name<'_>, flags: CreateFlags, perm: u32, owner: Owner) -> (Node, File, Attr);
        fn donate(file: &File) -> OwnedFd;
        fn donate_root() -> OwnedFd;
        fn read(file: &File, offset: u64, len: usize, into: &mut dyn Sink) -> usize;
        fn write(file: &File, offset: u64, from: &mut dyn Source) -> usize;
        fn fsync(file: &File, data_only: bool) -> ();
        fn flush(file: &File) -> ();
        fn allocate(file: &File, what: Allocate) -> ();
        fn setattr(node: &Node, file: Option<&File>, set: &SetAttr) -> ();
        fn statfs(node: &Node) -> StatFs;
        fn readlink(node: &Node, into: &mut Vec<u8>) -> ();
        fn mkdir(dir: &Node, name: Name<'_>, perm: u32, owner: Owner) -> (Node, Attr);
        fn mknod(dir: &Node, name: Name<'_>, what: Special, perm: u32, owner: Owner) -> (Node, Attr);
        fn symlink(dir: &Node, name: Name<'_>, target: &[u8], owner: Owner) -> (Node, Attr);
        fn link(node: &Node, dir: &Node, name: Name<'_>) -> ();
        fn rename(old_dir: &Node, old: Name<'_>, new_dir: &Node, new: Name<'_>, flags: RenameFlags) -> ();
        fn unlink(dir: &Node, name: Name<'_>, what: Unlink) -> ();
        fn readdir(file: &File, cookie: u64, budget: usize, each: &mut dyn FnMut(Entry<'_>) -> bool) -> ();
        fn getxattr(node: &Node, name: XattrName<'_>, into: &mut Vec<u8>) -> ();
        fn setxattr(node: &Node, name: XattrName<'_>, value: &[u8], flags: XattrFlags) -> ();
        fn listxattr(node: &Node, into: &mut Vec<u8>) -> ();
        fn removexattr(node: &Node, name: XattrName<'_>) -> ();
        fn lock(file: &File, lock: Lock) -> bool;
        fn getlock(file: &File, lock: Lock) -> Option<LockHolder>;
        fn connect(node: &Node, kind: SocketKind, user: Option<Credentials>) -> OwnedFd;
        fn bind(dir: &Node, name: Name<'_>, kind: SocketKind, perm: u32, owner: Owner) -> (Node, Attr, OwnedFd);
    }
}
