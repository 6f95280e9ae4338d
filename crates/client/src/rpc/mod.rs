//! What calls of both protocols have in common: frames, channels, deadlines, and what errors mean.

mod channels;
mod receiver;

use std::time::{Duration, Instant};

use gofer_transport::{ClientStream, Descriptors};
use gofer_vfs::Errno;

pub(crate) use channels::{Call, Channels, Ended, call};
pub(crate) use receiver::Receiver;

/// How often whoever reads looks at the clock, as a part of the time limit.
const LOOKS: u32 = 8;
/// The longest and shortest time between two looks at the clock.
const LOOK_MAX: Duration = Duration::from_secs(1);
const LOOK_MIN: Duration = Duration::from_millis(5);

/// A received frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    pub(crate) descriptors: Descriptors,
}

/// Lets nobody wait for ever on a stream whose calls have a time limit.
pub(crate) fn limit(stream: &dyn ClientStream, timeout: Option<Duration>) {
    stream.tell_quiet(timeout.map(|limit| (limit / LOOKS).clamp(LOOK_MIN, LOOK_MAX)));
    stream.tell_stuck(timeout);
}

pub(crate) fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|limit| Instant::now().checked_add(limit))
}

pub(crate) fn over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

/// The errno of a failed request; `EIO` where it is none.
pub(crate) fn errno(told: u32) -> Errno {
    u16::try_from(told).ok().and_then(Errno::new).unwrap_or(Errno::EIO)
}

/// What an error of the stream means to a caller.
pub(crate) fn lost(errno: Errno) -> Errno {
    match errno {
        // The server takes nothing.
        Errno::EAGAIN => Errno::ETIMEDOUT,
        Errno::EPIPE => Errno::ECONNRESET,
        other => other,
    }
}
