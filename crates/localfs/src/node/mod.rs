//! [`Node`]: a place, and the descriptor that it has while it is in use.
//!
//! There may be many more places than descriptors. A place is what it was when it was walked to: an inode of a
//! device, found in a parent under a name. Its descriptor can be given up and had again: by a step from its
//! parent, whose descriptor is had in the same way, and a look at what is found. Another file there, or none, is
//! `ESTALE`: a place never stands for two files, and a step never follows a link.
//!
//! ```text
//!          last used least, and another needs room
//!   hot ------------------------------------------> cold
//!    ^                                               |
//!    +---- used: open_child(parent, name), statx ----+
//! ```
//!
//! Of a directory there is one node in each tree, however often it is walked to. It knows where it was seen last. It
//! keeps those above it, of which there are [`DEPTH`] at most.
//!
//! Descriptors are the process's, and so is the limit on those of places ([`LocalFs::limit_places`]). What is
//! evictable is in one of a few rings, each with a hand that gives whatever was used a second chance. Not in a
//! ring are places that must stay what they are whatever happens to their name ([pinned](Node::pin)): roots, and
//! those of open files.
//!
//! Locks: a place's descriptor, held shared while a system call uses it, and exclusively only by who finds it
//! free at once and for a few instructions, so that nobody waits for the host; then a ring's; then one of the
//! tables of directories and of what was moved. None of these last is held across a system call.
//!
//! [`LocalFs::limit_places`]: crate::LocalFs::limit_places

mod dirs;
mod moves;
mod pace;
mod ring;

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicUsize, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
};
use std::thread;
use std::time::{Duration, Instant};

use foldhash::HashMap;
use gofer_sys::{attr, walk};
use gofer_vfs::{Attr, Errno, FileId, FileKind, Name, NameBuf, Result};

pub(crate) use moves::note as note_move;
use pace::Pace;
use ring::{Ring, ring_of};

/// How many rings there are, so that requests seldom meet at one.
const RINGS: usize = 8;

/// The most steps from the root of a tree down to a directory: what is above a place costs memory as long as the place
/// is held, and time whenever its descriptor is had anew.
const DEPTH: usize = 4096;

/// How many pieces of memory a ring keeps for later places.
const SPARE: usize = 8;

/// The position of a place that is in no ring.
const NOWHERE: u32 = u32::MAX;

/// The most evictable descriptors, in all rings.
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Memory of places that are no more, for others.
static SPARES: [Mutex<Vec<Arc<Inner>>>; RINGS] = [const { Mutex::new(Vec::new()) }; RINGS];

/// Those that a thread gives and takes: what it does again and again allocates nothing.
fn spares() -> &'static Mutex<Vec<Arc<Inner>>> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % RINGS;
    }
    &SPARES[OWN.try_with(|own| *own).unwrap_or(0)]
}

static ALL: [Mutex<Ring>; RINGS] = [const { Mutex::new(Ring::new()) }; RINGS];

/// Where places were moved to by their own fids, by the address of each.
static MOVED: Mutex<Option<HashMap<usize, Link>>> = Mutex::new(None);

/// Whether any place has given up its descriptor yet.
static ANY_COLD: AtomicBool = AtomicBool::new(false);

/// Sets how many descriptors places may hold besides those that are pinned.
pub(crate) fn set_limit(places: usize) {
    LIMIT.store(places.max(1), Ordering::Relaxed);
}

/// Calls again what had no descriptor left, as long as one can be given up for it.
pub(crate) fn with_room<T>(call: impl Fn() -> Result<T>) -> Result<T> {
    /// Others may take what was given up for this one.
    const TRIES: usize = 16;
    for _ in 0..TRIES {
        match call() {
            Err(Errno::EMFILE | Errno::ENFILE) if relieve() => {}
            other => return other,
        }
    }
    call()
}

/// Gives up one descriptor of each ring; whether there was any.
fn relieve() -> bool {
    let victims = ALL.each_ref().map(|ring| lock(ring).evict());
    victims.iter().any(|victim| victim.fd.is_some())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place in the tree. Clones are the same place, and share its descriptor.
#[derive(Clone)]
pub struct Node(
    /// `None` only while it is dropped.
    Option<Arc<Inner>>,
);

/// What is kept of a place. Its size is what a walked fid costs: see the test below.
struct Inner {
    /// `None` while it is cold.
    fd: RwLock<Option<OwnedFd>>,
    /// Where it was found; `None` for the root of an export, which is never cold.
    parent: Option<Arc<Inner>>,
    name: Option<NameBuf>,
    ino: u64,
    dev: u32,
    /// A digest of the time of birth: what tells a file from a later one with its inode number.
    birth: u32,
    /// Its position in its ring. Changed under that ring's lock.
    at: AtomicU32,
    /// How many want it to stay hot; at the greatest number it stays so for ever. Changed under its ring's lock.
    pins: AtomicU16,
    kind: FileKind,
    /// [`USED_BIT`], [`MOVED_BIT`], and the number of its tree.
    flags: AtomicU8,
}

/// It was used since the hand of its ring last passed.
const USED_BIT: u8 = 1;
/// It is in [`MOVED`].
const MOVED_BIT: u8 = 2;
/// Above these bits stands the number of its tree.
const TREE_SHIFT: u8 = 2;
/// The number of all trees beyond the 63rd, whose directories are not shared.
const UNSHARED: u8 = 63;

/// How many trees there were.
static TREES: AtomicU8 = AtomicU8::new(0);

/// A directory and a name in it.
#[derive(Clone)]
struct Link {
    dir: Node,
    name: NameBuf,
}

/// The descriptor of a place, in use: until this is dropped it stays open.
pub(crate) struct Held<'a>(RwLockReadGuard<'a, Option<OwnedFd>>);

impl AsFd for Held<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &*self.0 {
            Some(fd) => fd.as_fd(),
            None => unreachable!("what is held was seen to be there, under the same lock"),
        }
    }
}

/// A place that stays hot for as long as this lives.
#[derive(Debug)]
pub(crate) struct Pinned(Node);

impl Drop for Pinned {
    fn drop(&mut self) {
        let arc = self.0.arc();
        let victim = lock(ring_of(arc)).unpin(arc);
        drop(victim);
    }
}

impl Node {
    /// The root of an export. It stays hot.
    pub(crate) fn root(fd: OwnedFd, attr: &Attr) -> Result<Self> {
        let mut root = Inner::new(fd, None, attr)?;
        let next = |tree: u8| (tree < UNSHARED).then_some(tree + 1);
        let tree = TREES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or(UNSHARED);
        *root.flags.get_mut() |= tree << TREE_SHIFT;
        root.pins.store(u16::MAX, Ordering::Relaxed);
        Ok(Self(Some(Arc::new(root))))
    }

    /// What was found below a directory.
    ///
    /// # Errors
    /// `EOVERFLOW` for a device number that Linux does not have, `ENAMETOOLONG` for a directory that is too deep.
    pub(crate) fn below(dir: &Self, name: Name<'_>, fd: OwnedFd, attr: &Attr) -> Result<Self> {
        let mut inner = Inner::new(fd, Some(Link { dir: dir.clone(), name: name.into() }), attr)?;
        *inner.flags.get_mut() |= dir.arc().flags.load(Ordering::Relaxed) & !(USED_BIT | MOVED_BIT);
        if let Some(known) = inner.known(dir, name) {
            return Ok(known);
        }
        if attr.kind == FileKind::Directory {
            dir.has_room_below()?;
        }
        let spare = lock(spares()).pop();
        let arc = match spare {
            Some(mut memory) => match Arc::get_mut(&mut memory) {
                Some(slot) => {
                    *slot = inner;
                    memory
                }
                None => Arc::new(inner),
            },
            None => Arc::new(inner),
        };
        let mut ring = lock(ring_of(&arc));
        ring.count += 1;
        ring.peak = ring.peak.max(ring.count);
        let victim = ring.enter(&arc);
        drop(ring);
        drop(victim);
        dirs::note(&arc);
        Ok(Self(Some(arc)))
    }

    /// The node that there is of a directory, which was seen just now below another, and which knows then where.
    pub(crate) fn known(dir: &Self, name: Name<'_>, attr: &Attr) -> Option<Self> {
        if attr.kind != FileKind::Directory {
            return None;
        }
        let key = (dir.arc().tree()?, attr.id);
        let known = dirs::find(key, birth(attr))?;
        known.see_at(dir, name);
        Some(known)
    }

    /// Notes where it is, if that is news.
    fn see_at(&self, dir: &Self, name: Name<'_>) {
        if !self.arc().is_at(dir, name) {
            self.moved(dir, name);
        }
    }

    fn arc(&self) -> &Arc<Inner> {
        match &self.0 {
            Some(arc) => arc,
            None => unreachable!("a node is emptied when it is dropped, and not before"),
        }
    }

    pub(crate) fn kind(&self) -> FileKind {
        self.arc().kind
    }

    /// Whether a directory may be below this one.
    ///
    /// # Errors
    /// `ENAMETOOLONG` when this is [as deep](DEPTH) as any may be.
    pub(crate) fn has_room_below(&self) -> Result<()> {
        if self.steps() > DEPTH { Err(Errno::ENAMETOOLONG) } else { Ok(()) }
    }

    /// How many places there are from here to the root, both counted; of more than may be, one more.
    fn steps(&self) -> usize {
        upwards(self.arc(), lock(&MOVED).get_or_insert_default()).take(DEPTH + 1).count()
    }

    /// Its identity.
    pub(crate) fn id(&self) -> FileId {
        self.arc().id()
    }

    /// Its descriptor, had anew where it was given up.
    ///
    /// # Errors
    /// `ESTALE` when that is not possible because the name it was found under is gone or another's; those of
    /// `open(2)`.
    pub(crate) fn hold(&self) -> Result<Held<'_>> {
        let arc = self.arc();
        arc.peek().map_or_else(|| warm(arc), Ok)
    }

    /// Keeps it hot.
    ///
    /// # Errors
    /// As for [`hold`](Self::hold).
    pub(crate) fn pin(&self) -> Result<Pinned> {
        lock(ring_of(self.arc())).pin(self.arc());
        let pinned = Pinned(self.clone());
        self.hold()?;
        Ok(pinned)
    }

    /// Where it was found or moved to.
    pub(crate) fn found_at(&self) -> Option<(Self, NameBuf)> {
        self.arc().link().map(|Link { dir, name }| (dir, name))
    }

    /// Looks for it where its file was moved to by this process, from now on; whether that is elsewhere.
    fn follow(&self) -> bool {
        let Some(tree) = self.arc().tree() else { return false };
        let moved = moves::of((tree, self.id()));
        let (Some(new), Some(old)) = (moved, self.arc().link()) else { return false };
        let is_new = !Arc::ptr_eq(new.dir.arc(), old.dir.arc()) || new.name.as_name() != old.name.as_name();
        if is_new {
            self.moved(&new.dir, new.name.as_name());
        }
        is_new
    }

    /// Notes where it is now.
    pub(crate) fn moved(&self, dir: &Self, name: Name<'_>) {
        let arc = self.arc();
        let link = Link { dir: dir.clone(), name: name.into() };
        let mut table = lock(&MOVED);
        let moved = table.get_or_insert_default();
        // Otherwise there would be no way up to the root, or too long a one. Only directories can be in the way of that.
        if arc.kind == FileKind::Directory {
            let mut above = upwards(dir.arc(), moved);
            if above.by_ref().take(DEPTH).any(|dir| Arc::ptr_eq(dir, arc)) || above.next().is_some() {
                return;
            }
        }
        let old = moved.insert(address(arc), link);
        arc.flags.fetch_or(MOVED_BIT, Ordering::Release);
        drop(table);
        // It may close a descriptor: not under the lock.
        drop(old);
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", &self.id()).field("kind", &self.kind()).finish_non_exhaustive()
    }
}

impl Drop for Node {
    /// Without recursion: a client may have walked down any number of steps.
    fn drop(&mut self) {
        let mut last = self.0.take();
        // Of places that were moved, which have two parents to let go of.
        let mut more = Vec::new();
        while let Some(arc) = last {
            last = let_go(arc, &mut more).or_else(|| more.pop());
        }
    }
}

/// A place and those above it, up to the root of its tree.
fn upwards<'a>(
    from: &'a Arc<Inner>,
    moved: &'a HashMap<usize, Link>,
) -> impl Iterator<Item = &'a Arc<Inner>> {
    std::iter::successors(Some(from), |place| {
        let link = if place.is_moved() { moved.get(&address(place)) } else { None };
        link.map_or(place.parent.as_ref(), |link| Some(link.dir.arc()))
    })
}

/// Drops one holder's share of a place. The last one's gives the parents to be dropped, one of them in `more`.
fn let_go(mut arc: Arc<Inner>, more: &mut Vec<Arc<Inner>>) -> Option<Arc<Inner>> {
    let (fd, parent);
    if dirs::forget_last(&arc) {
        // Nobody else has it, but for who looks for a descriptor to give up and finds it in the ring.
        let mut ring = lock(ring_of(&arc));
        let address = address(&arc);
        ring.leave(&arc, address);
        if let Some(inner) = Arc::get_mut(&mut arc) {
            more.extend(inner.take_moved(address));
            parent = inner.parent.take();
            inner.name = None;
            fd = inner.fd.get_mut().unwrap_or_else(PoisonError::into_inner).take();
            let few = ring.ended();
            drop(ring);
            drop(fd);
            let mut spares = lock(spares());
            if spares.len() < SPARE {
                spares.push(arc);
            }
            drop(spares);
            give_back(few);
            return parent;
        }
    }
    let (address, ring) = (address(&arc), ring_of(&arc));
    // Of all who come here at once, one gets it.
    let mut inner = Arc::into_inner(arc)?;
    dirs::forget(&inner, address);
    let few = {
        let mut ring = lock(ring);
        ring.leave(&inner, address);
        ring.ended()
    };
    give_back(few);
    more.extend(inner.take_moved(address));
    inner.parent.take()
}

/// Returns memory to the system, when few are left of many places: these, which the ring counted, may be dropped. As
/// clients may make that happen again and again, it is done at its pace.
fn give_back(few: Option<Vec<Node>>) {
    static TRIMMING: Pace = Pace::new(Duration::from_secs(1));
    let is_wanted = few.is_some();
    drop(few);
    if TRIMMING.is_due(is_wanted, Instant::now) {
        gofer_sys::alloc::trim();
    }
}

impl Inner {
    /// What `fd` is a descriptor of.
    fn new(fd: OwnedFd, link: Option<Link>, attr: &Attr) -> Result<Self> {
        let dev = u32::try_from(attr.id.dev).map_err(|_| Errno::EOVERFLOW)?;
        let (parent, name) = link.map_or((None, None), |Link { mut dir, name }| (dir.0.take(), Some(name)));
        Ok(Self {
            fd: RwLock::new(Some(fd)),
            parent,
            name,
            ino: attr.id.ino,
            dev,
            birth: birth(attr),
            at: AtomicU32::new(NOWHERE),
            pins: AtomicU16::new(0),
            kind: attr.kind,
            flags: AtomicU8::new(USED_BIT),
        })
    }

    /// The number of its tree, where it is that tree's alone.
    fn tree(&self) -> Option<u8> {
        Some(self.flags.load(Ordering::Relaxed) >> TREE_SHIFT).filter(|tree| *tree != UNSHARED)
    }

    /// The node that there is of this directory, which was found just now, and which knows then where.
    fn known(&mut self, dir: &Node, name: Name<'_>) -> Option<Node> {
        let known = dirs::find(dirs::key(self)?, self.birth)?;
        if let Some(fd) = self.fd.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            drop(known.arc().install(fd));
        }
        known.see_at(dir, name);
        Some(known)
    }

    /// Whether it is elsewhere than it was found.
    fn is_moved(&self) -> bool {
        self.flags.load(Ordering::Acquire) & MOVED_BIT != 0
    }

    /// Whether it is known to be there.
    fn is_at(self: &Arc<Self>, dir: &Node, name: Name<'_>) -> bool {
        let is = |parent: &Arc<Self>, own: Name<'_>| Arc::ptr_eq(parent, dir.arc()) && own == name;
        if self.is_moved() {
            return self.link().is_some_and(|link| is(link.dir.arc(), link.name.as_name()));
        }
        self.parent.as_ref().zip(self.name.as_ref()).is_some_and(|(parent, own)| is(parent, own.as_name()))
    }

    fn id(&self) -> FileId {
        FileId { dev: self.dev.into(), ino: self.ino }
    }

    /// Its descriptor, if it is hot.
    fn peek(&self) -> Option<Held<'_>> {
        let fd = self.fd.read().unwrap_or_else(PoisonError::into_inner);
        fd.as_ref()?;
        // Others read the same line of memory.
        if self.flags.load(Ordering::Relaxed) & USED_BIT == 0 {
            self.flags.fetch_or(USED_BIT, Ordering::Relaxed);
        }
        Some(Held(fd))
    }

    fn link(self: &Arc<Self>) -> Option<Link> {
        if self.is_moved() {
            return lock(&MOVED).as_ref()?.get(&address(self)).cloned();
        }
        Some(Link { dir: Node(Some(self.parent.clone()?)), name: self.name.clone()? })
    }

    /// Where it was moved to, when it is dropped.
    fn take_moved(&mut self, address: usize) -> Option<Arc<Self>> {
        if *self.flags.get_mut() & MOVED_BIT == 0 {
            return None;
        }
        lock(&MOVED).as_mut()?.remove(&address)?.dir.0.take()
    }

    /// Has its descriptor anew, found under a name.
    fn reopen<'a>(self: &'a Arc<Self>, dir: &Held<'_>, name: Name<'_>) -> Result<Held<'a>> {
        let fd = match with_room(|| walk::open_child(dir.as_fd(), name)) {
            Err(Errno::ENOENT) => return Err(Errno::ESTALE),
            other => other?,
        };
        let attr = attr::stat(fd.as_fd())?;
        if (attr.id, birth(&attr), attr.kind) != (self.id(), self.birth, self.kind) {
            return Err(Errno::ESTALE);
        }
        Ok(self.install(fd))
    }

    /// Makes it hot, if nobody else did before.
    fn install<'a>(self: &'a Arc<Self>, fd: OwnedFd) -> Held<'a> {
        loop {
            if let Some(held) = self.peek() {
                return held;
            }
            // Whoever has it now only looks whether it is there, or made it hot.
            let mut place = match self.fd.try_write() {
                Ok(place) => place,
                Err(TryLockError::Poisoned(error)) => error.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    thread::yield_now();
                    continue;
                }
            };
            if place.is_none() {
                *place = Some(fd);
                self.flags.fetch_or(USED_BIT, Ordering::Relaxed);
                let victim = lock(ring_of(self)).enter(self);
                let held = Held(RwLockWriteGuard::downgrade(place));
                drop(victim);
                return held;
            }
            return Held(RwLockWriteGuard::downgrade(place));
        }
    }
}

/// What is kept of the time of birth; 0 where it is not known.
fn birth(attr: &Attr) -> u32 {
    // The multiplier is that of Fibonacci hashing, 2⁶⁴ by the golden ratio.
    let nanos = |sec: u64, nsec: u32| sec.wrapping_mul(1_000_000_000).wrapping_add(nsec.into());
    let digest = |nanos: u64| nanos.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let birth = attr.btime.map_or(0, |time| digest(nanos(time.sec().cast_unsigned(), time.nsec())));
    u32::try_from(birth).unwrap_or_default()
}

/// What tells a place from all others that there are.
fn address(node: &Arc<Inner>) -> usize {
    Arc::as_ptr(node).addr()
}

/// Has the descriptor of a cold place anew. Where a file is not where it was found, it may be where this process
/// moved it to.
#[cold]
fn warm(node: &Arc<Inner>) -> Result<Held<'_>> {
    /// Of the places on the way, so many may have been moved.
    const MOVES: usize = 64;
    for _ in 0..MOVES {
        match climb(node) {
            Ok(held) => return Ok(held),
            Err((Errno::ESTALE, lost)) if lost.follow() => {}
            Err((errno, _)) => return Err(errno),
        }
    }
    Err(Errno::ESTALE)
}

/// Has the descriptors anew of a cold place and of those above it that are cold too: up to the nearest that is
/// hot, and down again step by step. What a step starts from is held until it is made. An error comes with the
/// place at which it happened.
fn climb(node: &Arc<Inner>) -> std::result::Result<Held<'_>, (Errno, Node)> {
    let lost = |node: &Arc<Inner>| Node(Some(Arc::clone(node)));
    // Only a root has none, and that is always hot.
    let above = |node: &Arc<Inner>| node.link().ok_or_else(|| (Errno::ESTALE, lost(node)));
    let mut path = vec![above(node)?];
    loop {
        let top = path.len() - 1;
        let Some(mut dir) = path[top].dir.arc().peek() else {
            if path.len() > DEPTH {
                // Trees that were deep already were moved below each other.
                return Err((Errno::ENAMETOOLONG, lost(node)));
            }
            let next = above(path[top].dir.arc())?;
            path.push(next);
            continue;
        };
        for step in (1..=top).rev() {
            let place = path[step - 1].dir.arc();
            let reopened = place.reopen(&dir, path[step].name.as_name());
            dir = reopened.map_err(|errno| (errno, lost(place)))?;
        }
        return node.reopen(&dir, path[0].name.as_name()).map_err(|errno| (errno, lost(node)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_small() {
        assert_eq!(size_of::<Inner>(), 72);
    }
}
