//! A 9P client of about a hundred lines: it asks one thing at a time.

use gofer_transport::{Frames, Framing, Stream, memory};
use gofer_vfs::{Errno, Name, PeerGid, PeerUid, Result};
use gofer_wire::p9::*;
use gofer_wire::{ListBuf, Str};

/// A connection and what is received on it.
pub(crate) struct Client {
    stream: memory::End,
    frames: Frames,
    reply: Vec<u8>,
    fids: u32,
}

/// The length of a frame stands in its header.
struct Lengths;

impl Framing for Lengths {
    const HEADER: usize = HEADER;

    fn frame_len(&self, header: &[u8]) -> Option<usize> {
        usize::try_from(Header::decode(header.try_into().ok()?).size).ok()
    }
}

impl Client {
    /// A client at this end of a stream, and the fid of the root.
    pub(crate) fn attach(stream: memory::End) -> Result<(Self, Fid)> {
        let mut client = Self { stream, frames: Frames::default(), reply: Vec::new(), fids: 0 };
        let string = |text: &'static [u8]| Str::new(text).ok_or(Errno::EINVAL);
        let version = Tversion { msize: 65_536, version: string(b"9P2000.L")? };
        client.call(Request::Version(version), |_| Some(()))?;
        let fid = client.fid();
        let (uname, aname) = (string(b"")?, string(b"/")?);
        let attach = Tattach { fid, afid: Fid::NONE, uname, aname, n_uname: PeerUid::NONE };
        client.call(Request::Attach(attach), |_| Some(()))?;
        Ok((client, fid))
    }

    /// Sends a request, and takes out of its reply what is wanted.
    fn call<T>(&mut self, request: Request<'_>, take: impl FnOnce(Reply<'_>) -> Option<T>) -> Result<T> {
        let mut head = Vec::new();
        let payload = request.encode(Tag(1), &mut head);
        self.stream.send(&head, payload, &[])?;
        self.frames.next(&self.stream, &Lengths, &mut self.reply).map_err(|_| Errno::ECONNRESET)?;
        let (header, body) = self.reply.split_first_chunk().ok_or(Errno::EPROTO)?;
        match Reply::decode(Header::decode(header).number, body).map_err(|error| error.errno())? {
            Reply::Lerror(Rlerror { ecode }) => {
                Err(i32::try_from(ecode).map_or(Errno::EIO, Errno::from_host))
            }
            reply => take(reply).ok_or(Errno::EPROTO),
        }
    }

    fn fid(&mut self) -> Fid {
        self.fids += 1;
        Fid(self.fids)
    }

    /// One step down. No name at all means another fid for the same file.
    pub(crate) fn walk(&mut self, from: Fid, name: &[u8]) -> Result<Fid> {
        let (newfid, mut room) = (self.fid(), Vec::new());
        let mut names = ListBuf::new(&mut room);
        if !name.is_empty() {
            names.push(&Str::new(name).ok_or(Errno::ENAMETOOLONG)?);
        }
        let walk = Twalk { fid: from, newfid, names: names.finish() };
        self.call(Request::Walk(walk), |_| Some(newfid))
    }

    /// Opens another fid of a file to read it.
    fn open(&mut self, fid: Fid) -> Result<Fid> {
        let fid = self.walk(fid, b"")?;
        self.call(Request::Lopen(Tlopen { fid, flags: OpenBits::RDONLY }), |_| Some(fid))
    }

    /// Makes a directory.
    pub(crate) fn mkdir(&mut self, dfid: Fid, name: Name<'_>) -> Result<()> {
        let mkdir = Tmkdir { dfid, name, mode: 0o755, gid: PeerGid::NONE };
        self.call(Request::Mkdir(mkdir), |_| Some(()))
    }

    /// Lets go of a fid.
    pub(crate) fn clunk(&mut self, fid: Fid) -> Result<()> {
        self.call(Request::Clunk(Tclunk { fid }), |_| Some(()))
    }

    /// The names in a directory, in order.
    pub(crate) fn names(&mut self, dir: Fid) -> Result<Vec<Vec<u8>>> {
        let (fid, mut names, mut offset) = (self.open(dir)?, Vec::new(), 0);
        loop {
            let more = self.call(Request::Readdir(Treaddir { fid, offset, count: 32_768 }), |reply| {
                let Reply::Readdir(Rreaddir { data }) = reply else { return None };
                let entries = Dirents::new(data.0)
                    .map(|entry| Some((entry.ok()?.offset, entry.ok()?.name.as_bytes().to_vec())));
                entries.collect::<Option<Vec<_>>>()
            })?;
            match more.last() {
                Some((last, _)) => offset = *last,
                None => break,
            }
            names.extend(more.into_iter().map(|(_, name)| name).filter(|name| name != b"." && name != b".."));
        }
        names.sort();
        self.clunk(fid).map(|()| names)
    }
    /// The attributes of a file.
    pub(crate) fn getattr(&mut self, fid: Fid) -> Result<Stat> {
        self.call(Request::Getattr(Tgetattr { fid, mask: GetattrMask::BASIC }), |reply| match reply {
            Reply::Getattr(Rgetattr { attr, .. }) => Some(attr),
            _ => None,
        })
    }

    /// Where a symbolic link leads, as it is written in it.
    pub(crate) fn readlink(&mut self, fid: Fid) -> Result<Vec<u8>> {
        self.call(Request::Readlink(Treadlink { fid }), |reply| match reply {
            Reply::Readlink(Rreadlink { target }) => Some(target.as_bytes().to_vec()),
            _ => None,
        })
    }

    /// The first bytes of a file.
    pub(crate) fn read(&mut self, fid: Fid, count: u32) -> Result<Vec<u8>> {
        let fid = self.open(fid)?;
        let bytes = self.call(Request::Read(Tread { fid, offset: 0, count }), |reply| match reply {
            Reply::Read(Rread { data }) => Some(data.0.to_vec()),
            _ => None,
        })?;
        self.clunk(fid).map(|()| bytes)
    }
}
