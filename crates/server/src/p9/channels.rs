//! Channels: the same requests, through memory that is shared with the client.
//!
//! A channel has no tags: one request at a time, answered by a thread of the channel's own. Requests that come
//! through the socket and through other channels run beside it, on the same fids.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gofer_transport::flipcall::{Announced, Channel, Closer, Offer, Payload, Request as Datagram, Waiting};
use gofer_vfs::{Backend, Errno, Result, Source};
use gofer_wire::codec::{DecodeError, Reader, Wire};
use gofer_wire::p9::{
    DATAGRAM, HEADER, MESSAGE_MAX, Operation, Rchannel, ReadHead, Reply, Request, Rlerror, Tchannel, Tread,
    Twrite, Version, WriteHead,
};

use super::{Answer, Cx, Session};
use crate::protocol::{Buffers, Extra};
use crate::quota::Share;

/// Which byte of a datagram says that a descriptor was sent for it: one at most.
const ANNOUNCED: Announced = Announced { at: 1, most: 1 };

/// The longest datagram: in place of a header it has two bytes, but clients count no header within an msize.
pub const CAPACITY: usize = MESSAGE_MAX as usize + DATAGRAM;

/// What channels need beside it, as gVisor's server has it.
const SLACK: u64 = 18;

/// The channels of a connection, by their ids.
#[derive(Debug)]
pub(crate) struct Channels {
    slots: Mutex<Slots>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Slots {
    all: Vec<Option<Slot>>,
    /// The connection has ended: there are no new ones.
    over: bool,
}

/// A channel that was asked for, and what of it the client has not got yet.
#[derive(Debug)]
struct Slot {
    closer: Closer,
    place: Rchannel,
    memory: Option<OwnedFd>,
    side: Option<OwnedFd>,
    _descriptors: Share,
}

impl Channels {
    /// None yet, and never more than `limit`.
    pub(crate) fn new(limit: usize) -> Self {
        Self { slots: Mutex::default(), limit }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all of them, each when the request that it works on is answered.
    pub(crate) fn retire(&self) {
        let mut slots = self.slots();
        slots.over = true;
        for slot in slots.all.iter().flatten() {
            slot.closer.retire();
        }
    }
}

impl Slot {
    /// The server's end of the socket, and what the client has not fetched.
    const DESCRIPTORS: usize = 3;

    fn new(descriptors: Share) -> Result<(Self, Channel)> {
        let (channel, offer) = Channel::new(CAPACITY as u64 + SLACK, ANNOUNCED, Waiting::Adaptive)?;
        let Offer { file, offset, length, side } = offer;
        let place = Rchannel { offset, length };
        let closer = channel.closer();
        Ok((Self { closer, place, memory: Some(file), side: Some(side), _descriptors: descriptors }, channel))
    }
}

impl<B: Backend> Session<B> {
    /// Gives one of the two descriptors of a channel, each once. The channel is made when it is first asked for.
    ///
    /// # Errors
    /// `ENOSYS` for an id beyond those there are, on older sessions and where no descriptors travel; `EINVAL` for
    /// another control; `EBUSY` for what was given before.
    pub(super) fn channel<'b>(&self, t: Tchannel, cx: Cx<'b>) -> Result<Answer<'b>> {
        let knows = cx.version >= Version::CHANNELS || (cx.extended && !cx.version.is_google());
        let has_channels = self.donates && knows;
        let id = usize::try_from(t.id).ok().filter(|id| has_channels && *id < self.channels.limit);
        let id = id.ok_or(Errno::ENOSYS)?;
        if t.control > 1 {
            return Err(Errno::EINVAL);
        }
        let mut slots = self.channels.slots();
        if slots.over {
            return Err(Errno::ENOSYS);
        }
        if slots.all.len() <= id {
            slots.all.resize_with(id + 1, || None);
        }
        let mut made = None;
        let slot = match &mut slots.all[id] {
            Some(slot) => slot,
            none => {
                let (slot, channel) = Slot::new(self.fids.room(Slot::DESCRIPTORS)?)?;
                made = Some(Box::new(channel));
                none.insert(slot)
            }
        };
        let wanted = if t.control == 0 { &mut slot.memory } else { &mut slot.side };
        let descriptor = wanted.take().ok_or(Errno::EBUSY)?;
        Ok(Answer { reply: slot.place.into(), extra: Extra::One(descriptor), channel: made })
    }

    /// Answers one request of a channel: the head of the reply, and what belongs behind it. `frame` is memory for
    /// what is copied out of the channel before it is looked at. `None` ends the connection.
    pub fn handle_datagram<'b>(
        &self,
        datagram: &mut Datagram<'_>,
        frame: &'b mut Vec<u8>,
        buffers: &'b mut Buffers,
    ) -> Option<(&'b mut Vec<u8>, Payload<'b>)> {
        let Buffers { head, scratch, .. } = buffers;
        frame.clear();
        scratch.clear();
        let negotiated = self.negotiated();
        let cx = Cx::new(*negotiated, scratch, false);
        let handled = match take(datagram, frame) {
            Ok(Taken::Write(t)) => self.write_from(t.fid, t.offset, datagram.body()).map(|written| {
                Reply::from(written).encode_datagram(head);
                Payload::Bytes(&[])
            }),
            Ok(Taken::Whole(Request::Read(t))) => self.read_in_place(t, &cx, datagram, head),
            Ok(Taken::Whole(request)) => self.answer_datagram(request, cx, datagram, head),
            Err(error) => Err(error.errno()),
        };
        let payload = match handled {
            Ok(payload) => payload,
            Err(errno) if self.ends_with(errno) => return None,
            Err(errno) => {
                tracing::debug!(%errno, "refused on a channel");
                refuse(errno, head);
                Payload::Bytes(&[])
            }
        };
        Some((head, payload))
    }

    /// Reads from the file to where the data of the reply belongs.
    fn read_in_place(
        &self,
        t: Tread,
        cx: &Cx<'_>,
        datagram: &mut Datagram<'_>,
        head: &mut Vec<u8>,
    ) -> Result<Payload<'static>> {
        let mut into = datagram.sink(DATAGRAM + ReadHead::LEN);
        let read = self.read_into(t.fid, t.offset, cx.payload_max(t.count), &mut into)?;
        head.clear();
        head.extend_from_slice(&[Tread::NUMBER + 1, 0]);
        // No more was read than a message holds.
        ReadHead { count: u32::try_from(read).map_err(|_| Errno::EIO)? }.encode(head);
        Ok(Payload::InPlace(read))
    }

    fn answer_datagram<'b>(
        &self,
        request: Request<'b>,
        cx: Cx<'b>,
        datagram: &mut Datagram<'_>,
        head: &mut Vec<u8>,
    ) -> Result<Payload<'b>> {
        // They are about the connection, which a channel is a part of.
        if matches!(request, Request::Version(_) | Request::Channel(_)) {
            return Err(Errno::EINVAL);
        }
        let msize = cx.msize as usize;
        let Answer { reply, extra, .. } = self.dispatch(request, cx)?;
        let payload = reply.encode_datagram(head);
        if HEADER - DATAGRAM + head.len() + payload.len() > msize {
            return Err(Errno::ERANGE);
        }
        if let Extra::One(descriptor) = extra {
            match datagram.donate(descriptor.as_fd()) {
                // The connection is all that was asked for; a file can be read without its descriptor.
                Err(errno) if matches!(reply, Reply::Lconnect(_)) => return Err(errno),
                _ => {}
            }
        }
        Ok(Payload::Bytes(payload))
    }
}

/// The reply to a request that failed.
pub(crate) fn refuse(errno: Errno, head: &mut Vec<u8>) {
    Reply::from(Rlerror { ecode: errno.on_wire() }).encode_datagram(head);
}

/// A request in private memory.
enum Taken<'b> {
    /// A Twrite up to its data, which are left in the channel.
    Write(WriteHead),
    Whole(Request<'b>),
}

/// Copies a request out and decodes it.
fn take<'b>(
    datagram: &mut Datagram<'_>,
    frame: &'b mut Vec<u8>,
) -> std::result::Result<Taken<'b>, DecodeError> {
    let body = datagram.body();
    body.append_to(frame, DATAGRAM + WriteHead::LEN);
    let number = *frame.first_chunk::<DATAGRAM>().map(|[number, _]| number).ok_or(DecodeError::Truncated)?;
    if number == Twrite::NUMBER {
        let head = WriteHead::decode(&mut Reader::new(&frame[DATAGRAM..]))?;
        let whole = usize::try_from(head.count) == Ok(body.left());
        return if whole { Ok(Taken::Write(head)) } else { Err(DecodeError::Truncated) };
    }
    body.append_to(frame, usize::MAX);
    Request::decode(number, &frame[DATAGRAM..]).map(Taken::Whole)
}
