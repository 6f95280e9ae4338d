//! Who owns the window, and how that passes from one end to the other.
//!
//! ```text
//!                      pass (client)
//!          +--------+  ------------>  +--------+
//!  start ->| 0      |                 | 1      |
//!          | client |  <------------  | server |
//!          +--------+  pass (server)  +--------+
//!               |                         |
//!               +---> 2, shut down <------+      from either end, at any time, for good
//! ```
//!
//! The word lies in memory that the peer writes, so it is only what the peer says. That this end was shut
//! down is kept privately and counts more.
//!
//! What is written before [`pass`](Handover::pass) is seen after the other end's [`wait`](Handover::wait):
//! the exchange releases, the load acquires. No wake is lost: whoever passes changes the word and then wakes;
//! whoever waits tells the kernel which word it saw, and the kernel looks again before it sleeps.

use std::sync::atomic::Ordering;
use std::time::Duration;

use gofer_sys::futex::Woken;
use gofer_vfs::Errno;

use super::End;
use super::patience::Patience;

/// The state of a window that was shut down.
const SHUT: u32 = 2;

/// The longest sleep. A peer can keep a thread asleep for so long after it was told to end, no longer.
const SLEEP: Duration = Duration::from_secs(5);

/// How often the word may change from the peer's to something and back to the peer's within one wait. An
/// honest peer never does that: it has given the window away after the first change.
const FLIPS: u32 = 8;

/// A word that several threads change.
pub(crate) trait Atomic {
    fn load(&self, order: Ordering) -> u32;
    fn store(&self, value: u32, order: Ordering);
    fn swap(&self, value: u32, order: Ordering) -> u32;
    fn compare_exchange(&self, old: u32, new: u32, done: Ordering, failed: Ordering) -> Result<u32, u32>;
}

/// What a server does with what it received; kept apart from the word, so that the end can wait for a reply.
///
/// ```text
///         take              pass
/// idle ---------> busy ------------> idle
///   |              |
///   +--- retire ---+--> retired, for good: shut down at once, or by the pass that ends being busy
/// ```
mod progress {
    pub(super) const IDLE: u32 = 0;
    pub(super) const BUSY: u32 = 1;
    pub(super) const RETIRED: u32 = 2;
}

/// What a hand-over stands on: a word that both ends see, and the kernel's way to wait for it.
pub(crate) trait Ground {
    type Atomic: Atomic;

    /// The word.
    fn state(&self) -> &Self::Atomic;

    /// A word that only this end sees, 0.
    fn private(&self) -> Self::Atomic;

    /// Sleeps while the word is `expected`. It may return early, and does so after `limit`.
    fn wait(&self, expected: u32, limit: Duration) -> Result<Woken, Errno>;

    /// Wakes up to `waiters` of those who sleep, at either end.
    fn wake(&self, waiters: u32);

    /// Gives the peer, which was woken, the time to look at the word.
    fn linger(&self);
}

/// Which end this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Side {
    /// The state in which this side owns the window.
    const fn owns(self) -> u32 {
        match self {
            Self::Client => 0,
            Self::Server => 1,
        }
    }
}

/// One end's part in the hand-over. One thread at a time waits and passes; any thread shuts down.
#[derive(Debug)]
pub(crate) struct Handover<G: Ground> {
    ground: G,
    ours: u32,
    theirs: u32,
    /// Not 0 once nothing more is to be done here, whatever the word says.
    dead: G::Atomic,
    progress: G::Atomic,
}

impl<G: Ground> Handover<G> {
    pub(crate) fn new(ground: G, side: Side) -> Self {
        let (dead, progress) = (ground.private(), ground.private());
        let ours = side.owns();
        Self { ground, ours, theirs: 1 - ours, dead, progress }
    }

    pub(crate) fn ground(&self) -> &G {
        &self.ground
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed) != 0
    }

    /// Waits until the window is ours.
    pub(crate) fn wait(&self, patience: &mut Patience) -> Result<(), End> {
        self.wait_unless(patience, SLEEP, || None)
    }

    /// As [`wait`](Self::wait), but after each sleep, of `limit` at most, it is ended where `give_up` says why.
    pub(crate) fn wait_unless(
        &self,
        patience: &mut Patience,
        limit: Duration,
        mut give_up: impl FnMut() -> Option<End>,
    ) -> Result<(), End> {
        let state = self.ground.state();
        patience.stay_awake(|| state.load(Ordering::Relaxed) != self.theirs);
        let (mut flips, mut slept) = (0, false);
        loop {
            let now = state.load(Ordering::Acquire);
            // After the word: a peer that overwrites our 2 thereby lets us see what came before it.
            if self.is_dead() {
                return Err(End::Closed);
            }
            if now == self.ours {
                return Ok(());
            }
            if now != self.theirs {
                return Err(self.refuse(now));
            }
            if flips == FLIPS {
                return Err(self.violation("the state changed without us"));
            }
            if slept && let Some(end) = give_up() {
                self.shut_down();
                return Err(end);
            }
            match self.ground.wait(self.theirs, limit) {
                Ok(Woken::Perhaps) => slept = true,
                Ok(Woken::Changed) => flips += 1,
                Err(errno) => {
                    self.shut_down();
                    return Err(End::Lost(errno));
                }
            }
        }
    }

    /// Gives the window, which is ours, to the peer.
    pub(crate) fn pass(&self) -> Result<(), End> {
        if self.is_dead() {
            return Err(End::Closed);
        }
        let state = self.ground.state();
        match state.compare_exchange(self.ours, self.theirs, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => {
                self.ground.wake(1);
                Ok(())
            }
            Err(now) => Err(self.refuse(now)),
        }
    }

    /// Begins to work on what was received. From here to [`answered`](Self::answered) it is not retired.
    pub(crate) fn take(&self) -> Result<(), End> {
        if self.advance(progress::IDLE, progress::BUSY) {
            return Ok(());
        }
        self.shut_down();
        Err(End::Closed)
    }

    /// What was received is answered. The end of the channel takes the place of the word that says so, so that the
    /// peer is given a moment to see it.
    pub(crate) fn answered(&self) {
        if !self.advance(progress::BUSY, progress::IDLE) {
            self.ground.linger();
            self.shut_down();
        }
    }

    fn advance(&self, from: u32, to: u32) -> bool {
        self.progress.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Shuts down as soon as nothing is being worked on. Any thread may do so, more than once.
    pub(crate) fn retire(&self) {
        if self.progress.swap(progress::RETIRED, Ordering::Relaxed) == progress::IDLE {
            self.shut_down();
        }
    }

    /// Ends it for a state that is neither side's.
    fn refuse(&self, state: u32) -> End {
        if state == SHUT {
            self.finish();
            return End::Closed;
        }
        self.violation("the state is not what it can be")
    }

    /// Ends it for something that the peer must not do.
    pub(crate) fn violation(&self, what: &'static str) -> End {
        self.shut_down();
        End::Violation(what)
    }

    /// Ends this end without a word to the other.
    fn finish(&self) {
        self.dead.store(1, Ordering::Relaxed);
    }

    /// Ends it for both and wakes whoever waits. Any thread may do so, at any time, more than once.
    ///
    /// Everyone is woken, for the peer may have threads asleep on the word only to swallow a single wake. If
    /// it succeeds all the same, the waiter notices when its sleep has been long enough.
    pub(crate) fn shut_down(&self) {
        self.finish();
        self.ground.state().swap(SHUT, Ordering::Release);
        self.ground.wake(u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::AtomicU32;

    use super::*;

    /// A peer that has always changed the word before the kernel looks, and changed it back after.
    struct Flipping {
        state: AtomicU32,
        waits: Cell<u32>,
        wakes: Cell<u32>,
    }

    impl Ground for Flipping {
        type Atomic = AtomicU32;

        fn state(&self) -> &AtomicU32 {
            &self.state
        }

        fn private(&self) -> AtomicU32 {
            AtomicU32::new(0)
        }

        fn wait(&self, _: u32, _: Duration) -> Result<Woken, Errno> {
            self.waits.set(self.waits.get() + 1);
            Ok(Woken::Changed)
        }

        fn wake(&self, waiters: u32) {
            self.wakes.set(self.wakes.get().saturating_add(waiters));
        }

        fn linger(&self) {}
    }

    fn server(state: u32) -> Handover<Flipping> {
        let ground =
            Flipping { state: AtomicU32::new(state), waits: Cell::default(), wakes: Cell::default() };
        Handover::new(ground, Side::Server)
    }

    #[test]
    fn a_peer_that_flips_the_state_keeps_nobody_busy() {
        let server = server(Side::Client.owns());
        assert!(matches!(server.wait(&mut Patience::none()), Err(End::Violation(_))));
        assert_eq!(server.ground.waits.get(), FLIPS);
        assert_eq!(server.ground.state.load(Ordering::Relaxed), SHUT);
        assert_eq!(server.ground.wakes.get(), u32::MAX, "everyone");
    }

    #[test]
    fn a_state_that_cannot_be_ends_it() {
        for state in [3, 4, u32::MAX] {
            let server = server(state);
            assert!(matches!(server.wait(&mut Patience::none()), Err(End::Violation(_))), "{state}");
            assert_eq!(server.ground.state.load(Ordering::Relaxed), SHUT);
            assert_eq!(server.ground.waits.get(), 0, "it is not waited for");
        }
        for state in [0, 3, u32::MAX] {
            let server = server(state);
            assert!(matches!(server.pass(), Err(End::Violation(_))), "{state}");
            assert_eq!(server.ground.state.load(Ordering::Relaxed), SHUT);
        }
    }

    #[test]
    fn what_is_retired_ends_after_its_reply() {
        let idle = server(1);
        idle.retire();
        assert_eq!(idle.ground.state.load(Ordering::Relaxed), SHUT, "at once");
        assert_eq!(idle.wait(&mut Patience::none()), Err(End::Closed));

        let busy = server(1);
        busy.take().unwrap();
        busy.retire();
        busy.retire();
        assert_eq!(busy.pass(), Ok(()), "the reply goes out");
        assert_eq!(busy.ground.state.load(Ordering::Relaxed), 0);
        busy.answered();
        assert_eq!(busy.ground.state.load(Ordering::Relaxed), SHUT);

        let between = server(1);
        between.take().unwrap();
        between.answered();
        assert_eq!(between.ground.state.load(Ordering::Relaxed), 1, "nobody retires it");
        between.retire();
        assert_eq!(between.take(), Err(End::Closed));
    }

    #[test]
    fn what_was_shut_down_does_not_come_back() {
        for end in [
            Handover::shut_down as fn(&Handover<Flipping>),
            Handover::finish,
            |server| {
                server.ground.state.store(SHUT, Ordering::Relaxed);
                assert_eq!(server.wait(&mut Patience::none()), Err(End::Closed));
            },
            |server| {
                server.ground.state.store(SHUT, Ordering::Relaxed);
                assert_eq!(server.pass(), Err(End::Closed));
            },
        ] {
            let server = server(1);
            end(&server);
            for state in [0, 1, 2, 3] {
                server.ground.state.store(state, Ordering::Relaxed);
                assert_eq!(server.wait(&mut Patience::none()), Err(End::Closed), "{state}");
                assert_eq!(server.pass(), Err(End::Closed), "{state}");
                assert_eq!(server.ground.state.load(Ordering::Relaxed), state, "left alone");
            }
        }
    }
}
