//! One connection: the gate that every request passes, and the threads that take turns at it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use gofer_transport::flipcall::{self, Channel, Payload};
use gofer_transport::frames::End;
use gofer_transport::{Frames, Stream, pages};
use gofer_vfs::{Errno, Source};

use crate::protocol::{Buffers, Extra, Outcome, Protocol};
use crate::replies::Replies;
use crate::turn::{self, Ticket, Turn, Watch, Watched};
use crate::{Leaving, spawn};

/// How long a connection may be quiet before it gives back the memory that large messages took.
const QUIET: Duration = Duration::from_secs(1);

/// How much of it a connection keeps.
const KEEP: usize = 64 * 1024;

/// A connection. Its threads hold it; with the last one it is gone.
pub(crate) struct Connection<P: Protocol, S: Stream> {
    id: u64,
    stream: Arc<S>,
    session: P,
    turn: Arc<Turn>,
    /// Locked by whoever has the turn.
    receiving: Mutex<Receiving>,
    /// Held while replies are sent, so that they do not mix.
    sending: Mutex<Replies>,
    watch: Arc<Watch>,
    /// Dropped last: the server counts the connection until then.
    _leaving: Leaving<P::Backend>,
}

/// What comes after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    /// Nothing: the client broke the protocol.
    End,
}

/// The memory of a thread.
#[derive(Default)]
struct Memory {
    frame: Vec<u8>,
    buffers: Buffers,
}

/// The receiving side.
#[derive(Default)]
struct Receiving {
    frames: Frames,
    /// Whether the stream was told to say when it is quiet.
    listens: bool,
}

impl<P: Protocol, S: Stream> Connection<P, S> {
    pub(crate) fn new(
        id: u64,
        stream: Arc<S>,
        session: P,
        threads: usize,
        watch: Arc<Watch>,
        leaving: Leaving<P::Backend>,
    ) -> Self {
        Self {
            id,
            stream,
            session,
            turn: Arc::new(Turn::new(threads)),
            receiving: Mutex::default(),
            sending: Mutex::default(),
            watch,
            _leaving: leaving,
        }
    }

    /// Starts the first thread. The connection lasts as long as there are any.
    pub(crate) fn start(self: &Arc<Self>) -> Result<(), Errno> {
        let connection = Arc::clone(self);
        spawn("serve", move || connection.work())?;
        let watched: Arc<dyn Watched> = self.clone();
        self.watch.add(&self.turn, Arc::downgrade(&watched));
        Ok(())
    }

    /// Starts the thread of a channel. Without one the channel is shut down, which its client sees.
    fn start_channel(self: &Arc<Self>, channel: Channel) -> Result<(), Errno> {
        let connection = Arc::clone(self);
        spawn("channel", move || connection.work_channel(channel)).map(drop)
    }

    /// What the thread of a channel does until the channel ends.
    fn work_channel(&self, mut channel: Channel) {
        let mut memory = Memory::default();
        let end = loop {
            let mut request = match channel.recv(P::CAPACITY) {
                Ok(request) => request,
                Err(end) => break end,
            };
            if request.body().left() < P::LEAST {
                break flipcall::End::Violation("a datagram is too short");
            }
            let parts = (&mut request, &mut memory);
            // As in `answer`.
            let handled = catch_unwind(AssertUnwindSafe(move || {
                let (datagram, Memory { frame, buffers }) = parts;
                self.session.handle_datagram(datagram, frame, buffers)
            }));
            let replied = match handled {
                Ok(Some((head, payload))) => request.reply(head, payload),
                Ok(None) => {
                    self.stream.close();
                    break flipcall::End::Closed;
                }
                Err(_) => {
                    tracing::error!(connection = self.id, "a request ended in a panic; please report it");
                    let mut head = Vec::new();
                    P::refuse_datagram(Errno::EREMOTEIO, &mut head);
                    request.reply(&mut head, Payload::Bytes(&[]))
                }
            };
            if let Err(end) = replied {
                break end;
            }
            if memory.is_large() {
                memory.shrink();
            }
        };
        tracing::debug!(connection = self.id, %end, "a channel ended");
    }

    fn pass_on(self: &Arc<Self>, ticket: Ticket) {
        if self.turn.pass_on(ticket) == turn::Next::Start {
            Arc::clone(self).start_thread();
        }
    }

    /// What a thread does until there is nothing more to do.
    fn work(self: Arc<Self>) {
        let buffers = Buffers::new(self.stream.unix_socket().is_some());
        let mut memory = Memory { frame: Vec::new(), buffers };
        while let Some(mut ticket) = self.turn.take() {
            // Whoever had the turn before may have lost it while replies waited for another that was to follow.
            self.flush();
            loop {
                let more = match self.receive(&mut memory) {
                    Ok(more) => more,
                    Err(end) => {
                        if end == End::Malformed {
                            self.stream.close();
                        }
                        self.turn.end();
                        self.session.retire_channels();
                        tracing::debug!(connection = self.id, ?end, "nothing more to receive");
                        return;
                    }
                };
                self.turn.handling(&self.watch);
                if self.answer(&mut memory, ticket, more) == Next::End {
                    // What was received behind it is not looked at.
                    self.turn.end();
                    self.session.retire_channels();
                    return;
                }
                match self.turn.keep(ticket) {
                    Some(again) => ticket = again,
                    None => {
                        // It may have been taken away while a reply was made to wait for the next.
                        self.flush();
                        break;
                    }
                }
            }
        }
    }

    /// Receives the next frame, and says whether there is another. Memory that large messages took is given back
    /// when it is quiet.
    fn receive(&self, memory: &mut Memory) -> Result<bool, End> {
        let mut receiving = self.receiving.lock().unwrap_or_else(PoisonError::into_inner);
        let Receiving { frames, listens } = &mut *receiving;
        if !*listens && (memory.is_large() || frames.is_larger_than(KEEP)) {
            self.stream.tell_quiet(Some(QUIET));
            *listens = true;
        }
        loop {
            match frames.next(&*self.stream, &self.session, &mut memory.frame) {
                Err(End::Quiet) => {
                    frames.shrink_to(KEEP);
                    memory.shrink();
                    self.stream.tell_quiet(None);
                    *listens = false;
                }
                other => return other.map(|()| frames.has_next(&self.session)),
            }
        }
    }

    /// Handles the request in `memory` and sends what it gives, or lets that wait where there are `more` requests
    /// and nobody else sees to them.
    fn answer(self: &Arc<Self>, memory: &mut Memory, ticket: Ticket, more: bool) -> Next {
        let Memory { frame, buffers } = memory;
        let waits = || {
            self.flush();
            self.pass_on(ticket);
        };
        let frame: &[u8] = frame;
        // A handler changes shared state in single steps, each of them whole, so what it leaves behind when it
        // panics is what another request may find at any time.
        let handled = catch_unwind(AssertUnwindSafe(move || {
            let buffers = buffers;
            self.session.handle(frame, buffers, waits)
        }));
        let outcome = match handled {
            Ok(outcome) => outcome,
            Err(_) => {
                tracing::error!(connection = self.id, "a request ended in a panic; please report it");
                P::refuse(frame, Errno::EREMOTEIO, &mut memory.buffers)
            }
        };
        let more = more && self.turn.is_held(ticket);
        match outcome {
            Outcome::Later if more => {}
            Outcome::Later => self.flush(),
            Outcome::Violation(what) => {
                tracing::debug!(connection = self.id, "ended: {what}");
                self.flush();
                self.stream.close();
                return Next::End;
            }
            Outcome::Reply { head, payload, extra, channel } => {
                if let Some(Err(errno)) = channel.map(|channel| self.start_channel(*channel)) {
                    tracing::debug!(connection = self.id, %errno, "no thread for a channel");
                }
                self.send(|replies, stream| {
                    let behind = self.session.retire(frame);
                    replies.send(stream, (head, payload), extra, more || !behind.is_empty())?;
                    for (frame, left) in behind.iter().zip((0..behind.len()).rev()) {
                        replies.send(stream, (frame, &[]), Extra::None, more || left > 0)?;
                    }
                    Ok(())
                });
            }
        }
        Next::GoOn
    }

    /// Sends replies that wait. Whoever is sending just now is not waited for: either that takes them along, or it is
    /// somebody who made a reply wait and will find that the turn is gone.
    fn flush(&self) {
        match self.sending.try_lock() {
            Ok(replies) => self.send_with(replies, Replies::flush),
            Err(TryLockError::Poisoned(replies)) => self.send_with(replies.into_inner(), Replies::flush),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    fn send(&self, send: impl FnOnce(&mut Replies, &S) -> Result<(), Errno>) {
        self.send_with(self.sending.lock().unwrap_or_else(PoisonError::into_inner), send);
    }

    /// Sends something; the connection ends where that cannot be.
    fn send_with(
        &self,
        mut replies: MutexGuard<'_, Replies>,
        send: impl FnOnce(&mut Replies, &S) -> Result<(), Errno>,
    ) {
        if let Err(errno) = send(&mut replies, &self.stream) {
            tracing::debug!(connection = self.id, %errno, "cannot send a reply");
            self.stream.close();
        }
    }
}

impl<P: Protocol, S: Stream> Watched for Connection<P, S> {
    fn start_thread(self: Arc<Self>) {
        let connection = Arc::clone(&self);
        if let Err(errno) = spawn("serve", move || connection.work()) {
            tracing::debug!(connection = self.id, %errno, "no thread for another request at a time");
            self.turn.not_started();
        }
    }
}

impl<P: Protocol, S: Stream> Drop for Connection<P, S> {
    fn drop(&mut self) {
        self.watch.remove(&self.turn);
        // Nobody will see that it is quiet.
        pages::close();
    }
}

impl Memory {
    #[inline]
    fn is_large(&self) -> bool {
        let keeps_pipes = self.buffers.takes_pages && pages::are_kept();
        self.frame.capacity() > KEEP || self.buffers.is_larger_than(KEEP) || keeps_pipes
    }

    fn shrink(&mut self) {
        self.frame = Vec::new();
        self.buffers = Buffers::new(self.buffers.takes_pages);
        pages::close();
    }
}
