//! [`Pool`]: shared values whose memory is used again, so that a steady state allocates nothing.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

/// How many pieces of memory a pool keeps for later.
const SPARE: usize = 32;

/// A value with several holders, like an [`Arc`].
#[derive(Debug)]
pub(crate) struct Shared<T>(Arc<Option<T>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Shared<T> {
    /// Whether both are the same value, not equal ones.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &*self.0 {
            Some(value) => value,
            // `Pool::share` fills it, and only `Pool::release` empties it, which consumes the last holder.
            None => unreachable!("a shared value without a value"),
        }
    }
}

/// Makes [`Shared`] values out of the memory of those that were released.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    spare: Mutex<Vec<Arc<Option<T>>>>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { spare: Mutex::new(Vec::new()) }
    }
}

impl<T> Pool<T> {
    /// Shares a value.
    pub(crate) fn share(&self, value: T) -> Shared<T> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(mut memory) = spare else { return Shared(Arc::new(Some(value))) };
        match Arc::get_mut(&mut memory) {
            Some(slot) => {
                *slot = Some(value);
                Shared(memory)
            }
            None => Shared(Arc::new(Some(value))),
        }
    }

    /// Gives one holder's share back. The last one gets the value out; nothing else of it is dropped here.
    pub(crate) fn release(&self, shared: Shared<T>) -> Option<T> {
        let mut memory = shared.0;
        let value = Arc::get_mut(&mut memory)?.take();
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE {
            spare.push(memory);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_holder_gets_the_value_and_its_memory_is_used_again() {
        let pool = Pool::default();
        let one = pool.share(String::from("one"));
        let memory = Arc::as_ptr(&one.0);
        let other = one.clone();
        assert!(one.same(&other));
        assert_eq!(pool.release(one), None);
        assert_eq!(pool.release(other), Some(String::from("one")));
        let two = pool.share(String::from("two"));
        assert_eq!(Arc::as_ptr(&two.0), memory);
        assert_eq!(*two, "two");
    }
}
