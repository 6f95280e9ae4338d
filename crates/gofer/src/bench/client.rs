//! A 9P client whose own cost is small: one connection, requests that are sent together, memory used again.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use gofer_sys::net;
use gofer_transport::flipcall::{Caller, Offer, Waiting};
use gofer_transport::{Address, Socket, Stream};
use gofer_vfs::{Errno, PeerUid, Source};
use gofer_wire::p9::*;
use gofer_wire::{List, Reader, Str, Wire};

use crate::report;

/// How long a server may leave a request unanswered, or its input untaken.
const PATIENCE: Duration = Duration::from_secs(10);

/// The fid of the root.
pub(crate) const ROOT: Fid = Fid(0);

/// Why something could not be measured.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The server refused a request: it does not have the operation, or not for this user.
    Refused(&'static str, Errno),
    /// The connection is of no more use.
    Lost(String),
}

impl Failed {
    fn lost(doing: &str, errno: Errno) -> Self {
        let why = if errno == Errno::EAGAIN { Errno::ETIMEDOUT } else { errno };
        Self::Lost(format!("{doing}: {why}"))
    }

    fn protocol(what: &str) -> Self {
        Self::Lost(format!("it does not keep to the protocol: {what}"))
    }

    /// The reply is another than the request asks for.
    pub(super) fn wrong(request: &Request<'_>) -> Self {
        Self::protocol(&format!("not the reply to {}", request.name()))
    }
}

/// A connection, what is to be sent on it, and what was received.
pub(crate) struct Client {
    /// A socket. What is sent is one piece, for which `write(2)` takes less time than `sendmsg(2)`.
    socket: File,
    out: Vec<u8>,
    head: Vec<u8>,
    input: Vec<u8>,
    /// Bytes of `input` that were taken.
    taken: usize,
    /// The last frame that was taken, in `input`.
    frame: std::ops::Range<usize>,
    msize: u32,
    /// Where requests go in place of the socket, one at a time.
    channel: Option<Caller>,
}

impl Client {
    /// Connects and agrees on a version.
    pub(super) fn connect(address: &Address, version: Version) -> Result<Self, Failed> {
        let socket = match address {
            Address::Unix(path) => net::connect_unix(path),
            Address::Tcp(address) => net::connect_tcp(address),
            Address::Vsock(_) | Address::Inherited(_) => Err(Errno::EOPNOTSUPP),
        };
        let socket =
            socket.and_then(Socket::from_fd).map_err(|errno| Failed::lost("cannot connect", errno))?;
        net::set_send_timeout(socket.as_fd(), Some(PATIENCE));
        socket.tell_quiet(Some(PATIENCE));
        let mut client = Self::over(socket);
        let offered = version.to_string();
        let name = Str::new(offered.as_bytes()).unwrap_or_default();
        let Reply::Version(agreed) =
            client.call(Tversion { msize: MESSAGE_MAX, version: name }.into(), Tag::NONE)?
        else {
            return Err(Failed::protocol("not the reply to Tversion"));
        };
        let (msize, agreed) = (agreed.msize, Version::parse(agreed.version.as_bytes()));
        if agreed != Some(version) {
            return Err(Failed::Refused("Tversion", Errno::EPROTONOSUPPORT));
        }
        if !(MSIZE_MIN..=MESSAGE_MAX).contains(&msize) {
            return Err(Failed::protocol("its msize is out of range"));
        }
        client.msize = msize;
        Ok(client)
    }

    /// Connects and attaches [`ROOT`].
    pub(super) fn attach(address: &Address, aname: &str, version: Version) -> Result<Self, Failed> {
        let mut client = Self::connect(address, version)?;
        let aname = Str::new(aname.as_bytes()).unwrap_or_default();
        let n_uname = PeerUid(gofer_sys::process::user().0.0);
        let uname = Str::default();
        client.ask(Tattach { fid: ROOT, afid: Fid::NONE, uname, aname, n_uname }.into())?;
        Ok(client)
    }

    /// A client on a connected socket, with the largest msize.
    pub(super) fn over(socket: Socket) -> Self {
        /// Room for the largest reply behind the rest of another.
        const INPUT: usize = 2 * MESSAGE_MAX as usize;
        Self {
            socket: File::from(OwnedFd::from(socket)),
            out: Vec::new(),
            head: Vec::new(),
            input: Vec::with_capacity(INPUT),
            taken: 0,
            frame: 0..0,
            msize: MESSAGE_MAX,
            channel: None,
        }
    }

    /// Goes on through shared memory.
    pub(super) fn use_channel(&mut self) -> Result<(), Failed> {
        let (memory, file) = self.ask_for_descriptor(Tchannel { id: 0, control: 0 }.into())?;
        let (_, side) = self.ask_for_descriptor(Tchannel { id: 0, control: 1 }.into())?;
        let Reply::Channel(Rchannel { offset, length }) = memory else {
            return Err(Failed::protocol("no Rchannel"));
        };
        let offer = Offer { file, offset, length, side };
        let caller = Caller::new(offer, Waiting::default());
        self.channel = Some(caller.map_err(|errno| Failed::lost("its channel is of no use", errno))?);
        Ok(())
    }

    /// Goes on through this channel.
    pub(super) fn through(self, channel: Caller) -> Self {
        Self { channel: Some(channel), ..self }
    }

    /// The most bytes that a read or write can carry.
    pub(super) fn payload_max(&self) -> u32 {
        /// What the kernel's client leaves for the rest of a message.
        const OVERHEAD: u32 = 24;
        self.msize - OVERHEAD
    }

    /// The process at the other end of a unix socket.
    pub(super) fn peer(&self) -> Option<u32> {
        net::peer_process(self.socket.as_fd()).ok()
    }

    /// Adds a request to those that are to be sent.
    pub(super) fn queue(&mut self, tag: Tag, request: &Request<'_>) {
        let payload = request.encode(tag, &mut self.head);
        self.out.extend_from_slice(&self.head);
        self.out.extend_from_slice(payload);
    }

    /// Sends what was queued: through a channel one request, whose reply is there afterwards.
    pub(super) fn send(&mut self) -> Result<(), Failed> {
        if self.channel.is_some() {
            return self.call_channel();
        }
        if !self.out.is_empty() {
            let sent = self.socket.write_all(&self.out);
            sent.map_err(|error| Failed::lost("it does not take a request", report::errno(&error)))?;
            self.out.clear();
        }
        Ok(())
    }

    /// The reply gets the header that it has on a socket.
    fn call_channel(&mut self) -> Result<(), Failed> {
        self.make_room();
        let Self { channel: Some(channel), out, input, .. } = self else { return Ok(()) };
        let Some((header, body)) = out.split_first_chunk::<HEADER>() else { return Ok(()) };
        let Header { number, tag, .. } = Header::decode(header);
        let called = channel.call(&[number, 0], body);
        let mut reply = called.map_err(|end| Failed::Lost(format!("its channel ended: {end}")))?;
        let mut start = [0; DATAGRAM];
        reply.body().take(&mut start);
        let size = u32::try_from(HEADER + reply.body().left()).unwrap_or(u32::MAX);
        input.extend_from_slice(&size.to_le_bytes());
        input.push(start[0]);
        input.extend_from_slice(&tag.0.to_le_bytes());
        reply.body().append_to(input, usize::MAX);
        if start[1] != 0 {
            reply.descriptor().map_err(|errno| Failed::lost("no descriptor came", errno))?;
        }
        out.clear();
        Ok(())
    }

    /// The size of the next frame, once all of it is there.
    fn ready(&self) -> Result<Option<usize>, Failed> {
        let have = &self.input[self.taken..];
        let Some(header) = have.first_chunk() else { return Ok(None) };
        let size = Header::decode(header).size;
        if size > self.msize || (size as usize) < HEADER {
            return Err(Failed::protocol("a reply of an impossible size"));
        }
        Ok(Some(size as usize).filter(|size| have.len() >= *size))
    }

    /// Whether [`receive`](Self::receive) has a reply without waiting.
    pub(super) fn has_reply(&self) -> bool {
        matches!(self.ready(), Ok(Some(_)))
    }

    /// Waits for the next reply.
    pub(super) fn receive(&mut self) -> Result<(Tag, Reply<'_>), Failed> {
        let size = loop {
            if let Some(size) = self.ready()? {
                break size;
            }
            self.make_room();
            match net::recv(self.socket.as_fd(), &mut self.input, usize::MAX) {
                Ok(0) => return Err(Failed::Lost("it closed the connection".to_owned())),
                Ok(_) => {}
                Err(errno) => return Err(Failed::lost("it does not answer", errno)),
            }
        };
        self.frame = self.taken..self.taken + size;
        self.taken += size;
        self.last()
    }

    /// Moves what was not taken to the front, when there may be no room for the rest of it.
    fn make_room(&mut self) {
        if self.taken == self.input.len() {
            self.input.clear();
            self.taken = 0;
        } else if self.input.capacity() - self.taken < MESSAGE_MAX as usize {
            self.input.drain(..self.taken);
            self.taken = 0;
        }
    }

    fn last(&self) -> Result<(Tag, Reply<'_>), Failed> {
        let (header, body) = self.input[self.frame.clone()]
            .split_first_chunk()
            .ok_or_else(|| Failed::protocol("no header"))?;
        let Header { number, tag, .. } = Header::decode(header);
        let reply = Reply::decode(number, body).map_err(|error| Failed::protocol(&error.to_string()))?;
        Ok((tag, reply))
    }

    /// The bytes of the reply that was received last.
    pub(crate) fn frame(&self) -> &[u8] {
        &self.input[self.frame.clone()]
    }

    /// Asks one thing and waits for the answer.
    pub(crate) fn ask(&mut self, request: Request<'_>) -> Result<Reply<'_>, Failed> {
        self.call(request, Tag(0))
    }

    fn call(&mut self, request: Request<'_>, tag: Tag) -> Result<Reply<'_>, Failed> {
        self.queue(tag, &request);
        self.send()?;
        let (_, reply) = self.receive()?;
        check(&request, reply)
    }

    /// Sends bytes as they are, and waits for the next reply, whatever it answers.
    pub(crate) fn ask_raw(&mut self, frame: &[u8]) -> Result<Reply<'_>, Failed> {
        self.out.extend_from_slice(frame);
        self.send()?;
        let (_, reply) = self.receive()?;
        if let Reply::Lerror(error) = reply { Err(refused("a frame", error)) } else { Ok(reply) }
    }

    /// Opens a fid on a Google session, and waits for the descriptor that comes with the answer.
    pub(crate) fn open_for_descriptor(&mut self, fid: Fid) -> Result<OwnedFd, Failed> {
        let request = Tlopen { fid, flags: OpenBits::RDONLY };
        self.ask_for_descriptor(request.into()).map(|(_, descriptor)| descriptor)
    }

    /// As [`ask`](Self::ask), where a descriptor comes with the answer.
    fn ask_for_descriptor(&mut self, request: Request<'_>) -> Result<(Reply<'static>, OwnedFd), Failed> {
        self.queue(Tag(0), &request);
        self.send()?;
        self.make_room();
        let (n, [descriptor, _]) =
            net::recv_with_descriptors(self.socket.as_fd(), &mut self.input, MSIZE_MIN as usize)
                .map_err(|errno| Failed::lost("it does not answer", errno))?;
        if n == 0 {
            return Err(Failed::Lost("it closed the connection".to_owned()));
        }
        let (_, reply) = self.receive()?;
        let reply = match check(&request, reply)? {
            Reply::Lopen(reply) => Reply::Lopen(reply),
            Reply::Channel(reply) => Reply::Channel(reply),
            _ => return Err(Failed::wrong(&request)),
        };
        let missing = || Failed::Refused("a descriptor", Errno::EOPNOTSUPP);
        Ok((reply, descriptor.ok_or_else(missing)?))
    }

    /// Walks down from a fid to a new one.
    pub(crate) fn walk(&mut self, fid: Fid, newfid: Fid, names: &Names) -> Result<(), Failed> {
        match self.ask(Twalk { fid, newfid, names: names.list() }.into())? {
            Reply::Walk(walked) if walked.qids.len() == names.list().len() => Ok(()),
            // The walk ended early: there is no such name.
            _ => Err(Failed::Refused("Twalk", Errno::ENOENT)),
        }
    }
}

/// The reply, unless it is an error or one to something else.
pub(super) fn check<'a>(request: &Request<'_>, reply: Reply<'a>) -> Result<Reply<'a>, Failed> {
    match reply {
        Reply::Lerror(error) => Err(refused(request.name(), error)),
        reply if reply.number() == request.number() + 1 => Ok(reply),
        _ => Err(Failed::wrong(request)),
    }
}

fn refused(what: &'static str, Rlerror { ecode }: Rlerror) -> Failed {
    Failed::Refused(what, i32::try_from(ecode).map_or(Errno::EIO, Errno::from_host))
}

/// The names of a walk, encoded once.
#[derive(Clone, Debug)]
pub(crate) struct Names(Vec<u8>);

impl Names {
    /// The names, which are short and few.
    pub(crate) fn new(names: &[&str]) -> Self {
        let mut encoded = u16::try_from(names.len()).unwrap_or_default().to_le_bytes().to_vec();
        for name in names {
            Str::new(name.as_bytes()).unwrap_or_default().encode(&mut encoded);
        }
        Self(encoded)
    }

    pub(crate) fn list(&self) -> List<'_, Str<'_>> {
        List::decode(&mut Reader::new(&self.0)).unwrap_or(List::EMPTY)
    }
}
