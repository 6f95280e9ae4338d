//! [`Patience`]: whether to stay awake for an answer.

use std::hint;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use gofer_sys::futex;

use super::Waiting;
use super::handover::Side;

/// How long to stay awake. Waking a peer whose processor sleeps takes up to 40 us in a virtual machine; who gives
/// up sooner never meets it, for one side has to be awake first.
const LIMIT: u32 = 60_000;

/// What an answer is worth to an end that came in time, in nanoseconds, as all that follows. In a virtual machine, going to
/// sleep and being woken takes a thread about 5 us of processor time. That is what a server saves, whose processor
/// is others', too; a client goes on sooner besides.
const fn worth(side: Side) -> u32 {
    match side {
        Side::Server => 5_000,
        Side::Client => 15_000,
    }
}

/// What a wait adds that slept, so that now and then there is another try.
const RESTED: u32 = 250;

/// The most that can be saved.
const MOST: u32 = 4 * LIMIT;

/// How often to look at the word before looking at the clock, which costs as much as a few looks.
const LOOKS: u32 = 32;

/// How many threads of this process are staying awake now.
static AWAKE: AtomicU32 = AtomicU32::new(0);

/// One thread's experience with staying awake.
///
/// It stays awake on what it has earned by that, and pays for the time that it was awake, be it in vain or not. So it
/// spends no more than that was worth, but for two tries at first and in [`LIMIT`] / [`RESTED`] waits that slept.
#[derive(Debug)]
pub(crate) struct Patience {
    waiting: Waiting,
    /// What an answer is worth.
    worth: u32,
    savings: u32,
    /// The last try was not in vain. The first answer of a quick peer takes as long as waking it does.
    pays: bool,
    /// How many processors there were when it was last of interest; 0 when that is to be asked again.
    processors: u32,
}

impl Patience {
    /// Saved enough for one try.
    pub(crate) fn new(waiting: Waiting, side: Side) -> Self {
        Self { waiting, worth: worth(side), savings: LIMIT, pays: false, processors: 0 }
    }

    /// Sleeps at once, always.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self::new(Waiting::Sleep, Side::Server)
    }

    /// Stays awake until `answered`, if that promises to be soon, and not for long.
    pub(crate) fn stay_awake(&mut self, answered: impl Fn() -> bool) {
        if self.waiting == Waiting::Sleep || answered() {
            return;
        }
        if !self.has_enough() {
            self.rest();
            return;
        }
        if self.processors == 0 {
            self.processors = futex::processors();
        }
        let spun = Awake::enter(self.processors - 1).map(|_awake| spin(answered));
        match spun {
            Some(Some(spent)) => self.settle(true, spent),
            Some(None) => {
                self.settle(false, LIMIT);
                // It may have been told to run elsewhere.
                self.processors = 0;
            }
            None if self.processors == 1 => (self.savings, self.processors) = (0, 0),
            // Others are awake. That says nothing about this peer.
            None => {}
        }
    }

    fn has_enough(&self) -> bool {
        self.savings >= if self.pays { self.worth } else { LIMIT }
    }

    /// After a wait that slept: before the next try there is to be enough for one in vain.
    fn rest(&mut self) {
        self.savings += RESTED;
        self.pays = false;
    }

    /// After so many nanoseconds awake. What lies above the limit is not this thread's: it had to make room for others.
    fn settle(&mut self, answered: bool, spent: u32) {
        let earned = if answered { self.worth } else { 0 };
        self.savings = (self.savings + earned).saturating_sub(spent.min(LIMIT)).min(MOST);
        self.pays = answered;
    }
}

/// Looks again and again, for the time limit. How many nanoseconds it took if there was an answer.
fn spin(answered: impl Fn() -> bool) -> Option<u32> {
    let mut began = None;
    loop {
        for _ in 0..LOOKS {
            if answered() {
                return Some(began.map_or(0, nanoseconds_since));
            }
            hint::spin_loop();
        }
        if nanoseconds_since(*began.get_or_insert_with(Instant::now)) >= LIMIT {
            return None;
        }
    }
}

fn nanoseconds_since(then: Instant) -> u32 {
    then.elapsed().as_nanos().try_into().unwrap_or(u32::MAX)
}

/// The permission to stay awake. There is one fewer than processors, so that whoever is to answer can run.
struct Awake;

impl Awake {
    fn enter(most: u32) -> Option<Self> {
        let enter = |awake: u32| (awake < most).then(|| awake + 1);
        // Lazily: a permission that was not given must not be given back.
        AWAKE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter).is_ok().then(|| Self)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        AWAKE.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, OnceCell};
    use std::time::Duration;

    use super::*;

    /// Waits for an answer that comes after so long, or never; how often the word was looked at.
    fn looks(patience: &mut Patience, after: Option<Duration>) -> u32 {
        let (looks, began) = (Cell::new(0), OnceCell::new());
        // As if another processor were free, also where there is none.
        patience.processors = u32::MAX;
        patience.stay_awake(|| {
            looks.set(looks.get() + 1);
            // Not before the other clock has been looked at, so that a pause of this thread makes its time longer only.
            let waited = || began.get_or_init(Instant::now).elapsed();
            looks.get() > 2 * LOOKS && after.is_some_and(|after| waited() >= after)
        });
        looks.get()
    }

    #[test]
    fn who_waits_in_vain_sleeps() {
        let mut patience = Patience::new(Waiting::Adaptive, Side::Server);
        assert!(looks(&mut patience, None) > 1, "a try");
        let again = (1..=LIMIT / RESTED).filter(|_| looks(&mut patience, None) > 1).count();
        assert_eq!(again, 0, "it sleeps");
        assert!(looks(&mut patience, None) > 1, "another try");
    }

    #[test]
    fn answers_that_come_late_do_not_pay() {
        let mut patience = Patience::new(Waiting::Adaptive, Side::Server);
        let late = Duration::from_nanos(u64::from(patience.worth) * 2);
        let waits = (LIMIT - patience.worth) / RESTED;
        let tries = (0..waits).filter(|_| looks(&mut patience, Some(late)) > 1).count();
        assert!((1..=12).contains(&tries), "{tries}: it is not worth it");
    }

    #[test]
    fn a_peer_that_had_to_be_woken_is_given_a_second_chance() {
        let mut patience = Patience::new(Waiting::Adaptive, Side::Server);
        patience.settle(true, 45_000);
        for _ in 0..100 {
            assert!(patience.has_enough());
            patience.settle(true, 1_000);
        }
        assert_eq!(patience.savings, MOST);
    }

    /// Refusals were counted as permissions given back, until everybody was refused or the count overflowed.
    #[test]
    fn a_permission_that_is_refused_is_not_given_back() {
        let first = Awake::enter(u32::MAX).unwrap();
        for _ in 0..3 {
            assert!(Awake::enter(0).is_none());
        }
        assert!(AWAKE.load(Ordering::Relaxed) >= 1);
        drop(first);
        assert!(AWAKE.load(Ordering::Relaxed) < u32::MAX / 2);
    }
}
