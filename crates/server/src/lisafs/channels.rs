//! Channels: the same requests, through memory that is shared with the client. Requests that come through the socket
//! and through other channels run beside it, on the same numbers.

use std::os::fd::AsFd;
use std::sync::PoisonError;

use gofer_transport::flipcall::{Announced, Channel, Closer, Offer, Payload, Request as Datagram, Waiting};
use gofer_vfs::{Backend, Errno, Result};
use gofer_wire::codec::{DecodeError, Reader, Wire};
use gofer_wire::lisafs::{
    ChannelReq, ChannelResp, DATAGRAM, MountReq, Operation, PAYLOAD_MAX, PReadHead, PReadReq, PWriteHead,
    PWriteReq, changes,
};

use super::{Answer, Cx, Encoded, Session, To, errno_of};
use crate::protocol::{Buffers, Extra};
use crate::quota::Share;
use crate::sync::Mutex;

/// Which byte of a datagram says how many descriptors were sent for it.
const ANNOUNCED: Announced = Announced { at: 2, most: u8::MAX };

/// The longest datagram.
pub const CAPACITY: usize = DATAGRAM + PAYLOAD_MAX as usize;

/// The server's end of the socket for descriptors, and the window's file on its way.
const DESCRIPTORS: usize = 3;

/// The channels of a connection.
pub(crate) struct Channels {
    all: Mutex<All>,
    limit: usize,
}

#[derive(Default)]
struct All {
    open: Vec<(Closer, Share)>,
    /// The connection has ended: there are no new ones.
    over: bool,
}

impl Channels {
    /// None yet, and never more than `limit`.
    pub(crate) fn new(limit: usize) -> Self {
        Self { all: Mutex::default(), limit }
    }

    /// Ends all of them, each when the request that it works on is answered.
    pub(crate) fn retire(&self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.over = true;
        all.open.iter().for_each(|(closer, _)| closer.retire());
    }
}

impl<B: Backend> Session<B> {
    /// Makes a channel.
    ///
    /// # Errors
    /// `ENOMEM` at the limit, `ENOSYS` when the connection has ended.
    pub(super) fn channel(&self, _: ChannelReq, _: Cx<'_>) -> Result<Answer<ChannelResp>> {
        let mut all = self.channels.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.over {
            return Err(Errno::ENOSYS);
        }
        // Those that have ended leave their places to others.
        all.open.retain(|(closer, _)| !closer.is_last());
        if all.open.len() >= self.channels.limit {
            return Err(Errno::ENOMEM);
        }
        let room = self.fds.room(DESCRIPTORS)?;
        let (channel, offer) = Channel::new(CAPACITY as u64, ANNOUNCED, Waiting::Adaptive)?;
        let Offer { file, offset, length, side } = offer;
        // A window begins within its file.
        let offset = i64::try_from(offset).map_err(|_| Errno::EIO)?;
        all.open.push((channel.closer(), room));
        let reply = ChannelResp { offset, length };
        Ok(Answer { reply, extra: Extra::Two([file, side]), channel: Some(Box::new(channel)) })
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
        let handled = match self.take(datagram, frame) {
            Ok(Request::Write(t)) => self.write_from(t.fd, t.offset, datagram.body()).map(|written| {
                To::Channel.encode(PWriteReq::NUMBER, &written, head);
                Payload::Bytes(&[])
            }),
            Ok(Request::Read(t)) => self.read_in_place(&t, datagram, head),
            Ok(Request::Whole(number)) => self.answer_datagram(
                number,
                &frame[DATAGRAM..],
                Cx { scratch, takes_pages: false },
                datagram,
                head,
            ),
            Err(errno) => Err(errno),
        };
        let payload = match handled {
            Ok(payload) => payload,
            Err(errno) if self.ends_with(errno) => return None,
            Err(errno) => {
                tracing::debug!(%errno, "refused on a channel");
                To::Channel.refuse(errno, head);
                Payload::Bytes(&[])
            }
        };
        Some((head, payload))
    }

    /// Reads from the file to where the data of the reply belongs.
    fn read_in_place(
        &self,
        t: &PReadReq,
        datagram: &mut Datagram<'_>,
        head: &mut Vec<u8>,
    ) -> Result<Payload<'static>> {
        let read = self.read_into(t, |_| datagram.sink(DATAGRAM + PReadHead::LEN))?;
        To::Channel.encode(PReadReq::NUMBER, &PReadHead { count: read as u64 }, head);
        Ok(Payload::InPlace(read))
    }

    fn answer_datagram<'b>(
        &self,
        number: u16,
        payload: &'b [u8],
        cx: Cx<'b>,
        datagram: &mut Datagram<'_>,
        head: &mut Vec<u8>,
    ) -> Result<Payload<'b>> {
        // They are about the connection, which a channel is a part of.
        if matches!(number, MountReq::NUMBER | ChannelReq::NUMBER) {
            return Err(Errno::EINVAL);
        }
        let Encoded { payload, extra, .. } = self.answer(number, payload, cx, To::Channel, head)?;
        extra.with_descriptors(|descriptors| {
            // What cannot be sent is not announced, and its client sees that there is none.
            descriptors.iter().try_for_each(|descriptor| datagram.donate(descriptor.as_fd())).ok();
        });
        Ok(Payload::Bytes(payload))
    }

    /// Copies a request out, but not the bytes to be written, which are left in the channel.
    fn take(&self, datagram: &mut Datagram<'_>, frame: &mut Vec<u8>) -> Result<Request> {
        let body = datagram.body();
        body.append_to(frame, DATAGRAM);
        let [a, b, _, _] = *frame.first_chunk::<DATAGRAM>().ok_or(Errno::EIO)?;
        let number = u16::from_le_bytes([a, b]);
        match number {
            PWriteReq::NUMBER => {
                if changes(number) && self.backend().is_read_only() {
                    return Err(Errno::EROFS);
                }
                body.append_to(frame, PWriteHead::LEN);
                let head = PWriteHead::decode(&mut Reader::new(&frame[DATAGRAM..])).map_err(errno_of)?;
                // Bytes behind those that are counted mean nothing.
                if body.limit_to(head.count as usize) { Ok(Request::Write(head)) } else { Err(Errno::EIO) }
            }
            PReadReq::NUMBER => {
                body.append_to(frame, usize::MAX);
                let read = PReadReq::decode(&mut Reader::new(&frame[DATAGRAM..]));
                read.map(Request::Read).map_err(|error: DecodeError| error.errno())
            }
            number => {
                body.append_to(frame, usize::MAX);
                Ok(Request::Whole(number))
            }
        }
    }
}

/// A request in private memory.
enum Request {
    /// A PWrite up to its bytes.
    Write(PWriteHead),
    Read(PReadReq),
    /// The number of any other.
    Whole(u16),
}
