//! [`Quota`]: how much of something a connection may hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An amount of something, shared out among those who hold it.
#[derive(Clone, Debug)]
pub(crate) struct Quota(Arc<Amount>);

#[derive(Debug)]
struct Amount {
    held: AtomicUsize,
    limit: usize,
    /// What this is a part of.
    whole: Option<Quota>,
}

/// A part of a quota, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    quota: Quota,
    size: usize,
}

impl Quota {
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(Amount { held: AtomicUsize::new(0), limit, whole: None }))
    }

    /// A quota out of this one, for one of any number of holders. It may grow while as much as it has is left to
    /// others: one alone gets a half, each of two a third, and there is always something for the next to come.
    pub(crate) fn part(&self) -> Self {
        let (held, limit) = (AtomicUsize::new(0), self.0.limit);
        Self(Arc::new(Amount { held, limit, whole: Some(self.clone()) }))
    }

    /// A part of `size`; `None` when there is not so much left.
    pub(crate) fn take(&self, size: usize) -> Option<Share> {
        let mut share = Share { quota: self.clone(), size: 0 };
        share.resize(size).then_some(share)
    }

    /// Holds `new` instead of `old`, if so much is left besides `spare`.
    fn change(&self, old: usize, new: usize, spare: usize) -> bool {
        let Amount { held, limit, .. } = &*self.0;
        let change = |now: usize| {
            let all = now.saturating_sub(old).saturating_add(new);
            (new <= old || all.saturating_add(spare) <= *limit).then_some(all)
        };
        held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
    }
}

impl Share {
    /// Makes it larger or smaller. `false`, and nothing changed, when there is not so much left.
    pub(crate) fn resize(&mut self, size: usize) -> bool {
        let Amount { held, whole, .. } = &*self.quota.0;
        if !self.quota.change(self.size, size, 0) {
            return false;
        }
        if let Some(whole) = whole
            && !whole.change(self.size, size, held.load(Ordering::Relaxed))
        {
            self.quota.change(size, self.size, 0);
            return false;
        }
        self.size = size;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_exceed_the_quota_and_come_back() {
        let quota = Quota::new(10);
        let mut one = quota.take(6).unwrap();
        assert!(quota.take(5).is_none());
        let other = quota.take(4).unwrap();
        assert!(!one.resize(7));
        assert!(one.resize(2));
        assert!(one.resize(6));
        drop(other);
        assert!(one.resize(10));
        drop(one);
        assert!(quota.take(10).is_some());
    }

    #[test]
    fn a_part_leaves_as_much_to_others_as_it_has() {
        let whole = Quota::new(12);
        let (one, other) = (whole.part(), whole.part());
        let greedy = |part: &Quota| std::iter::from_fn(|| part.take(1)).collect::<Vec<_>>();
        let all = greedy(&one);
        assert_eq!(all.len(), 6);
        assert_eq!(greedy(&other).len(), 3);
        let others = greedy(&other);
        assert_eq!(greedy(&whole.part()).len(), 1, "there is something for the next");
        drop(all);
        assert_eq!((others.len(), greedy(&one).len()), (3, 4), "what is given back can be had again");
    }
}
