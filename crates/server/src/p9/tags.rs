//! Tags: which requests are being handled, and who waits for their end.

use std::sync::{Mutex, MutexGuard, PoisonError};

use gofer_wire::p9::Tag;

/// The requests of a connection that have no reply yet. Few at any time, for each has a thread.
///
/// ```text
/// claim(t) ---> in flight ---> retire(t): the reply is about to be sent
///                  |               then the flushes of t, in the order they came
///   flush(t, f) ---+---> f waits
/// ```
#[derive(Debug, Default)]
pub(crate) struct Tags(Mutex<Vec<InFlight>>);

#[derive(Debug)]
struct InFlight {
    tag: Tag,
    flushes: Vec<Tag>,
}

impl Tags {
    fn lock(&self) -> MutexGuard<'_, Vec<InFlight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks a tag as in use. `false` when it is in use already, which no correct client does.
    pub(crate) fn claim(&self, tag: Tag) -> bool {
        let mut tags = self.lock();
        let fresh = !tags.iter().any(|t| t.tag == tag || t.flushes.contains(&tag));
        if fresh {
            tags.push(InFlight { tag, flushes: Vec::new() });
        }
        fresh
    }

    /// Makes the flush with tag `flush`, which was claimed, wait for the end of `old`. `false` when there is
    /// nothing to wait for: `old` is not in use, or is the flush itself.
    pub(crate) fn flush(&self, old: Tag, flush: Tag) -> bool {
        let mut tags = self.lock();
        if old == flush {
            return false;
        }
        // A flush of a flush that waits, waits for the same end.
        let Some(at) = tags.iter().position(|t| t.tag == old || t.flushes.contains(&old)) else {
            return false;
        };
        tags[at].flushes.push(flush);
        // The flush is in flight as one of those that wait from now on.
        tags.retain(|t| t.tag != flush);
        true
    }

    /// Frees a tag and those of the flushes that waited for it, which are to be answered in this order.
    pub(crate) fn retire(&self, tag: Tag) -> Vec<Tag> {
        let mut tags = self.lock();
        match tags.iter().position(|t| t.tag == tag) {
            Some(at) => tags.swap_remove(at).flushes,
            None => Vec::new(),
        }
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
        assert!(tags.flush(Tag(1), Tag(2)));
        assert!(tags.flush(Tag(1), Tag(3)));
        assert!(tags.flush(Tag(2), Tag(4)), "a flush of a waiting flush");
        assert!(!tags.claim(Tag(3)), "a waiting flush has no reply yet");
        assert_eq!(tags.retire(Tag(1)), [Tag(2), Tag(3), Tag(4)]);
        assert!(tags.claim(Tag(3)));
    }

    #[test]
    fn there_is_nothing_to_wait_for() {
        let tags = Tags::default();
        assert!(tags.claim(Tag(5)));
        assert!(!tags.flush(Tag(9), Tag(5)), "unknown");
        assert!(!tags.flush(Tag(5), Tag(5)), "itself");
        assert_eq!(tags.retire(Tag(5)), []);
    }
}
