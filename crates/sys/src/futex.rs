//! Waiting on a word that another process changes.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use gofer_vfs::Result;
use rustix::thread::futex::{self, Flags, Timespec};

use crate::errno;
use crate::seccomp::{Arg, Call, Is, Need, syscall};

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[
    syscall!(futex).only(&[Arg(1, Is::Equal(libc::FUTEX_WAIT.cast_unsigned()))]).with(Need::Channels),
    syscall!(futex).only(&[Arg(1, Is::Equal(libc::FUTEX_WAKE.cast_unsigned()))]).with(Need::Channels),
    syscall!(sched_getaffinity).with(Need::Channels),
];

/// Why a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Someone woke this thread, a signal came, or it was long enough. It says nothing about the word.
    Perhaps,
    /// There was no wait: the word was not what it was expected to be.
    Changed,
}

/// Sleeps while `word` is `expected`, until someone [`wake`]s it and at most for `limit` (`futex(2)`,
/// `FUTEX_WAIT` of a word that processes share).
///
/// Whoever shares the word can also move this sleep to another word, so `limit` is the only certain end.
///
/// # Errors
/// Those of `futex(2)` that say that it cannot wait at all; a filter's as a rule.
pub fn wait(word: &AtomicU32, expected: u32, limit: Duration) -> Result<Woken> {
    let limit = Timespec {
        tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    };
    match futex::wait(word, Flags::empty(), expected, Some(&limit)) {
        Ok(()) | Err(rustix::io::Errno::INTR | rustix::io::Errno::TIMEDOUT) => Ok(Woken::Perhaps),
        Err(rustix::io::Errno::AGAIN) => Ok(Woken::Changed),
        Err(error) => Err(errno(error)),
    }
}

/// Wakes up to `waiters` threads, of any process, that sleep on `word` (`FUTEX_WAKE`).
pub fn wake(word: &AtomicU32, waiters: u32) {
    // The kernel takes the number as signed. It refuses words that are not mapped or aligned, and this is a
    // reference to one.
    let _ = futex::wake(word, Flags::empty(), waiters.min(i32::MAX.unsigned_abs()));
}

/// How many processors this thread may run on (`sched_getaffinity(2)`), 1 when that cannot be known: whether
/// it is of any use to stay awake for another thread.
pub fn processors() -> u32 {
    rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count()).max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    /// Moves whoever sleeps on `from` to `to`, as a peer can that shares the words, and says how many.
    fn requeue(from: &AtomicU32, to: &AtomicU32) -> usize {
        futex::requeue(from, Flags::empty(), 0, 1, to).unwrap()
    }

    #[test]
    fn a_word_that_has_changed_is_not_waited_for() {
        assert_eq!(wait(&AtomicU32::new(1), 0, LONG), Ok(Woken::Changed));
    }

    #[test]
    fn a_waiter_is_woken() {
        let word = AtomicU32::new(0);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                while word.load(Ordering::Acquire) == 0 {
                    wait(&word, 0, LONG).unwrap();
                }
            });
            word.store(1, Ordering::Release);
            wake(&word, u32::MAX);
            waiter.join().unwrap();
        });
    }

    #[test]
    fn a_waiter_that_a_peer_has_moved_away_returns_in_the_end() {
        let (word, other) = (AtomicU32::new(0), AtomicU32::new(0));
        thread::scope(|scope| {
            let waiter = scope.spawn(|| wait(&word, 0, Duration::from_millis(300)));
            // It may have slept and returned before it was moved; what matters is that it returns.
            while requeue(&word, &other) == 0 && !waiter.is_finished() {
                thread::yield_now();
            }
            wake(&word, u32::MAX);
            assert_eq!(waiter.join().unwrap(), Ok(Woken::Perhaps));
        });
    }

    #[test]
    fn there_is_a_processor() {
        assert!(processors() >= 1);
    }
}
