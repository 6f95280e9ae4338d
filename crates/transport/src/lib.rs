//! Byte streams, and the frames and descriptors that travel on them. Nothing here knows a message.
//!
//! | module | holds |
//! |---|---|
//! | [`address`] | [`Address`]: where a server can be reached, as an operator writes it |
//! | [`listener`] | [`Listener`]: a bound address, and the connections that come |
//! | [`socket`] | [`Socket`]: a connected unix, TCP or vsock stream |
//! | [`donated`] | [`Donated`]: a regular file that a server gave away, looked at before it is used |
//! | [`pages`] | [`Pages`]: large reads on their way to a unix socket, which nobody copies |
//! | [`memory`] | [`memory::pair`]: two ends in one process, for tests and embedding |
//! | [`frames`] | [`Frames`]: a stream cut into frames |
//! | [`flipcall`] | [`Channel`](flipcall::Channel): datagrams through memory shared with the client |

pub mod address;
pub mod donated;
pub mod flipcall;
pub mod frames;
pub mod listener;
pub mod memory;
pub mod pages;
pub mod socket;

use std::os::fd::BorrowedFd;
use std::time::Duration;

pub use address::Address;
pub use donated::Donated;
pub use frames::{Frames, Framing};
pub use gofer_sys::io::{ReadInto, WriteFrom};
pub use gofer_sys::net::Descriptors;
pub use gofer_sys::socket::{accept, listen};
pub use listener::{Acceptor, Listener, SocketFile};
pub use pages::{Pages, ReadPages};
pub use socket::Socket;

use gofer_vfs::Errno;

/// A connected, reliable, ordered stream of bytes. One thread at a time receives and one at a time sends,
/// both at once is normal.
pub trait Stream: Send + Sync + 'static {
    /// Waits for bytes and appends them to `into`, at most `limit` and at most as many as it has spare
    /// capacity for; the caller makes sure that there is some. 0 is the end of the stream.
    ///
    /// # Errors
    /// What the system says of the connection, `ECONNRESET` as a rule.
    fn recv(&self, into: &mut Vec<u8>, limit: usize) -> Result<usize, Errno>;

    /// Sends all of `head`, then all of `payload`. Descriptors, two at most, travel with the first byte of `head`,
    /// and only where [`passes_descriptors`](Self::passes_descriptors).
    ///
    /// # Errors
    /// What the system says of the connection, `EPIPE` as a rule.
    fn send(&self, head: &[u8], payload: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno>;

    /// The unix socket that it is, for [`Pages`] to go to.
    fn unix_socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Whether descriptors can travel on this stream.
    fn passes_descriptors(&self) -> bool;

    /// Takes no more input: what was received before can still be read, then comes the end.
    fn close_input(&self);

    /// From now on [`recv`](Self::recv) answers `EAGAIN` after `limit` without a byte; `None` waits for ever,
    /// as in the beginning.
    fn tell_quiet(&self, limit: Option<Duration>);

    /// Ends the stream at once, for both sides and for whoever waits on it.
    fn close(&self);
}

/// A stream as the end that connected uses it: descriptors come to it, and it does not wait for ever. A server
/// has no way to receive a descriptor.
pub trait ClientStream: Stream {
    /// As [`recv`](Stream::recv), with the descriptors that came with the bytes: the first two, if there were more.
    ///
    /// # Errors
    /// As for [`recv`](Stream::recv).
    fn recv_with_descriptors(&self, into: &mut Vec<u8>, limit: usize) -> Result<(usize, Descriptors), Errno>;

    /// From now on [`send`](Stream::send) answers `EAGAIN` when the peer has taken nothing for `limit`; `None`
    /// waits for ever, as in the beginning. What was sent by then is unknown.
    fn tell_stuck(&self, limit: Option<Duration>);
}

/// What can go wrong with a listener or a stream before the first frame.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no address.
    #[error("\"{text}\" is no address: {why}; write {forms}", forms = address::FORMS)]
    Address {
        /// What was written.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// A live server has the socket.
    #[error("another server is listening at {0}; stop it or choose another path")]
    InUse(Address),
    /// The path of a unix socket is taken by something that is no socket.
    #[error("{0} exists and is no socket; remove it or choose another path")]
    Taken(Address),
    /// The system refused.
    #[error("cannot listen at {address}: {errno}; {hint}")]
    Bind {
        /// Where.
        address: Address,
        /// Why.
        errno: Errno,
        /// What to do.
        hint: &'static str,
    },
    /// Nobody can be reached there.
    #[error("cannot connect to {address}: {errno}; {hint}")]
    Connect {
        /// Where.
        address: Address,
        /// Why.
        errno: Errno,
        /// What to do.
        hint: &'static str,
    },
    /// A descriptor that was handed over is of no use.
    #[error("descriptor {number} is not {expected}: {errno}; the process that starts this one must pass it")]
    Inherited {
        /// Its number.
        number: u32,
        /// What it should be.
        expected: &'static str,
        /// Why it is not.
        errno: Errno,
    },
}
