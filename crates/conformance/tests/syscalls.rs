//! How many system calls a request takes on files of the host over a unix socket, and which: from the one that
//! receives it to the one that sends its reply.

use std::fmt::Write;
use std::sync::mpsc;

use gofer_conformance::{Client, Dialect, ROOT, sample};
use gofer_localfs::LocalFs;
use gofer_server::{Export, Limits, Policy, Server};
use gofer_sys::trace::{Call, Trace};
use gofer_transport::Socket;
use gofer_vfs::Result;
use gofer_wire::p9::*;
use gofer_wire::{List, ListBuf, Str};
use tempfile::TempDir;

/// How often everything is asked. What counts is the least: the first time something is set up, and on a machine
/// that is busy a thread may have to wait for another.
const ROUNDS: usize = 3;

/// How many files the large directory has.
const MANY: usize = 1500;

/// Fids that come and go.
const ON: Fid = Fid(1);
const TO: Fid = Fid(2);

/// Bytes of a file whose reads are not copied; a message holds them.
const LARGE: u32 = 60_000;

/// The first call of every request, and the last; the other after it is of the pages of a large read.
const RECEIVES: &str = "recvfrom";
const SENDS: [&str; 2] = ["sendmsg", "splice"];

/// What is asked, and the calls between the first and the last; `-` where there are none. A directory is read by
/// 32 KiB of the host's records, here of 32 bytes each.
const BASE: &str = "
walk of no names          -
walk of one name          openat statx
walk of two names         openat statx openat statx
walkgetattr of one name   openat statx
multigetattr of two names statx openat statx statx close
multigetattr by a place   statx statx
clunk of a place          close
clunk of a clone          -
getattr                   statx
readlink                  statx readlinkat
lopen                     openat
read                      pread64
read at the end           pread64
large read                splice sendmsg
large read at the end     splice pread64 sendmsg
write                     pwrite64
fsync                     fsync
setattr of the size       ftruncate
clunk of an open file     close close
lopen of a directory      openat
readdir                   getdents64
readdir at the end        getdents64
readdir of 2 directories  getdents64 statx statx
readdir of 1,500 files    getdents64 getdents64
lcreate                   openat statx openat
renameat                  renameat
unlinkat                  unlinkat
mkdir                     geteuid getegid mkdirat openat statx close
unlinkat of a directory   unlinkat
symlink                   geteuid getegid symlinkat openat statx close
failed walk               openat
";

/// As [`BASE`], where it differs: an open asks whether the file still has a name, and gives the client a
/// description of its own.
const GOOGLE: &str = "
lopen                     statx openat openat
lopen of a directory      statx openat
lcreate                   openat statx openat openat
";

/// A client, and what the thread that serves it asks of the kernel.
struct Traced {
    client: Client,
    trace: Trace,
    /// What came behind the last reply.
    behind: Vec<Call>,
    /// The fewest calls of each request.
    table: Vec<(&'static str, Vec<&'static str>)>,
}

impl Traced {
    fn new(dir: &TempDir, dialect: Dialect) -> Self {
        let backend = LocalFs::open(dir.path()).expect("an export");
        sample::lay(&backend).expect("a sample");
        let many = dir.path().join("dir/many");
        std::fs::create_dir(&many).expect("a directory");
        for i in 0..MANY {
            std::fs::write(many.join(format!("file-{i:05}")), "").expect("a file");
        }
        std::fs::write(dir.path().join("large"), vec![b'x'; LARGE as usize]).expect("a file");
        let export = Export { name: None, backend, policy: Policy::default() };
        // One thread for the connection: no other is woken when the machine is slow.
        let server = Server::new(vec![export], Limits { threads: 1, ..Limits::default() }).expect("a server");
        let (ours, theirs) = Socket::pair().expect("two sockets");
        let (tell, told) = mpsc::channel();
        let trace = Trace::spawn(move || {
            server.connect(theirs).expect("a connection");
            tell.send(()).ok();
        });
        told.recv().expect("a thread that serves");
        let mut client = Client::new(ours);
        let (version, msize) = dialect.version();
        client.version(msize, version).expect("a version");
        client.attach(ROOT, "").expect("the root");
        let trace = trace.expect("a kernel with seccomp's user notifications");
        let mut traced = Self { client, trace, behind: Vec::new(), table: Vec::new() };
        traced.calls();
        traced
    }

    /// The calls up to the last reply, by the thread that sent it.
    fn calls(&mut self) -> Vec<&'static str> {
        let mut calls = std::mem::take(&mut self.behind);
        calls.extend(self.trace.take());
        let last = calls.iter().rposition(|call| SENDS.contains(&call.name())).expect("a reply was sent");
        self.behind = calls.split_off(last + 1);
        let server = calls[last].thread;
        calls.retain(|call| call.thread == server);
        let mut names: Vec<_> = calls.iter().map(Call::name).collect();
        if cfg!(debug_assertions) {
            // There the standard library looks at a descriptor before it closes it.
            let mut next = names.clone().into_iter().skip(1);
            names.retain(|name| !matches!((*name, next.next()), ("fcntl", Some("close"))));
        }
        names
    }

    /// Asks for one thing, and writes down what calls that takes.
    fn note<T>(&mut self, what: &'static str, ask: impl FnOnce(&mut Client) -> T) -> T {
        let answer = ask(&mut self.client);
        let calls = self.calls();
        match self.table.iter_mut().find(|(known, _)| *known == what) {
            None => self.table.push((what, calls)),
            Some((_, least)) if calls.len() < least.len() => *least = calls,
            Some(_) => {}
        }
        answer
    }

    /// Asks for something that does not count.
    fn ask<T>(&mut self, ask: impl FnOnce(&mut Client) -> Result<T>) -> Result<T> {
        let answer = ask(&mut self.client);
        self.calls();
        answer
    }

    fn round(&mut self) -> Result<()> {
        self.places()?;
        self.files()?;
        self.directories()?;
        self.entries()
    }

    fn places(&mut self) -> Result<()> {
        const NONE: &[&str] = &[];
        self.note("walk of no names", |c| c.walk(ROOT, ON, NONE))?;
        self.note("clunk of a clone", |c| c.clunk(ON))?;
        self.note("walk of one name", |c| c.walk(ROOT, ON, &["file"]))?;
        self.note("getattr", |c| c.getattr(ON))?;
        self.note("clunk of a place", |c| c.clunk(ON))?;
        self.note("walk of two names", |c| c.walk(ROOT, ON, &["dir", "inner"]))?;
        self.ask(|c| c.clunk(ON))?;
        let (mut one, mut two) = (Vec::new(), Vec::new());
        let (one, two) = (names(&["file"], &mut one), names(&["dir", "inner"], &mut two));
        let walk = Twalkgetattr { fid: ROOT, newfid: ON, names: one };
        self.note("walkgetattr of one name", |c| c.call(walk))?;
        self.ask(|c| c.clunk(ON))?;
        let path = Tmultigetattr { fid: ROOT, names: two };
        self.note("multigetattr of two names", |c| c.call(path))?;
        // The same again, the directory being one that the client holds.
        self.ask(|c| c.walk(ROOT, ON, &["dir"]))?;
        self.note("multigetattr by a place", |c| c.call(path))?;
        self.ask(|c| c.clunk(ON))?;
        assert!(self.note("failed walk", |c| c.walk(ROOT, ON, &["nothing"])).is_err());
        self.ask(|c| c.walk(ROOT, ON, &["link"]))?;
        self.note("readlink", |c| c.readlink(ON))?;
        self.ask(|c| c.clunk(ON))
    }

    fn files(&mut self) -> Result<()> {
        self.ask(|c| c.walk(ROOT, ON, &["file"]))?;
        self.note("lopen", |c| c.open(ON, OpenBits::RDWR))?;
        for round in 0..2 {
            // In a base session the first write looks for set-id bits.
            self.note("write", |c| c.write(ON, 0, &[round; 4096]))?;
        }
        self.note("read", |c| c.read(ON, 0, 4096))?;
        self.note("read at the end", |c| c.read(ON, 4096, 4096))?;
        self.large_files()?;
        self.note("fsync", |c| c.call(Tfsync { fid: ON, datasync: 0 }))?;
        let size = SetattrBody { valid: SetattrMask::SIZE, size: 9, ..UNCHANGED };
        self.note("setattr of the size", |c| c.setattr(ON, size))?;
        self.note("clunk of an open file", |c| c.clunk(ON))
    }

    fn large_files(&mut self) -> Result<()> {
        self.ask(|c| c.walk(ROOT, TO, &["large"]))?;
        self.ask(|c| c.open(TO, OpenBits::RDONLY))?;
        // What the open left to close is not theirs.
        self.ask(|c| c.getattr(TO))?;
        self.note("large read", |c| c.read(TO, 0, LARGE))?;
        self.note("large read at the end", |c| c.read(TO, 5, LARGE))?;
        self.ask(|c| c.clunk(TO))
    }

    fn directories(&mut self) -> Result<()> {
        self.ask(|c| c.walk(ROOT, ON, &["dir", "sub"]))?;
        self.note("lopen of a directory", |c| c.open(ON, OpenBits::RDONLY))?;
        let listed = self.note("readdir", |c| c.readdir(ON, 0, 65_536))?;
        let end = listed.last().map_or(0, |entry| entry.offset);
        self.note("readdir at the end", |c| c.readdir(ON, end, 65_536))?;
        self.ask(|c| c.clunk(ON))?;
        self.ask(|c| c.walk(ROOT, ON, &[""; 0]))?;
        self.ask(|c| c.open(ON, OpenBits::RDONLY))?;
        self.note("readdir of 2 directories", |c| c.readdir(ON, 0, 65_536))?;
        self.ask(|c| c.clunk(ON))?;
        self.ask(|c| c.walk(ROOT, ON, &["dir", "many"]))?;
        self.ask(|c| c.open(ON, OpenBits::RDONLY))?;
        let many = self.note("readdir of 1,500 files", |c| c.readdir(ON, 0, 65_536))?;
        assert!(many.len() >= MANY);
        self.ask(|c| c.clunk(ON))
    }

    fn entries(&mut self) -> Result<()> {
        self.ask(|c| c.walk(ROOT, ON, &[""; 0]))?;
        self.ask(|c| c.walk(ROOT, TO, &[""; 0]))?;
        self.note("lcreate", |c| c.create(ON, "new", OpenBits::RDWR, 0o644))?;
        self.ask(|c| c.clunk(ON))?;
        self.note("renameat", |c| c.rename(ROOT, "new", TO, "newer"))?;
        self.note("unlinkat", |c| c.unlink(ROOT, "newer"))?;
        self.note("mkdir", |c| c.mkdir(ROOT, "made"))?;
        self.note("unlinkat of a directory", |c| c.rmdir(ROOT, "made"))?;
        self.note("symlink", |c| c.symlink(ROOT, "made", "target"))?;
        self.ask(|c| c.unlink(ROOT, "made"))?;
        self.ask(|c| c.clunk(TO))
    }
}

fn names<'a>(names: &[&'a str], room: &'a mut Vec<u8>) -> List<'a, Str<'a>> {
    let mut list = ListBuf::new(room);
    for name in names {
        assert!(list.push_str(Str::new(name.as_bytes()).expect("a short name")));
    }
    list.finish()
}

/// The table as text.
fn table(of: &Traced) -> String {
    let mut text = String::from("\n");
    for (what, calls) in &of.table {
        let [first, own @ .., last] = &calls[..] else { panic!("{what}: {calls:?}") };
        assert_eq!(*first, RECEIVES, "{what}: one to receive it");
        assert!(SENDS.contains(last), "{what}: one to answer, not {last}");
        let own = if own.is_empty() { "-".to_owned() } else { own.join(" ") };
        writeln!(text, "{what:<25} {own}").expect("memory");
    }
    text
}

/// The lines of a table, in order.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines
}

fn check(dialect: Dialect, expected: &str) {
    let dir = TempDir::new().expect("a directory for temporary files");
    let mut traced = Traced::new(&dir, dialect);
    for _ in 0..ROUNDS {
        traced.round().expect("answers");
    }
    let found = table(&traced);
    println!("{dialect:?}{found}");
    assert_eq!(
        sorted(&found),
        sorted(expected),
        "system calls of requests in {dialect:?} are not as pinned here"
    );
}

#[test]
fn calls_of_a_base_session() {
    check(Dialect::Base, BASE);
}

#[test]
fn calls_of_a_google_session() {
    let key = |line: &str| line.get(..25).unwrap_or(line).to_owned();
    let other = |line: &str| GOOGLE.lines().find(|other| key(other) == key(line)).unwrap_or(line).to_owned();
    let expected: Vec<String> = BASE.lines().map(other).collect();
    check(Dialect::Google, &expected.join("\n"));
}

/// A setattr of nothing.
const UNCHANGED: SetattrBody = SetattrBody {
    valid: SetattrMask(0),
    mode: 0,
    uid: gofer_vfs::PeerUid::NONE,
    gid: gofer_vfs::PeerGid::NONE,
    size: 0,
    atime_sec: 0,
    atime_nsec: 0,
    mtime_sec: 0,
    mtime_nsec: 0,
};
