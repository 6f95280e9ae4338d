//! lisafs sessions: [`Session::handle`] takes a request's frame and gives a reply's.
//!
//! A session serves one export; its root is what Mount answers. One file per family of operations, as for 9P. A
//! socket and each channel have one request at a time, answered in order; there are no tags and nothing to flush.

mod attr;
mod channels;
mod dir;
mod entry;
mod fds;
mod io;
mod open;
mod session;
mod socket;
mod walk;
mod xattr;

use std::sync::Arc;

use gofer_transport::Framing;
use gofer_transport::flipcall::{Channel, Payload, Request as Datagram};
use gofer_vfs::{Backend, Errno, Result};
use gofer_wire::codec::{DecodeError, Wire};
// The table of operations names every message.
use gofer_wire::lisafs::*;

use crate::Limits;
use crate::export::{Export, Exports, Policy};
use crate::protocol::{Buffers, Extra, Outcome, Protocol};
use channels::Channels;
use fds::{Fds, Place};

pub use channels::CAPACITY;

/// The longest payload that is received only to be dropped; a client that announces more is cut off.
const DROPPED_MAX: usize = 64 << 20;

/// How a session differs from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Whether the client gets a descriptor of the root (gVisor's `--directfs`). With a directory's it needs a jail of
    /// its own, which gVisor's sandbox has: nothing here stands between it and the host's files any more.
    pub donates_root: bool,
}

/// One client's side of a conversation: what it holds.
pub struct Session<B: Backend> {
    exports: Arc<Exports<B>>,
    export: u16,
    settings: Settings,
    /// Whether descriptors can go to the client.
    donates: bool,
    fds: Fds<B>,
    channels: Channels,
}

/// What a handler needs beside its request.
struct Cx<'b> {
    /// Empty; for what the reply borrows.
    scratch: &'b mut Vec<u8>,
    /// Whether the reply can have pages.
    takes_pages: bool,
}

/// A reply, and what goes with it.
struct Answer<R> {
    reply: R,
    extra: Extra,
    /// A channel that was made.
    channel: Option<Box<Channel>>,
}

impl<R> From<R> for Answer<R> {
    fn from(reply: R) -> Self {
        Self { reply, extra: Extra::None, channel: None }
    }
}

impl<R> Answer<R> {
    fn with(reply: R, extra: impl Into<Extra>) -> Self {
        Self { extra: extra.into(), ..reply.into() }
    }
}

/// A reply as it is sent, its head being elsewhere.
struct Encoded<'b> {
    payload: &'b [u8],
    extra: Extra,
    channel: Option<Box<Channel>>,
}

/// Where a reply goes.
#[derive(Clone, Copy)]
enum To {
    Socket,
    Channel,
}

impl To {
    /// Writes a message into `head`, except for its payload's end.
    fn encode<'b>(self, number: u16, message: &impl Wire<'b>, head: &mut Vec<u8>) -> &'b [u8] {
        match self {
            Self::Socket => frame(number, message, head),
            Self::Channel => datagram(number, message, head),
        }
    }

    fn head(self) -> usize {
        match self {
            Self::Socket => HEADER,
            Self::Channel => DATAGRAM,
        }
    }

    fn refuse(self, errno: Errno, head: &mut Vec<u8>) {
        self.encode(Failure::NUMBER, &Failure { errno: errno.on_wire() }, head);
    }
}

impl<B: Backend> Session<B> {
    /// A session by itself, without a server and a connection.
    pub fn alone(export: Export<B>, limits: &Limits, donates: bool, settings: Settings) -> Self {
        let exports = Arc::new(Exports::new(vec![export], limits.descriptors));
        Self::new(exports, 0, limits, donates, settings)
    }

    pub(crate) fn new(
        exports: Arc<Exports<B>>,
        export: u16,
        limits: &Limits,
        donates: bool,
        settings: Settings,
    ) -> Self {
        Self {
            fds: Fds::new(limits.fids, exports.descriptors()),
            channels: Channels::new(if donates { limits.channels } else { 0 }),
            exports,
            export,
            settings,
            donates,
        }
    }

    /// Answers one request, a complete frame, or the header alone of one that is too long.
    pub fn handle<'b>(&self, frame: &'b [u8], buffers: &'b mut Buffers) -> Outcome<'b> {
        let Some((header, payload)) = frame.split_first_chunk::<HEADER>() else {
            return Outcome::Violation("a frame shorter than its header");
        };
        let Header { length, number } = Header::decode(header);
        let Buffers { head, scratch, takes_pages } = buffers;
        scratch.clear();
        let answered = if length > PAYLOAD_MAX {
            Err(Errno::EIO)
        } else {
            let cx = Cx { scratch, takes_pages: *takes_pages };
            self.answer(number, payload, cx, To::Socket, head)
        };
        let Encoded { payload, extra, channel } = match answered {
            Ok(encoded) => encoded,
            Err(errno) if self.ends_with(errno) => return Outcome::Violation(WROTE),
            Err(errno) => {
                tracing::debug!(number, %errno, "refused");
                To::Socket.refuse(errno, head);
                Encoded { payload: &[], extra: Extra::None, channel: None }
            }
        };
        if let Extra::Pages(pages) = &extra {
            lengthen(head, pages.len());
        }
        Outcome::Reply { head, payload, extra, channel }
    }

    /// Decodes a request, does what it asks for and encodes the reply.
    fn answer<'b>(
        &self,
        number: u16,
        payload: &'b [u8],
        cx: Cx<'b>,
        to: To,
        head: &mut Vec<u8>,
    ) -> Result<Encoded<'b>> {
        if changes(number) && self.backend().is_read_only() {
            return Err(Errno::EROFS);
        }
        let request = Request::decode(number, payload).map_err(errno_of)?;
        let encoded = self.dispatch(request, cx, to, head)?;
        if head.len() - to.head() + encoded.payload.len() > PAYLOAD_MAX as usize {
            return Err(Errno::EIO);
        }
        Ok(encoded)
    }

    /// Whether a request that is answered so is the client's last.
    fn ends_with(&self, errno: Errno) -> bool {
        let ends = errno == Errno::EROFS && self.policy().strict;
        if ends {
            tracing::warn!("cut off: {WROTE}");
        }
        ends
    }

    fn backend(&self) -> &B {
        self.exports.backend(self.export)
    }

    fn policy(&self) -> &Policy {
        self.exports.policy(self.export)
    }

    /// Whether a place has lost its last name.
    fn is_removed(&self, place: &Place<B>) -> Result<bool> {
        Ok(self.backend().getattr(&place.node)?.is_removed())
    }
}

/// What to answer to bytes that are no request.
fn errno_of(error: DecodeError) -> Errno {
    match error {
        DecodeError::Unknown(Failure::NUMBER) => Errno::EINVAL,
        DecodeError::Unknown(_) => Errno::EOPNOTSUPP,
        other => other.errno(),
    }
}

/// Why a client of a strict export is cut off.
const WROTE: &str = "a client tries to change a read-only export";

/// One arm for each operation, so that none can be missing.
macro_rules! dispatch {
    ($self:ident $request:ident $cx:ident $to:ident $head:ident
     $($number:literal $effect:ident $variant:ident $name:ident: $t:ty => $r:ty;)*) => {
        match $request { $(Request::$variant(t) => {
            let answer: Answer<$r> = $self.$name(t, $cx)?.into();
            let payload = $to.encode($number, &answer.reply, $head);
            Encoded { payload, extra: answer.extra, channel: answer.channel }
        })* }
    };
}

impl<B: Backend> Session<B> {
    fn dispatch<'a>(
        &self,
        request: Request<'a>,
        cx: Cx<'a>,
        to: To,
        head: &mut Vec<u8>,
    ) -> Result<Encoded<'a>> {
        Ok(gofer_wire::lisafs_operations!(dispatch self request cx to head))
    }
}

impl<B: Backend> Framing for Session<B> {
    const HEADER: usize = HEADER;

    fn frame_len(&self, header: &[u8]) -> Option<usize> {
        let length = length_in(header)?;
        match length {
            0..=PAYLOAD_MAX => usize::try_from(length).ok().map(|length| HEADER + length),
            _ => (length as usize <= DROPPED_MAX).then_some(HEADER),
        }
    }

    fn dropped_len(&self, header: &[u8]) -> usize {
        let too_long = length_in(header).filter(|length| *length > PAYLOAD_MAX);
        too_long.map_or(0, |length| length as usize)
    }
}

/// How long the payload behind a header is.
fn length_in(header: &[u8]) -> Option<u32> {
    header.first_chunk().map(|header| Header::decode(header).length)
}

impl<B: Backend> Protocol for Session<B> {
    type Backend = B;
    const CAPACITY: usize = CAPACITY;
    const LEAST: usize = DATAGRAM;

    fn handle<'b>(&self, frame: &'b [u8], buffers: &'b mut Buffers, _: impl FnOnce()) -> Outcome<'b> {
        self.handle(frame, buffers)
    }

    fn refuse<'b>(_: &[u8], errno: Errno, buffers: &'b mut Buffers) -> Outcome<'b> {
        let head = &mut buffers.head;
        To::Socket.refuse(errno, head);
        Outcome::Reply { head, payload: &[], extra: Extra::None, channel: None }
    }

    fn retire(&self, _: &[u8]) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn handle_datagram<'b>(
        &self,
        datagram: &mut Datagram<'_>,
        frame: &'b mut Vec<u8>,
        buffers: &'b mut Buffers,
    ) -> Option<(&'b mut Vec<u8>, Payload<'b>)> {
        self.handle_datagram(datagram, frame, buffers)
    }

    fn refuse_datagram(errno: Errno, head: &mut Vec<u8>) {
        To::Channel.refuse(errno, head);
    }

    fn retire_channels(&self) {
        self.channels.retire();
    }
}
