//! Rings: the places whose descriptors can be given up, and which of them is next.

use std::mem;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{ALL, ANY_COLD, Inner, LIMIT, NOWHERE, Node, RINGS, USED_BIT, address, dirs};

/// Places whose descriptors can be given up.
pub(super) struct Ring {
    /// Holes have no place.
    places: Vec<Weak<Inner>>,
    holes: Vec<u32>,
    hand: usize,
    /// How many places belong to it, hot or not, and how many did.
    pub(super) count: usize,
    pub(super) peak: usize,
}

/// What was given up, to be dropped when no lock is held.
#[derive(Default)]
pub(super) struct Victim {
    pub(super) fd: Option<OwnedFd>,
    /// The parents of places whose last holder turned out to be who looked at them.
    parents: Vec<Node>,
}

/// The ring that a place belongs to. Places are spread by their addresses.
pub(super) fn ring_of(node: &Arc<Inner>) -> &'static Mutex<Ring> {
    let spread = (address(node) >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15_usize) >> (usize::BITS - 8);
    &ALL[spread % RINGS]
}

impl Ring {
    pub(super) const fn new() -> Self {
        Self { places: Vec::new(), holes: Vec::new(), hand: 0, count: 0, peak: 0 }
    }

    fn live(&self) -> usize {
        self.places.len() - self.holes.len()
    }

    /// Takes in what is hot and not pinned. Another may have to give up its descriptor for it.
    pub(super) fn enter(&mut self, node: &Arc<Inner>) -> Victim {
        if node.pins.load(Ordering::Relaxed) > 0 || node.at.load(Ordering::Relaxed) != NOWHERE {
            return Victim::default();
        }
        let limit = (LIMIT.load(Ordering::Relaxed) / RINGS).max(1);
        let victim = if self.live() >= limit { self.evict() } else { Victim::default() };
        let hole = self.holes.pop();
        let at = hole.unwrap_or_else(|| u32::try_from(self.places.len()).unwrap_or(NOWHERE));
        let Some(place) = usize::try_from(at).ok().filter(|_| at != NOWHERE) else { return victim };
        if place == self.places.len() {
            if place == self.places.capacity() {
                // By a quarter: half of this would lie idle if it were doubled.
                self.places.reserve_exact(place / 4 + 16);
            }
            self.places.push(Weak::new());
        }
        self.places[place] = Arc::downgrade(node);
        node.at.store(at, Ordering::Relaxed);
        victim
    }

    /// Lets go of a place. It has the address only to be sure: it may be in nobody's hands any more, and its
    /// position another's.
    pub(super) fn leave(&mut self, node: &Inner, address: usize) {
        let at = node.at.swap(NOWHERE, Ordering::Relaxed);
        let place = usize::try_from(at).ok().and_then(|place| self.places.get_mut(place));
        let Some(place) = place.filter(|place| place.as_ptr().addr() == address) else { return };
        *place = Weak::new();
        self.holes.push(at);
    }

    /// Counts a place that is no more. Where few are left of many, the ring is made as small as they need, and
    /// what was looked at for that is to be dropped when the lock is free.
    pub(super) fn ended(&mut self) -> Option<Vec<Node>> {
        /// For less it is not worth the while.
        const MANY: usize = 256;
        self.count = self.count.saturating_sub(1);
        if self.peak < MANY || self.count > self.peak / 4 {
            return None;
        }
        self.peak = self.count;
        (self.holes, self.hand) = (Vec::new(), 0);
        let hot: Vec<Node> =
            mem::take(&mut self.places).iter().filter_map(Weak::upgrade).map(|arc| Node(Some(arc))).collect();
        for (at, node) in (0..).zip(&hot) {
            node.arc().at.store(at, Ordering::Relaxed);
            self.places.push(Arc::downgrade(node.arc()));
        }
        Some(hot)
    }

    pub(super) fn pin(&mut self, node: &Arc<Inner>) {
        self.leave(node, address(node));
        let pins = node.pins.load(Ordering::Relaxed);
        node.pins.store(pins.saturating_add(1), Ordering::Relaxed);
    }

    pub(super) fn unpin(&mut self, node: &Arc<Inner>) -> Victim {
        let pins = node.pins.load(Ordering::Relaxed);
        if pins != u16::MAX {
            node.pins.store(pins.saturating_sub(1), Ordering::Relaxed);
        }
        // Whoever is making it hot at this moment takes it in.
        let is_hot = node.fd.try_read().is_ok_and(|fd| fd.is_some());
        if is_hot { self.enter(node) } else { Victim::default() }
    }

    /// Gives up the descriptor of a place that is not in use and was not used for a while.
    pub(super) fn evict(&mut self) -> Victim {
        let mut victim = Victim::default();
        // Once around to take away the second chances, and once more to find one that has none.
        for _ in 0..2 * self.places.len() {
            self.hand = (self.hand + 1) % self.places.len();
            let Some(node) = self.places[self.hand].upgrade() else { continue };
            let idle = node.flags.fetch_and(!USED_BIT, Ordering::Relaxed) & USED_BIT == 0;
            if idle && let Ok(mut fd) = node.fd.try_write() {
                victim.fd = fd.take();
                drop(fd);
                ANY_COLD.store(true, Ordering::Relaxed);
                self.leave(&node, address(&node));
            }
            let address = address(&node);
            if let Some(mut inner) = Arc::into_inner(node) {
                dirs::forget(&inner, address);
                self.leave(&inner, address);
                self.count = self.count.saturating_sub(1);
                let parents = [inner.take_moved(address), inner.parent.take()];
                victim.parents.extend(parents.into_iter().flatten().map(|parent| Node(Some(parent))));
                let fd = inner.fd.get_mut().unwrap_or_else(PoisonError::into_inner);
                victim.fd = victim.fd.or_else(|| fd.take());
            }
            if victim.fd.is_some() {
                break;
            }
        }
        victim
    }
}
