//! Servers that have no end: every command comes to one, and says why.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::LazyLock;
use std::thread;

use gofer_vfs::{FileKind, PeerGid, PeerUid};
use gofer_wire::p9::*;
use gofer_wire::{Data, ListBuf, Str, Wire};

use crate::process::{failure, run};

/// What a directory holds, wherever it is: the body of a listing that goes on from a place.
type Listing = fn(from: u64) -> Vec<u8>;

fn entry(name: &[u8], offset: u64) -> Vec<u8> {
    let qid = Qid { kind: QidKind::DIR, version: 0, path: 2 };
    let mut bytes = Vec::new();
    Dirent { qid, offset, kind: 4, name: Str::new(name).unwrap() }.encode(&mut bytes);
    bytes
}

/// A server of nothing but directories, for as many connections as come.
fn serve(socket: &Path, listing: Listing) {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // Whoever has had enough hangs up.
            thread::spawn(move || answer_all(stream.unwrap(), listing));
        }
    });
}

fn answer_all(mut stream: UnixStream, listing: Listing) -> std::io::Result<()> {
    let mut frame = Vec::new();
    loop {
        let mut header = [0; HEADER];
        stream.read_exact(&mut header)?;
        let header = Header::decode(&header);
        frame.resize(usize::try_from(header.size).unwrap() - HEADER, 0);
        stream.read_exact(&mut frame)?;
        let (mut head, mut room, data);
        (head, room) = (Vec::new(), Vec::new());
        let reply: Reply<'_> = match Request::decode(header.number, &frame).unwrap() {
            Request::Version(_) => {
                Rversion { msize: MESSAGE_MAX, version: Str::new(b"9P2000.L").unwrap() }.into()
            }
            Request::Attach(_) => Rattach { qid: qid() }.into(),
            Request::Walk(t) => {
                let mut qids = ListBuf::new(&mut room);
                t.names.iter().for_each(|_| assert!(qids.push(&qid())));
                Rwalk { qids: qids.finish() }.into()
            }
            Request::Getattr(_) => Rgetattr { valid: GetattrMask::BASIC, qid: qid(), attr: attr() }.into(),
            Request::Lopen(_) => Rlopen { qid: qid(), iounit: 0 }.into(),
            Request::Readdir(t) => {
                data = listing(t.offset);
                Rreaddir { data: Data(&data) }.into()
            }
            Request::Unlinkat(t) if t.flags == 0 => Rlerror { ecode: 21 }.into(),
            Request::Unlinkat(_) => Runlinkat.into(),
            Request::Clunk(_) => Rclunk.into(),
            Request::Flush(_) => Rflush.into(),
            other => panic!("{}", other.name()),
        };
        let payload = reply.encode(header.tag, &mut head);
        stream.write_all(&head)?;
        stream.write_all(payload)?;
    }
}

fn qid() -> Qid {
    Qid { kind: QidKind::DIR, version: 0, path: 1 }
}

fn attr() -> Stat {
    Stat {
        mode: FileKind::Directory.mode() | 0o755,
        uid: PeerUid(0),
        gid: PeerGid(0),
        nlink: 2,
        rdev: 0,
        size: 0,
        blksize: 4096,
        blocks: 0,
        atime_sec: 0,
        atime_nsec: 0,
        mtime_sec: 0,
        mtime_nsec: 0,
        ctime_sec: 0,
        ctime_nsec: 0,
        btime_sec: 0,
        btime_nsec: 0,
        generation: 0,
        data_version: 0,
    }
}

/// All commands that list, and the errno that each of them ends with.
fn is_refused(listing: Listing, errno: &str, commands: &[&[&str]]) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    serve(&socket, listing);
    let (place, target) = (format!("unix:{}:x", socket.display()), dir.path().join("t"));
    for command in commands {
        let words: Vec<_> = command
            .iter()
            .map(|word| match *word {
                "PLACE" => &place,
                "TARGET" => target.to_str().unwrap(),
                word => word,
            })
            .collect();
        let (code, said) = failure(&run(&words));
        assert!(matches!(code, 1 | 6) && said.contains(errno) && said.contains("; "), "{words:?}: {said}");
    }
}

const LS: &[&str] = &["ls", "PLACE"];
const TREE: &[&str] = &["tree", "PLACE"];
const CP: &[&str] = &["cp", "-r", "PLACE", "TARGET"];
const RM: &[&str] = &["rm", "-r", "PLACE"];

#[test]
fn a_listing_that_goes_in_circles() {
    is_refused(|from| entry(b"a", if from == 7 { 5 } else { from + 1 }), "EIO", &[LS, TREE, CP, RM]);
}

#[test]
fn a_listing_of_nothing_but_itself() {
    is_refused(|from| entry(b".", from + 1), "EIO", &[LS, TREE, CP, RM]);
}

#[test]
fn a_listing_without_an_end() {
    /// The same names again and again, and after the last another place.
    fn endless(from: u64) -> Vec<u8> {
        static NAMES: LazyLock<Vec<u8>> = LazyLock::new(|| entry(b"a", 1).repeat(40_000));
        [&NAMES[..], &entry(b"a", from + 2)].concat()
    }
    is_refused(endless, "EOVERFLOW", &[LS]);
}

#[test]
fn directories_without_a_bottom() {
    fn one(from: u64) -> Vec<u8> {
        if from == 0 { entry(b"d", 1) } else { Vec::new() }
    }
    is_refused(one, "ENAMETOOLONG", &[&["ls", "-R", "PLACE"], CP, RM]);
}
