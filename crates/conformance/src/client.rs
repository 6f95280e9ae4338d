//! [`Client`]: a small blocking 9P client that believes nothing.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use gofer_transport::ClientStream;
use gofer_transport::flipcall::{Caller, Offer, Waiting};
use gofer_vfs::{Errno, Name, PeerGid, PeerUid, Result};
use gofer_wire::p9::*;
use gofer_wire::{Data, ListBuf, Str};

use crate::record::Record;

/// The fid that [`Client::at`] and its like start from.
pub const ROOT: Fid = Fid(0);

/// How long a reply may take before the server counts as stuck.
pub const PATIENCE: Duration = Duration::from_secs(60);

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

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its identity.
    pub qid: Qid,
    /// Where to go on behind it.
    pub offset: u64,
    /// The type byte.
    pub kind: u8,
    /// Its name.
    pub name: Vec<u8>,
}

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
    record: Arc<Record>,
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
            record: Arc::default(),
            begun: (Vec::new(), None),
            channel: None,
        }
    }

    /// Both descriptors of a channel.
    ///
    /// # Errors
    /// That of the Rlerror.
    pub fn channel(&mut self, id: u32) -> Result<Offer> {
        let memory = self.call(Tchannel { id, control: 0 })?;
        let Rchannel { offset, length } = memory.channel();
        let side = self.call(Tchannel { id, control: 1 })?;
        assert_eq!(side.channel(), memory.channel(), "one channel is in one place");
        let descriptor = |answer: Answer| answer.descriptor.expect("a descriptor with an Rchannel");
        Ok(Offer { file: descriptor(memory), offset, length, side: descriptor(side) })
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
        self.record.sent([bytes, &[]]);
        self.stream.send(bytes, &[], None)
    }

    /// Sends a frame with any number and body.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn send_frame(&self, number: u8, tag: Tag, body: &[u8]) -> Result<()> {
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
        self.record.sent([&head, payload]);
        self.stream.send(&head, payload, None)
    }

    /// Sends requests in one piece; their tags are 1, 2 and so on.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn send_together(&self, requests: &[Request<'_>]) -> Result<()> {
        let (mut all, mut head) = (Vec::new(), Vec::new());
        for (tag, request) in (1..).zip(requests) {
            let payload = request.encode(Tag(tag), &mut head);
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
        Ok(Answer::new(frame, descriptor))
    }

    /// Receives until `frame` has at most `len` bytes.
    fn receive(&self, frame: &mut Vec<u8>, len: usize) -> Result<Option<OwnedFd>> {
        match self.stream.recv_with_descriptor(frame, len - frame.len()) {
            Ok((0, _)) => Err(Errno::ECONNRESET),
            Ok((_, descriptor)) => Ok(descriptor),
            Err(Errno::EAGAIN) => panic!("the server has been silent for {PATIENCE:?}"),
            Err(_) => Err(Errno::ECONNRESET),
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
        answer.success(request.number())
    }

    /// As [`call`](Self::call), for any number and body.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_raw(&mut self, number: u8, body: &[u8]) -> Result<Answer> {
        self.exchange(number, body, &[])?.success(number)
    }

    /// Sends a body in two parts and waits for the reply, on the stream or the channel. What is about the
    /// connection goes on the stream.
    fn exchange(&mut self, number: u8, body: &[u8], payload: &[u8]) -> Result<Answer> {
        self.tag = (self.tag + 1) % 1000;
        let tag = Tag(self.tag);
        let answer = match &mut self.channel {
            Some(channel) if ![Tversion::NUMBER, Tchannel::NUMBER, Tflush::NUMBER].contains(&number) => {
                call_channel(channel, tag, &[&[number, 0], body].concat(), payload)?
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

/// What is asked most, in a word. Errors are those of [`Client::call`].
#[expect(clippy::missing_errors_doc, reason = "said once for all")]
impl Client {
    /// Agrees on a version and an msize; answers both.
    pub fn version(&mut self, msize: u32, version: &str) -> Result<(u32, Vec<u8>)> {
        let answer = self.call(Tversion { msize, version: text(version) })?;
        let Rversion { msize, version } = answer.version();
        self.msize = msize;
        Ok((msize, version.as_bytes().to_vec()))
    }

    /// Makes `fid` the root of the export, or what is at `aname`.
    pub fn attach(&mut self, fid: Fid, aname: &str) -> Result<Qid> {
        let (uname, aname) = (text(""), text(aname));
        let attach = Tattach { fid, afid: Fid::NONE, uname, aname, n_uname: PeerUid::NONE };
        Ok(self.call(attach)?.attach().qid)
    }

    /// Goes down by any names from `fid` to `newfid`.
    pub fn walk(&mut self, fid: Fid, newfid: Fid, names: &[impl AsRef<[u8]>]) -> Result<Vec<Qid>> {
        let mut room = Vec::new();
        let mut list = ListBuf::new(&mut room);
        for name in names {
            list.push_str(Str::new(name.as_ref()).expect("at most 65,535 bytes"));
        }
        let names = list.finish();
        Ok(self.call(Twalk { fid, newfid, names })?.walk().qids.iter().collect())
    }

    /// A new fid for the file at `path`, which is relative to [`ROOT`].
    pub fn at(&mut self, path: &str) -> Result<Fid> {
        let newfid = self.fid();
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        self.walk(ROOT, newfid, &names).map(|_| newfid)
    }

    /// Opens a fid.
    pub fn open(&mut self, fid: Fid, flags: OpenBits) -> Result<Answer> {
        self.call(Tlopen { fid, flags })
    }

    /// A new fid, open, for the file at `path`.
    pub fn open_at(&mut self, path: &str, flags: OpenBits) -> Result<Fid> {
        let fid = self.at(path)?;
        self.open(fid, flags).map(|_| fid)
    }

    /// A new fid, open to read and write, for a new file with mode 0644 in [`ROOT`].
    pub fn create_at(&mut self, name: &str) -> Result<Fid> {
        let fid = self.at("")?;
        self.create(fid, name, OpenBits::RDWR, 0o644).map(|_| fid)
    }

    /// Makes a file in the directory `fid`, which then is the file.
    pub fn create(&mut self, fid: Fid, at: &str, flags: OpenBits, mode: u32) -> Result<Answer> {
        self.call(Tlcreate { fid, name: name(at), flags, mode, gid: PeerGid::NONE })
    }

    /// Makes a directory.
    pub fn mkdir(&mut self, dfid: Fid, at: &str) -> Result<Qid> {
        let mkdir = Tmkdir { dfid, name: name(at), mode: 0o755, gid: PeerGid::NONE };
        Ok(self.call(mkdir)?.mkdir().qid)
    }

    /// Makes a file of the kind in the type bits of `mode`.
    pub fn mknod(&mut self, dfid: Fid, at: &str, mode: u32) -> Result<Qid> {
        let mknod = Tmknod { dfid, name: name(at), mode, major: 0, minor: 0, gid: PeerGid::NONE };
        Ok(self.call(mknod)?.mknod().qid)
    }

    /// Makes a symbolic link.
    pub fn symlink(&mut self, dfid: Fid, at: &str, target: &str) -> Result<Qid> {
        let symlink = Tsymlink { dfid, name: name(at), target: text(target), gid: PeerGid::NONE };
        Ok(self.call(symlink)?.symlink().qid)
    }

    /// Where a symbolic link leads.
    pub fn readlink(&mut self, fid: Fid) -> Result<Vec<u8>> {
        Ok(self.call(Treadlink { fid })?.readlink().target.as_bytes().to_vec())
    }

    /// Gives a file another name.
    pub fn link(&mut self, fid: Fid, dfid: Fid, at: &str) -> Result<()> {
        self.call(Tlink { dfid, fid, name: name(at) }).map(drop)
    }

    /// Moves a name.
    pub fn rename(&mut self, olddirfid: Fid, old: &str, newdirfid: Fid, new: &str) -> Result<()> {
        self.call(Trenameat { olddirfid, oldname: name(old), newdirfid, newname: name(new) }).map(drop)
    }

    /// Removes the name of anything but a directory.
    pub fn unlink(&mut self, dfid: Fid, at: &str) -> Result<()> {
        self.call(Tunlinkat { dfid, name: name(at), flags: 0 }).map(drop)
    }

    /// Removes an empty directory.
    pub fn rmdir(&mut self, dfid: Fid, at: &str) -> Result<()> {
        self.call(Tunlinkat { dfid, name: name(at), flags: Tunlinkat::AT_REMOVEDIR }).map(drop)
    }

    /// Removes the file that a fid stands for, and the fid.
    pub fn remove(&mut self, fid: Fid) -> Result<()> {
        self.call(Tremove { fid }).map(drop)
    }

    /// Lets go of a fid.
    pub fn clunk(&mut self, fid: Fid) -> Result<()> {
        self.call(Tclunk { fid }).map(drop)
    }

    /// The attributes of a file.
    pub fn getattr(&mut self, fid: Fid) -> Result<Rgetattr> {
        Ok(self.call(Tgetattr { fid, mask: GetattrMask::ALL })?.getattr())
    }

    /// Changes attributes.
    pub fn setattr(&mut self, fid: Fid, setattr: SetattrBody) -> Result<()> {
        self.call(Tsetattr { fid, setattr }).map(drop)
    }

    /// At most `count` bytes of an open file.
    pub fn read(&mut self, fid: Fid, offset: u64, count: u32) -> Result<Vec<u8>> {
        Ok(self.call(Tread { fid, offset, count })?.read().data.0.to_vec())
    }

    /// Writes to an open file; answers how many bytes.
    pub fn write(&mut self, fid: Fid, offset: u64, data: &[u8]) -> Result<u32> {
        Ok(self.call(Twrite { fid, offset, data: Data(data) })?.write().count)
    }

    /// Entries of an open directory from `offset` on, as many as `count` bytes hold.
    pub fn readdir(&mut self, fid: Fid, offset: u64, count: u32) -> Result<Vec<DirEntry>> {
        let answer = self.call(Treaddir { fid, offset, count })?;
        let data = answer.readdir().data.0;
        assert!(data.len() <= count as usize, "{} bytes of entries where {count} were asked for", data.len());
        let entry = |entry: std::result::Result<Dirent<'_>, _>| {
            let Dirent { qid, offset, kind, name } = entry.expect("whole entries only");
            DirEntry { qid, offset, kind, name: name.as_bytes().to_vec() }
        };
        Ok(Dirents::new(data).map(entry).collect())
    }

    /// All entries of an open directory.
    pub fn list(&mut self, fid: Fid) -> Result<Vec<DirEntry>> {
        let mut all: Vec<DirEntry> = Vec::new();
        loop {
            let more = self.readdir(fid, all.last().map_or(0, |last| last.offset), 65_536)?;
            if more.is_empty() {
                return Ok(all);
            }
            all.extend(more);
        }
    }

    /// The names in the directory at `path`, sorted, without `.` and `..`.
    pub fn names(&mut self, path: &str) -> Result<Vec<String>> {
        let fid = self.open_at(path, OpenBits::RDONLY)?;
        let listed = self.list(fid)?.into_iter().map(|entry| entry.name);
        let mut names: Vec<String> = listed
            .filter(|name| name != b"." && name != b"..")
            .map(|name| String::from_utf8_lossy(&name).into_owned())
            .collect();
        names.sort();
        self.clunk(fid).map(|()| names)
    }

    /// The content of the file at `path`, at most a message's worth.
    pub fn content(&mut self, path: &str) -> Result<Vec<u8>> {
        let fid = self.open_at(path, OpenBits::RDONLY)?;
        let content = self.read(fid, 0, MESSAGE_MAX)?;
        self.clunk(fid).map(|()| content)
    }
}

/// A test's own name for something.
///
/// # Panics
/// When it is none.
pub fn name(text: &str) -> Name<'_> {
    Name::new(text.as_bytes()).expect("a name")
}

/// A test's own string.
///
/// # Panics
/// When it is too long for the wire.
pub fn text(text: &str) -> Str<'_> {
    Str::new(text.as_bytes()).expect("at most 65,535 bytes")
}
