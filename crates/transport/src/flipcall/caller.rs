//! [`Caller`]: the client's end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gofer_sys::net;
use gofer_sys::shm::{Reader, Window};
use gofer_vfs::Errno;

use super::handover::Side;
use super::{Closer, End, GREETING, GREETING_MAX, Line, Offer, Payload, Waiting};

/// How long a caller sleeps until it looks whether there is still somebody to wait for.
const MOMENT: Duration = Duration::from_millis(100);

/// The client's end. Dropping it shuts the channel down.
#[derive(Debug)]
pub struct Caller {
    line: Line,
    side: OwnedFd,
    greeted: bool,
}

impl Caller {
    /// The end of a channel that a server offers. The server is not trusted either: its file must be such
    /// that using the window cannot fail.
    ///
    /// # Errors
    /// Those of [`Window::map`].
    pub fn new(offer: Offer, waiting: Waiting) -> Result<Self, Errno> {
        let Offer { file, offset, length, side } = offer;
        let window = Window::map(file.as_fd(), offset, length)?;
        Ok(Self { line: Line::new(window, Side::Client, waiting), side, greeted: false })
    }

    /// What shuts it down, when the server is gone for example.
    pub fn closer(&self) -> Closer {
        Closer(Arc::clone(&self.line.hand))
    }

    /// How long a request can be, in bytes.
    pub fn capacity(&self) -> usize {
        self.line.capacity()
    }

    /// Sends a request, `head` and then `payload`, and waits for the reply. It notices within a moment when the
    /// server's process is gone.
    ///
    /// # Errors
    /// [`End`], after which there are no more replies, except for [`End::Unfit`].
    pub fn call(&mut self, head: &[u8], payload: &[u8]) -> Result<Reply<'_>, End> {
        self.call_before(None, head, payload)
    }

    /// As [`call`](Self::call), but gives up at the deadline, or a moment later.
    ///
    /// # Errors
    /// As there; [`End::Late`].
    pub fn call_before(
        &mut self,
        deadline: Option<Instant>,
        head: &[u8],
        payload: &[u8],
    ) -> Result<Reply<'_>, End> {
        if head.is_empty() {
            // It would tell the server that no request follows.
            return Err(End::Unfit);
        }
        if !self.greeted {
            self.line.send(GREETING, Payload::Bytes(&[]))?;
            let len = self.receive(deadline, GREETING_MAX)?;
            self.line.check_greeting(len)?;
            self.greeted = true;
        }
        self.line.send(head, Payload::Bytes(payload))?;
        let len = self.receive(deadline, self.capacity())?;
        Ok(Reply { body: self.line.reader(len), side: self.side.as_fd() })
    }
}

impl Caller {
    /// Waits for a datagram. A server that is gone changes no word any more, but closes its end of the socket.
    fn receive(&mut self, deadline: Option<Instant>, limit: usize) -> Result<usize, End> {
        let Self { line, side, .. } = self;
        let gone = || net::is_peer_gone(side.as_fd()).then_some(End::Closed);
        let late = || deadline.filter(|deadline| Instant::now() >= *deadline).map(|_| End::Late);
        line.hand.wait_unless(&mut line.patience, MOMENT, || gone().or_else(late))?;
        line.received(limit)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.line.hand.shut_down();
    }
}

/// A reply.
#[derive(Debug)]
pub struct Reply<'c> {
    body: Reader<'c>,
    side: BorrowedFd<'c>,
}

impl<'c> Reply<'c> {
    /// The datagram. Each byte can be read once.
    pub fn body(&mut self) -> &mut Reader<'c> {
        &mut self.body
    }

    /// The next of the descriptors that the reply announces; `None` when there is none. All that are
    /// announced are to be taken, or a later reply gets them.
    ///
    /// # Errors
    /// `EPROTO` when the server sent something else.
    pub fn descriptor(&self) -> Result<Option<OwnedFd>, Errno> {
        net::recv_descriptor(self.side)
    }
}
