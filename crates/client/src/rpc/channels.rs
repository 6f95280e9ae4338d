//! [`Channels`]: short calls through memory that is shared with the server.
//!
//! A channel carries one call at a time and has no tags. Whoever finds none free goes through the stream. A channel
//! that ends takes the connection with it; one whose call took too long is given up alone.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gofer_transport::flipcall::{Caller, Closer, End, Offer, Reply, Waiting};
use gofer_vfs::{Errno, Result, Source};
use gofer_wire::Wire;
use gofer_wire::p9::{DATAGRAM, HEADER, Rchannel, Request, Rlerror, Tag, Tchannel};

use super::{Answer, Rpc, answered, deadline, newfid};

/// The longest data of a call that is short, in bytes.
const SHORT: usize = 64 * 1024;

/// The channels of a connection.
#[derive(Default)]
pub(super) struct Channels {
    /// Those that no call goes through; the one that was used last is used next.
    idle: Mutex<Vec<Caller>>,
    closers: Vec<Closer>,
}

impl Channels {
    fn idle(&self) -> MutexGuard<'_, Vec<Caller>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A channel for a call, if one is free and the call is short.
    pub(super) fn take_for(&self, request: &Request<'_>) -> Option<Caller> {
        if self.closers.is_empty() || !is_short(request) { None } else { self.idle().pop() }
    }

    /// Ends all of them. Whoever waits for a reply returns.
    pub(super) fn close(&self) {
        self.closers.iter().for_each(Closer::close);
    }
}

/// Whether a call is soon over and is little to copy.
fn is_short(request: &Request<'_>) -> bool {
    match request {
        Request::Read(t) => usize::try_from(t.count).is_ok_and(|count| count <= SHORT),
        Request::Write(t) => t.data.0.len() <= SHORT,
        Request::Fsync(_) | Request::Allocate(_) | Request::Channel(_) => false,
        _ => true,
    }
}

impl Rpc {
    /// Asks for channels, as many as the server has and at most `most`.
    pub(crate) fn open_channels(&mut self, most: usize) {
        for id in 0..u32::try_from(most).unwrap_or(u32::MAX) {
            // Without one the stream does.
            let Ok(caller) = self.open_channel(id) else { return };
            self.channels.closers.push(caller.closer());
            self.channels.idle().insert(0, caller);
        }
    }

    fn open_channel(&self, id: u32) -> Result<Caller> {
        let ask = |control| -> Result<(Rchannel, OwnedFd)> {
            let mut answer = self.call(Tchannel { id, control })?;
            let descriptor = answer.descriptor().ok_or(Errno::EIO)?;
            Ok((answer.body()?, descriptor))
        };
        let ((place, file), (again, side)) = (ask(0)?, ask(1)?);
        if place != again {
            return Err(self.violated());
        }
        let offer = Offer { file, offset: place.offset, length: place.length, side };
        let caller = Caller::new(offer, Waiting::Adaptive)?;
        // There is room for every message, so that it does not depend on the way whether one fits.
        if caller.capacity() < self.msize() - HEADER + DATAGRAM { Err(Errno::EINVAL) } else { Ok(caller) }
    }

    /// Makes a call through a channel.
    pub(super) fn call_through(&self, mut caller: Caller, request: &Request<'_>) -> Result<Answer<'_>> {
        let mut state = self.state();
        let (mut head, mut frame) =
            (state.spare.pop().unwrap_or_default(), state.spare.pop().unwrap_or_default());
        drop(state);
        let payload = request.encode_datagram(&mut head);
        let fits = HEADER - DATAGRAM + head.len() + payload.len() <= self.msize();
        let came = if fits {
            let reply = caller.call_before(deadline(self.timeout), &head, payload);
            reply.map(|mut reply| self.copy_out(&mut reply, request.number(), &mut frame))
        } else {
            Ok(Err(Errno::EMSGSIZE))
        };
        self.state().keep(head);
        let done = match came {
            Ok(Ok(descriptor)) => answered(Answer { rpc: self, frame, descriptor }),
            Ok(Err(errno)) => Err(errno),
            // Whether it made its fid is not known, which is not used again.
            Err(End::Late) => return Err(Errno::ETIMEDOUT),
            Err(End::Closed | End::Finished) => return Err(self.end(Errno::ECONNRESET)),
            Err(End::Violation(_) | End::Unfit) => return Err(self.violated()),
            Err(End::Lost(errno)) => return Err(self.end(errno)),
        };
        self.channels.idle().push(caller);
        if let (Err(_), Some(fid)) = (&done, newfid(request)) {
            // It was not made.
            self.state().slots.rest(fid);
        }
        done
    }

    /// Copies a reply, as a frame, and takes the descriptor that it announces.
    fn copy_out(&self, reply: &mut Reply<'_>, asked: u8, frame: &mut Vec<u8>) -> Result<Option<OwnedFd>> {
        let mut head = [0; DATAGRAM];
        let body = reply.body();
        let size = (HEADER - DATAGRAM).saturating_add(body.left());
        if body.take(&mut head) < DATAGRAM || size > self.msize() {
            return Err(self.violated());
        }
        let [number, announced] = head;
        if announced > 1 || (number != asked + 1 && number != Rlerror::NUMBER) {
            return Err(self.violated());
        }
        frame.clear();
        // At most an msize.
        u32::try_from(size).unwrap_or(u32::MAX).encode(frame);
        number.encode(frame);
        Tag::NONE.encode(frame);
        body.append_to(frame, usize::MAX);
        let descriptor = (announced == 1).then(|| reply.descriptor()).transpose();
        descriptor.map(Option::flatten).map_err(|_| self.violated())
    }
}
