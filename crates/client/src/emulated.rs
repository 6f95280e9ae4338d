//! What both protocols leave to their clients, or have no message for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gofer_vfs::{
    AccessMode, Allocate, AllocateKind, Attr, Backend, CreateFlags, Entry, EntryName, Errno, FileId,
    FileKind, Name, NameBuf, OpenFlags, Result, SetAttr, XattrFlags,
};
use gofer_wire::p9::{Tallocate, XATTR_CREATE, XATTR_REPLACE};

/// A number for a client, unlike that of any other of this process: files of two servers are never the same file.
pub(crate) fn next_number() -> u64 {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

/// The directory that a place was found in, and its name there. Whoever keeps this keeps nothing of the kind with the
/// directory, so that there is no chain of them.
pub(crate) struct Found<N>(Arc<Mutex<(N, NameBuf)>>);

impl<N> Clone for Found<N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<N: Clone> Found<N> {
    pub(crate) fn new(dir: N, name: Name<'_>) -> Self {
        Self(Arc::new(Mutex::new((dir, name.into()))))
    }

    pub(crate) fn get(&self) -> (N, NameBuf) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, dir: N, name: Name<'_>) {
        let old = std::mem::replace(
            &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner),
            (dir, name.into()),
        );
        // It may have to tell the server: not under the lock.
        drop(old);
    }
}

/// Whether a place of this kind may be opened so.
///
/// # Errors
/// Those of `open(2)`.
pub(crate) fn check_open(kind: FileKind, flags: OpenFlags) -> Result<()> {
    match kind {
        FileKind::Directory if flags.changes() => Err(Errno::EISDIR),
        FileKind::Directory => Ok(()),
        _ if flags.directory => Err(Errno::ENOTDIR),
        FileKind::Symlink => Err(Errno::ELOOP),
        FileKind::Socket | FileKind::CharDevice | FileKind::BlockDevice => Err(Errno::ENXIO),
        FileKind::Regular | FileKind::Fifo => Ok(()),
    }
}

/// Makes a file with `create`, which does so exclusively, or opens one that exists: what a name stands for is looked
/// at before it is opened.
pub(crate) fn create<B: Backend>(
    backend: &B,
    dir: &B::Node,
    name: Name<'_>,
    flags: CreateFlags,
    create: impl Fn() -> Result<(B::Node, B::File, Attr)>,
) -> Result<(B::Node, B::File, Attr)> {
    let create = || match create() {
        Err(Errno::EEXIST) if !flags.exclusive => open_existing(backend, dir, name, flags.open),
        done => done,
    };
    match create() {
        // What was in the way is gone by now.
        Err(Errno::ENOENT) if !flags.exclusive => create(),
        done => done,
    }
}

fn open_existing<B: Backend>(
    backend: &B,
    dir: &B::Node,
    name: Name<'_>,
    flags: OpenFlags,
) -> Result<(B::Node, B::File, Attr)> {
    let (node, attr) = backend.walk(dir, name)?;
    match attr.kind {
        FileKind::Regular => {
            let file = backend.open(&node, flags)?;
            let attr = if flags.truncate { backend.getattr(&node)? } else { attr };
            Ok((node, file, attr))
        }
        FileKind::Directory => Err(Errno::EISDIR),
        _ => Err(Errno::EEXIST),
    }
}

/// `EINVAL` for positions that no file offset can name (`pread(2)`).
pub(crate) fn check_offset(offset: u64, len: usize) -> Result<()> {
    let end = offset.checked_add(len as u64).and_then(|end| i64::try_from(end).ok());
    end.map(drop).ok_or(Errno::EINVAL)
}

/// The most bytes of a read or write for which there is room: whole pages where there is one.
pub(crate) fn whole_pages(room: usize) -> usize {
    const PAGE: usize = 4096;
    if room > PAGE { room - room % PAGE } else { room }
}

/// The mode of an fallocate in both protocols, that of `fallocate(2)`.
///
/// # Errors
/// `EBADF` without the access to write; but as the host has it, numbers that cannot be come first (`EINVAL`).
pub(crate) fn allocate_mode(access: AccessMode, what: Allocate) -> Result<u32> {
    if !access.writes() {
        let can_be = [what.offset, what.length].map(|n| i64::try_from(n).is_ok()) == [true; 2];
        return Err(if can_be && what.length > 0 { Errno::EBADF } else { Errno::EINVAL });
    }
    let kind = match what.kind {
        AllocateKind::Reserve => 0,
        AllocateKind::PunchHole => Tallocate::PUNCH_HOLE | Tallocate::KEEP_SIZE,
        AllocateKind::Zero => Tallocate::ZERO_RANGE,
        AllocateKind::Collapse => Tallocate::COLLAPSE_RANGE,
        AllocateKind::Insert => Tallocate::INSERT_RANGE,
        AllocateKind::Unshare => Tallocate::UNSHARE_RANGE,
    };
    Ok(kind | if what.keep_size { Tallocate::KEEP_SIZE } else { 0 })
}

/// The permissions that a file has left once it was written to (`inode(7)`).
pub(crate) fn without_set_id(perm: u32) -> u32 {
    const SET_UID: u32 = 0o4000;
    const SET_GID: u32 = 0o2000;
    const GROUP_EXECUTES: u32 = 0o10;
    let group = if perm & GROUP_EXECUTES != 0 { SET_GID } else { 0 };
    perm & !(SET_UID | group)
}

/// What of `set` a file of this kind has, and the answer to the rest. It is not asked for: some servers follow a
/// symbolic link to something that has it.
pub(crate) fn settable(kind: FileKind, set: &SetAttr) -> (SetAttr, Result<()>) {
    let size = set.size.filter(|_| kind == FileKind::Regular);
    let perm = set.perm.filter(|_| kind != FileKind::Symlink);
    let refused = if size != set.size {
        Err(Errno::EINVAL)
    } else if perm != set.perm {
        Err(Errno::EOPNOTSUPP)
    } else {
        Ok(())
    };
    (SetAttr { size, perm, ..*set }, refused)
}

/// The flags of setting an attribute in both protocols, those of `setxattr(2)`.
pub(crate) fn xattr_flags(flags: XattrFlags) -> u32 {
    match flags {
        XattrFlags::Any => 0,
        XattrFlags::Create => XATTR_CREATE,
        XattrFlags::Replace => XATTR_REPLACE,
    }
}

/// The cookies of `.` and `..` where they are made up. A server's own must be smaller.
pub(crate) const ITSELF: u64 = u64::MAX - 1;
const PARENT: u64 = u64::MAX;

/// Lists `.` and `..` of a directory where the protocol does not. The position to go on from, `None` when the caller
/// had enough.
pub(crate) fn list_dots(
    dir: FileId,
    mut cookie: u64,
    each: &mut dyn FnMut(Entry<'_>) -> bool,
) -> Option<u64> {
    for (at, name, next) in [(0, EntryName::Itself, ITSELF), (ITSELF, EntryName::Parent, PARENT)] {
        if cookie == at {
            if !each(Entry { name, id: dir, kind: FileKind::Directory, cookie: next }) {
                return None;
            }
            cookie = next;
        }
    }
    Some(if cookie == PARENT { 0 } else { cookie })
}
