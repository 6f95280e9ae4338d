//! One backend and what is held of it.

use gofer_sys::io::{ReadInto, WriteFrom};
use gofer_vfs::{
    AccessMode, Attr, Backend, EntryName, FileId, FileKind, Gid, Lock, LockHolder, LockKind, OpenFlags,
    Result, SetTime, Time, Uid, XattrPolicy,
};

use super::op::{ANY, AttrOp, EntryOp, HoldOp, IoOp, LockOp, Op, XattrOp};

/// How many places and files are held at once; the oldest but the first, which is the root, goes.
const NODES: usize = 12;
const FILES: usize = 8;

/// A backend and what is held of it.
pub struct Side<'a, B: Backend> {
    backend: &'a B,
    nodes: Vec<Held<B::Node>>,
    files: Vec<Held<B::File>>,
    /// The owner of the root, which is the server where nobody said otherwise.
    pub(super) server: (Uid, Gid),
}

struct Held<T> {
    it: T,
    id: FileId,
    kind: FileKind,
}

/// What an operation answered, as far as it can be compared.
#[derive(Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the answer of the methods of `Backend` that give one of its kind")]
pub enum Answer {
    /// The operation was left out: nothing it applies to is held, or backends need not agree on it.
    LeftOut,
    Done,
    Look(Look),
    Times(Look, [Option<Time>; 2]),
    Bytes(Vec<u8>),
    Count(usize),
    Names(Vec<Vec<u8>>),
    /// Sorted: name, kind, and the first place held that is the same file.
    Entries(Vec<(Vec<u8>, FileKind, Option<usize>)>),
    Locked(bool),
    /// Whether the numbers can be true.
    Sane(bool),
    /// Whether a lock is in the way, and if so whether what was said of it can be true.
    InTheWay(Option<bool>),
}

/// The attributes that all backends agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    kind: FileKind,
    perm: u32,
    /// For a directory only whether it is there at all.
    nlink: u64,
    /// `None` where it is the server's.
    uid: Option<Uid>,
    gid: Option<Gid>,
    /// Of devices.
    rdev: Option<u64>,
    /// Of regular files and symbolic links.
    size: Option<u64>,
    /// Where somebody set it.
    mtime: Option<Time>,
    /// The first place held that is the same file.
    same_as: Option<usize>,
}

/// A time that was set, by the years that [`ops`](super::ops) sets; clocks are past them.
fn as_set(time: Time) -> Option<Time> {
    (time.sec() < 500_000_000).then_some(time)
}

impl Look {
    pub(super) fn new(attr: &Attr, server: (Uid, Gid), same_as: Option<usize>) -> Self {
        use FileKind::{BlockDevice, CharDevice, Directory, Regular, Symlink};
        let is_dir = attr.kind == Directory;
        Self {
            kind: attr.kind,
            perm: attr.perm,
            nlink: if is_dir { attr.nlink.min(1) } else { attr.nlink },
            uid: (attr.uid != server.0).then_some(attr.uid),
            gid: (attr.gid != server.1).then_some(attr.gid),
            rdev: matches!(attr.kind, BlockDevice | CharDevice).then_some(attr.rdev),
            size: matches!(attr.kind, Regular | Symlink).then_some(attr.size),
            mtime: as_set(attr.mtime),
            same_as,
        }
    }
}

/// What is held under a number, of one of these kinds; of any where none are named.
fn pick<'a, T>(held: &'a [Held<T>], number: usize, kinds: &[FileKind]) -> Option<&'a Held<T>> {
    let fits = |held: &&Held<T>| kinds.is_empty() || number >= ANY || kinds.contains(&held.kind);
    let count = held.iter().filter(fits).count();
    held.iter().filter(fits).nth(number.checked_rem(count)?)
}

fn keep<T>(held: &mut Vec<Held<T>>, most: usize, it: T, attr: &Attr) {
    if held.len() == most {
        held.remove(1);
    }
    held.push(Held { it, id: attr.id, kind: attr.kind });
}

fn forget<T>(held: &mut Vec<Held<T>>, number: usize, spared: usize) {
    if held.len() > spared {
        held.remove(spared + number % (held.len() - spared));
    }
}

impl<'a, B: Backend> Side<'a, B> {
    /// A side that holds the root.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn new(backend: &'a B) -> Result<Self> {
        let (node, attr) = backend.attach()?;
        let mut side = Self { backend, nodes: Vec::new(), files: Vec::new(), server: (attr.uid, attr.gid) };
        keep(&mut side.nodes, NODES, node, &attr);
        Ok(side)
    }

    /// The attributes of everything held.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn looks(&self) -> Result<Vec<Look>> {
        self.nodes.iter().map(|held| Ok(self.look(&self.backend.getattr(&held.it)?))).collect()
    }

    fn look(&self, attr: &Attr) -> Look {
        Look::new(attr, self.server, self.same_as(attr.id))
    }

    fn same_as(&self, id: FileId) -> Option<usize> {
        self.nodes.iter().position(|held| held.id == id)
    }

    /// A place of one of these kinds.
    fn place(&self, number: usize, kinds: &[FileKind]) -> &Held<B::Node> {
        pick(&self.nodes, number, kinds).unwrap_or(&self.nodes[0])
    }

    fn dir(&self, number: usize) -> &B::Node {
        &self.place(number, &[FileKind::Directory]).it
    }

    fn node(&self, number: usize) -> &B::Node {
        &self.place(number, &[]).it
    }

    fn hold(&mut self, node: B::Node, attr: &Attr) -> Answer {
        keep(&mut self.nodes, NODES, node, attr);
        Answer::Look(self.look(attr))
    }

    /// Applies an operation.
    ///
    /// # Errors
    /// Those of the backend, which are part of its answer.
    pub fn apply(&mut self, op: &Op) -> Result<Answer> {
        match op {
            Op::Hold(op) => self.apply_hold(op),
            Op::Io(op) => self.apply_io(op),
            Op::Attr(op) => self.apply_attr(op),
            Op::Entry(op) => self.apply_entry(op),
            Op::Xattr(op) => self.apply_xattr(op),
            Op::Lock(op) => self.apply_lock(op),
        }
    }

    fn apply_hold(&mut self, op: &HoldOp) -> Result<Answer> {
        match *op {
            HoldOp::Attach => {
                let (node, attr) = self.backend.attach()?;
                Ok(self.hold(node, &attr))
            }
            HoldOp::Walk { dir, name } => {
                let (node, attr) = self.backend.walk(self.dir(dir), name)?;
                Ok(self.hold(node, &attr))
            }
            HoldOp::Lookup { dir, name } => {
                Ok(Answer::Look(self.look(&self.backend.lookup(self.dir(dir), name)?)))
            }
            HoldOp::Open { node, flags } => self.open(node, flags),
            HoldOp::Create { dir, name, flags, perm, owner } => {
                let (node, file, attr) = self.backend.create(self.dir(dir), name, flags, perm, owner)?;
                keep(&mut self.files, FILES, file, &attr);
                Ok(self.hold(node, &attr))
            }
            HoldOp::Close { file } => {
                forget(&mut self.files, file, 0);
                Ok(Answer::Done)
            }
            HoldOp::Forget { node } => {
                forget(&mut self.nodes, node, 1);
                Ok(Answer::Done)
            }
        }
    }

    /// Devices are never opened. A FIFO is opened for writing only, which fails while nobody reads.
    fn open(&mut self, node: usize, flags: OpenFlags) -> Result<Answer> {
        let Held { it, id: _, kind } = self.place(node, &[FileKind::Directory, FileKind::Regular]);
        let flags = match kind {
            FileKind::CharDevice | FileKind::BlockDevice => return Ok(Answer::LeftOut),
            FileKind::Fifo => OpenFlags { access: AccessMode::Write, ..flags },
            _ => flags,
        };
        let file = self.backend.open(it, flags)?;
        let attr = self.backend.getattr(it)?;
        keep(&mut self.files, FILES, file, &attr);
        Ok(Answer::Done)
    }

    fn apply_io(&self, op: &IoOp) -> Result<Answer> {
        let (IoOp::Read { file, .. }
        | IoOp::Write { file, .. }
        | IoOp::Fsync { file, .. }
        | IoOp::Flush { file }
        | IoOp::Allocate { file, .. }
        | IoOp::Readdir { file, .. }) = *op;
        let kind = if matches!(op, IoOp::Readdir { .. }) { FileKind::Directory } else { FileKind::Regular };
        let Some(Held { it: file, .. }) = pick(&self.files, file, &[kind]) else {
            return Ok(Answer::LeftOut);
        };
        match *op {
            IoOp::Read { offset, len, .. } => read(self.backend, file, offset, len).map(Answer::Bytes),
            IoOp::Write { offset, len, byte, .. } => {
                let bytes = vec![byte; len];
                self.backend.write(file, offset, &mut WriteFrom(&bytes)).map(Answer::Count)
            }
            IoOp::Fsync { data_only, .. } => self.backend.fsync(file, data_only).map(|()| Answer::Done),
            IoOp::Flush { .. } => self.backend.flush(file).map(|()| Answer::Done),
            IoOp::Allocate { what, .. } => self.backend.allocate(file, what).map(|()| Answer::Done),
            IoOp::Readdir { budget, at_once, .. } => self.readdir(file, budget, at_once),
        }
    }

    /// The whole directory, a few entries at a time.
    fn readdir(&self, file: &B::File, budget: usize, at_once: usize) -> Result<Answer> {
        let (mut entries, mut cookie) = (Vec::new(), 0);
        loop {
            let mut taken = 0;
            self.backend.readdir(file, cookie, budget, &mut |entry| {
                if taken == at_once {
                    return false;
                }
                taken += 1;
                cookie = entry.cookie;
                let known = if entry.name == EntryName::Parent { None } else { self.same_as(entry.id) };
                entries.push((entry.name.as_bytes().to_vec(), entry.kind, known));
                true
            })?;
            if taken == 0 {
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                return Ok(Answer::Entries(entries));
            }
        }
    }

    fn apply_attr(&self, op: &AttrOp) -> Result<Answer> {
        match *op {
            AttrOp::Getattr { node } => Ok(Answer::Look(self.look(&self.backend.getattr(self.node(node))?))),
            AttrOp::Setattr { node, with_file, mut set } => {
                let Held { it, id, kind } = self.place(node, &[]);
                if matches!(kind, FileKind::CharDevice | FileKind::BlockDevice) {
                    set.size = None;
                }
                let file = self.files.iter().find(|file| with_file && file.id == *id).map(|file| &file.it);
                let answer = self.backend.setattr(it, file, &set);
                let attr = self.backend.getattr(it)?;
                let was_set =
                    |wanted, time| if matches!(wanted, Some(SetTime::At(_))) { as_set(time) } else { None };
                let times = [was_set(set.atime, attr.atime), was_set(set.mtime, attr.mtime)];
                answer.map(|()| Answer::Times(self.look(&attr), times))
            }
            AttrOp::Statfs { node } => {
                let stat = self.backend.statfs(self.node(node))?;
                let sane = stat.blocks_free <= stat.blocks && stat.name_max == 255;
                Ok(Answer::Sane(sane))
            }
            AttrOp::Readlink { node } => {
                let mut target = Vec::new();
                self.backend
                    .readlink(&self.place(node, &[FileKind::Symlink]).it, &mut target)
                    .map(|()| Answer::Bytes(target))
            }
        }
    }

    fn apply_entry(&mut self, op: &EntryOp) -> Result<Answer> {
        let made = match *op {
            EntryOp::Mkdir { dir, name, perm, owner } => self.backend.mkdir(self.dir(dir), name, perm, owner),
            EntryOp::Mknod { dir, name, what, perm, owner } => {
                self.backend.mknod(self.dir(dir), name, what, perm, owner)
            }
            EntryOp::Symlink { dir, name, target, owner } => {
                self.backend.symlink(self.dir(dir), name, target, owner)
            }
            EntryOp::Link { node, dir, name } => {
                use FileKind::{Fifo, Regular, Socket, Symlink};
                let Held { it, .. } = self.place(node, &[Regular, Symlink, Fifo, Socket]);
                return self.backend.link(it, self.dir(dir), name).map(|()| Answer::Done);
            }
            EntryOp::Rename { old_dir, old, new_dir, new, flags } => {
                let (old_dir, new_dir) = (self.dir(old_dir), self.dir(new_dir));
                return self.backend.rename(old_dir, old, new_dir, new, flags).map(|()| Answer::Done);
            }
            EntryOp::Unlink { dir, name, what } => {
                return self.backend.unlink(self.dir(dir), name, what).map(|()| Answer::Done);
            }
        };
        let (node, attr) = made?;
        Ok(self.hold(node, &attr))
    }

    fn apply_xattr(&self, op: &XattrOp) -> Result<Answer> {
        match *op {
            XattrOp::Get { node, name } => {
                let mut value = Vec::new();
                self.backend.getxattr(self.node(node), name, &mut value).map(|()| Answer::Bytes(value))
            }
            XattrOp::Set { node, name, len, byte, flags } => {
                let value = vec![byte; len];
                self.backend.setxattr(self.node(node), name, &value, flags).map(|()| Answer::Done)
            }
            XattrOp::List { node } => xattrs(self.backend, self.node(node)).map(Answer::Names),
            XattrOp::Remove { node, name } => {
                self.backend.removexattr(self.node(node), name).map(|()| Answer::Done)
            }
        }
    }

    fn apply_lock(&self, op: &LockOp) -> Result<Answer> {
        let (LockOp::Lock { file, .. } | LockOp::Getlock { file, .. }) = *op;
        let Some(Held { it: file, .. }) = pick(&self.files, file, &[FileKind::Regular]) else {
            return Ok(Answer::LeftOut);
        };
        match *op {
            LockOp::Lock { lock, .. } => self.backend.lock(file, lock).map(Answer::Locked),
            LockOp::Getlock { lock, .. } => {
                let holder = self.backend.getlock(file, lock)?;
                Ok(Answer::InTheWay(holder.map(|holder| is_in_the_way(&holder, lock))))
            }
        }
    }
}

/// Whether a holder's lock can be in the way of another. Which one is told where there are several is the
/// backend's choice.
fn is_in_the_way(holder: &LockHolder, wanted: Lock) -> bool {
    let end = |lock: Lock| if lock.length == 0 { u64::MAX } else { lock.start.saturating_add(lock.length) };
    let overlap = holder.lock.start < end(wanted) && wanted.start < end(holder.lock);
    let exclusive = [holder.lock.kind, wanted.kind].contains(&LockKind::Exclusive);
    overlap && exclusive && holder.lock.kind != LockKind::Unlock
}

/// Reads until `len` bytes or the end of the file: fewer at once are normal.
pub(super) fn read<B: Backend>(backend: &B, file: &B::File, offset: u64, len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let (at, left) = (offset.saturating_add(bytes.len() as u64), len - bytes.len());
        let mut part = Vec::new();
        backend.read(file, at, left, &mut ReadInto::new(&mut part, left))?;
        if part.is_empty() {
            return Ok(bytes);
        }
        bytes.append(&mut part);
    }
}

/// The names of the user's extended attributes, sorted.
pub(super) fn xattrs<B: Backend>(backend: &B, node: &B::Node) -> Result<Vec<Vec<u8>>> {
    let mut list = Vec::new();
    backend.listxattr(node, &mut list)?;
    XattrPolicy::User.filter(&mut list);
    let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut names: Vec<_> = names.map(<[u8]>::to_vec).collect();
    names.sort();
    Ok(names)
}
