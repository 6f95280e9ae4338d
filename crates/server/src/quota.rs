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
}

/// A part of a quota, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    quota: Quota,
    size: usize,
}

impl Quota {
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(Amount { held: AtomicUsize::new(0), limit }))
    }

    /// A part of `size`; `None` when there is not so much left.
    pub(crate) fn take(&self, size: usize) -> Option<Share> {
        let mut share = Share { quota: self.clone(), size: 0 };
        share.resize(size).then_some(share)
    }
}

impl Share {
    /// Makes it larger or smaller. `false`, and nothing changed, when there is not so much left.
    pub(crate) fn resize(&mut self, size: usize) -> bool {
        let Amount { held, limit } = &*self.quota.0;
        let resized = held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            let all = now.saturating_sub(self.size).saturating_add(size);
            (size <= self.size || all <= *limit).then_some(all)
        });
        if resized.is_ok() {
            self.size = size;
        }
        resized.is_ok()
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
}
