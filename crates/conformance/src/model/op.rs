//! Operations, and random ones.

use gofer_vfs::{
    AccessMode, Allocate, AllocateKind, Backend, CreateFlags, Gid, Lock, LockKind, Name, OpenFlags, Owner,
    RenameFlags, Result, SetAttr, SetTime, Special, Sync, Time, Uid, Unlink, XattrFlags, XattrName,
    XattrPolicy,
};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// From this number on, what is held is counted whatever its kind.
pub(super) const ANY: usize = 12;

/// One step. Places and files are numbers, counted round what is held: below 12 only what is of the kind that
/// the operation is for, from 12 on everything.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the variants are the operations of `Backend`, by family")]
pub enum Op {
    Hold(HoldOp),
    Io(IoOp),
    Attr(AttrOp),
    Entry(EntryOp),
    Xattr(XattrOp),
    Lock(LockOp),
}

/// Operations after which a place or a file is held, or is not any more.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "named after the methods of `Backend` and their parameters")]
pub enum HoldOp {
    Attach,
    Walk { dir: usize, name: Name<'static> },
    Lookup { dir: usize, name: Name<'static> },
    Open { node: usize, flags: OpenFlags },
    Create { dir: usize, name: Name<'static>, flags: CreateFlags, perm: u32, owner: Owner },
    Close { file: usize },
    Forget { node: usize },
}

/// Operations on open files.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "named after the methods of `Backend` and their parameters")]
pub enum IoOp {
    Read { file: usize, offset: u64, len: usize },
    Write { file: usize, offset: u64, len: usize, byte: u8 },
    Fsync { file: usize, data_only: bool },
    Flush { file: usize },
    Allocate { file: usize, what: Allocate },
    Readdir { file: usize, budget: usize, at_once: usize },
}

/// Operations on attributes.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "named after the methods of `Backend` and their parameters")]
pub enum AttrOp {
    Getattr { node: usize },
    Setattr { node: usize, with_file: bool, set: SetAttr },
    Statfs { node: usize },
    Readlink { node: usize },
}

/// Operations on names.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "named after the methods of `Backend` and their parameters")]
pub enum EntryOp {
    Mkdir { dir: usize, name: Name<'static>, perm: u32, owner: Owner },
    Mknod { dir: usize, name: Name<'static>, what: Special, perm: u32, owner: Owner },
    Symlink { dir: usize, name: Name<'static>, target: &'static [u8], owner: Owner },
    Link { node: usize, dir: usize, name: Name<'static> },
    Rename { old_dir: usize, old: Name<'static>, new_dir: usize, new: Name<'static>, flags: RenameFlags },
    Unlink { dir: usize, name: Name<'static>, what: Unlink },
}

/// Operations on extended attributes.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "named after the methods of `Backend` and their parameters")]
pub enum XattrOp {
    Get { node: usize, name: XattrName<'static> },
    Set { node: usize, name: XattrName<'static>, len: usize, byte: u8, flags: XattrFlags },
    List { node: usize },
    Remove { node: usize, name: XattrName<'static> },
}

/// Operations on byte-range locks.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "named after the methods of `Backend` and their parameters")]
pub enum LockOp {
    Lock { file: usize, lock: Lock },
    Getlock { file: usize, lock: Lock },
}

impl Op {
    /// Whether this is to be refused where nothing may change, whatever the state of the tree.
    pub fn changes(&self) -> bool {
        match self {
            Self::Hold(op) => match op {
                HoldOp::Create { .. } => true,
                HoldOp::Open { flags, .. } => flags.changes(),
                _ => false,
            },
            Self::Io(op) => matches!(op, IoOp::Write { .. } | IoOp::Allocate { .. }),
            Self::Attr(op) => matches!(op, AttrOp::Setattr { .. }),
            Self::Entry(_) => true,
            Self::Xattr(op) => matches!(op, XattrOp::Set { .. } | XattrOp::Remove { .. }),
            Self::Lock(op) => matches!(op, LockOp::Lock { lock, .. } if lock.kind == LockKind::Exclusive),
        }
    }
}

impl Op {
    /// The operation as 9P2000.L can say it, if it can: renaming has no flags, a server refuses to open a FIFO for
    /// it and to read a link that was removed (whole trees are compared besides), and writing always clears set-id
    /// bits.
    #[must_use]
    pub fn said(mut self) -> Option<Self> {
        match &mut self {
            Self::Entry(EntryOp::Rename { flags, .. }) if *flags != RenameFlags::Replace => return None,
            Self::Entry(EntryOp::Mknod { what: Special::Fifo, .. }) | Self::Attr(AttrOp::Readlink { .. }) => {
                return None;
            }
            Self::Hold(HoldOp::Open { flags, .. }) => flags.clears_set_id = true,
            Self::Hold(HoldOp::Create { flags, .. }) => flags.open.clears_set_id = true,
            _ => {}
        }
        Some(self)
    }
}

impl Op {
    /// The operation as lisafs can say it, if it can: it has no locks, makes no FIFOs, sockets and devices, and refuses
    /// to read a link that was removed and the attributes of any file that was.
    #[must_use]
    pub fn said_in_lisafs(self) -> Option<Self> {
        match &self {
            Self::Lock(_) | Self::Xattr(_) | Self::Attr(AttrOp::Readlink { .. }) => None,
            Self::Entry(EntryOp::Mknod { what, .. }) if *what != Special::Regular => None,
            _ => Some(self),
        }
    }
}

/// What random operations may ask for: what both sides can do, and answer alike whoever runs them.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Files may be given away and have any mode. Otherwise all are the server's, which can read and write
    /// them, and have no set-id bits.
    pub privileged: bool,
    /// Device files may be made.
    pub devices: bool,
    /// [`AllocateKind::Zero`] is supported.
    pub zero_range: bool,
    /// Extended attributes of the user are supported.
    pub xattrs: bool,
}

impl Scope {
    /// Everything.
    pub const ALL: Self = Self { privileged: true, devices: true, zero_range: true, xattrs: true };

    /// What a backend can do, found out by trying with files that are removed again.
    ///
    /// # Errors
    /// Those of making a file at all.
    pub fn probe<B: Backend>(backend: &B) -> Result<Self> {
        let name = Name::new(b"probe")?;
        let root = backend.attach()?.0;
        let make = |what, perm, owner| {
            let made = backend.mknod(&root, name, what, perm, owner);
            backend.unlink(&root, name, Unlink::File).and(made).map(|(node, _)| node)
        };
        let node = make(Special::Regular, 0o600, Owner::default())?;
        let file = backend.open(&node, OpenFlags::new(AccessMode::ReadWrite))?;
        let zero = Allocate { kind: AllocateKind::Zero, keep_size: false, offset: 0, length: 1 };
        let xattr = XattrPolicy::User.admit(b"user.probe")?;
        // To be allowed any mode takes more than one right; this uses them all.
        let stranger = Owner { uid: Some(Uid(1000)), gid: Some(Gid(1000)) };
        let privileged = make(Special::Regular, 0o6010, stranger).is_ok_and(|node| {
            let grown = SetAttr { size: Some(1), ..SetAttr::default() };
            let mode = backend.setattr(&node, None, &grown).and(backend.getattr(&node)).map(|attr| attr.perm);
            mode == Ok(0o6010)
        });
        Ok(Self {
            privileged,
            devices: make(Special::CharDevice(4095, 0), 0o600, Owner::default()).is_ok(),
            zero_range: backend.allocate(&file, zero).is_ok(),
            xattrs: backend.setxattr(&node, xattr, b"", XattrFlags::Any).is_ok(),
        })
    }
}

static LONG: [u8; Name::MAX] = [b'l'; Name::MAX];

/// Few names, so that they meet.
fn name() -> impl Strategy<Value = Name<'static>> {
    let odd: [&'static [u8]; 4] = [b"c", b"\xff\xfe \n", b"...", &LONG];
    let name = prop_oneof![4 => Just(&b"a"[..]), 3 => Just(&b"b"[..]), 3 => select(odd.to_vec())];
    name.prop_map(|name| Name::new(name).expect("a name"))
}

/// The number of something held: of a fitting kind below [`ANY`], else of any.
fn held() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..ANY, 1 => ANY..2 * ANY]
}

/// As [`held`], often the root.
fn dir() -> impl Strategy<Value = usize> {
    prop_oneof![1 => Just(0), 2 => held()]
}

fn perm(scope: Scope) -> BoxedStrategy<u32> {
    if scope.privileged {
        prop_oneof![0..0o10_000u32, select(vec![0o644, 0o755, 0o2755, 0o4755, 0o6711])].boxed()
    } else {
        (0..0o100u32).prop_map(|others| 0o700 | others).boxed()
    }
}

fn id(scope: Scope) -> BoxedStrategy<Option<u32>> {
    if scope.privileged {
        option::weighted(0.3, select(vec![0, 1000, 2000])).boxed()
    } else {
        Just(None).boxed()
    }
}

fn owner(scope: Scope) -> impl Strategy<Value = Owner> {
    (id(scope), id(scope)).prop_map(|(uid, gid)| Owner { uid: uid.map(Uid), gid: gid.map(Gid) })
}

fn open_flags(scope: Scope) -> impl Strategy<Value = OpenFlags> {
    let access = select(vec![AccessMode::Read, AccessMode::Write, AccessMode::ReadWrite]);
    let sync = prop_oneof![50 => Just(Sync::None), 1 => Just(Sync::Data), 1 => Just(Sync::Full)];
    let seldom = || proptest::bool::weighted(0.1);
    (access, seldom(), seldom(), sync, seldom(), seldom(), any::<bool>()).prop_map(
        move |(access, truncate, append, sync, no_atime, directory, clears)| OpenFlags {
            access,
            truncate,
            append,
            sync,
            no_atime,
            directory,
            clears_set_id: clears || !scope.privileged,
        },
    )
}

/// Mostly near, sometimes far, seldom where no file offset is.
fn offset() -> impl Strategy<Value = u64> {
    let (far, none) = (1u64 << 40, 1u64 << 63);
    prop_oneof![
        12 => 0..20_000u64,
        4 => select(vec![0u64, 4095, 4096, 4097, 8192]),
        1 => far..far + 9000,
        1 => select(vec![none, u64::MAX]),
    ]
}

fn length() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..10_000u64, 4 => select(vec![1u64, 4096, 8192]), 1 => select(vec![1u64 << 63, u64::MAX])]
}

fn hold(scope: Scope) -> impl Strategy<Value = HoldOp> {
    let create = (open_flags(scope), any::<bool>()).prop_map(|(open, exclusive)| CreateFlags {
        open: OpenFlags { directory: false, ..open },
        exclusive,
    });
    prop_oneof![
        1 => Just(HoldOp::Attach),
        12 => (dir(), name()).prop_map(|(dir, name)| HoldOp::Walk { dir, name }),
        2 => (held(), name()).prop_map(|(dir, name)| HoldOp::Lookup { dir, name }),
        8 => (held(), open_flags(scope)).prop_map(|(node, flags)| HoldOp::Open { node, flags }),
        8 => (dir(), name(), create, perm(scope), owner(scope))
            .prop_map(|(dir, name, flags, perm, owner)| HoldOp::Create { dir, name, flags, perm, owner }),
        2 => (0..8usize).prop_map(|file| HoldOp::Close { file }),
        2 => held().prop_map(|node| HoldOp::Forget { node }),
    ]
}

fn io(scope: Scope) -> impl Strategy<Value = IoOp> {
    let mut kinds = vec![AllocateKind::Reserve, AllocateKind::PunchHole];
    if scope.zero_range {
        kinds.push(AllocateKind::Zero);
    }
    let allocate = (select(kinds), any::<bool>(), offset(), length())
        .prop_map(|(kind, keep_size, offset, length)| Allocate { kind, keep_size, offset, length });
    prop_oneof![
        20 => (held(), offset(), 0..20_000usize).prop_map(|(file, offset, len)| IoOp::Read { file, offset, len }),
        30 => (held(), offset(), 0..10_000usize, 1..=255u8)
            .prop_map(|(file, offset, len, byte)| IoOp::Write { file, offset, len, byte }),
        1 => (held(), any::<bool>()).prop_map(|(file, data_only)| IoOp::Fsync { file, data_only }),
        2 => held().prop_map(|file| IoOp::Flush { file }),
        10 => (held(), allocate).prop_map(|(file, what)| IoOp::Allocate { file, what }),
        20 => (held(), 0..200usize, 1..9usize)
            .prop_map(|(file, budget, at_once)| IoOp::Readdir { file, budget, at_once }),
    ]
}

fn set_time() -> impl Strategy<Value = Option<SetTime>> {
    let at = (-1_000_000..100_000_000i64, 0..1_000_000_000u32)
        .prop_map(|(sec, nsec)| SetTime::At(Time::new(sec, nsec).expect("less than a second")));
    option::weighted(0.4, prop_oneof![1 => Just(SetTime::Now), 3 => at])
}

fn set_attr(scope: Scope) -> impl Strategy<Value = SetAttr> {
    let perm = option::weighted(0.4, perm(scope));
    let size = option::weighted(0.4, offset());
    (perm, owner(scope), size, set_time(), set_time(), proptest::bool::weighted(0.2)).prop_map(
        |(perm, owner, size, atime, mtime, ctime)| SetAttr {
            perm,
            uid: owner.uid,
            gid: owner.gid,
            size,
            atime,
            mtime,
            ctime,
        },
    )
}

fn attr(scope: Scope) -> impl Strategy<Value = AttrOp> {
    prop_oneof![
        1 => held().prop_map(|node| AttrOp::Getattr { node }),
        6 => (held(), any::<bool>(), set_attr(scope))
            .prop_map(|(node, with_file, set)| AttrOp::Setattr { node, with_file, set }),
        1 => held().prop_map(|node| AttrOp::Statfs { node }),
        2 => held().prop_map(|node| AttrOp::Readlink { node }),
    ]
}

fn entry(scope: Scope) -> impl Strategy<Value = EntryOp> {
    let mut kinds = vec![Special::Regular, Special::Fifo, Special::Socket];
    if scope.devices {
        kinds.extend([Special::CharDevice(4095, 1_048_575), Special::BlockDevice(4095, 256)]);
    }
    let flags = select(vec![RenameFlags::Replace, RenameFlags::NoReplace, RenameFlags::Exchange]);
    let targets: [&'static [u8]; 6] = [b"a", b"/etc/passwd", b"../..", b"", b"a\0b", &LONG];
    let what = select(vec![Unlink::File, Unlink::Directory]);
    prop_oneof![
        8 => (dir(), name(), perm(scope), owner(scope))
            .prop_map(|(dir, name, perm, owner)| EntryOp::Mkdir { dir, name, perm, owner }),
        4 => (dir(), name(), select(kinds), perm(scope), owner(scope))
            .prop_map(|(dir, name, what, perm, owner)| EntryOp::Mknod { dir, name, what, perm, owner }),
        3 => (dir(), name(), select(targets.to_vec()), owner(scope))
            .prop_map(|(dir, name, target, owner)| EntryOp::Symlink { dir, name, target, owner }),
        4 => (held(), dir(), name()).prop_map(|(node, dir, name)| EntryOp::Link { node, dir, name }),
        12 => (dir(), name(), dir(), name(), flags).prop_map(|(old_dir, old, new_dir, new, flags)| {
            EntryOp::Rename { old_dir, old, new_dir, new, flags }
        }),
        8 => (dir(), name(), what).prop_map(|(dir, name, what)| EntryOp::Unlink { dir, name, what }),
    ]
}

fn xattr() -> impl Strategy<Value = XattrOp> {
    let names = [&b"user.a"[..], b"user.b\xff", b"user.c.c"];
    let name = || select(names.map(|name| XattrPolicy::User.admit(name).expect("of the user")).to_vec());
    let len = prop_oneof![9 => 0..100usize, 1 => Just(XattrPolicy::SIZE_MAX + 1)];
    let flags = select(vec![XattrFlags::Any, XattrFlags::Create, XattrFlags::Replace]);
    prop_oneof![
        2 => (held(), name()).prop_map(|(node, name)| XattrOp::Get { node, name }),
        4 => (held(), name(), len, any::<u8>(), flags)
            .prop_map(|(node, name, len, byte, flags)| XattrOp::Set { node, name, len, byte, flags }),
        2 => held().prop_map(|node| XattrOp::List { node }),
        2 => (held(), name()).prop_map(|(node, name)| XattrOp::Remove { node, name }),
    ]
}

fn lock() -> impl Strategy<Value = LockOp> {
    let lock = |kinds: Vec<LockKind>| {
        let small = || 0..10u64;
        let start = prop_oneof![20 => small(), 1 => Just(1 << 62), 1 => Just(1 << 63)];
        let length = prop_oneof![20 => small(), 1 => Just(1 << 62), 1 => Just(u64::MAX)];
        (select(kinds), start, length).prop_map(|(kind, start, length)| Lock { kind, start, length })
    };
    let taken = lock(vec![LockKind::Shared, LockKind::Exclusive, LockKind::Unlock]);
    let asked = lock(vec![LockKind::Shared, LockKind::Exclusive]);
    prop_oneof![
        3 => (held(), taken).prop_map(|(file, lock)| LockOp::Lock { file, lock }),
        1 => (held(), asked).prop_map(|(file, lock)| LockOp::Getlock { file, lock }),
    ]
}

fn one(scope: Scope) -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => hold(scope).prop_map(Op::Hold),
        5 => io(scope).prop_map(Op::Io),
        2 => attr(scope).prop_map(Op::Attr),
        8 => entry(scope).prop_map(Op::Entry),
        u32::from(scope.xattrs) => xattr().prop_map(Op::Xattr),
        1 => lock().prop_map(Op::Lock),
    ]
}

/// Up to `most` random operations.
pub fn ops(scope: Scope, most: usize) -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(one(scope), 1..=most)
}
