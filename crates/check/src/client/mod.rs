//! [`Client`]: a small blocking 9P client that believes nothing.

mod words;

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use gofer_transport::ClientStream;
use gofer_transport::flipcall::{Caller, Offer, Waiting};
use gofer_vfs::{Errno, PeerUid, Result};
use gofer_wire::p9::*;

pub use words::{DirEntry, name, text};

use crate::record::Record;
use crate::verdict::{note, skip_now};

/// The fid that [`Client::at`] and its like start from.
pub const ROOT: Fid = Fid(0);

/// How long a reply may take before the server counts as stuck.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// What changes files.
    pub changes: bool,
    /// Google's messages.
    pub google: bool,
    /// What only this server takes as it is meant. To others the same is said in their way.
    pub exact: bool,
}

/// Where the tree is at a server.
#[derive(Clone, Debug)]
pub enum Base {
    /// At this attach name; names behind it are attached too.
    Attached(String),
    /// A walk of these names from this attach name. The server attaches to nothing below.
    Walked(String, Vec<String>),
}

/// Messages that change files, or may.
const CHANGES: [u8; 23] =
    [14, 16, 18, 20, 26, 32, 36, 38, 52, 70, 72, 74, 76, 118, 122, 128, 130, 132, 134, 136, 138, 140, 144];

/// Google's messages.
const GOOGLE: [u8; 16] = [28, 34, 36, 38, 124, 126, 128, 130, 132, 134, 136, 138, 140, 142, 144, 250];

/// A reply that owns its bytes. It was checked when it came: well-formed, to the byte.
#[derive(Debug)]
pub struct Answer {
    frame: Vec<u8>,
    /// The descriptor that came with its first byte.
    pub descriptor: Option<OwnedFd>,
}

impl Answer {
    /// Checks a frame.
    fn new(frame: Vec<u8>, descriptor: Option<OwnedFd>) -> Self {
        let answer = Self { frame, descriptor };
        let mut again = Vec::new();
        let payload = answer.reply().encode(answer.tag(), &mut again);
        again.extend_from_slice(payload);
        assert!(again == answer.frame, "bytes that belong to no field in {:?}", answer.reply());
        if let Reply::Lerror(Rlerror { ecode }) = answer.reply() {
            assert!(matches!(ecode, 1..=40 | 42..=57 | 59..=133), "an Rlerror with code {ecode}");
        }
        answer
    }

    fn header(&self) -> Header {
        Header::decode(self.frame.first_chunk().expect("a frame has a header"))
    }

    /// The tag of the request that this answers.
    pub fn tag(&self) -> Tag {
        self.header().tag
    }

    /// The length of the whole frame in bytes.
    pub fn frame_len(&self) -> usize {
        self.frame.len()
    }

    /// What it says.
    pub fn reply(&self) -> Reply<'_> {
        match Reply::decode(self.header().number, &self.frame[HEADER..]) {
            Ok(reply) => reply,
            Err(error) => panic!("a reply that cannot be decoded: {error}: {:02x?}", self.frame),
        }
    }

    /// The errno, if it is an Rlerror.
    pub fn errno(&self) -> Option<Errno> {
        match self.reply() {
            Reply::Lerror(Rlerror { ecode }) => u16::try_from(ecode).ok().and_then(Errno::new),
            _ => None,
        }
    }

    /// The answer to a request with this number, if it succeeded.
    fn success(self, number: u8) -> Result<Self> {
        match self.errno() {
            Some(errno) => Err(errno),
            None if self.reply().number() == number + 1 => Ok(self),
            None => panic!("{} for request {number}", self.reply().name()),
        }
    }
}

/// A method for each kind of reply, named like its operation.
macro_rules! replies {
    ($($number:literal $variant:ident $name:ident: $t:ident $(<$tl:lifetime>)? => $r:ident $(<$rl:lifetime>)?;)*) => {
        #[expect(clippy::needless_lifetimes, reason = "some replies borrow and some do not")]
        impl Answer { $(
            #[doc = concat!("The ", stringify!($r), " that this is.")]
            ///
            /// # Panics
            /// When it is another.
            pub fn $name<'a>(&'a self) -> $r $(<$rl>)? {
                match self.reply() {
                    Reply::$variant(reply) => reply,
                    other => panic!(concat!("{} in place of ", stringify!($r)), other.name()),
                }
            }
        )* }
    };
}

gofer_wire::p9_operations!(replies);

/// What came until there was nothing more.
#[derive(Debug)]
pub enum Heard {
    /// These bytes, and the end of the connection.
    End(Vec<u8>),
    /// These bytes, and the connection goes on.
    Quiet(Vec<u8>),
}

/// How long nothing has to come for there to be nothing more.
const QUIET: Duration = Duration::from_millis(250);

/// One end of a connection.
///
/// Every method answers the errno of an Rlerror, or `ECONNRESET` when the connection is over. Every method
/// panics when the server breaks the protocol (a reply longer than the msize, of the wrong type, with bytes
/// too many, a number that is no errno) or is silent for a minute: this is a client for tests.
pub struct Client {
    stream: Box<dyn ClientStream>,
    msize: u32,
    tag: u16,
    fid: u32,
    /// Fids that stand for something, for servers to which none may be walked that does.
    used: BTreeSet<Fid>,
    record: Arc<Record>,
    manners: Manners,
    base: Base,
    top: String,
    user: PeerUid,
    patience: Duration,
    /// The start of a reply, and its descriptor.
    begun: (Vec<u8>, Option<OwnedFd>),
    /// What requests go through that wait for their reply, in place of the stream.
    channel: Option<Caller>,
}

impl Client {
    /// A client that has not said anything yet.
    pub fn new(stream: impl ClientStream) -> Self {
        stream.tell_quiet(Some(PATIENCE));
        Self {
            stream: Box::new(stream),
            msize: MESSAGE_MAX,
            tag: 0,
            fid: ROOT.0,
            used: BTreeSet::new(),
            record: Arc::default(),
            manners: Manners { changes: true, google: true, exact: true },
            base: Base::Attached(String::new()),
            top: String::new(),
            user: PeerUid::NONE,
            patience: PATIENCE,
            begun: (Vec::new(), None),
            channel: None,
        }
    }

    /// Both descriptors of a channel.
    ///
    /// # Errors
    /// That of the Rlerror; `EPROTO` where no descriptor comes.
    pub fn channel(&mut self, id: u32) -> Result<Offer> {
        let memory = self.call(Tchannel { id, control: 0 })?;
        let Rchannel { offset, length } = memory.channel();
        let side = self.call(Tchannel { id, control: 1 })?;
        assert_eq!(side.channel(), memory.channel(), "one channel is in one place");
        let descriptor = |answer: Answer| answer.descriptor.ok_or(Errno::EPROTO);
        Ok(Offer { file: descriptor(memory)?, offset, length, side: descriptor(side)? })
    }

    /// From now on requests that wait for their reply go through channel 0.
    ///
    /// # Errors
    /// As for [`channel`](Self::channel).
    pub fn use_channel(&mut self) -> Result<()> {
        let offer = self.channel(0)?;
        self.channel = Some(Caller::new(offer, Waiting::default())?);
        Ok(())
    }

    /// Writes what is asked and answered into `record`.
    #[must_use]
    pub fn recorded(self, record: &Arc<Record>) -> Self {
        Self { record: Arc::clone(record), ..self }
    }

    /// The same, which sends nothing else: a case that wants to ends there.
    #[must_use]
    pub fn with_manners(self, manners: Manners) -> Self {
        Self { manners, ..self }
    }

    /// The same, for a tree at this place in an export, as this user.
    #[must_use]
    pub fn based_at(self, base: Base, export: &str, user: PeerUid) -> Self {
        Self { base, top: export.to_owned(), user, ..self }
    }

    /// The same, for which the server is stuck after so long.
    #[must_use]
    pub fn patient_for(self, patience: Duration) -> Self {
        self.stream.tell_quiet(Some(patience));
        self.stream.tell_stuck(Some(patience));
        Self { patience, ..self }
    }

    /// Whether Google's messages may be sent.
    pub fn knows_google(&self) -> bool {
        self.manners.google
    }

    /// Whether what lies below an export can be attached.
    pub fn attaches_below(&self) -> bool {
        matches!(self.base, Base::Attached(_))
    }

    /// The largest message that was agreed on.
    pub fn msize(&self) -> u32 {
        self.msize
    }

    /// Whether messages of this number may be sent, whatever is in them.
    pub fn may(&self, number: u8) -> bool {
        (self.manners.changes || !CHANGES.contains(&number))
            && (self.manners.google || !GOOGLE.contains(&number))
    }

    /// Lets go of a fid that is to stand for something else. This server would do so by itself; 9P2000 has it that a
    /// new fid stands for nothing.
    fn make_free(&mut self, newfid: Fid, fid: Fid) {
        if newfid != fid && self.used.remove(&newfid) && !self.manners.exact {
            // Where it fails it is the next request that shows it.
            let _ = self.call(Tclunk { fid: newfid });
        }
    }

    /// Whether a message is one that may be sent.
    fn may_send(&self, number: u8, body: &[u8]) {
        if self.manners.changes && self.manners.google {
            return;
        }
        // An access mode beyond reading, truncation, creation.
        let opens =
            number == Tlopen::NUMBER && matches!(body, [_, _, _, _, a, b, ..] if a & 0x43 != 0 || b & 2 != 0);
        if !self.manners.changes && (opens || CHANGES.contains(&number)) {
            skip_now(format_args!("changes the tree (--rw): message {number}"));
        }
        if !self.manners.google && GOOGLE.contains(&number) {
            skip_now(format_args!(
                "message {number} is one of the Google extensions, which the server does not have"
            ));
        }
    }

    /// A fid that was not used before.
    pub fn fid(&mut self) -> Fid {
        self.fid += 1;
        Fid(self.fid)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn send_raw(&self, bytes: &[u8]) -> Result<()> {
        self.record.sent(bytes, &[]);
        self.stream.send(bytes, &[], &[])
    }

    /// Sends a frame with any number and body.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn send_frame(&self, number: u8, tag: Tag, body: &[u8]) -> Result<()> {
        self.may_send(number, body);
        let size = u32::try_from(HEADER + body.len()).expect("a body of less than 4 GiB");
        let mut frame = size.to_le_bytes().to_vec();
        frame.push(number);
        frame.extend_from_slice(&tag.0.to_le_bytes());
        frame.extend_from_slice(body);
        self.send_raw(&frame)
    }

    /// Sends a request, which stays in flight.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn send<'a>(&self, tag: Tag, request: impl Into<Request<'a>>) -> Result<()> {
        let mut head = Vec::new();
        let payload = request.into().encode(tag, &mut head);
        self.may_send(head[4], &head[HEADER..]);
        self.record.sent(&head, payload);
        self.stream.send(&head, payload, &[])
    }

    /// Sends requests in one piece; their tags are 1, 2 and so on.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn send_together(&self, requests: &[Request<'_>]) -> Result<()> {
        let (mut all, mut head) = (Vec::new(), Vec::new());
        for (tag, request) in (1..).zip(requests) {
            let payload = request.encode(Tag(tag), &mut head);
            self.may_send(request.number(), &head[HEADER..]);
            all.extend_from_slice(&head);
            all.extend_from_slice(payload);
        }
        self.send_raw(&all)
    }

    /// Waits until the server has begun to send a reply, and answers its tag.
    ///
    /// # Errors
    /// `ECONNRESET` when the connection is over.
    pub fn begin(&mut self) -> Result<Tag> {
        let (mut frame, mut descriptor) = std::mem::take(&mut self.begun);
        frame.reserve_exact(HEADER - frame.len());
        while frame.len() < HEADER {
            descriptor = self.receive(&mut frame, HEADER)?.or(descriptor);
        }
        let header = Header::decode(frame.first_chunk().expect("a whole header"));
        self.begun = (frame, descriptor);
        Ok(header.tag)
    }

    /// The next reply, whatever it answers.
    ///
    /// # Errors
    /// `ECONNRESET` when the connection is over.
    pub fn recv(&mut self) -> Result<Answer> {
        self.begin()?;
        let (mut frame, descriptor) = std::mem::take(&mut self.begun);
        let size = Header::decode(frame.first_chunk().expect("a whole header")).size;
        assert!((7..=self.msize).contains(&size), "a reply of {size} bytes with an msize of {}", self.msize);
        let size = usize::try_from(size).expect("at most an msize");
        frame.reserve_exact(size - HEADER);
        while frame.len() < size {
            let late = self.receive(&mut frame, size)?;
            assert!(late.is_none(), "a descriptor behind the first byte of its reply");
        }
        self.record.received(&frame);
        Ok(Answer::new(frame, descriptor))
    }

    /// Receives until `frame` has at most `len` bytes.
    fn receive(&self, frame: &mut Vec<u8>, len: usize) -> Result<Option<OwnedFd>> {
        match self.stream.recv_with_descriptors(frame, len - frame.len()) {
            Ok((0, _)) => Err(Errno::ECONNRESET),
            Ok((_, [descriptor, _])) => Ok(descriptor),
            Err(Errno::EAGAIN) => panic!("the server has been silent for {:?}", self.patience),
            Err(_) => Err(Errno::ECONNRESET),
        }
    }

    /// What comes until the connection ends, or nothing more comes.
    pub fn hear(&self) -> Heard {
        self.stream.tell_quiet(Some(QUIET));
        let mut bytes = Vec::new();
        loop {
            bytes.reserve(64 * 1024);
            match self.stream.recv(&mut bytes, 64 * 1024) {
                Ok(n) if n > 0 => {}
                Err(Errno::EAGAIN) => {
                    self.stream.tell_quiet(Some(self.patience));
                    return Heard::Quiet(bytes);
                }
                _ => return Heard::End(bytes),
            }
        }
    }

    /// The bytes that come until the connection ends.
    pub fn recv_to_end(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            bytes.reserve(64 * 1024);
            let len = bytes.len() + 64 * 1024;
            if self.receive(&mut bytes, len).is_err() {
                return bytes;
            }
        }
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// That of the Rlerror; `ECONNRESET` when the connection is over.
    pub fn call<'a>(&mut self, request: impl Into<Request<'a>>) -> Result<Answer> {
        let request = request.into();
        let mut head = Vec::new();
        let payload = request.encode(Tag(0), &mut head);
        let answer = self.exchange(request.number(), &head[HEADER..], payload)?;
        self.record.add(request.number(), answer.errno());
        self.whole(answer.success(request.number())?, &head[HEADER..])
    }

    /// As [`call`](Self::call), for any number and body.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_raw(&mut self, number: u8, body: &[u8]) -> Result<Answer> {
        let answer = self.exchange(number, body, &[])?.success(number)?;
        self.whole(answer, body)
    }

    /// An answer, unless it is that to a walk that did not come to its end. This server answers why; others may answer how
    /// far it came, as 9P2000 has it, and newfid is what it was.
    fn whole(&self, answer: Answer, body: &[u8]) -> Result<Answer> {
        let &[_, _, _, _, _, _, _, _, low, high, ..] = body else { return Ok(answer) };
        match answer.reply() {
            Reply::Walk(walk)
                if walk.qids.len() < usize::from(u16::from_le_bytes([low, high])) && !self.manners.exact =>
            {
                note("answers how far a walk came that fails behind its first name");
                Err(Errno::ENOENT)
            }
            _ => Ok(answer),
        }
    }

    /// Sends a body in two parts and waits for the reply, on the stream or the channel. What is about the
    /// connection goes on the stream.
    fn exchange(&mut self, number: u8, body: &[u8], payload: &[u8]) -> Result<Answer> {
        self.may_send(number, body);
        self.tag = (self.tag + 1) % 1000;
        let tag = Tag(self.tag);
        let answer = match &mut self.channel {
            Some(channel) if ![Tversion::NUMBER, Tchannel::NUMBER, Tflush::NUMBER].contains(&number) => {
                let size = u32::try_from(HEADER + body.len() + payload.len()).unwrap_or(u32::MAX);
                let header = [&size.to_le_bytes()[..], &[number], &tag.0.to_le_bytes(), body].concat();
                self.record.sent(&header, payload);
                let answer = call_channel(channel, tag, &[&[number, 0], body].concat(), payload)?;
                self.record.received(&answer.frame);
                answer
            }
            _ => {
                self.send_frame(number, tag, &[body, payload].concat()).map_err(|_| Errno::ECONNRESET)?;
                self.recv()?
            }
        };
        assert_eq!(answer.tag(), tag, "the tag of {}", answer.reply().name());
        assert!(answer.frame_len() <= self.msize as usize, "a reply of {} bytes", answer.frame_len());
        Ok(answer)
    }
}

/// Sends a request through a channel. The reply is brought into the form that it has on a stream.
fn call_channel(channel: &mut Caller, tag: Tag, head: &[u8], payload: &[u8]) -> Result<Answer> {
    let mut reply = channel.call(head, payload).map_err(|_| Errno::ECONNRESET)?;
    let mut datagram = Vec::new();
    reply.body().append_to(&mut datagram, usize::MAX);
    let (&[number, announced], body) = datagram.split_first_chunk::<DATAGRAM>().expect("a reply's head");
    let descriptor = reply.descriptor().expect("descriptors alone");
    assert_eq!(u8::from(descriptor.is_some()), announced, "what is announced is there");
    let size = u32::try_from(HEADER + body.len()).expect("at most a window");
    let frame = [&size.to_le_bytes()[..], &[number], &tag.0.to_le_bytes(), body].concat();
    Ok(Answer::new(frame, descriptor))
}
