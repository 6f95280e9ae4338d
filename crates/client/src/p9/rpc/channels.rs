//! Short calls through channels, which have no tags.

use std::os::fd::OwnedFd;

use gofer_transport::flipcall::{Caller, Offer, Waiting};
use gofer_vfs::{Errno, Result};
use gofer_wire::p9::{DATAGRAM, HEADER, Rchannel, Request, Rlerror, Tag, Tchannel};

use super::{Answer, Rpc, answered, newfid};
use crate::rpc::{Call, Ended, Frame, call, deadline};

/// The longest data of a call that is short, in bytes.
const SHORT: usize = 64 * 1024;

/// Whether a call is soon over and is little to copy.
pub(super) fn is_short(request: &Request<'_>) -> bool {
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
            self.channels.add(caller);
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
        if caller.capacity() < self.datagram_max() { Err(Errno::EINVAL) } else { Ok(caller) }
    }

    /// The longest datagram, in bytes.
    fn datagram_max(&self) -> usize {
        self.msize() - HEADER + DATAGRAM
    }

    /// Makes a call through a channel.
    pub(super) fn call_through(&self, mut caller: Caller, request: &Request<'_>) -> Result<Answer<'_>> {
        let mut state = self.state();
        let (mut head, spare) =
            (state.spare.pop().unwrap_or_default(), state.spare.pop().unwrap_or_default());
        drop(state);
        let payload = request.encode_datagram(&mut head);
        let came = if head.len() + payload.len() <= self.datagram_max() {
            let (deadline, most) = (deadline(self.timeout), self.datagram_max());
            let asked = Call { deadline, head: &head, payload, most, header: HEADER };
            Some(call(&mut caller, asked, spare, |[_, announced]: &[u8; DATAGRAM]| *announced))
        } else {
            None
        };
        self.state().keep(head);
        let done = match came {
            Some(Ok(([number, announced], frame))) => {
                if announced > 1 || (number != request.number() + 1 && number != Rlerror::NUMBER) {
                    return Err(self.violated());
                }
                let Frame { bytes, descriptors: [descriptor, _] } = frame;
                answered(Answer { rpc: self, frame: with_header(bytes, number), descriptor })
            }
            None => Err(Errno::EMSGSIZE),
            // Whether it made its fid is not known, which is not used again.
            Some(Err(Ended::Late)) => return Err(Errno::ETIMEDOUT),
            Some(Err(Ended::Connection(errno))) => return Err(self.end(errno)),
        };
        self.channels.give_back(caller);
        if let (Err(_), Some(fid)) = (&done, newfid(request)) {
            // It was not made.
            self.state().slots.rest(fid);
        }
        done
    }
}

/// The frame, with its header filled in.
fn with_header(mut frame: Vec<u8>, number: u8) -> Vec<u8> {
    // At most an msize.
    let [a, b, c, d] = u32::try_from(frame.len()).unwrap_or(u32::MAX).to_le_bytes();
    let [low, high] = Tag::NONE.0.to_le_bytes();
    frame[..HEADER].copy_from_slice(&[a, b, c, d, number, low, high]);
    frame
}
