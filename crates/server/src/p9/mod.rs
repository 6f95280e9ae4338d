//! 9P sessions: [`Session::handle`] takes a request's frame and gives a reply's.
//!
//! One file per family of operations; each handler takes a request and answers a reply or an errno, and
//! never sends anything itself.

mod attr;
mod channels;
mod dir;
mod entry;
mod fids;
mod io;
mod lock;
mod open;
mod qid;
mod session;
mod socket;
mod tags;
mod walk;
mod xattr;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use gofer_transport::Framing;
use gofer_transport::flipcall::{Channel, Payload, Request as Datagram};
use gofer_vfs::{Backend, Errno, FileKind, Result};
// The table of operations names every message.
use gofer_wire::p9::*;

use crate::Limits;
use crate::export::{Export, Exports, Policy};
use crate::protocol::{Buffers, Extra, Outcome, Protocol};
use crate::quota::Quota;
use channels::Channels;
use fids::{Fids, Place};
use tags::{Flush, Tags};

pub use channels::CAPACITY;
pub(crate) use qid::Qids;

/// One client's side of a conversation: what was negotiated, what it holds, what is in flight.
///
/// Locks, in the order in which they may be taken: `negotiated`; then those of an open file's locks and of an
/// extended attribute's bytes, which are held while the host is asked to set them; then, one at a time and
/// never across a system call, those of the fid table and the tags.
pub struct Session<B: Backend> {
    exports: Arc<Exports<B>>,
    /// Whether descriptors can go to the client.
    donates: bool,
    /// Held shared by every request while it is handled, and exclusively by Tversion, which thereby waits
    /// for all others.
    negotiated: RwLock<Negotiated>,
    /// The longest frame the client may send, for whoever receives the next one.
    frame_max: AtomicUsize,
    fids: Fids<B>,
    xattr_bytes: Quota,
    locks: Quota,
    tags: Tags,
    channels: Channels,
    /// An export was attached whose clients are cut off when they try to change what is read-only.
    strict: AtomicBool,
}

/// What the client and the server agreed on.
#[derive(Clone, Copy, Debug)]
struct Negotiated {
    version: Version,
    /// The client named Google's extensions, if only by number 0, which has the meanings of the base protocol: it
    /// knows what to do with descriptors and channels.
    extended: bool,
    msize: u32,
}

impl Negotiated {
    /// Before the first Tversion.
    const FIRST: Self = Self { version: Version::BASE, extended: false, msize: MESSAGE_MAX };
}

/// What a handler needs beside its request.
struct Cx<'b> {
    version: Version,
    extended: bool,
    msize: u32,
    /// Whether the reply can have them.
    takes_pages: bool,
    /// Empty; for what the reply borrows.
    scratch: &'b mut Vec<u8>,
}

impl<'b> Cx<'b> {
    fn new(negotiated: Negotiated, scratch: &'b mut Vec<u8>, takes_pages: bool) -> Self {
        let Negotiated { version, extended, msize } = negotiated;
        Self { version, extended, msize, takes_pages, scratch }
    }

    /// The most bytes that a reply whose body is a count and data can carry.
    fn payload_max(&self, count: u32) -> usize {
        const OVERHEAD: usize = HEADER + 4;
        (count as usize).min(self.msize as usize - OVERHEAD)
    }
}

/// A reply, and what goes with it.
struct Answer<'b> {
    reply: Reply<'b>,
    extra: Extra,
    /// A channel that was made.
    channel: Option<Box<Channel>>,
}

impl<'b, R: Into<Reply<'b>>> From<R> for Answer<'b> {
    fn from(reply: R) -> Self {
        Self { reply: reply.into(), extra: Extra::None, channel: None }
    }
}

impl<B: Backend> Session<B> {
    /// A session by itself, without a server and a connection.
    pub fn alone(exports: Vec<Export<B>>, limits: &Limits, donates: bool) -> Self {
        Self::new(Arc::new(Exports::new(exports, limits.descriptors)), limits, donates)
    }

    pub(crate) fn new(exports: Arc<Exports<B>>, limits: &Limits, donates: bool) -> Self {
        Self {
            donates,
            negotiated: RwLock::new(Negotiated::FIRST),
            frame_max: AtomicUsize::new(MESSAGE_MAX as usize),
            fids: Fids::new(limits.fids, exports.descriptors()),
            exports,
            xattr_bytes: Quota::new(limits.xattr_bytes),
            locks: Quota::new(limits.locks),
            tags: Tags::default(),
            channels: Channels::new(limits.channels),
            strict: AtomicBool::new(false),
        }
    }

    /// Answers one request, a complete frame. Requests may be answered by many threads at once.
    ///
    /// `waits` is called before a request that the host may keep waiting is handled, so that another thread
    /// can see to the next one.
    pub fn handle<'b>(&self, frame: &'b [u8], buffers: &'b mut Buffers, waits: impl FnOnce()) -> Outcome<'b> {
        let Some((header, body)) = frame.split_first_chunk::<HEADER>() else {
            return Outcome::Violation(SHORT);
        };
        let Header { number, tag, .. } = Header::decode(header);
        if !self.tags.claim(tag) {
            return Outcome::Violation("a tag that is in flight already");
        }
        let request = match Request::decode(number, body) {
            Ok(request) => request,
            Err(error) => {
                tracing::debug!(number, tag = tag.0, %error, "cannot decode a request");
                return Self::refuse(tag, error.errno(), buffers);
            }
        };
        if may_wait(&request) {
            waits();
        }
        let Buffers { head, scratch, takes_pages } = buffers;
        scratch.clear();
        if let Request::Flush(t) = request {
            match self.tags.flush(t.oldtag, tag) {
                Flush::Waits => return Outcome::Later,
                Flush::TooMany => return self.end(tag, "more flushes than can wait for one request"),
                Flush::Now => {}
            }
        }
        let name = request.name();
        if matches!(request, Request::Version(_)) {
            // Their replies belong to what was agreed on before.
            self.tags.wait_for_earlier(tag);
        }
        // Tversion takes it itself, exclusively.
        let shared = (!matches!(request, Request::Version(_))).then(|| self.negotiated());
        let negotiated = shared.as_deref().copied().unwrap_or(Negotiated::FIRST);
        let answer = self.dispatch(request, Cx::new(negotiated, scratch, *takes_pages));
        let failed = |errno: Errno, head| {
            tracing::debug!(request = name, tag = tag.0, %errno, "refused");
            Outcome::error(tag, errno, head)
        };
        match answer {
            Ok(Answer { reply, extra, channel }) => {
                let payload = reply.encode(tag, head);
                if head.len() + payload.len() > negotiated.msize as usize {
                    return failed(Errno::ERANGE, head);
                }
                if let Extra::Pages(pages) = &extra {
                    lengthen(head, pages.len());
                }
                Outcome::Reply { head, payload, extra, channel }
            }
            Err(errno) if self.ends_with(errno) => self.end(tag, WROTE),
            Err(errno) => failed(errno, head),
        }
    }

    /// The end of the connection in place of an answer. The request is not in flight any more: nobody is to wait for
    /// it.
    fn end<'b>(&self, tag: Tag, why: &'static str) -> Outcome<'b> {
        drop(self.tags.retire(tag));
        Outcome::Violation(why)
    }

    /// The answer to a request that could not be handled.
    fn refuse<'b>(tag: Tag, errno: Errno, buffers: &'b mut Buffers) -> Outcome<'b> {
        Outcome::error(tag, errno, &mut buffers.head)
    }

    /// Frees the tag of a request whose reply is about to be sent. Nothing else may be sent between this and
    /// the reply; after it the flushes that are returned are to be answered, in their order.
    pub fn retire(&self, frame: &[u8]) -> Vec<Tag> {
        tag_of(frame).map_or_else(Vec::new, |tag| self.tags.retire(tag))
    }

    /// Whether a request that is answered so is the client's last.
    fn ends_with(&self, errno: Errno) -> bool {
        let ends = errno == Errno::EROFS && self.strict.load(Ordering::Relaxed);
        if ends {
            tracing::warn!("cut off: {WROTE}");
        }
        ends
    }

    /// What was agreed on, which does not change as long as this is held.
    fn negotiated(&self) -> RwLockReadGuard<'_, Negotiated> {
        self.negotiated.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn backend(&self, place: &Place<B>) -> &B {
        self.exports.backend(place.export)
    }

    fn policy(&self, place: &Place<B>) -> &Policy {
        self.exports.policy(place.export)
    }

    /// A directory in which something is to be made, removed or renamed.
    ///
    /// # Errors
    /// `EBADF`, and `EINVAL` for what is no directory or, on a Google session, is open.
    fn dir(&self, fid: Fid, version: Version) -> Result<fids::Fid<B>> {
        let dir = self.fids.get(fid)?;
        dir.check_dir(version)?;
        Ok(dir)
    }

    /// The qid of a place.
    fn qid(&self, place: &Place<B>) -> Result<Qid> {
        self.exports.qid(place.export, self.backend(place).id(&place.node), place.kind)
    }

    /// The qid of the directory that a place was found in; a root's own.
    fn above(&self, place: &Place<B>) -> Result<Qid> {
        let backend = self.backend(place);
        match backend.found_at(&place.node).filter(|_| !place.is_root) {
            Some((dir, _)) => self.exports.qid(place.export, backend.id(&dir), FileKind::Directory),
            None => self.qid(place),
        }
    }

    /// Whether a place has lost its last name.
    fn is_removed(&self, place: &Place<B>) -> Result<bool> {
        Ok(self.backend(place).getattr(&place.node)?.is_removed())
    }

    /// The errno of an operation in a directory. In one that was removed the host finds nothing (`ENOENT`);
    /// Google's clients are told that the fid is of no use (`EINVAL`).
    fn in_dir<T>(&self, dir: &Place<B>, version: Version, result: Result<T>) -> Result<T> {
        match result {
            Err(Errno::ENOENT) if version.is_google() && self.is_removed(dir)? => Err(Errno::EINVAL),
            other => other,
        }
    }
}

impl<'b> Outcome<'b> {
    fn error(tag: Tag, errno: Errno, head: &'b mut Vec<u8>) -> Self {
        Reply::from(Rlerror { ecode: errno.on_wire() }).encode(tag, head);
        Self::Reply { head, payload: &[], extra: Extra::None, channel: None }
    }
}

/// The tag in a frame.
fn tag_of(frame: &[u8]) -> Option<Tag> {
    frame.first_chunk().map(|header| Header::decode(header).tag)
}

/// The complete reply to a flush.
fn rflush(tag: Tag) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER);
    Reply::from(Rflush).encode(tag, &mut frame);
    frame
}

/// Why a client whose frame has no whole header is cut off.
const SHORT: &str = "a frame shorter than its header";

/// Why a client of a strict export is cut off. It has passed over a mount that forbids it.
const WROTE: &str = "a client tries to change a read-only export";

/// Whether a request is of the kind that the host may keep waiting: what goes to disk, and what is large.
fn may_wait(request: &Request<'_>) -> bool {
    const LARGE: usize = 256 * 1024;
    match request {
        Request::Fsync(_) | Request::Allocate(_) | Request::Flushf(_) | Request::Lconnect(_) => true,
        Request::Read(t) => t.count as usize > LARGE,
        // An entry takes the host longer than its bytes.
        Request::Readdir(t) => t.count as usize > LARGE,
        Request::Write(t) => t.data.0.len() > LARGE,
        Request::Setattr(t) => t.setattr.valid.contains(SetattrMask::SIZE),
        Request::Setattrclunk(t) => t.setattr.valid.contains(SetattrMask::SIZE),
        Request::Lopen(t) => t.flags.contains(OpenBits::TRUNC),
        Request::Lcreate(t) => t.flags.contains(OpenBits::TRUNC),
        Request::Ucreate(t) => t.flags.contains(OpenBits::TRUNC),
        _ => false,
    }
}

/// One arm for each operation, so that none can be missing.
macro_rules! dispatch {
    ($self:ident $request:ident $cx:ident
     $($number:literal $variant:ident $name:ident: $t:ty => $r:ty;)*) => {
        match $request { $(Request::$variant(t) => $self.$name(t, $cx).map(Answer::from),)* }
    };
}

impl<B: Backend> Session<B> {
    fn dispatch<'b>(&self, request: Request<'b>, cx: Cx<'b>) -> Result<Answer<'b>> {
        gofer_wire::p9_operations!(dispatch self request cx)
    }
}

impl<B: Backend> Protocol for Session<B> {
    type Backend = B;
    const CAPACITY: usize = CAPACITY;
    const LEAST: usize = 1;

    fn handle<'b>(&self, frame: &'b [u8], buffers: &'b mut Buffers, waits: impl FnOnce()) -> Outcome<'b> {
        self.handle(frame, buffers, waits)
    }

    fn refuse<'b>(frame: &[u8], errno: Errno, buffers: &'b mut Buffers) -> Outcome<'b> {
        match tag_of(frame) {
            Some(tag) => Self::refuse(tag, errno, buffers),
            None => Outcome::Violation(SHORT),
        }
    }

    fn retire(&self, frame: &[u8]) -> Vec<Vec<u8>> {
        self.retire(frame).into_iter().map(rflush).collect()
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
        channels::refuse(errno, head);
    }

    fn retire_channels(&self) {
        self.channels.retire();
    }
}

impl<B: Backend> Framing for Session<B> {
    const HEADER: usize = HEADER;

    fn frame_len(&self, header: &[u8]) -> Option<usize> {
        let size = Header::decode(header.first_chunk()?).size as usize;
        (size <= self.frame_max.load(Ordering::Relaxed)).then_some(size)
    }
}
