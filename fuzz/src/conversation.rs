//! [`Conversation`]: a session that is asked, and whose every answer is checked.

use std::os::fd::OwnedFd;

use gofer_server::p9::Session;
use gofer_server::{Buffers, Export, Extra, HostSockets, Limits, Outcome, Policy};
use gofer_transport::flipcall::Channel;
use gofer_vfs::{Access, Backend, ReadOnly, XattrPolicy};
use gofer_wire::p9::{Dirents, HEADER, Header, MESSAGE_MAX, Reply, Request, Rlerror};

/// A session by itself, and what is known of it.
pub struct Conversation<B: Backend> {
    /// The session.
    pub session: Session<Access<B>>,
    buffers: Buffers,
    msize: usize,
}

/// What a request comes to.
#[derive(Debug)]
pub struct Answer {
    /// The whole frame.
    pub frame: Vec<u8>,
    /// What goes with it.
    pub descriptor: Option<OwnedFd>,
    /// A channel that was made.
    pub channel: Option<Box<Channel>>,
}

/// How a tree is served, in a byte.
#[derive(Clone, Copy, Debug)]
pub struct How(pub u8);

impl How {
    /// Everything is allowed, there is room for all of it, and descriptors travel.
    pub const OPEN: Self = Self(0b0001_1110);

    pub(crate) fn has(self, bit: u8) -> bool {
        self.0 & 1 << bit != 0
    }

    /// Whether nothing may change.
    pub fn is_read_only(self) -> bool {
        self.has(0)
    }

    pub(crate) fn policy(self) -> Policy {
        Policy {
            xattr: if self.has(1) { XattrPolicy::All } else { XattrPolicy::default() },
            sockets: if self.has(2) { HostSockets::All } else { HostSockets::None },
            fifos: self.has(3),
            devices: self.has(4),
            strict: self.has(5),
            ..Policy::default()
        }
    }

    pub(crate) fn limits(self) -> Limits {
        let limits = Limits { channels: 2, ..Limits::default() };
        if self.has(6) {
            return Limits { fids: 5, descriptors: 7, locks: 2, xattr_bytes: 40, ..limits };
        }
        limits
    }
}

impl<B: Backend> Conversation<B> {
    /// A session over a tree.
    pub fn new(tree: B, how: How) -> Self {
        let backend =
            if how.is_read_only() { Access::ReadOnly(ReadOnly(tree)) } else { Access::ReadWrite(tree) };
        let export = Export { name: None, backend, policy: how.policy() };
        let session = Session::alone(vec![export], &how.limits(), !how.has(7));
        Self { session, buffers: Buffers::default(), msize: MESSAGE_MAX as usize }
    }

    /// Asks. `None` when the connection is over.
    pub fn ask(&mut self, frame: &[u8]) -> Option<Answer> {
        let answer = match self.session.handle(frame, &mut self.buffers, || {}) {
            Outcome::Reply { head, payload, extra, channel } => {
                let descriptor = match extra {
                    Extra::None => None,
                    Extra::One(descriptor) => Some(descriptor),
                    Extra::Pages(_) | Extra::Kept(_) | Extra::Two(_) => panic!("more than a reply has"),
                };
                Answer { frame: [head, payload].concat(), descriptor, channel }
            }
            Outcome::Later => panic!("nothing is in flight that could be waited for"),
            Outcome::Violation(_) => return None,
        };
        assert!(self.session.retire(frame).is_empty(), "nobody waits");
        let asked = frame.first_chunk().map(Header::decode).expect("it was answered");
        let given = answer.frame.first_chunk().map(Header::decode).expect("a reply has a header");
        assert_eq!(given.tag, asked.tag);
        assert_eq!(given.size as usize, answer.frame.len());
        let reply = checked(given.number, &answer.frame[HEADER..], |reply, again| {
            let payload = reply.encode(given.tag, again);
            again.extend_from_slice(payload);
            again.drain(..HEADER);
        });
        fits(&Request::decode(asked.number, &frame[HEADER..]).ok(), &reply);
        if let Reply::Version(r) = reply {
            self.msize = r.msize as usize;
        }
        assert!(
            answer.frame.len() <= self.msize,
            "{} bytes in an msize of {}",
            answer.frame.len(),
            self.msize
        );
        Some(answer)
    }
}

/// A reply that is one to the byte.
pub fn checked<'a>(number: u8, body: &'a [u8], encode: impl FnOnce(&Reply<'a>, &mut Vec<u8>)) -> Reply<'a> {
    let reply = Reply::decode(number, body).expect("a reply can be decoded");
    let mut again = Vec::new();
    encode(&reply, &mut again);
    assert!(again == body, "bytes that belong to no field: {reply:?}");
    reply
}

/// Whether a reply is one that the request can have.
pub fn fits(request: &Option<Request<'_>>, reply: &Reply<'_>) {
    if let Reply::Lerror(Rlerror { ecode }) = reply {
        assert!(matches!(ecode, 1..=40 | 42..=57 | 59..=133), "an Rlerror with code {ecode}");
        return;
    }
    let request = request.as_ref().expect("what cannot be decoded is refused");
    assert_eq!(reply.number(), request.number() + 1, "{} to {}", reply.name(), request.name());
    match (request, reply) {
        (Request::Read(t), Reply::Read(r)) => assert!(r.data.0.len() <= t.count as usize),
        (Request::Readdir(t), Reply::Readdir(r)) => {
            assert!(r.data.0.len() <= t.count as usize);
            assert!(Dirents::new(r.data.0).all(|entry| entry.is_ok()));
        }
        (Request::Write(t), Reply::Write(r)) => assert!(r.count as usize <= t.data.0.len()),
        (Request::Walk(t), Reply::Walk(r)) => assert!(r.qids.len() <= t.names.len()),
        (Request::Walkgetattr(t), Reply::Walkgetattr(r)) => assert!(r.qids.len() <= t.names.len().max(1)),
        (Request::Multigetattr(t), Reply::Multigetattr(r)) => assert!(r.stats.len() <= t.names.len()),
        _ => {}
    }
}
