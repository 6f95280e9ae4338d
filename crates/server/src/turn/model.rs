//! The turn under every interleaving: threads that take it, pass it on and come back, the watch that takes it away, and
//! the watch's own sleep.
//!
//! A wait in the model has no end of its own, and the watch does only what a test has it do: a lost wake is a deadlock,
//! which is reported. Each model says what makes it fail when it is taken away from the source.

use loom::sync::atomic::AtomicBool as Flag;
use loom::thread;

use super::*;

/// A connection with requests to come, of which the last but one is not done before the last is received.
struct Line {
    turn: Turn,
    watch: Watch,
    /// Somebody receives.
    receiving: Flag,
    /// Requests to come.
    left: Mutex<usize>,
    received: Condvar,
}

impl Line {
    fn new(requests: usize) -> Arc<Self> {
        let watch = Watch(Arc::new(Rounds::new()));
        let (left, received) = (Mutex::new(requests), Condvar::new());
        Arc::new(Self { turn: Turn::new(2), watch, receiving: Flag::new(false), left, received })
    }

    /// How many are left after the next; `None` when there is none.
    fn receive(&self) -> Option<usize> {
        assert!(!self.receiving.swap(true, Ordering::Relaxed), "two receive at once");
        let mut left = self.left.lock().unwrap();
        let behind = left.checked_sub(1);
        *left = behind.unwrap_or(0);
        drop(left);
        self.received.notify_all();
        self.receiving.store(false, Ordering::Relaxed);
        behind
    }

    fn handle(&self, behind: usize) {
        let mut left = self.left.lock().unwrap();
        while behind == 1 && *left > 0 {
            left = self.received.wait(left).unwrap();
        }
    }

    /// What a connection's threads do. The threads that were started for it.
    fn work(self: &Arc<Self>) -> Vec<thread::JoinHandle<()>> {
        let mut started = Vec::new();
        while let Some(mut ticket) = self.turn.take() {
            loop {
                let Some(behind) = self.receive() else {
                    self.turn.end();
                    return started;
                };
                self.turn.handling(&self.watch);
                if self.turn.pass_on(ticket) == Next::Start {
                    let line = Arc::clone(self);
                    started.push(thread::spawn(move || line.work_and_join()));
                }
                self.handle(behind);
                match self.turn.keep(ticket) {
                    Some(again) => ticket = again,
                    None => break,
                }
            }
        }
        started
    }

    fn work_and_join(self: &Arc<Self>) {
        for thread in self.work() {
            thread.join().unwrap();
        }
    }
}

/// States: receiving, handling and passed on, waiting for the turn, over. One receives at a time, somebody does until
/// there is nothing more, and all leave.
///
/// Fails (deadlock) without the wake in `vacate`, and without that in `end`. That who comes back looks at the number of
/// the turn is what `a_handler_keeps_its_turn_until_it_is_passed_on` is for.
#[test]
fn one_at_a_time_receives_until_all_is_received() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let line = Line::new(3);
        line.work_and_join();
        assert_eq!(*line.left.lock().unwrap(), 0);
        assert_eq!(line.turn.lock().threads, 0);
    });
}

/// States: handling since tick 1, taken away or kept, handling since tick 2. What began later is left alone.
///
/// Fails without the second look in `overdue`: the turn is taken from a handler that has had it for no time at all.
#[test]
fn the_watch_takes_a_turn_away_or_it_is_kept() {
    loom::model(|| {
        let line = Line::new(1);
        let ticket = line.turn.take().unwrap();
        line.turn.handling(&line.watch);
        let other = Arc::clone(&line);
        let looking = thread::spawn(move || other.turn.overdue(1));
        let kept = line.turn.keep(ticket);
        if kept.is_some() {
            line.watch.0.tick.store(2, Ordering::Relaxed);
            line.turn.handling(&line.watch);
        }
        let taken = looking.join().unwrap() == Next::Start;
        assert!(kept.is_some() != taken);
        assert_eq!(line.turn.is_held(ticket), !taken);
    });
}

/// States: two wait, one or none does yet; over.
///
/// Fails (deadlock) where `end` wakes one.
#[test]
fn the_end_is_for_all() {
    loom::model(|| {
        let line = Line::new(0);
        line.turn.lock().threads += 2;
        let ticket = line.turn.take().unwrap();
        let waiting = [(); 2].map(|()| {
            let line = Arc::clone(&line);
            thread::spawn(move || assert_eq!(line.turn.take(), None))
        });
        line.turn.end();
        for thread in waiting {
            thread.join().unwrap();
        }
        assert!(!line.turn.is_held(ticket));
    });
}

/// States: awake, about to sleep, asleep; a request before, between and after. The watch does not sleep through one.
///
/// Fails (deadlock) where the accesses of `now`, or those of `sleep`, are less than sequentially consistent, and where
/// `now` wakes without the list.
#[test]
fn a_request_wakes_the_watch() {
    loom::model(|| {
        let watch = Watch(Arc::new(Rounds::new()));
        let rounds = Arc::clone(&watch.0);
        let sleeping = thread::spawn(move || rounds.sleep());
        watch.now();
        sleeping.join().unwrap();
    });
}
