//! [`Rpc`]: requests in flight on one connection.
//!
//! There is no thread that reads. Whoever waits for a reply reads, gives the replies of others to them, and
//! when its own has come lets another who waits go on reading. A caller that is alone does everything itself:
//! no thread is woken for it.
//!
//! Locks, in the order in which they may be taken: the sending side, held while a request is sent; the state (tags,
//! fids, who reads), never held across a system call. The receiving side is held alone, by whoever reads; so is the list
//! of channels.

mod channels;
mod slots;

#[cfg(all(test, loom))]
mod model;

use std::os::fd::OwnedFd;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use gofer_transport::frames::End;
use gofer_transport::{ClientStream, Framing};
use gofer_vfs::{Errno, Result};
use gofer_wire::p9::{
    Fid, HEADER, Header, MESSAGE_MAX, Reply, Request, Rlerror, Tag, Tclunk, Tflush, Tversion,
};
use gofer_wire::{Reader, Str, Wire};

use crate::rpc::{Channels, Frame, Receiver, deadline, errno, limit, lost, over};
use crate::sync::{Condvar, Mutex, MutexGuard, thread};
use channels::is_short;
use slots::Slots;

/// How many buffers are kept to be used again.
const SPARE: usize = 16;

/// Frames of 9P, as long as was agreed on.
struct Length {
    most: u32,
}

impl Framing for Length {
    const HEADER: usize = HEADER;

    fn frame_len(&self, header: &[u8]) -> Option<usize> {
        let size = Header::decode(header.first_chunk()?).size;
        (size <= self.most).then(|| usize::try_from(size).ok()).flatten().filter(|size| *size >= HEADER)
    }
}

/// A connection on which nothing was agreed yet.
pub(crate) struct Greeting {
    stream: Box<dyn ClientStream>,
    receiver: Receiver,
    timeout: Option<Duration>,
}

impl Greeting {
    pub(crate) fn new(stream: Box<dyn ClientStream>, timeout: Option<Duration>) -> Self {
        limit(&*stream, timeout);
        Self { stream, receiver: Receiver::default(), timeout }
    }

    /// Whether descriptors can come.
    pub(crate) fn passes_descriptors(&self) -> bool {
        self.stream.passes_descriptors()
    }

    /// Offers a version. Answers the msize and the version that came back, or the errno.
    ///
    /// # Errors
    /// [`End`], when there is no answer; [`End::Quiet`] when the time is over.
    pub(crate) fn offer(
        &mut self,
        msize: u32,
        version: &str,
    ) -> std::result::Result<Result<(u32, Vec<u8>)>, End> {
        let version = Str::new(version.as_bytes()).ok_or(End::Malformed)?;
        let mut head = Vec::new();
        Request::from(Tversion { msize, version }).encode(Tag::NONE, &mut head);
        self.stream.send(&head, &[], &[]).map_err(End::Lost)?;
        let deadline = deadline(self.timeout);
        let frame = loop {
            match self.receiver.next(&*self.stream, &Length { most: MESSAGE_MAX }, Vec::new()) {
                Err(End::Quiet) if !over(deadline) => {}
                done => break done?,
            }
        };
        let (header, body) = frame.bytes.split_first_chunk::<HEADER>().ok_or(End::Malformed)?;
        let Header { number, tag, .. } = Header::decode(header);
        match Reply::decode(number, body) {
            _ if tag != Tag::NONE => Err(End::Malformed),
            Ok(Reply::Version(r)) => Ok(Ok((r.msize, r.version.as_bytes().to_vec()))),
            Ok(Reply::Lerror(r)) => Ok(Err(errno(r.ecode))),
            _ => Err(End::Malformed),
        }
    }

    /// The connection, for messages of at most `msize` bytes.
    pub(crate) fn agreed(self, msize: u32) -> Rpc {
        Rpc {
            stream: self.stream,
            msize,
            timeout: self.timeout,
            sending: Mutex::default(),
            receiving: Mutex::new(self.receiver),
            state: Mutex::default(),
            room: Condvar::new(),
            channels: Channels::default(),
        }
    }
}

/// A connection with requests in flight.
pub(crate) struct Rpc {
    stream: Box<dyn ClientStream>,
    msize: u32,
    timeout: Option<Duration>,
    /// The memory of the next head.
    sending: Mutex<Vec<u8>>,
    receiving: Mutex<Receiver>,
    state: Mutex<State>,
    /// A tag has become free.
    room: Condvar,
    channels: Channels,
}

#[derive(Default)]
struct State {
    slots: Slots,
    /// Whether somebody reads.
    reading: bool,
    /// Why nothing can be asked any more.
    ended: Option<Errno>,
    spare: Vec<Vec<u8>>,
}

impl State {
    /// Keeps a buffer to be used again.
    fn keep(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < SPARE {
            self.spare.push(buffer);
        }
    }
}

/// A request in flight. Dropping it flushes the request.
pub(crate) struct Pending<'r> {
    rpc: &'r Rpc,
    tag: Tag,
    deadline: Option<Instant>,
    waiting: bool,
}

/// A reply other than an error.
pub(crate) struct Answer<'r> {
    rpc: &'r Rpc,
    frame: Vec<u8>,
    descriptor: Option<OwnedFd>,
}

/// A reply, or the errno that it says.
fn answered(answer: Answer<'_>) -> Result<Answer<'_>> {
    let is_error =
        answer.frame.first_chunk().is_none_or(|header| Header::decode(header).number == Rlerror::NUMBER);
    if is_error {
        Err(answer.body().map_or_else(|errno| errno, |Rlerror { ecode }| errno(ecode)))
    } else {
        Ok(answer)
    }
}

/// The fid that a request makes.
fn newfid(request: &Request<'_>) -> Option<Fid> {
    match request {
        Request::Attach(t) => Some(t.fid),
        Request::Walk(t) => Some(t.newfid),
        Request::Walkgetattr(t) => Some(t.newfid),
        Request::Xattrwalk(t) => Some(t.newfid),
        _ => None,
    }
}

impl Rpc {
    /// The longest message, in bytes.
    pub(crate) fn msize(&self) -> usize {
        // At most MESSAGE_MAX.
        usize::try_from(self.msize).unwrap_or(usize::MAX)
    }

    /// Why nothing can be asked any more, if so.
    pub(crate) fn ended(&self) -> Option<Errno> {
        self.state().ended
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a fid. The request that makes it gives it back when it fails.
    ///
    /// # Errors
    /// `ENFILE` when there is none left.
    pub(crate) fn new_fid(&self) -> Result<Fid> {
        self.state().slots.new_fid().ok_or(Errno::ENFILE)
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// That of an Rlerror; `ETIMEDOUT`; `EMSGSIZE` for a request longer than the msize; `ECONNRESET` when the
    /// connection is gone, and `EIO` when the server broke the protocol.
    pub(crate) fn call<'a>(&self, request: impl Into<Request<'a>>) -> Result<Answer<'_>> {
        let request = request.into();
        match is_short(&request).then(|| self.channels.take()).flatten() {
            Some(channel) => self.call_through(channel, &request),
            None => self.start(request)?.wait(),
        }
    }

    /// Sends a request through the stream.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub(crate) fn start<'a>(&self, request: impl Into<Request<'a>>) -> Result<Pending<'_>> {
        let request = request.into();
        let deadline = deadline(self.timeout);
        let tag = self.claim(request.number(), newfid(&request), deadline)?;
        self.send(tag, &request)?;
        Ok(Pending { rpc: self, tag, deadline, waiting: true })
    }

    /// A tag, as soon as there is one.
    fn claim(&self, number: u8, newfid: Option<Fid>, deadline: Option<Instant>) -> Result<Tag> {
        let mut state = self.state();
        loop {
            if let Some(errno) = state.ended {
                return Err(errno);
            }
            if let Some(tag) = state.slots.claim_call(number, newfid) {
                return Ok(tag);
            }
            state = match deadline {
                None => self.room.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(Errno::ETIMEDOUT);
                    }
                    self.room.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn send(&self, tag: Tag, request: &Request<'_>) -> Result<()> {
        let mut head = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let payload = request.encode(tag, &mut head);
        if head.len().saturating_add(payload.len()) > self.msize() {
            self.state().slots.withdraw(tag);
            self.room.notify_one();
            return Err(Errno::EMSGSIZE);
        }
        let sent = self.stream.send(&head, payload, &[]);
        drop(head);
        sent.map_err(|errno| self.end(lost(errno)))
    }

    /// Releases a fid. Its reply is not waited for, unless those of many others are still to come.
    pub(crate) fn clunk(&self, fid: Fid) {
        let mut state = self.state();
        if state.ended.is_some() {
            return;
        }
        let claimed = state.slots.claim_clunk(fid);
        drop(state);
        match claimed {
            // A failed send has ended the connection, and all fids with it.
            Some(tag) => {
                let _ = self.send(tag, &Tclunk { fid }.into());
            }
            // It takes the replies to the others from the stream.
            None => match self.start(Tclunk { fid }).and_then(Pending::wait) {
                Err(Errno::ETIMEDOUT) => drop(self.end(Errno::ETIMEDOUT)),
                _ => self.state().slots.rest(fid),
            },
        }
    }

    /// A fid that a request has released, unless nobody knows whether it has.
    pub(crate) fn released(&self, fid: Fid, outcome: &Result<()>) {
        if *outcome != Err(Errno::ETIMEDOUT) {
            self.state().slots.rest(fid);
        }
    }

    /// Ends the connection for all who use it. Answers why it ended, which may be something that came before.
    fn end(&self, errno: Errno) -> Errno {
        let mut state = self.state();
        let errno = *state.ended.get_or_insert(errno);
        state.slots.asleep().for_each(thread::Thread::unpark);
        drop(state);
        self.room.notify_all();
        self.stream.close();
        self.channels.close();
        errno
    }

    /// Ends the connection because the server broke the protocol.
    pub(crate) fn violated(&self) -> Errno {
        self.end(Errno::EIO)
    }

    /// Waits for the reply to a request: reads, if nobody else does.
    fn wait(&self, tag: Tag, deadline: Option<Instant>) -> Result<Frame> {
        let mut state = self.state();
        let done = loop {
            if let Some(frame) = state.slots.take(tag) {
                break Ok(frame);
            }
            if let Some(errno) = state.ended {
                break Err(errno);
            }
            if over(deadline) {
                let flush = state.slots.give_up(tag);
                drop(state);
                self.flush(tag, flush);
                state = self.state();
                break Err(Errno::ETIMEDOUT);
            }
            if state.reading {
                state.slots.sleep(tag, thread::current());
                drop(state);
                match deadline {
                    None => thread::park(),
                    Some(deadline) => {
                        thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
                    }
                }
            } else {
                state.reading = true;
                let spare = state.spare.pop().unwrap_or_default();
                drop(state);
                self.read(spare);
            }
            state = self.state();
        };
        if !state.reading
            && let Some(next) = state.slots.any_asleep()
        {
            next.unpark();
        }
        drop(state);
        self.room.notify_one();
        done
    }

    /// Receives a frame and gives it to whoever waits for it. The caller has said that it reads.
    fn read(&self, spare: Vec<u8>) {
        let came = {
            let mut receiver = self.receiving.lock().unwrap_or_else(PoisonError::into_inner);
            receiver.next(&*self.stream, &Length { most: self.msize }, spare)
        };
        let mut state = self.state();
        state.reading = false;
        let errno = match came.map(|frame| state.slots.deliver(frame)) {
            Ok(Ok(None)) | Err(End::Quiet) => return,
            Ok(Ok(Some(left_over))) => {
                drop(state);
                return self.clunk(left_over);
            }
            Ok(Err(slots::Unasked)) | Err(End::Malformed) => Errno::EIO,
            Err(End::Closed) => Errno::ECONNRESET,
            Err(End::Lost(errno)) => lost(errno),
        };
        drop(state);
        self.end(errno);
    }

    /// Tells the server that a reply is no longer wanted.
    fn flush(&self, oldtag: Tag, flush: Option<Tag>) {
        if let Some(tag) = flush {
            // A failed send has ended the connection.
            let _ = self.send(tag, &Tflush { oldtag }.into());
        }
    }
}

impl Drop for Rpc {
    /// Takes the replies to the last clunks, for a little while: a stream that is closed over bytes nobody read looks
    /// broken to the server, and some do not survive that.
    fn drop(&mut self) {
        const PATIENCE: Duration = Duration::from_millis(200);
        let deadline = Instant::now() + PATIENCE;
        self.stream.tell_quiet(Some(PATIENCE));
        while !over(Some(deadline)) && self.state().ended.is_none() && self.state().slots.clunks() > 0 {
            self.read(Vec::new());
        }
    }
}

impl<'r> Pending<'r> {
    /// Waits for the reply.
    ///
    /// # Errors
    /// As for [`Rpc::call`].
    pub(crate) fn wait(mut self) -> Result<Answer<'r>> {
        self.waiting = false;
        let Frame { bytes, descriptors: [descriptor, _] } = self.rpc.wait(self.tag, self.deadline)?;
        answered(Answer { rpc: self.rpc, frame: bytes, descriptor })
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.waiting {
            let flush = self.rpc.state().slots.give_up(self.tag);
            self.rpc.flush(self.tag, flush);
        }
    }
}

impl Answer<'_> {
    /// What the reply says. It is the reply to the request, by its number.
    ///
    /// # Errors
    /// `EIO` when it cannot be decoded, which ends the connection.
    pub(crate) fn body<'a, R: Wire<'a>>(&'a self) -> Result<R> {
        let body = self.frame.get(HEADER..).unwrap_or_default();
        R::decode(&mut Reader::new(body)).map_err(|_| self.rpc.violated())
    }

    /// The descriptor that came with the reply.
    pub(crate) fn descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptor.take()
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        let frame = std::mem::take(&mut self.frame);
        self.rpc.state().keep(frame);
    }
}
