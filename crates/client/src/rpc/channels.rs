//! [`Channels`]: calls through memory that is shared with the server.
//!
//! A channel carries one call at a time. Whoever finds none free goes through the stream. A channel that ends takes
//! the connection with it; one whose call took too long is given up alone.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use gofer_transport::Descriptors;
use gofer_transport::flipcall::{Caller, Closer, End};
use gofer_vfs::{Errno, Source};

use super::Frame;

/// The channels of a connection.
#[derive(Default)]
pub(crate) struct Channels {
    /// Those that no call goes through; the one that was used last is used next.
    idle: Mutex<Vec<Caller>>,
    closers: Vec<Closer>,
}

/// Why a channel has no reply, and is not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It took too long. What became of the call is not known.
    Late,
    /// The connection has ended too, with this.
    Connection(Errno),
}

impl From<End> for Ended {
    fn from(end: End) -> Self {
        match end {
            End::Late => Self::Late,
            End::Closed | End::Finished => Self::Connection(Errno::ECONNRESET),
            End::Violation(_) | End::Unfit => Self::Connection(Errno::EIO),
            End::Lost(errno) => Self::Connection(errno),
        }
    }
}

/// The server broke the protocol.
const VIOLATED: Ended = Ended::Connection(Errno::EIO);

/// A request, and what its reply may be.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) deadline: Option<Instant>,
    pub(crate) head: &'a [u8],
    pub(crate) payload: &'a [u8],
    /// How long the datagram of the reply can be.
    pub(crate) most: usize,
    /// How many bytes the header of a frame has.
    pub(crate) header: usize,
}

impl Channels {
    fn idle(&self) -> MutexGuard<'_, Vec<Caller>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a channel, to be used after those that came before.
    pub(crate) fn add(&mut self, caller: Caller) {
        self.closers.push(caller.closer());
        self.idle().insert(0, caller);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.closers.len()
    }

    /// A channel, if one is free.
    pub(crate) fn take(&self) -> Option<Caller> {
        if self.closers.is_empty() { None } else { self.idle().pop() }
    }

    /// Gives a channel back.
    pub(crate) fn give_back(&self, caller: Caller) {
        self.idle().push(caller);
    }

    /// Ends all of them. Whoever waits for a reply returns.
    pub(crate) fn close(&self) {
        self.closers.iter().for_each(Closer::close);
    }
}

/// Makes a call. The reply comes as a frame in the memory of `spare`, whose header is left to the caller, beside the
/// datagram's own head of `N` bytes, in which `announced` finds the number of descriptors.
///
/// # Errors
/// [`Ended`]; too many descriptors end the connection, as does a reply that is too short or too long.
pub(crate) fn call<const N: usize>(
    caller: &mut Caller,
    call: Call<'_>,
    spare: Vec<u8>,
    announced: impl FnOnce(&[u8; N]) -> u8,
) -> Result<([u8; N], Frame), Ended> {
    let mut reply = caller.call_before(call.deadline, call.head, call.payload)?;
    let mut head = [0; N];
    let body = reply.body();
    if body.left() > call.most || body.take(&mut head) < N {
        return Err(VIOLATED);
    }
    let mut bytes = spare;
    bytes.clear();
    bytes.resize(call.header, 0);
    body.append_to(&mut bytes, usize::MAX);
    let mut descriptors = Descriptors::default();
    let announced = usize::from(announced(&head));
    for place in descriptors.get_mut(..announced).ok_or(VIOLATED)? {
        *place = reply.descriptor().map_err(|_| VIOLATED)?;
    }
    Ok((head, Frame { bytes, descriptors }))
}
