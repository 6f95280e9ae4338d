//! Whose turn it is to receive, and the watch over turns that are held too long.
//!
//! The threads of a connection take turns. Whoever has the turn receives a request and, as a rule, keeps the
//! turn while handling it: with one request in flight nobody is woken. The turn is passed on before a request
//! that may take long. When a handler turns out to be slow all the same, the [`Watch`] takes the turn away:
//! after at least one and at most two of its ticks another thread receives.
//!
//! ```text
//!            take                handling                       keep
//! vacant -----------> receiving ----------> handling since t ----------> receiving
//!    ^                                       |           |
//!    +---------------------------------------+-----------+
//!                     pass on            Watch: overdue
//! ```

#[cfg(all(test, loom))]
mod model;

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use gofer_vfs::Errno;

use crate::spawn;
use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex, MutexGuard};

/// How often the watch looks while there are requests.
const TICK: Duration = Duration::from_millis(2);
/// After how many ticks without a request the watch goes to sleep, to be woken by the next request.
const QUIET: u32 = 100;
/// How long a thread without a turn stays.
const IDLE: Duration = Duration::from_secs(5);

/// The turn of one connection.
#[derive(Debug)]
pub(crate) struct Turn {
    state: Mutex<State>,
    vacant: Condvar,
    /// The tick at which handling began with the turn held; 0 when nothing is handled so.
    since: AtomicU64,
    /// No thread could be had to receive: one is to be tried again.
    deserted: AtomicBool,
    limit: usize,
}

#[derive(Debug)]
struct State {
    holder: Holder,
    /// Which taking of the turn this is: a handler that comes back knows by it whether the turn is still its
    /// own.
    number: u64,
    threads: usize,
    waiting: usize,
    over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Vacant,
    Receiving,
    Handling,
}

/// What is to be done after the turn was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing: a thread that waited has it, or there is none to be had.
    Done,
    /// Start a thread, which is counted already.
    Start,
}

/// The number of a taking, for the thread that has the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Turn {
    /// A turn for at most `limit` threads, one of which is about to start.
    pub(crate) fn new(limit: usize) -> Self {
        let state = State { holder: Holder::Vacant, number: 0, threads: 1, waiting: 0, over: false };
        Self {
            state: Mutex::new(state),
            vacant: Condvar::new(),
            since: AtomicU64::new(0),
            deserted: AtomicBool::new(false),
            limit: limit.max(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn. `None` when the thread is of no more use; it is not counted any more.
    pub(crate) fn take(&self) -> Option<Ticket> {
        let mut state = self.lock();
        loop {
            if state.over {
                state.threads -= 1;
                return None;
            }
            if state.holder == Holder::Vacant {
                state.holder = Holder::Receiving;
                state.number += 1;
                return Some(Ticket(state.number));
            }
            state.waiting += 1;
            let (woken, waited) =
                self.vacant.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.waiting -= 1;
            if waited.timed_out() && state.holder != Holder::Vacant {
                state.threads -= 1;
                return None;
            }
        }
    }

    /// The holder has received a request and handles it.
    pub(crate) fn handling(&self, watch: &Watch) {
        self.lock().holder = Holder::Handling;
        self.since.store(watch.now(), Ordering::Relaxed);
    }

    /// Passes the turn on, if `ticket` still has it.
    pub(crate) fn pass_on(&self, ticket: Ticket) -> Next {
        self.vacate(self.lock(), Some(ticket))
    }

    /// The handler with `ticket` is done. `None` when the turn is not its own any more.
    pub(crate) fn keep(&self, ticket: Ticket) -> Option<Ticket> {
        let mut state = self.lock();
        let own = state.holder == Holder::Handling && state.number == ticket.0 && !state.over;
        own.then(|| {
            state.holder = Holder::Receiving;
            self.since.store(0, Ordering::Relaxed);
            ticket
        })
    }

    /// Whether the handler with `ticket` still has the turn. It may lose it at any time.
    pub(crate) fn is_held(&self, ticket: Ticket) -> bool {
        let state = self.lock();
        state.holder == Holder::Handling && state.number == ticket.0 && !state.over
    }

    /// There is nothing more to receive: threads leave as they finish.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.over = true;
        state.threads -= 1;
        self.since.store(0, Ordering::Relaxed);
        self.vacant.notify_all();
    }

    /// A thread that was counted could not be started.
    pub(crate) fn not_started(&self) {
        self.lock().threads -= 1;
        self.deserted.store(true, Ordering::Relaxed);
    }

    /// Takes the turn away from a handler that has had it since before tick `before`; or tries once more to
    /// find somebody to receive, when there was no thread for that.
    pub(crate) fn overdue(&self, before: u64) -> Next {
        if self.deserted.swap(false, Ordering::Relaxed) {
            let mut state = self.lock();
            let nobody = state.holder == Holder::Vacant && state.waiting == 0 && !state.over;
            if nobody && state.threads < self.limit {
                state.threads += 1;
                return Next::Start;
            }
        }
        let since = self.since.load(Ordering::Relaxed);
        if since == 0 || since > before {
            return Next::Done;
        }
        let state = self.lock();
        // It may have finished and begun another meanwhile.
        let since = self.since.load(Ordering::Relaxed);
        if since == 0 || since > before { Next::Done } else { self.vacate(state, None) }
    }

    fn vacate(&self, mut state: MutexGuard<'_, State>, ticket: Option<Ticket>) -> Next {
        let own = ticket.is_none_or(|ticket| state.number == ticket.0);
        if state.holder != Holder::Handling || !own || state.over {
            return Next::Done;
        }
        self.since.store(0, Ordering::Relaxed);
        state.holder = Holder::Vacant;
        if state.waiting > 0 {
            self.vacant.notify_one();
            Next::Done
        } else if state.threads < self.limit {
            state.threads += 1;
            Next::Start
        } else {
            // All are busy; the first to finish takes it.
            Next::Done
        }
    }
}

/// What the watch looks after.
pub(crate) trait Watched: Send + Sync {
    /// Starts a thread, which is counted already.
    fn start_thread(self: Arc<Self>);
}

/// A thread that looks after all connections of a server while any of them has requests, and sleeps otherwise.
/// It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Watch(Arc<Rounds>);

/// What the watch and its thread share.
struct Rounds {
    /// Ticks since the start, from 1.
    tick: AtomicU64,
    /// A request came since the last tick.
    stirred: AtomicBool,
    asleep: AtomicBool,
    list: Mutex<List>,
    wake: Condvar,
}

#[derive(Default)]
struct List {
    watched: Vec<(Arc<Turn>, Weak<dyn Watched>)>,
    over: bool,
}

impl std::fmt::Debug for Rounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("tick", &self.tick).finish_non_exhaustive()
    }
}

impl Watch {
    /// Starts the watch.
    pub(crate) fn start() -> Result<Self, Errno> {
        let shared = Arc::new(Rounds::new());
        let its_own = Arc::clone(&shared);
        spawn("watch", move || its_own.run())?;
        Ok(Self(shared))
    }

    pub(crate) fn add(&self, turn: &Arc<Turn>, watched: Weak<dyn Watched>) {
        self.0.lock().watched.push((Arc::clone(turn), watched));
    }

    pub(crate) fn remove(&self, turn: &Arc<Turn>) {
        let mut list = self.0.lock();
        if let Some(at) = list.watched.iter().position(|(watched, _)| Arc::ptr_eq(watched, turn)) {
            list.watched.swap_remove(at);
        }
    }

    /// The current tick, for a request that begins now. Wakes the watch when it sleeps.
    fn now(&self) -> u64 {
        // Sequentially consistent, as in `sleep`: either this sees that the watch is asleep, or the watch
        // sees that something stirred.
        self.0.stirred.store(true, Ordering::SeqCst);
        if self.0.asleep.load(Ordering::SeqCst) {
            let _list = self.0.lock();
            self.0.wake.notify_one();
        }
        self.0.tick.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.wake.notify_one();
    }
}

impl Rounds {
    fn new() -> Self {
        Self {
            tick: AtomicU64::new(1),
            stirred: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            list: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut quiet = 0;
        loop {
            quiet = if self.stirred.swap(false, Ordering::SeqCst) { 0 } else { quiet + 1 };
            self.look();
            if quiet > QUIET {
                self.sleep();
                quiet = 0;
            }
            if self.lock().over {
                return;
            }
            std::thread::sleep(TICK);
        }
    }

    /// One tick: looks at every connection.
    fn look(&self) {
        // A request that began in the tick that ends now has had less than a tick.
        let before = self.tick.fetch_add(1, Ordering::Relaxed) - 1;
        // Held by turns only, so that no connection ever ends here.
        let list = self.lock();
        let overdue = list.watched.iter().filter(|(turn, _)| turn.overdue(before) == Next::Start);
        let deserted: Vec<_> =
            overdue.map(|(turn, watched)| (Arc::clone(turn), Weak::clone(watched))).collect();
        drop(list);
        for (turn, watched) in deserted {
            match watched.upgrade() {
                Some(watched) => watched.start_thread(),
                None => turn.not_started(),
            }
        }
    }

    fn sleep(&self) {
        let mut list = self.lock();
        self.asleep.store(true, Ordering::SeqCst);
        while !self.stirred.load(Ordering::SeqCst) && !list.over {
            list = self.wake.wait(list).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_keeps_its_turn_until_it_is_passed_on() {
        let (turn, watch) = (Turn::new(2), Watch::start().unwrap());
        let first = turn.take().unwrap();
        turn.handling(&watch);
        assert_eq!(turn.keep(first), Some(first), "nobody wanted it");
        turn.handling(&watch);
        assert_eq!(turn.pass_on(first), Next::Start);
        let second = turn.take().unwrap();
        assert_eq!(turn.keep(first), None, "another has it");
        turn.handling(&watch);
        assert_eq!(turn.keep(first), None, "another has it, and handles as this one does");
        assert_eq!(turn.pass_on(first), Next::Done, "it is not its own to pass on");
        assert_eq!(turn.pass_on(second), Next::Done, "there are no more threads to be had");
        assert!(turn.take().is_some(), "the first to finish takes it");
        turn.end();
        assert_eq!(turn.take(), None);
    }

    #[test]
    fn an_overdue_turn_is_taken_away_and_a_fresh_one_is_not() {
        let (turn, watch) = (Turn::new(2), Watch::start().unwrap());
        let ticket = turn.take().unwrap();
        turn.handling(&watch);
        let since = turn.since.load(Ordering::Relaxed);
        assert_eq!(turn.overdue(since - 1), Next::Done);
        assert_eq!(turn.keep(ticket), Some(ticket));
        turn.handling(&watch);
        let since = turn.since.load(Ordering::Relaxed);
        assert_eq!(turn.overdue(since), Next::Start);
        assert_eq!(turn.keep(ticket), None);
    }
}
