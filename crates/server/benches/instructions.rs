//! What requests cost in instructions, in this process alone: no socket, no thread, no clock. `tests/counts` runs
//! it under valgrind, which counts what happens within [`counted`], call by call, and compares the figures with
//! those in `benches/`.
//!
//! Each call is for [`TIMES`] of the same, after as many that were not counted, so that memory is there and
//! tables have grown. For each call a line with its name is printed, in their order.

use std::hint::black_box;

use gofer_localfs::LocalFs;
use gofer_server::p9::Session;
use gofer_server::{Buffers, Export, HostSockets, Limits, Outcome, Policy};
use gofer_vfs::{Backend, MemFs, Name, PeerGid, PeerUid};
use gofer_wire::p9::*;
use gofer_wire::{Data, List, ListBuf, Str};
use tempfile::TempDir;

/// How often everything is done: with so many fids at a time all find memory that was used before.
const TIMES: u32 = 30;
/// How many entries the directory has that is listed.
const ENTRIES: u32 = 100;

const PAGE: [u8; 4096] = [7; 4096];

/// Fids: the root, an open file, an open directory, a socket; and the first of [`TIMES`] that come and go.
const ROOT: Fid = Fid(0);
const FILE: Fid = Fid(1);
const DIR: Fid = Fid(2);
const SOCKET: Fid = Fid(3);
const FREE: u32 = 1000;

fn main() {
    codec();
    let in_memory = Export {
        name: None,
        backend: MemFs::new(1 << 30),
        policy: Policy { sockets: HostSockets::Connect, ..Policy::default() },
    };
    let mut memory = Bench::new("memory", in_memory);
    memory.lay();
    let host = TempDir::new().expect("a directory for temporary files");
    let backend = LocalFs::open(host.path()).expect("an export");
    let mut host = Bench::new("host", Export { name: None, backend, policy: Policy::default() });
    host.lay();
    for counts in [false, true] {
        memory.counts = counts;
        memory.run();
        memory.run_more();
        host.counts = counts;
        host.run();
    }
}

/// What is counted, when it is called. Its name is known to `tests/counts`.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
    // No tail call: it returns when all is done.
    black_box(());
}

/// [`counted`], and its line.
fn count(name: &str, work: &mut dyn FnMut()) {
    counted(work);
    println!("{name}\t{TIMES}");
}

/// A request as it arrives.
fn frame<'a>(request: impl Into<Request<'a>>) -> Vec<u8> {
    let mut frame = Vec::new();
    let payload = request.into().encode(Tag(1), &mut frame);
    frame.extend_from_slice(payload);
    frame
}

fn text(text: &str) -> Str<'_> {
    Str::new(text.as_bytes()).expect("a short text")
}

fn name(name: &str) -> Name<'_> {
    Name::new(name.as_bytes()).expect("a name")
}

fn names<'a>(names: &[&'a str], room: &'a mut Vec<u8>) -> List<'a, Str<'a>> {
    let mut list = ListBuf::new(room);
    for name in names {
        assert!(list.push_str(text(name)));
    }
    list.finish()
}

/// Messages to values and back.
fn codec() {
    let mut room = Vec::new();
    let walk =
        frame(Twalk { fid: ROOT, newfid: FILE, names: names(&["some", "directory", "file"], &mut room) });
    let create =
        Tlcreate { fid: ROOT, name: name("file"), flags: OpenBits::RDWR, mode: 0o644, gid: PeerGid::NONE };
    let write = frame(Twrite { fid: FILE, offset: 0, data: Data(&PAGE) });
    let setattr = frame(Tsetattr { fid: FILE, setattr: NOTHING });
    let requests = [("walk", walk), ("lcreate", frame(create)), ("write", write), ("setattr", setattr)];
    for (name, frame) in &requests {
        count(&format!("decode {name}"), &mut || {
            for _ in 0..TIMES {
                let (number, body) = (frame[4], &frame[HEADER..]);
                assert!(black_box(Request::decode(black_box(number), black_box(body))).is_ok());
            }
        });
    }
    let qid = Qid { kind: QidKind::FILE, version: 0, path: 1 };
    let mut room = Vec::new();
    let mut qids = ListBuf::new(&mut room);
    assert!((0..3).all(|_| qids.push(&qid)));
    let replies = [
        ("walk", Reply::from(Rwalk { qids: qids.finish() })),
        ("getattr", Reply::decode(25, &[0; 8 + Qid::LEN + 132]).expect("attributes that are all 0")),
        ("read", Rread { data: Data(&PAGE) }.into()),
        ("error", Rlerror { ecode: 2 }.into()),
    ];
    let mut head = Vec::with_capacity(256);
    for (name, reply) in &replies {
        count(&format!("encode {name}"), &mut || {
            for _ in 0..TIMES {
                black_box(black_box(reply).encode(Tag(1), &mut head));
            }
        });
    }
}

/// A setattr that changes nothing.
const NOTHING: SetattrBody = SetattrBody {
    valid: SetattrMask(0),
    mode: 0,
    uid: PeerUid::NONE,
    gid: PeerGid::NONE,
    size: 0,
    atime_sec: 0,
    atime_nsec: 0,
    mtime_sec: 0,
    mtime_nsec: 0,
};

/// A session that requests are counted in.
struct Bench<B: Backend> {
    ground: &'static str,
    session: Session<B>,
    buffers: Buffers,
    counts: bool,
}

impl<B: Backend> Bench<B> {
    fn new(ground: &'static str, export: Export<B>) -> Self {
        let session = Session::alone(vec![export], &Limits::default(), false);
        Self { ground, session, buffers: Buffers::default(), counts: false }
    }

    /// Asks for something that has to succeed.
    fn ask<'a>(&mut self, request: impl Into<Request<'a>>) {
        let frame = frame(request);
        assert!(answer(&self.session, &frame, &mut self.buffers), "{}", self.ground);
    }

    /// A fid for what is in the root.
    fn walk(&mut self, newfid: Fid, path: &str) {
        self.ask(Twalk { fid: ROOT, newfid, names: names(&[path], &mut Vec::new()) });
    }

    /// Counts what requests cost, one for each number below [`TIMES`]. All of them are to succeed.
    fn count(&mut self, what: &str, request: impl FnMut(u32) -> Vec<u8>) {
        assert_eq!(self.run_all(what, request), TIMES, "{} {what}", self.ground);
    }

    /// As [`count`](Self::count); how many succeed is the answer.
    fn run_all(&mut self, what: &str, request: impl FnMut(u32) -> Vec<u8>) -> u32 {
        let frames: Vec<_> = (0..TIMES).map(request).collect();
        let mut good = 0;
        let mut work = || {
            for frame in &frames {
                good += u32::from(answer(&self.session, frame, &mut self.buffers));
            }
        };
        if self.counts {
            count(&format!("{} {what}", self.ground), &mut work);
        } else {
            work();
        }
        good
    }

    /// Makes the tree and the fids that [`run`](Self::run) uses: a page in a file, and a directory of
    /// [`ENTRIES`].
    fn lay(&mut self) {
        self.ask(Tversion { msize: 65_536, version: text("9P2000.L") });
        self.ask(attach(ROOT));
        let (flags, mode, gid) = (OpenBits::RDWR, 0o644, PeerGid::NONE);
        self.ask(Twalk { fid: ROOT, newfid: FILE, names: List::EMPTY });
        self.ask(Tlcreate { fid: FILE, name: name("file"), flags, mode, gid });
        self.ask(Twrite { fid: FILE, offset: 0, data: Data(&PAGE) });
        self.ask(Tmkdir { dfid: ROOT, name: name("dir"), mode: 0o755, gid });
        for i in 0..ENTRIES {
            self.walk(DIR, "dir");
            self.ask(Tlcreate { fid: DIR, name: name(&format!("file{i:03}")), flags, mode, gid });
        }
        self.walk(DIR, "dir");
        self.ask(Tlopen { fid: DIR, flags: OpenBits::RDONLY });
        self.ask(Tmknod { dfid: ROOT, name: name("socket"), mode: 0o140_644, major: 0, minor: 0, gid });
        self.walk(SOCKET, "socket");
    }

    /// The requests that a program's every open and stat is made of.
    fn run(&mut self) {
        let free = |i| Fid(FREE + i);
        let mut room = Vec::new();
        let names = names(&["file"], &mut room);
        self.count("walk", |i| frame(Twalk { fid: ROOT, newfid: free(i), names }));
        self.count("getattr", |i| frame(Tgetattr { fid: free(i), mask: GetattrMask::BASIC }));
        self.count("lopen", |i| frame(Tlopen { fid: free(i), flags: OpenBits::RDONLY }));
        self.count("read 4k", |i| frame(Tread { fid: free(i), offset: 0, count: 4096 }));
        self.count("clunk", |i| frame(Tclunk { fid: free(i) }));
        self.count("write 4k", |_| frame(Twrite { fid: FILE, offset: 0, data: Data(&PAGE) }));
        self.count("readdir of 100", |_| frame(Treaddir { fid: DIR, offset: 0, count: 65_536 }));
    }

    /// One of each other family, and what is common to all.
    fn run_more(&mut self) {
        let free = |i| Fid(FREE + i);
        self.count("flush", |_| frame(Tflush { oldtag: Tag::NONE }));
        let failed = |i| frame(Tgetattr { fid: free(i), mask: GetattrMask::BASIC });
        assert_eq!(self.run_all("getattr that fails", failed), 0);
        self.count("attach", |i| frame(attach(free(i))));
        for i in 0..TIMES {
            self.ask(Tclunk { fid: free(i) });
        }
        self.count("setattr", |_| frame(Tsetattr { fid: FILE, setattr: NOTHING }));
        let gid = PeerGid::NONE;
        self.count("mkdir and unlinkat", |i| match i % 2 {
            0 => frame(Tmkdir { dfid: ROOT, name: name("new"), mode: 0o755, gid }),
            _ => frame(Tunlinkat { dfid: ROOT, name: name("new"), flags: Tunlinkat::AT_REMOVEDIR }),
        });
        let attribute = text("user.attribute");
        let value = text("value");
        self.count("setxattr", |_| frame(Tsetxattr { fid: FILE, name: attribute, value, flags: 0 }));
        self.count("getxattr", |_| frame(Tgetxattr { fid: FILE, name: attribute, size: 64 }));
        self.count("lock", |i| frame(lock(i)));
        assert_eq!(
            self.run_all("lconnect", |_| frame(Tlconnect { fid: SOCKET, flags: Tlconnect::STREAM })),
            0
        );
    }
}

fn attach<'a>(fid: Fid) -> Tattach<'a> {
    Tattach { fid, afid: Fid::NONE, uname: text(""), aname: text(""), n_uname: PeerUid::NONE }
}

/// Locks for even numbers, unlocks for odd ones.
fn lock<'a>(i: u32) -> Tlock<'a> {
    let kind = if i.is_multiple_of(2) { Tlock::WRLCK } else { Tlock::UNLCK };
    Tlock { fid: FILE, kind, flags: 0, start: 0, length: 1, proc_id: 1, client_id: text("client") }
}

/// One request and the end of its tag, as a connection does it. Whether it succeeded.
fn answer<B: Backend>(session: &Session<B>, frame: &[u8], buffers: &mut Buffers) -> bool {
    let Outcome::Reply { head, payload, .. } = session.handle(frame, buffers, || {}) else { return false };
    let good = head[4] != Rlerror::NUMBER;
    black_box(payload);
    black_box(session.retire(frame));
    good
}
