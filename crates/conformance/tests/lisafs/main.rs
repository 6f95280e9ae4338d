//! lisafs, message by message: what is answered, in which order things are looked at, and what goes with a reply. The
//! semantics of files below are those of the cases in `gofer-check`, which run over lisafs in `matrix.rs`.

mod attr;
mod channel;
mod connection;
mod entry;
mod io;
mod open;
mod session;
mod socket;
mod walk;
mod xattr;

use std::os::fd::OwnedFd;
use std::path::Path;

use gofer_localfs::LocalFs;
use gofer_server::lisafs::{Session, Settings};
use gofer_server::{Buffers, Export, Extra, HostSockets, Limits, Outcome, Policy};
use gofer_transport::flipcall::Channel;
use gofer_vfs::{Access, Errno, Name, PeerGid, PeerUid, ReadOnly, XattrPolicy};
use gofer_wire::lisafs::*;
use gofer_wire::{List, ListBuf, Reader, Str, Wire};
use tempfile::TempDir;

/// What a client may do in these tests, where they say nothing else.
fn everything() -> Policy {
    Policy { xattr: XattrPolicy::All, sockets: HostSockets::All, fifos: true, ..Policy::default() }
}

/// A session over a directory of its own.
struct Talk {
    session: Session<Access<LocalFs>>,
    buffers: Buffers,
    dir: TempDir,
    root: FdId,
}

/// A reply that was no failure.
struct Asked {
    payload: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    channel: Option<Channel>,
}

impl Asked {
    fn reply<'p, R: Wire<'p>>(&'p self) -> R {
        R::decode(&mut Reader::new(&self.payload)).expect("the reply of this request")
    }
}

impl Talk {
    fn new() -> Self {
        Self::with(
            TempDir::new().expect("a directory for temporary files"),
            false,
            everything(),
            Settings::default(),
        )
    }

    fn with(dir: TempDir, read_only: bool, policy: Policy, settings: Settings) -> Self {
        let tree = LocalFs::open(dir.path()).expect("an export");
        let backend = if read_only { Access::ReadOnly(ReadOnly(tree)) } else { Access::ReadWrite(tree) };
        let export = Export { name: None, backend, policy };
        let session = Session::alone(export, &Limits { channels: 4, ..Limits::default() }, true, settings);
        let mut talk = Self { session, buffers: Buffers::default(), dir, root: FdId::NONE };
        talk.root = talk.ask(&MountReq).expect("an answer").reply::<MountResp<'_>>().root.fd;
        talk
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn ask<'a, M: Operation<'a>>(&mut self, message: &M) -> Result<Asked, Errno> {
        let mut head = Vec::new();
        let rest = frame(M::NUMBER, message, &mut head);
        head.extend_from_slice(rest);
        self.ask_bytes(M::NUMBER, &head)
    }

    /// Asks with whatever is a frame.
    fn ask_bytes(&mut self, number: u16, bytes: &[u8]) -> Result<Asked, Errno> {
        let Outcome::Reply { head, payload, extra, channel } = self.session.handle(bytes, &mut self.buffers)
        else {
            panic!("no reply to {number}");
        };
        let header = Header::decode(head.first_chunk().expect("a header"));
        let payload = [&head[HEADER..], payload].concat();
        assert_eq!(header.length as usize, payload.len());
        if header.number == Failure::NUMBER {
            let failure = Failure::decode(&mut Reader::new(&payload)).expect("a reply");
            return Err(Errno::from_host(i32::try_from(failure.errno).expect("an errno")));
        }
        assert_eq!(header.number, number);
        let descriptors = match extra {
            Extra::None | Extra::Pages(_) => Vec::new(),
            Extra::One(one) => vec![one],
            Extra::Kept(one) => vec![one.try_clone().expect("it can be done")],
            Extra::Two(two) => two.into(),
        };
        Ok(Asked { payload, descriptors, channel: channel.map(|channel| *channel) })
    }

    /// Walks to a path below the root.
    fn walk(&mut self, path: &str) -> Inode {
        let asked = self.try_walk(path).expect("an answer");
        let walked: WalkResp<'_> = asked.reply();
        assert_eq!(walked.status, WalkStatus::SUCCESS, "{path}");
        walked.inodes.iter().last().expect("at least a name")
    }

    fn try_walk(&mut self, path: &str) -> Result<Asked, Errno> {
        let mut room = Vec::new();
        let dir = self.root;
        self.ask(&WalkReq { dir, names: names(&mut room, path) })
    }

    fn open(&mut self, fd: FdId, flags: u32) -> Result<(FdId, Vec<OwnedFd>), Errno> {
        let asked = self.ask(&OpenAtReq { fd, flags, pad: Pad })?;
        Ok((asked.reply::<OpenAtResp>().fd, asked.descriptors))
    }

    /// Makes a file and says what its place is and the open file.
    fn create(&mut self, name: &str, flags: u32) -> (FdId, FdId) {
        let create = create(self.root, 0o644);
        let asked = self.ask(&OpenCreateAtReq { create, flags, name: named(name) }).expect("an answer");
        let made: OpenCreateAtResp = asked.reply();
        (made.child.fd, made.fd)
    }

    fn close(&mut self, fds: &[FdId]) {
        let mut room = Vec::new();
        self.ask(&CloseReq { fds: list(&mut room, fds) }).expect("an answer");
    }
}

/// The errno of a request that fails.
fn refused(asked: Result<Asked, Errno>) -> Errno {
    asked.err().expect("it is refused")
}

fn list<'b, T: Wire<'b>>(room: &'b mut Vec<u8>, elements: &[T]) -> List<'b, T> {
    let mut list = ListBuf::new(room);
    assert!(elements.iter().all(|element| list.push(element)));
    list.finish()
}

/// The names of a path; `""` has none, `"/a"` an empty one in front.
fn names<'b>(room: &'b mut Vec<u8>, path: &str) -> List<'b, Str<'b>> {
    let mut list = ListBuf::new(room);
    for name in path.split('/').filter(|_| !path.is_empty()) {
        assert!(list.push_str(Str::new(name.as_bytes()).expect("short")));
    }
    list.finish()
}

fn named(name: &str) -> Name<'_> {
    Name::new(name.as_bytes()).expect("a name")
}

/// Something new in a directory, whose owner is left alone.
fn create(dir: FdId, mode: u16) -> Create {
    Create { dir, uid: PeerUid::NONE, gid: PeerGid::NONE, mode, pad: Pad }
}
