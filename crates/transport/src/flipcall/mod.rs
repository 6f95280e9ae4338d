//! Flipcall: datagrams through shared memory, one at a time in each direction.
//!
//! A [`Channel`] is the server's end and a [`Caller`] the client's. They share a [`Window`] that belongs to one
//! of them at a time, and a socket on which the server sends descriptors.
//!
//! ```text
//! 0   state      whose turn it is, the futex
//! 4   length     of the datagram
//! 8   reserved   zero, ignored
//! 16  datagram
//! ```
//!
//! Before the first request the ends exchange a greeting, the JSON text `{}` and a newline.
//!
//! # Trust
//!
//! The peer can write to the window at any time, so every rule is kept on this side alone: the length is
//! read once and checked; a datagram is read once, forwards; what is written is never read; the state word is
//! compared and exchanged, and nothing that it says brings back a channel that was shut down; no sleep is
//! without end. Descriptors are queued before the reply that announces them, and if that does not go out, the
//! channel ends, so that no later reply can be taken to announce them.
mod caller;
mod handover;
mod patience;

#[cfg(all(test, loom))]
mod model;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use gofer_sys::futex::{self, Woken};
use gofer_sys::net;
use gofer_sys::shm::{self, Reader, Window, Writer};
use gofer_vfs::Errno;

pub use caller::{Caller, Reply};
use handover::{Atomic, Ground, Handover, Side};
use patience::Patience;

/// The name of a window's file, as `/proc` shows it.
const NAME: &str = "flipcall_packet_windows";

/// Where the state is.
const STATE: usize = 0;
/// Where the length is.
const LENGTH: usize = 4;
/// Where the datagram is.
const DATA: usize = 16;

/// How long a reply is left to be seen before the channel ends. A client that is awake takes microseconds.
const MOMENT: Duration = Duration::from_millis(20);

/// What an end greets with.
const GREETING: &[u8] = b"{}\n";
/// The longest greeting that is read.
const GREETING_MAX: usize = 4096;

/// Why there is no next datagram. The channel has ended for both sides, unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// Either side shut the channel down.
    #[error("the channel was shut down")]
    Closed,
    /// The client sent an empty request: it needs the channel no more.
    #[error("the client is done with the channel")]
    Finished,
    /// The peer did what it must not do.
    #[error("the peer broke the protocol of the channel: {0}")]
    Violation(&'static str),
    /// A datagram of ours does not fit: it is longer than the window, or is empty, or has no byte to
    /// announce descriptors that were queued for it. If it is a request the channel is as before.
    #[error("the message does not fit the channel's window")]
    Unfit,
    /// No reply came in the time there was. What became of the request is not known.
    #[error("the peer of the channel has not answered in time")]
    Late,
    /// The system refused to wait.
    #[error("cannot wait for the peer of the channel: {0}")]
    Lost(Errno),
}

/// How an end waits for the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Waiting {
    /// Stays awake for a moment when that has paid lately and leaves a processor to the peer, then sleeps.
    #[default]
    Adaptive,
    /// Sleeps at once.
    Sleep,
}

/// What the protocol on a channel says about descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Which byte of a reply says how many descriptors were queued for it.
    pub at: usize,
    /// How many that can be.
    pub most: u8,
}

/// What the client gets to open its end.
#[derive(Debug)]
pub struct Offer {
    /// The file of the window.
    pub file: OwnedFd,
    /// Where in it the window begins.
    pub offset: u64,
    /// How long the window is.
    pub length: u64,
    /// The client's end of the socket for descriptors.
    pub side: OwnedFd,
}

/// Shuts a channel down, from any thread.
#[derive(Clone, Debug)]
pub struct Closer(Arc<Handover<Window>>);

impl Closer {
    /// Ends the channel for both sides. Whoever waits on it returns [`End::Closed`]: at once, or if the peer
    /// plays tricks with the window, within 5 seconds.
    pub fn close(&self) {
        self.0.shut_down();
    }

    /// Whether the channel is gone, and so is every other closer of it.
    pub fn is_last(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// As [`close`](Self::close), but a server's channel first answers the request that it has received, and leaves
    /// the client 20 ms to see that.
    pub fn retire(&self) {
        self.0.retire();
    }
}

impl Atomic for AtomicU32 {
    fn load(&self, order: Ordering) -> u32 {
        self.load(order)
    }

    fn store(&self, value: u32, order: Ordering) {
        self.store(value, order);
    }

    fn swap(&self, value: u32, order: Ordering) -> u32 {
        self.swap(value, order)
    }

    fn compare_exchange(&self, old: u32, new: u32, done: Ordering, failed: Ordering) -> Result<u32, u32> {
        self.compare_exchange(old, new, done, failed)
    }
}

impl Ground for Window {
    type Atomic = AtomicU32;

    fn state(&self) -> &AtomicU32 {
        self.word::<STATE>()
    }

    fn private(&self) -> AtomicU32 {
        AtomicU32::new(0)
    }

    fn wait(&self, expected: u32, limit: Duration) -> Result<Woken, Errno> {
        futex::wait(self.state(), expected, limit)
    }

    fn wake(&self, waiters: u32) {
        futex::wake(self.state(), waiters);
    }

    fn linger(&self) {
        thread::sleep(MOMENT);
    }
}

/// What both ends have and do.
#[derive(Debug)]
struct Line {
    hand: Arc<Handover<Window>>,
    patience: Patience,
}

impl Line {
    fn new(window: Window, side: Side, waiting: Waiting) -> Self {
        Self { hand: Arc::new(Handover::new(window, side)), patience: Patience::new(waiting, side) }
    }

    fn window(&self) -> &Window {
        self.hand.ground()
    }

    /// How long a datagram can be.
    fn capacity(&self) -> usize {
        self.window().len() - DATA
    }

    /// Waits for a datagram of at most `limit` bytes, and says how long it is.
    fn receive(&mut self, limit: usize) -> Result<usize, End> {
        self.hand.wait(&mut self.patience)?;
        self.received(limit)
    }

    /// How long the datagram in the window is, which is ours.
    fn received(&self, limit: usize) -> Result<usize, End> {
        let len = self.window().word::<LENGTH>().load(Ordering::Relaxed) as usize;
        if len > limit.min(self.capacity()) {
            return Err(self.hand.violation("a datagram is too long"));
        }
        Ok(len)
    }

    fn receive_greeting(&mut self) -> Result<(), End> {
        let len = self.receive(GREETING_MAX)?;
        self.check_greeting(len)
    }

    fn check_greeting(&self, len: usize) -> Result<(), End> {
        let mut text = Vec::new();
        self.reader(len).append_to(&mut text, len);
        if is_greeting(&text) { Ok(()) } else { Err(self.hand.violation("no greeting came first")) }
    }

    /// What reads the datagram, of `len` bytes.
    fn reader(&self, len: usize) -> Reader<'_> {
        self.window().reader(DATA, len)
    }

    /// Passes a datagram: `head`, then `payload`. If it is too long nothing happens.
    fn send(&self, head: &[u8], payload: Payload<'_>) -> Result<(), End> {
        let behind = DATA + head.len();
        let bytes = match payload {
            Payload::Bytes(bytes) => bytes,
            Payload::InPlace(_) => &[],
        };
        let len = head.len().checked_add(payload.len()).filter(|len| *len <= self.capacity());
        let length = len.and_then(|len| u32::try_from(len).ok()).ok_or(End::Unfit)?;
        let window = self.window();
        window.copy_in(DATA, head).and_then(|()| window.copy_in(behind, bytes)).map_err(End::Lost)?;
        window.word::<LENGTH>().store(length, Ordering::Relaxed);
        self.hand.pass()
    }
}

/// Whether a text begins as a greeting does: an object or `null`, perhaps behind white space.
fn is_greeting(text: &[u8]) -> bool {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let start = text.iter().position(|byte| !is_space(byte)).unwrap_or(text.len());
    let text = &text[start..];
    text.starts_with(b"null") || text.starts_with(b"{") && text.contains(&b'}')
}

/// The end of a datagram, behind its head.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// So many bytes, which the [sink](Request::sink) behind the head has put there.
    InPlace(usize),
}

impl Payload<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::InPlace(len) => *len,
        }
    }
}

/// The server's end. Dropping it shuts the channel down.
#[derive(Debug)]
pub struct Channel {
    line: Line,
    side: OwnedFd,
    announced: Announced,
    greeted: bool,
}

impl Channel {
    /// A channel for datagrams of `capacity` bytes, or more by what is left of the last page, and what the
    /// client needs for its end.
    ///
    /// # Errors
    /// `EINVAL` for a capacity of 4 GiB and more; otherwise the system's.
    pub fn new(capacity: u64, announced: Announced, waiting: Waiting) -> Result<(Self, Offer), Errno> {
        let page = shm::page_size() as u64;
        let length = capacity.checked_add(DATA as u64).and_then(|len| len.checked_next_multiple_of(page));
        let length = length.filter(|len| *len <= u64::from(u32::MAX)).ok_or(Errno::EINVAL)?;
        let file = shm::create(NAME, length)?;
        let window = Window::map(file.as_fd(), 0, length)?;
        let (ours, side) = net::packet_pair()?;
        // The client has no descriptors to send.
        net::shutdown_input(ours.as_fd());
        let line = Line::new(window, Side::Server, waiting);
        let channel = Self { line, side: ours, announced, greeted: false };
        Ok((channel, Offer { file, offset: 0, length, side }))
    }

    /// What shuts it down.
    pub fn closer(&self) -> Closer {
        Closer(Arc::clone(&self.line.hand))
    }

    /// How long a reply can be, in bytes.
    pub fn capacity(&self) -> usize {
        self.line.capacity()
    }

    /// Waits for the next request, of at most `limit` bytes and one at least.
    ///
    /// # Errors
    /// [`End`], after which there are no more.
    pub fn recv(&mut self, limit: usize) -> Result<Request<'_>, End> {
        if !self.greeted {
            self.line.receive_greeting()?;
            self.line.send(GREETING, Payload::Bytes(&[]))?;
            self.greeted = true;
        }
        let len = self.line.receive(limit)?;
        if len == 0 {
            // Whoever waits for a reply all the same sees that there is none.
            self.line.hand.shut_down();
            return Err(End::Finished);
        }
        self.line.hand.take()?;
        let body = self.line.reader(len);
        Ok(Request { channel: self, body, queued: 0, replied: false })
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.line.hand.shut_down();
    }
}

/// A request that waits for its reply. Without one the channel is shut down when it is dropped.
#[derive(Debug)]
pub struct Request<'c> {
    channel: &'c Channel,
    body: Reader<'c>,
    queued: u8,
    replied: bool,
}

impl<'c> Request<'c> {
    /// The datagram. Each byte can be read once, and none after the [sink](Self::sink) was given any.
    pub fn body(&mut self) -> &mut Reader<'c> {
        &mut self.body
    }

    /// What puts the payload of the reply in its place, `head` bytes behind the beginning of the reply. It
    /// takes the place of what was not read of the request.
    pub fn sink(&mut self, head: usize) -> Writer<'_> {
        self.channel.line.window().writer(head.saturating_add(DATA))
    }

    /// Sends a descriptor with the reply, without ever waiting. It is not closed here.
    ///
    /// # Errors
    /// `EAGAIN` when the client has not taken what was sent before, `ETOOMANYREFS` when too many are under
    /// way, `EPIPE` when it has closed its end, `EINVAL` for more than the protocol can announce. The reply
    /// goes without the descriptor then, or says that it failed.
    pub fn donate(&mut self, descriptor: BorrowedFd<'_>) -> Result<(), Errno> {
        if self.queued >= self.channel.announced.most {
            return Err(Errno::EINVAL);
        }
        net::send_descriptor(self.channel.side.as_fd(), descriptor)?;
        self.queued += 1;
        Ok(())
    }

    /// Replies: `head`, then `payload`. The byte of `head` that announces descriptors is filled in here.
    ///
    /// # Errors
    /// [`End`], after which there are no more requests, be it [`End::Unfit`].
    pub fn reply(mut self, head: &mut [u8], payload: Payload<'_>) -> Result<(), End> {
        match head.get_mut(self.channel.announced.at) {
            Some(count) => *count = self.queued,
            None if self.queued == 0 => {}
            None => return Err(End::Unfit),
        }
        self.channel.line.send(head, payload)?;
        self.channel.line.hand.answered();
        self.replied = true;
        Ok(())
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        if !self.replied {
            self.channel.line.hand.shut_down();
        }
    }
}
