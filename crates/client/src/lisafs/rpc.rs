//! [`Rpc`]: calls on one connection.
//!
//! A call takes a free channel, the one that was free last first, or else its turn on the stream. What the stream
//! answers comes in the order in which it was asked, so that a reply which is too late for its caller is waited for, and
//! dropped, by the next who has the turn, before that one asks for anything.
//!
//! ```text
//!          send                reply
//!  quiet --------> waiting ---------------> quiet
//!    ^                |
//!    |     reply      v too late
//!    +------------- owed
//! ```
//!
//! Numbers that the server made for a call which was given up are not known, and stay until the connection ends.
//!
//! There is one lock, of the state, and it is never held across a system call; the list of idle channels has its own,
//! held alone.

use std::mem;
use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gofer_transport::flipcall::{Caller, Offer, Waiting};
use gofer_transport::frames::End;
use gofer_transport::{ClientStream, Descriptors, Framing};
use gofer_vfs::{Errno, Result};
use gofer_wire::lisafs::{
    ChannelReq, ChannelResp, CloseReq, DATAGRAM, Failure, FdId, HEADER, Header, Operation, PAYLOAD_MAX,
    datagram, frame,
};
use gofer_wire::{ListBuf, Reader, Wire};

use crate::rpc::{Call, Channels, Ended, Frame, Receiver, call, deadline, errno, limit, lost, over};

/// How many numbers are closed at once.
const CLOSED_AT_ONCE: usize = 100;
/// How many buffers are kept to be used again.
const SPARE: usize = 8;

/// Which operations a server has, by their numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operations(u64);

impl Operations {
    /// Those with these numbers. Numbers that nobody here asks for mean nothing.
    pub(crate) fn new(numbers: impl IntoIterator<Item = u16>) -> Self {
        Self(numbers.into_iter().fold(0, |all, number| all | 1u64.checked_shl(number.into()).unwrap_or(0)))
    }

    fn has(self, number: u16) -> bool {
        1u64.checked_shl(number.into()).is_some_and(|bit| self.0 & bit != 0)
    }
}

/// A connection.
pub(crate) struct Rpc {
    stream: Box<dyn ClientStream>,
    timeout: Option<Duration>,
    /// The longest payload, in bytes.
    payload_max: u32,
    operations: Operations,
    channels: Channels,
    state: Mutex<State>,
    /// The stream is free, or the connection has ended.
    free: Condvar,
}

struct State {
    /// `None` while a call has its turn.
    line: Option<Line>,
    /// Why nothing can be asked any more.
    ended: Option<Errno>,
    /// What the server can forget.
    closing: Vec<FdId>,
    spare: Vec<Vec<u8>>,
}

/// The stream, between two calls.
#[derive(Default)]
struct Line {
    receiver: Receiver,
    /// There is a reply to come that nobody waits for.
    owes: bool,
}

/// Frames of lisafs.
struct Length {
    payload_max: u32,
}

impl Framing for Length {
    const HEADER: usize = HEADER;

    fn frame_len(&self, header: &[u8]) -> Option<usize> {
        let length = Header::decode(header.first_chunk()?).length;
        let length = usize::try_from(length).ok().filter(|_| length <= self.payload_max)?;
        length.checked_add(HEADER)
    }
}

/// The turn on the stream.
struct Turn<'r> {
    rpc: &'r Rpc,
    line: Line,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.rpc.state().line = Some(mem::take(&mut self.line));
        self.rpc.free.notify_one();
    }
}

/// A reply other than a failure.
pub(crate) struct Answer<'r> {
    rpc: &'r Rpc,
    frame: Frame,
}

impl Rpc {
    /// A connection on which nothing is known but how to mount.
    pub(crate) fn new(stream: Box<dyn ClientStream>, timeout: Option<Duration>) -> Self {
        limit(&*stream, timeout);
        let state =
            State { line: Some(Line::default()), ended: None, closing: Vec::new(), spare: Vec::new() };
        Self {
            stream,
            timeout,
            payload_max: PAYLOAD_MAX,
            operations: Operations::new([gofer_wire::lisafs::MountReq::NUMBER]),
            channels: Channels::default(),
            state: Mutex::new(state),
            free: Condvar::new(),
        }
    }

    /// Takes note of what the server has said of itself.
    pub(crate) fn agree(&mut self, payload_max: u32, operations: Operations) {
        self.payload_max = payload_max.min(PAYLOAD_MAX);
        self.operations = operations;
    }

    /// The longest payload, in bytes.
    pub(crate) fn payload_max(&self) -> usize {
        // At most PAYLOAD_MAX.
        usize::try_from(self.payload_max).unwrap_or(usize::MAX)
    }

    /// Whether the server has an operation.
    pub(crate) fn has<'a, R: Operation<'a>>(&self) -> bool {
        self.operations.has(R::NUMBER)
    }

    /// Why nothing can be asked any more, if so.
    pub(crate) fn ended(&self) -> Option<Errno> {
        self.state().ended
    }

    /// How many channels there are.
    pub(crate) fn channels(&self) -> usize {
        self.channels.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// That of the server; `EOPNOTSUPP` for what it does not have; `ETIMEDOUT`; `EMSGSIZE` for a request longer than
    /// agreed on; `ECONNRESET` when the connection is gone, and `EIO` when the server broke the protocol.
    pub(crate) fn call<'a, R: Operation<'a>>(&self, request: &R) -> Result<Answer<'_>> {
        match self.call_once(request) {
            // What the server can forget may be what is too much.
            Err(Errno::ENFILE | Errno::EMFILE) if self.close_all() => self.call_once(request),
            done => done,
        }
    }

    fn call_once<'a, R: Operation<'a>>(&self, request: &R) -> Result<Answer<'_>> {
        if !self.has::<R>() {
            return Err(Errno::EOPNOTSUPP);
        }
        let deadline = deadline(self.timeout);
        let mut head = self.spare();
        let (number, frame) = match self.channels.take() {
            Some(channel) => {
                let payload = datagram(R::NUMBER, request, &mut head);
                self.exchange_through(channel, deadline, &head, payload)?
            }
            None => {
                let payload = frame(R::NUMBER, request, &mut head);
                self.exchange(deadline, &head, payload)?
            }
        };
        self.keep(head);
        let answer = Answer { rpc: self, frame };
        match number {
            Failure::NUMBER => {
                Err(answer.body().map_or_else(|errno| errno, |failure: Failure| errno(failure.errno)))
            }
            number if number == R::NUMBER => Ok(answer),
            _ => Err(self.violated()),
        }
    }

    /// Asks on the stream. Answers the number of what came, and the frame.
    fn exchange(&self, deadline: Option<Instant>, head: &[u8], payload: &[u8]) -> Result<(u16, Frame)> {
        if head.len() - HEADER + payload.len() > self.payload_max() {
            return Err(Errno::EMSGSIZE);
        }
        let mut turn = self.turn(deadline)?;
        if turn.line.owes {
            self.receive(&mut turn.line, deadline)?;
        }
        self.stream.send(head, payload, &[]).map_err(|errno| self.end(lost(errno)))?;
        turn.line.owes = true;
        let frame = self.receive(&mut turn.line, deadline)?;
        // A whole frame.
        let number =
            frame.bytes.first_chunk().map_or(Failure::NUMBER, |header| Header::decode(header).number);
        Ok((number, frame))
    }

    /// The turn on the stream, as soon as it is free.
    fn turn(&self, deadline: Option<Instant>) -> Result<Turn<'_>> {
        let mut state = self.state();
        loop {
            if let Some(errno) = state.ended {
                return Err(errno);
            }
            if let Some(line) = state.line.take() {
                return Ok(Turn { rpc: self, line });
            }
            state = match deadline {
                None => self.free.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(Errno::ETIMEDOUT);
                    }
                    self.free.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Waits for the reply that is owed.
    fn receive(&self, line: &mut Line, deadline: Option<Instant>) -> Result<Frame> {
        let mut spare = self.spare();
        loop {
            let length = Length { payload_max: self.payload_max };
            match line.receiver.next(&*self.stream, &length, mem::take(&mut spare)) {
                Ok(frame) => {
                    line.owes = false;
                    return Ok(frame);
                }
                Err(End::Quiet) if over(deadline) => return Err(Errno::ETIMEDOUT),
                Err(End::Quiet) => {}
                Err(End::Closed) => return Err(self.end(Errno::ECONNRESET)),
                Err(End::Lost(errno)) => return Err(self.end(lost(errno))),
                Err(End::Malformed) => return Err(self.violated()),
            }
        }
    }

    /// As [`exchange`](Self::exchange), through a channel.
    fn exchange_through(
        &self,
        mut caller: Caller,
        deadline: Option<Instant>,
        head: &[u8],
        payload: &[u8],
    ) -> Result<(u16, Frame)> {
        let most = self.datagram_max();
        if head.len() + payload.len() > most {
            self.channels.give_back(caller);
            return Err(Errno::EMSGSIZE);
        }
        let request = Call { deadline, head, payload, most, header: HEADER };
        let came =
            call(&mut caller, request, self.spare(), |[_, _, announced, _]: &[u8; DATAGRAM]| *announced);
        match came {
            Ok(([low, high, ..], frame)) => {
                self.channels.give_back(caller);
                Ok((u16::from_le_bytes([low, high]), frame))
            }
            Err(Ended::Late) => Err(Errno::ETIMEDOUT),
            Err(Ended::Connection(errno)) => Err(self.end(errno)),
        }
    }

    /// The longest datagram, in bytes.
    fn datagram_max(&self) -> usize {
        self.payload_max() + DATAGRAM
    }

    /// Asks for channels, as many as the server has and at most `most`. They are asked for on the stream, all of them.
    pub(crate) fn open_channels(&mut self, most: usize) {
        if !self.stream.passes_descriptors() {
            return;
        }
        // Without one the stream does.
        let callers: Vec<_> = (0..most).map_while(|_| self.open_channel().ok()).collect();
        callers.into_iter().for_each(|caller| self.channels.add(caller));
    }

    /// A channel that has room for every message.
    fn open_channel(&self) -> Result<Caller> {
        let mut answer = self.call(&ChannelReq)?;
        let [Some(file), Some(side)] = answer.descriptors() else { return Err(Errno::EIO) };
        let ChannelResp { offset, length } = answer.body()?;
        let offset = u64::try_from(offset).map_err(|_| Errno::EIO)?;
        let caller = Caller::new(Offer { file, offset, length, side }, Waiting::Adaptive)?;
        if caller.capacity() < self.datagram_max() { Err(Errno::EINVAL) } else { Ok(caller) }
    }

    /// Lets the server forget what a number stands for, together with others.
    pub(crate) fn close(&self, fd: FdId) {
        let mut state = self.state();
        if state.ended.is_some() {
            return;
        }
        state.closing.push(fd);
        if state.closing.len() >= CLOSED_AT_ONCE {
            drop(state);
            self.close_all();
        }
    }

    /// Lets the server forget all that is waiting for it. Answers whether there was any.
    pub(crate) fn close_all(&self) -> bool {
        let closing = mem::take(&mut self.state().closing);
        let mut room = Vec::new();
        for part in closing.chunks(CLOSED_AT_ONCE) {
            let mut fds = ListBuf::new(&mut room);
            for fd in part {
                // Few numbers: there is room for each.
                fds.push(fd);
            }
            // It fails only with the connection, or when it takes too long: then they may stay until its end.
            drop(self.call_once(&CloseReq { fds: fds.finish() }));
        }
        !closing.is_empty()
    }

    /// Ends the connection for all who use it. Answers why it ended, which may be something that came before.
    fn end(&self, errno: Errno) -> Errno {
        let errno = *self.state().ended.get_or_insert(errno);
        self.free.notify_all();
        self.stream.close();
        self.channels.close();
        errno
    }

    /// Ends the connection because the server broke the protocol.
    pub(crate) fn violated(&self) -> Errno {
        self.end(Errno::EIO)
    }

    fn spare(&self) -> Vec<u8> {
        self.state().spare.pop().unwrap_or_default()
    }

    /// Keeps a buffer to be used again.
    fn keep(&self, buffer: Vec<u8>) {
        let mut state = self.state();
        if state.spare.len() < SPARE {
            state.spare.push(buffer);
        }
    }
}

impl Answer<'_> {
    /// What the reply says. It is the reply to the request, by its number.
    ///
    /// # Errors
    /// `EIO` when it cannot be decoded, which ends the connection.
    pub(crate) fn body<'a, R: Wire<'a>>(&'a self) -> Result<R> {
        let body = self.frame.bytes.get(HEADER..).unwrap_or_default();
        R::decode(&mut Reader::new(body)).map_err(|_| self.rpc.violated())
    }

    /// The descriptors that came with the reply.
    pub(crate) fn descriptors(&mut self) -> Descriptors {
        mem::take(&mut self.frame.descriptors)
    }

    /// The only one of them that most replies can have.
    pub(crate) fn descriptor(&mut self) -> Option<OwnedFd> {
        let [descriptor, _] = self.descriptors();
        descriptor
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        let buffer = mem::take(&mut self.frame.bytes);
        self.rpc.keep(buffer);
    }
}
