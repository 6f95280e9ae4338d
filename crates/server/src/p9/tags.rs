//! Tags: which requests are being handled, and who waits for their end.

#[cfg(all(test, loom))]
mod model;

use std::sync::PoisonError;

use gofer_wire::p9::Tag;

use crate::sync::{Condvar, Mutex, MutexGuard};

/// The requests of a connection that have no reply yet. Few at any time, for each has a thread; only flushes
/// wait without one.
///
/// ```text
/// claim(t) ---> in flight ---> retire(t): the reply is about to be sent
///                  |               then the flushes of t, in the order they came
///   flush(t, f) ---+---> f waits
/// ```
#[derive(Debug, Default)]
pub(crate) struct Tags {
    state: Mutex<State>,
    /// Something was retired that somebody waits for.
    retired: Condvar,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<InFlight>,
    /// How many requests there were, so that each has a number.
    claimed: u64,
    waiting: usize,
}

#[derive(Debug)]
struct InFlight {
    tag: Tag,
    number: u64,
    flushes: Vec<Tag>,
}

/// How many flushes can wait for one request.
const WAITING_MAX: usize = 1024;

/// What becomes of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    /// It is answered with the request it is for.
    Waits,
    /// It is answered now: what it is for is not in flight, or is the flush itself.
    Now,
    /// More wait already than a correct client sends.
    TooMany,
}

impl Tags {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks a tag as in use. `false` when it is in use already, which no correct client does.
    pub(crate) fn claim(&self, tag: Tag) -> bool {
        let mut state = self.lock();
        let fresh = !state.requests.iter().any(|t| t.tag == tag || t.flushes.contains(&tag));
        if fresh {
            state.claimed += 1;
            let number = state.claimed;
            state.requests.push(InFlight { tag, number, flushes: Vec::new() });
        }
        fresh
    }

    /// Makes the flush with tag `flush`, which was claimed, wait for the end of `old`.
    pub(crate) fn flush(&self, old: Tag, flush: Tag) -> Flush {
        let mut state = self.lock();
        let tags = &mut state.requests;
        if old == flush {
            return Flush::Now;
        }
        // A flush of a flush that waits, waits for the same end.
        let Some(at) = tags.iter().position(|t| t.tag == old || t.flushes.contains(&old)) else {
            return Flush::Now;
        };
        if tags[at].flushes.len() >= WAITING_MAX {
            return Flush::TooMany;
        }
        tags[at].flushes.push(flush);
        // From now on it is in flight as one of those that wait, and with it what waited for it.
        if let Some(own) = tags.iter().position(|t| t.tag == flush) {
            let mut behind = tags[own].flushes.split_off(0);
            tags[at].flushes.append(&mut behind);
            tags.swap_remove(own);
        }
        if state.waiting > 0 {
            self.retired.notify_all();
        }
        Flush::Waits
    }

    /// Frees a tag and those of the flushes that waited for it, which are to be answered in this order.
    pub(crate) fn retire(&self, tag: Tag) -> Vec<Tag> {
        let mut state = self.lock();
        let Some(at) = state.requests.iter().position(|t| t.tag == tag) else { return Vec::new() };
        if state.waiting > 0 {
            self.retired.notify_all();
        }
        state.requests.swap_remove(at).flushes
    }

    /// Waits until all that was claimed before `tag` is retired.
    pub(crate) fn wait_for_earlier(&self, tag: Tag) {
        let mut state = self.lock();
        let Some(number) = state.requests.iter().find(|t| t.tag == tag).map(|t| t.number) else { return };
        state.waiting += 1;
        while state.requests.iter().any(|t| t.number < number) {
            state = self.retired.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_in_use_from_claim_to_retire() {
        let tags = Tags::default();
        assert!(tags.claim(Tag(1)) && tags.claim(Tag(2)));
        assert!(!tags.claim(Tag(1)));
        assert_eq!(tags.retire(Tag(1)), []);
        assert!(tags.claim(Tag(1)));
    }

    #[test]
    fn flushes_wait_in_order_and_keep_their_tags() {
        let tags = Tags::default();
        assert!(tags.claim(Tag(1)) && tags.claim(Tag(2)) && tags.claim(Tag(3)) && tags.claim(Tag(4)));
        assert_eq!(tags.flush(Tag(1), Tag(2)), Flush::Waits);
        assert_eq!(tags.flush(Tag(1), Tag(3)), Flush::Waits);
        assert_eq!(tags.flush(Tag(2), Tag(4)), Flush::Waits, "a flush of a waiting flush");
        assert!(!tags.claim(Tag(3)), "a waiting flush has no reply yet");
        assert_eq!(tags.retire(Tag(1)), [Tag(2), Tag(3), Tag(4)]);
        assert!(tags.claim(Tag(3)));
    }

    #[test]
    fn what_came_earlier_is_waited_for() {
        let tags = Tags::default();
        assert!(tags.claim(Tag(1)) && tags.claim(Tag(2)) && tags.claim(Tag(3)));
        tags.wait_for_earlier(Tag(1));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| tags.wait_for_earlier(Tag(2)));
            assert_eq!(tags.retire(Tag(1)), []);
            waiter.join().unwrap();
        });
        assert_eq!(tags.retire(Tag(2)), []);
    }

    #[test]
    fn there_is_nothing_to_wait_for() {
        let tags = Tags::default();
        assert!(tags.claim(Tag(5)));
        assert_eq!(tags.flush(Tag(9), Tag(5)), Flush::Now, "unknown");
        assert_eq!(tags.flush(Tag(5), Tag(5)), Flush::Now, "itself");
        assert_eq!(tags.retire(Tag(5)), []);
    }

    /// A flush that waited took with it those that waited for itself, and they were never answered.
    #[test]
    fn what_waits_for_a_flush_is_answered_behind_it() {
        let tags = Tags::default();
        assert!(tags.claim(Tag(1)) && tags.claim(Tag(5)) && tags.claim(Tag(6)));
        assert_eq!(tags.flush(Tag(5), Tag(6)), Flush::Waits);
        assert_eq!(tags.flush(Tag(1), Tag(5)), Flush::Waits);
        assert_eq!(tags.retire(Tag(1)), [Tag(5), Tag(6)]);
    }

    /// Whoever waited for a flush was not told when it became one that waits itself, and waited for ever.
    #[test]
    fn a_flush_that_waits_is_not_waited_for() {
        let tags = Tags::default();
        assert!(tags.claim(Tag(1)) && tags.claim(Tag(2)) && tags.claim(Tag(3)));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| tags.wait_for_earlier(Tag(3)));
            assert_eq!(tags.retire(Tag(1)), []);
            assert_eq!(tags.flush(Tag(3), Tag(2)), Flush::Waits);
            waiter.join().unwrap();
        });
        assert_eq!(tags.retire(Tag(3)), [Tag(2)]);
    }

    #[test]
    fn not_everything_can_wait() {
        let tags = Tags::default();
        assert!(tags.claim(Tag(0)));
        for flush in 1..=1024 {
            assert!(tags.claim(Tag(flush)));
            assert_eq!(tags.flush(Tag(0), Tag(flush)), Flush::Waits);
        }
        assert!(tags.claim(Tag(2000)));
        assert_eq!(tags.flush(Tag(0), Tag(2000)), Flush::TooMany);
    }
}
