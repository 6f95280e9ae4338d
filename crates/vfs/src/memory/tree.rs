//! The table of inodes, what they cost and the clock they are stamped by.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};

use super::dir::Directory;
use super::io::{Content, PAGE};
use super::xattr::Xattrs;
use crate::Ranges;
use crate::{Attr, Errno, FileId, FileKind, Gid, Name, Owner, Result, Special, Time, Uid};

/// The number of an inode; never used twice in one tree.
pub(super) type Ino = u64;

/// The inode that is there from the start and stays.
pub(super) const ROOT: Ino = 1;

/// Everything in one [`MemFs`](super::MemFs).
#[derive(Debug)]
pub(super) struct Tree {
    dev: u64,
    last_ino: Ino,
    last_file: u64,
    pub(super) inodes: Inodes,
    pub(super) space: Space,
    pub(super) clock: Clock,
}

impl Tree {
    /// A tree with a root, which one node holds.
    pub(super) fn new(dev: u64, capacity: u64) -> Self {
        let mut clock = Clock(Time::new(1_000_000_000, 0).unwrap_or_default());
        let mut root = Inode::new(Body::directory(ROOT), 0o755, Owner::default(), clock.tick());
        root.handles = 1;
        let inodes = Inodes(BTreeMap::from([(ROOT, root)]));
        Self { dev, last_ino: ROOT, last_file: 0, inodes, space: Space { capacity, used: 0 }, clock }
    }

    /// Counts one more node that holds the inode.
    pub(super) fn pin(&mut self, ino: Ino) {
        self.inodes[ino].handles += 1;
    }

    /// Counts one node less.
    pub(super) fn unpin(&mut self, ino: Ino) {
        self.inodes[ino].handles -= 1;
        self.forget_if_unused(ino);
    }

    /// Removes an inode that has neither a name nor a node, and gives back what it cost.
    pub(super) fn forget_if_unused(&mut self, ino: Ino) {
        let inode = &self.inodes[ino];
        if inode.links == 0 && inode.handles == 0 {
            self.space.give(inode.cost());
            self.inodes.0.remove(&ino);
        }
    }

    /// Puts an inode into the table; its cost was taken.
    pub(super) fn add(&mut self, inode: Inode) -> Ino {
        self.last_ino += 1;
        self.inodes.0.insert(self.last_ino, inode);
        self.last_ino
    }

    /// A number for an open file.
    pub(super) fn number_file(&mut self) -> u64 {
        self.last_file += 1;
        self.last_file
    }

    /// The identity of an inode.
    pub(super) fn id(&self, ino: Ino) -> FileId {
        FileId { dev: self.dev, ino }
    }

    /// The attributes of an inode.
    pub(super) fn attr(&self, ino: Ino) -> Attr {
        let inode = &self.inodes[ino];
        let (size, pages, rdev) = match &inode.body {
            Body::Directory(_) => (PAGE, 0, 0),
            Body::Regular(content) => (content.size(), content.pages(), 0),
            Body::Symlink(target) => (target.len() as u64, 0, 0),
            Body::Special { rdev, .. } => (0, 0, *rdev),
        };
        Attr {
            id: self.id(ino),
            kind: inode.kind(),
            perm: inode.perm,
            uid: inode.uid,
            gid: inode.gid,
            nlink: inode.links,
            rdev,
            size,
            blksize: PAGE,
            blocks: pages * (PAGE / 512),
            atime: inode.atime,
            mtime: inode.mtime,
            ctime: inode.ctime,
            btime: Some(inode.btime),
        }
    }
}

/// The table of inodes. Every number in use is one: a directory entry or a node holds its inode in the table.
#[derive(Debug)]
pub(super) struct Inodes(BTreeMap<Ino, Inode>);

impl Index<Ino> for Inodes {
    type Output = Inode;
    fn index(&self, ino: Ino) -> &Inode {
        self.0.get(&ino).expect("an entry or a node holds it")
    }
}

impl IndexMut<Ino> for Inodes {
    fn index_mut(&mut self, ino: Ino) -> &mut Inode {
        self.0.get_mut(&ino).expect("an entry or a node holds it")
    }
}

/// A file of any kind.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) perm: u32,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    /// Names, and for a directory also its `.` and the `..` of its children; 0 when it was removed.
    pub(super) links: u64,
    /// Nodes that hold it.
    handles: u64,
    pub(super) atime: Time,
    pub(super) mtime: Time,
    pub(super) ctime: Time,
    btime: Time,
    pub(super) xattrs: Xattrs,
    pub(super) locks: Ranges,
    pub(super) body: Body,
}

impl Inode {
    /// An inode with one name, owned by root where `owner` leaves it open.
    pub(super) fn new(body: Body, perm: u32, owner: Owner, now: Time) -> Self {
        Self {
            perm: perm & 0o7777,
            uid: owner.uid.unwrap_or(Uid(0)),
            gid: owner.gid.unwrap_or(Gid(0)),
            links: if matches!(body, Body::Directory(_)) { 2 } else { 1 },
            handles: 0,
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
            xattrs: Xattrs::default(),
            locks: Ranges::default(),
            body,
        }
    }

    /// The kind of file.
    pub(super) fn kind(&self) -> FileKind {
        match &self.body {
            Body::Directory(_) => FileKind::Directory,
            Body::Regular(_) => FileKind::Regular,
            Body::Symlink(_) => FileKind::Symlink,
            Body::Special { kind, .. } => *kind,
        }
    }

    /// What it costs, without its names.
    pub(super) fn cost(&self) -> u64 {
        INODE_COST + self.body.cost() + self.xattrs.cost()
    }

    /// Its content changed.
    pub(super) fn modified(&mut self, now: Time) {
        self.mtime = now;
        self.ctime = now;
    }

    /// Takes away the set-id bits that do not survive a change by somebody else: set-user-id, and
    /// set-group-id where it is not the old mark of mandatory locking (`inode(7)`).
    pub(super) fn drop_set_id(&mut self) {
        self.perm &= if self.perm & 0o010 != 0 { !0o6000 } else { !0o4000 };
    }
}

/// What makes a file one of its kind.
#[derive(Debug)]
pub(super) enum Body {
    Directory(Directory),
    Regular(Content),
    Symlink(Box<[u8]>),
    Special { kind: FileKind, rdev: u64 },
}

impl Body {
    /// The longest target of a symbolic link (`PATH_MAX` less its NUL).
    const TARGET_MAX: usize = 4095;

    /// An empty directory.
    pub(super) fn directory(parent: Ino) -> Self {
        Self::Directory(Directory::new(parent))
    }

    /// A symbolic link.
    pub(super) fn symlink(target: &[u8]) -> Result<Self> {
        match target {
            [] => Err(Errno::ENOENT),
            _ if target.contains(&0) => Err(Errno::EINVAL),
            _ if target.len() > Self::TARGET_MAX => Err(Errno::ENAMETOOLONG),
            _ => Ok(Self::Symlink(target.into())),
        }
    }

    /// What `mknod` makes. `EINVAL` for device numbers that the kernel cannot keep: 12 bits of major and 20
    /// of minor number.
    pub(super) fn special(what: Special) -> Result<Self> {
        let rdev = match what {
            Special::Regular => return Ok(Self::Regular(Content::default())),
            Special::Fifo | Special::Socket => 0,
            Special::CharDevice(major, minor) | Special::BlockDevice(major, minor) => {
                if major >= 1 << 12 || minor >= 1 << 20 {
                    return Err(Errno::EINVAL);
                }
                let (major, minor) = (u64::from(major), u64::from(minor));
                (minor & 0xff) | major << 8 | (minor & !0xff) << 12
            }
        };
        Ok(Self::Special { kind: what.kind(), rdev })
    }

    /// What it costs beyond its inode. Entries of a directory are counted by themselves.
    pub(super) fn cost(&self) -> u64 {
        match self {
            Self::Regular(content) => content.pages() * PAGE,
            Self::Symlink(target) => target.len() as u64,
            Self::Directory(_) | Self::Special { .. } => 0,
        }
    }
}

/// About what an inode takes in the table.
pub(super) const INODE_COST: u64 = 512;

/// About what a name in a directory takes.
pub(super) fn entry_cost(name: Name<'_>) -> u64 {
    128 + name.as_bytes().len() as u64
}

/// The memory there is for the tree, in bytes.
#[derive(Debug)]
pub(super) struct Space {
    pub(super) capacity: u64,
    used: u64,
}

impl Space {
    /// Takes bytes; `ENOSPC` when there are not as many.
    pub(super) fn take(&mut self, bytes: u64) -> Result<()> {
        if bytes > self.free() {
            return Err(Errno::ENOSPC);
        }
        self.used += bytes;
        Ok(())
    }

    /// Gives back bytes that were taken.
    pub(super) fn give(&mut self, bytes: u64) {
        self.used -= bytes;
    }

    /// The bytes left.
    pub(super) fn free(&self) -> u64 {
        self.capacity - self.used
    }
}

/// A clock that moves when something changes.
#[derive(Debug)]
pub(super) struct Clock(Time);

impl Clock {
    /// The next moment.
    pub(super) fn tick(&mut self) -> Time {
        let (sec, nsec) = (self.0.sec(), self.0.nsec());
        if let Ok(next) = Time::new(sec, nsec + 1).or_else(|_| Time::new(sec + 1, 0)) {
            self.0 = next;
        }
        self.0
    }
}
