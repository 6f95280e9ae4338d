//! [`Pace`]: not more often than now and then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is done when it is wanted, but not again before a time has passed. What was wanted too soon is done the next
/// time that somebody looks.
pub(super) struct Pace {
    pause: Duration,
    is_wanted: AtomicBool,
    last: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) const fn new(pause: Duration) -> Self {
        Self { pause, is_wanted: AtomicBool::new(false), last: Mutex::new(None) }
    }

    /// Whether it is to be done now. Who asks only because it may have been wanted before waits for nobody.
    pub(super) fn is_due(&self, is_wanted: bool, now: impl FnOnce() -> Instant) -> bool {
        if is_wanted {
            self.is_wanted.store(true, Ordering::Relaxed);
        } else if !self.is_wanted.load(Ordering::Relaxed) {
            return false;
        }
        let now = now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| now.saturating_duration_since(last) < self.pause) {
            return false;
        }
        *last = Some(now);
        self.is_wanted.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_too_soon_is_done_later_and_once() {
        let pace = Pace::new(Duration::from_secs(1));
        let begin = Instant::now();
        let at = |wanted, millis| pace.is_due(wanted, || begin + Duration::from_millis(millis));
        assert!(!at(false, 0), "nobody wants it");
        assert!(at(true, 1), "the first time it is done at once");
        assert!(!at(true, 2) && !at(true, 1000) && !at(false, 1000), "however often it is wanted");
        assert!(at(false, 1001), "what was wanted is done when the time has passed");
        assert!(!at(false, 5000), "and then it is done");
        assert!(at(true, 5000));
        assert!(!at(true, 0), "a clock that is read late");
    }
}
