//! [`Patience`]: whether to stay awake for an answer.

use std::cell::Cell;
use std::hint;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use gofer_sys::futex;

use super::Waiting;

/// How long to stay awake. Waking a peer whose processor sleeps takes up to 40 us in a virtual machine; who gives
/// up sooner never meets it, for one side has to be awake first.
const LIMIT: u32 = 60_000;

/// What is earned by an answer that came in time: about what it would have taken to sleep, and the peer to wake this
/// thread. In nanoseconds, as all that follows.
const EARNED: u32 = 15_000;

/// What a wait adds that slept, so that now and then there is another try.
const RESTED: u32 = 250;

/// The most that can be saved, which is also what there is in the beginning.
const MOST: u32 = 4 * LIMIT;

/// How often to look at the word before looking at the clock, which costs as much as a few looks.
const LOOKS: u32 = 32;

/// How many kinds of messages are told apart.
const KINDS: usize = 64;

/// How many threads of this process are staying awake now.
static AWAKE: AtomicU32 = AtomicU32::new(0);

/// One thread's experience with staying awake.
///
/// It stays awake on what it has saved by that, and pays for all the time that it was awake, be it in vain or not:
/// so it takes no more processor time than sleeping would have, but for the time limit in four waits at first and
/// in one of [`LIMIT`] / [`RESTED`] that slept. How soon a peer says something depends on what it was told last, so
/// there is an account for each kind of message.
#[derive(Debug)]
pub(crate) struct Patience {
    waiting: Waiting,
    savings: [u32; KINDS],
    /// Whose account it is: the kind of what the peer was told last.
    said: Cell<u8>,
    /// How many processors there were when it was last of interest; 0 when that is to be asked again.
    processors: u32,
}

impl Patience {
    pub(crate) fn new(waiting: Waiting) -> Self {
        Self { waiting, savings: [MOST; KINDS], said: Cell::new(0), processors: 0 }
    }

    /// Sleeps at once, always.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self::new(Waiting::Sleep)
    }

    /// The peer is told something; in both protocols the first byte says of which kind it is.
    pub(crate) fn says(&self, message: &[u8]) {
        self.said.set(message.first().copied().unwrap_or_default());
    }

    /// Stays awake until `answered`, if that promises to be soon, and not for long.
    pub(crate) fn stay_awake(&mut self, answered: impl Fn() -> bool) {
        if self.waiting == Waiting::Sleep || answered() {
            return;
        }
        let savings = &mut self.savings[usize::from(self.said.get()) % KINDS];
        if *savings < LIMIT {
            *savings += RESTED;
            return;
        }
        if self.processors == 0 {
            self.processors = futex::processors();
        }
        let spun = Awake::enter(self.processors - 1).map(|_awake| spin(answered));
        match spun {
            Some(Some(taken)) => *savings = (*savings + EARNED).saturating_sub(taken).min(MOST),
            // It may have been told to run elsewhere.
            Some(None) => (*savings, self.processors) = (*savings - LIMIT, 0),
            None if self.processors == 1 => (*savings, self.processors) = (0, 0),
            // Others are awake. That says nothing about this peer.
            None => {}
        }
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
    use super::*;

    /// How often the word is looked at by one that waits for an answer that does not come.
    fn looks(patience: &mut Patience, said: u8) -> u32 {
        let looks = Cell::new(0);
        // As if another processor were free, also where there is none.
        patience.processors = u32::MAX;
        patience.says(&[said]);
        patience.stay_awake(|| {
            looks.set(looks.get() + 1);
            false
        });
        looks.get()
    }

    #[test]
    fn who_waits_in_vain_sleeps_after_what_is_heard_of_late_alone() {
        let mut patience = Patience::new(Waiting::Adaptive);
        for _ in 0..MOST / LIMIT {
            looks(&mut patience, 1);
        }
        assert_eq!(looks(&mut patience, 1), 1, "it sleeps");
        let again = (0..LIMIT / RESTED).filter(|_| looks(&mut patience, 1) > 1).count();
        assert!(again <= 1, "{again} tries");
        assert_eq!(patience.savings[2], MOST, "another kind has its own account");
    }

    #[test]
    fn an_answer_is_worth_no_more_than_sleeping_costs() {
        let mut patience = Patience::new(Waiting::Adaptive);
        patience.processors = u32::MAX;
        let (began, late) = (Instant::now(), u128::from(EARNED) * 2);
        patience.savings[0] = LIMIT;
        patience.stay_awake(|| began.elapsed().as_nanos() >= late);
        assert!(patience.savings[0] < LIMIT, "it came, but sleeping would have been cheaper");
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
