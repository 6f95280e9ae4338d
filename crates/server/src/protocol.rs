//! [`Protocol`]: what a front-end is to the gate that all requests pass.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use gofer_transport::flipcall::{Channel, Payload, Request as Datagram};
use gofer_transport::{Framing, Pages};
use gofer_vfs::{Backend, Errno};

/// One client's side of a conversation: a function from requests to replies that knows no socket and no thread.
/// Requests may be answered by many threads at once, unless the protocol says that there is one at a time.
pub(crate) trait Protocol: Framing + Send + Sync + 'static {
    /// The tree that it serves.
    type Backend: Backend;

    /// The longest datagram that a client may send through a channel.
    const CAPACITY: usize;

    /// The shortest that gets an answer. What is shorter ends its channel.
    const LEAST: usize;

    /// Answers one request, a complete frame. `waits` is called before a request that the host may keep waiting is
    /// handled, so that another thread can see to the next one.
    fn handle<'b>(&self, frame: &'b [u8], buffers: &'b mut Buffers, waits: impl FnOnce()) -> Outcome<'b>;

    /// The answer to a request whose handler failed.
    fn refuse<'b>(frame: &[u8], errno: Errno, buffers: &'b mut Buffers) -> Outcome<'b>;

    /// Called when the reply to a request is about to be sent, and nothing else is sent before it. The frames that
    /// are returned belong behind it.
    fn retire(&self, frame: &[u8]) -> Vec<Vec<u8>>;

    /// Answers one request of a channel: the head of the reply, and what belongs behind it. `frame` is memory for
    /// what is copied out of the channel before it is looked at. `None` ends the connection.
    fn handle_datagram<'b>(
        &self,
        datagram: &mut Datagram<'_>,
        frame: &'b mut Vec<u8>,
        buffers: &'b mut Buffers,
    ) -> Option<(&'b mut Vec<u8>, Payload<'b>)>;

    /// As [`refuse`](Self::refuse), for a channel.
    fn refuse_datagram(errno: Errno, head: &mut Vec<u8>);

    /// No more requests come through channels; each that is worked on is answered.
    fn retire_channels(&self);
}

/// The memory of a thread that handles requests, used again for each.
#[derive(Debug, Default)]
pub struct Buffers {
    pub(crate) head: Vec<u8>,
    pub(crate) scratch: Vec<u8>,
    /// Whether the stream takes pages.
    pub(crate) takes_pages: bool,
}

impl Buffers {
    /// For replies on a stream that takes pages, or on another.
    pub(crate) fn new(takes_pages: bool) -> Self {
        Self { takes_pages, ..Self::default() }
    }

    /// Whether they take more than `limit` bytes of memory.
    pub(crate) fn is_larger_than(&self, limit: usize) -> bool {
        self.head.capacity() + self.scratch.capacity() > limit
    }
}

/// What is to be done after a request.
#[derive(Debug)]
pub enum Outcome<'b> {
    /// Send the reply: `head`, then `payload`, and what goes with them.
    Reply {
        /// The frame up to its payload.
        head: &'b [u8],
        /// The rest.
        payload: &'b [u8],
        /// Pages or descriptors.
        extra: Extra,
        /// A channel whose requests are to be answered from now on.
        channel: Option<Box<Channel>>,
    },
    /// Nothing: the reply comes with that of another request.
    Later,
    /// The client broke the protocol so that nothing it says can be trusted: end the connection.
    Violation(&'static str),
}

/// What goes with a reply: pages of a file between its head and its payload, or descriptors with its first byte.
#[derive(Debug, Default)]
pub enum Extra {
    /// Nothing.
    #[default]
    None,
    /// The data of a read, or their beginning, where the stream takes pages.
    Pages(Pages),
    /// A descriptor: a file or a connection.
    One(OwnedFd),
    /// One that is in use here, too: a socket.
    Kept(Arc<OwnedFd>),
    /// Two, in their order: a channel.
    Two([OwnedFd; 2]),
}

impl Extra {
    /// Calls the function with all descriptors.
    pub(crate) fn with_descriptors<R>(&self, call: impl FnOnce(&[BorrowedFd<'_>]) -> R) -> R {
        match self {
            Self::None | Self::Pages(_) => call(&[]),
            Self::One(one) => call(&[one.as_fd()]),
            Self::Kept(one) => call(&[one.as_fd()]),
            Self::Two([one, two]) => call(&[one.as_fd(), two.as_fd()]),
        }
    }
}

impl From<Option<Pages>> for Extra {
    fn from(pages: Option<Pages>) -> Self {
        pages.map_or(Self::None, Self::Pages)
    }
}

impl From<Option<OwnedFd>> for Extra {
    fn from(descriptor: Option<OwnedFd>) -> Self {
        descriptor.map_or(Self::None, Self::One)
    }
}
