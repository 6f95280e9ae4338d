//! [`Patience`]: whether to stay awake for an answer.

use std::hint;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gofer_sys::futex;

use super::Waiting;

/// How long to stay awake. Waking a peer whose processor sleeps takes up to 40 us in a virtual machine; who gives
/// up sooner never meets it, for one side has to be awake first.
const LIMIT: Duration = Duration::from_micros(60);

/// What staying awake in vain takes from the savings, which are counted in parts of the time limit.
const COST: u32 = 240;

/// What an answer adds that came in time: a fifteenth, about the processor time that going to sleep and being
/// woken takes.
const GAIN: u32 = 16;

/// The most that can be saved, which is also what there is in the beginning.
const MOST: u32 = 4 * COST;

/// How often to look at the word before looking at the clock, which costs as much as a few looks.
const LOOKS: u32 = 32;

/// How many threads of this process are staying awake now.
static AWAKE: AtomicU32 = AtomicU32::new(0);

/// One thread's experience with staying awake.
///
/// It stays awake on what it has saved by that. A wait that sleeps adds a little, so that now and then there
/// is another try: all the time that a thread was awake in vain is at most what it saved by being awake, and
/// the time limit for four waits at first and for one in [`COST`] that slept.
#[derive(Debug)]
pub(crate) struct Patience {
    waiting: Waiting,
    savings: u32,
    /// How many processors there were when it was last of interest; 0 when that is to be asked again.
    processors: u32,
}

impl Patience {
    pub(crate) fn new(waiting: Waiting) -> Self {
        Self { waiting, savings: MOST, processors: 0 }
    }

    /// Sleeps at once, always.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self::new(Waiting::Sleep)
    }

    /// Stays awake until `answered`, if that promises to be soon, and not for long.
    pub(crate) fn stay_awake(&mut self, answered: impl Fn() -> bool) {
        if self.waiting == Waiting::Sleep || answered() {
            return;
        }
        if self.savings < COST {
            self.savings += 1;
            return;
        }
        if self.processors == 0 {
            self.processors = futex::processors();
        }
        let spun = Awake::enter(self.processors - 1).map(|_awake| spin(answered));
        match spun {
            Some(true) => self.savings = (self.savings + GAIN).min(MOST),
            // It may have been told to run elsewhere.
            Some(false) => (self.savings, self.processors) = (self.savings - COST, 0),
            None if self.processors == 1 => (self.savings, self.processors) = (0, 0),
            // Others are awake. That says nothing about this peer.
            None => {}
        }
    }
}

/// Looks again and again, for the time limit.
fn spin(answered: impl Fn() -> bool) -> bool {
    let mut end = None;
    loop {
        for _ in 0..LOOKS {
            if answered() {
                return true;
            }
            hint::spin_loop();
        }
        let now = Instant::now();
        if now >= *end.get_or_insert(now + LIMIT) {
            return false;
        }
    }
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
