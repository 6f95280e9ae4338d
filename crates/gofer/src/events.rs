//! [`Events`]: what the main thread waits for.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

/// A queue of what happened. Waiting for it runs through less code than a channel of the standard library does, and that
/// code is what stays in memory while a server has nothing to do.
pub(crate) struct Events<E> {
    queue: Mutex<VecDeque<E>>,
    more: Condvar,
}

impl<E> Events<E> {
    pub(crate) const fn new() -> Self {
        Self { queue: Mutex::new(VecDeque::new()), more: Condvar::new() }
    }

    /// Something happened.
    pub(crate) fn put(&self, event: E) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
        self.more.notify_one();
    }

    /// Waits for what happens next.
    pub(crate) fn next(&self) -> E {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match queue.pop_front() {
                Some(event) => return event,
                None => queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn what_happened_comes_in_order_and_is_waited_for() {
        let events = Arc::new(Events::new());
        events.put(1);
        let later = Arc::clone(&events);
        let thread = thread::spawn(move || (2..100).for_each(|number| later.put(number)));
        assert!((1..100).all(|number| events.next() == number));
        thread.join().unwrap();
    }
}
