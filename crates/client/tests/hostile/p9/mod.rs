//! Servers of 9P.

mod channels;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use gofer_client::{Client, Dialect, Error, Options};
use gofer_transport::{ReadInto, Socket, Stream, WriteFrom, memory};
use gofer_vfs::{
    AccessMode, Backend, Errno, FileKind, Lock, LockKind, Name, OpenFlags, PeerGid, PeerUid, RenameFlags,
    Unlink, XattrPolicy,
};
use gofer_wire::p9::*;
use gofer_wire::{Data, ListBuf, Str, Wire};

/// What a server answers: whole frames, as they are sent.
type Frames = Vec<Vec<u8>>;

/// Attributes of a directory or file.
fn stat(kind: FileKind) -> Stat {
    Stat {
        mode: kind.mode() | 0o644,
        uid: PeerUid(0),
        gid: PeerGid(0),
        nlink: 1,
        rdev: 0,
        size: 5,
        blksize: 4096,
        blocks: 8,
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

const DIR: Qid = Qid { kind: QidKind::DIR, version: 0, path: 1 };
const FILE: Qid = Qid { kind: QidKind::FILE, version: 0, path: 2 };

fn frame<'a>(tag: Tag, reply: impl Into<Reply<'a>>) -> Vec<u8> {
    let mut head = Vec::new();
    let payload = reply.into().encode(tag, &mut head);
    [head, payload.to_vec()].concat()
}

/// What an honest server with the file `f` in its root would say.
fn honest(tag: Tag, request: &Request<'_>) -> Frames {
    let mut room = Vec::new();
    let reply = match request {
        Request::Version(t) if t.version.as_bytes() == b"9P2000.L.Google.13" => {
            Reply::from(Rversion { msize: t.msize, version: t.version })
        }
        Request::Version(_) => Rversion { msize: 65_536, version: Str::new(b"9P2000.L").unwrap() }.into(),
        Request::Attach(_) => Rattach { qid: DIR }.into(),
        Request::Walk(t) => {
            let mut qids = ListBuf::new(&mut room);
            t.names.iter().for_each(|_| assert!(qids.push(&FILE)));
            Rwalk { qids: qids.finish() }.into()
        }
        Request::Walkgetattr(_) => {
            let mut qids = ListBuf::new(&mut room);
            qids.push(&FILE);
            let (valid, attr) = (GetattrMask::BASIC, stat(FileKind::Regular));
            Rwalkgetattr { valid, attr, qids: qids.finish() }.into()
        }
        Request::Getattr(t) => {
            let (qid, kind) =
                if t.fid == Fid(0) { (DIR, FileKind::Directory) } else { (FILE, FileKind::Regular) };
            Rgetattr { valid: GetattrMask::BASIC, qid, attr: stat(kind) }.into()
        }
        Request::Lopen(_) => Rlopen { qid: FILE, iounit: 0 }.into(),
        Request::Read(_) => Rread { data: Data(b"hello") }.into(),
        Request::Write(t) => Rwrite { count: u32::try_from(t.data.0.len()).unwrap() }.into(),
        Request::Clunk(_) => Rclunk.into(),
        Request::Flush(_) => Rflush.into(),
        Request::Channel(_) => Rlerror { ecode: Errno::ENOSYS.on_wire() }.into(),
        other => panic!("{} was not to be asked", other.name()),
    };
    vec![frame(tag, reply)]
}

/// Serves a stream by a script, which says nothing where the honest answer is to be given.
fn serve<S: Stream>(stream: S, script: impl Fn(Tag, &Request<'_>) -> Option<Frames> + Send + 'static) {
    thread::spawn(move || {
        let mut buffer: Vec<u8> = Vec::new();
        loop {
            let size = buffer.first_chunk().map(|size| usize::try_from(u32::from_le_bytes(*size)).unwrap());
            let Some(size) = size.filter(|size| buffer.len() >= *size) else {
                buffer.reserve(1 << 16);
                match stream.recv(&mut buffer, 1 << 16) {
                    Ok(0) | Err(_) => return,
                    Ok(_) => continue,
                }
            };
            let rest = buffer.split_off(size);
            let header = Header::decode(buffer.first_chunk().unwrap());
            let request = Request::decode(header.number, &buffer[HEADER..]).unwrap();
            let answers = script(header.tag, &request).unwrap_or_else(|| honest(header.tag, &request));
            for answer in answers {
                if answer.is_empty() {
                    return stream.close();
                }
                if stream.send(&answer, &[], &[]).is_err() {
                    return;
                }
            }
            buffer = rest;
        }
    });
}

fn options() -> Options {
    Options { dialect: Some(Dialect::Base), timeout: Some(Duration::from_millis(300)), ..Options::default() }
}

fn client(script: impl Fn(Tag, &Request<'_>) -> Option<Frames> + Send + 'static) -> Client {
    let (ours, theirs) = memory::pair();
    serve(theirs, script);
    Client::over(ours, &options()).unwrap()
}

fn name() -> Name<'static> {
    Name::new(b"f").unwrap()
}

fn read(client: &Client, len: usize) -> Result<Vec<u8>, Errno> {
    let (node, _) = client.find("f")?;
    let file = client.open(&node, OpenFlags::new(AccessMode::ReadWrite))?;
    let mut bytes = Vec::new();
    Backend::read(client, &file, 0, len, &mut ReadInto::new(&mut bytes, len))?;
    Ok(bytes)
}

#[test]
fn the_honest_server_is_believed() {
    assert_eq!(read(&client(|_, _| None), 100).unwrap(), b"hello");
}

/// A lie in the answer to one kind of request, and what it costs.
#[test]
fn a_lie_ends_the_connection() {
    fn raw(number: u8, tag: Tag, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        u32::try_from(HEADER + body.len()).unwrap().encode(&mut bytes);
        number.encode(&mut bytes);
        tag.encode(&mut bytes);
        [bytes, body.to_vec()].concat()
    }
    /// What is said to a Tread of tag 9, and what comes of it.
    type Lie = (&'static str, fn(Tag) -> Frames, Errno);
    let lies: [Lie; 11] = [
        (
            "more bytes than were asked for",
            |tag| vec![frame(tag, Rread { data: Data(&[1; 200]) })],
            Errno::EIO,
        ),
        ("a count without the bytes", |tag| vec![raw(117, tag, &[100, 0, 0, 0, 1])], Errno::EIO),
        ("a count of all there is", |tag| vec![raw(117, tag, &[0xFF; 4])], Errno::EIO),
        ("another tag", |tag| vec![frame(Tag(tag.0 + 77), Rread { data: Data(b"x") })], Errno::EIO),
        ("no tag", |_| vec![frame(Tag::NONE, Rread { data: Data(b"x") })], Errno::EIO),
        ("another operation's reply", |tag| vec![frame(tag, Rclunk)], Errno::EIO),
        ("a request", |tag| vec![raw(116, tag, &[0; 16])], Errno::EIO),
        ("a frame longer than the msize", |_| vec![vec![0xFF; 11]], Errno::EIO),
        ("a frame shorter than its header", |_| vec![vec![3, 0, 0, 0, 117, 0, 0]], Errno::EIO),
        ("the end", |_| vec![vec![]], Errno::ECONNRESET),
        (
            "the end in the middle",
            |tag| vec![frame(tag, Rread { data: Data(b"x") })[..9].to_vec(), vec![]],
            Errno::ECONNRESET,
        ),
    ];
    for (lie, tell, errno) in lies {
        let client = client(move |tag, request| matches!(request, Request::Read(_)).then(|| tell(tag)));
        assert_eq!(read(&client, 100), Err(errno), "{lie}");
        assert_eq!(read(&client, 100), Err(errno), "{lie}: and so it stays");
        assert_eq!(client.ended(), Some(errno), "{lie}");
    }
}

#[test]
fn an_errno_that_is_none_is_eio() {
    for ecode in [0, 4096, u32::MAX] {
        let client = client(move |tag, request| {
            matches!(request, Request::Read(_)).then(|| vec![frame(tag, Rlerror { ecode })])
        });
        assert_eq!(read(&client, 100), Err(Errno::EIO), "{ecode}");
        assert_eq!(client.ended(), None);
    }
}

#[test]
fn a_write_is_not_longer_than_it_was() {
    let client = client(|tag, request| {
        matches!(request, Request::Write(_)).then(|| vec![frame(tag, Rwrite { count: 6 })])
    });
    let (node, _) = client.find("f").unwrap();
    let file = client.open(&node, OpenFlags::new(AccessMode::Write)).unwrap();
    assert_eq!(Backend::write(&client, &file, 0, &mut WriteFrom(b"hello")), Err(Errno::EIO));
}

#[test]
fn names_and_cookies_in_a_listing_are_checked() {
    let entry = |name: &'static [u8], offset| {
        let mut bytes = Vec::new();
        Dirent { qid: FILE, offset, kind: 8, name: Str::new(name).unwrap() }.encode(&mut bytes);
        bytes
    };
    let mut cut = entry(b"name", 1);
    cut.pop();
    let long: &'static [u8] = &[b'n'; 256];
    let bad = [entry(b"a/b", 1), entry(b"", 1), entry(b"a\0", 1), entry(long, 1), entry(b"fine", 0), cut];
    for bytes in bad {
        let told = bytes.clone();
        let client = client(move |tag, request| match request {
            Request::Readdir(_) => Some(vec![frame(tag, Rreaddir { data: Data(&told) })]),
            Request::Lopen(_) => Some(vec![frame(tag, Rlopen { qid: DIR, iounit: 0 })]),
            _ => None,
        });
        let (root, _) = client.attach().unwrap();
        let dir = client.open(&root, OpenFlags::new(AccessMode::Read)).unwrap();
        let listed = client.readdir(&dir, 0, 4096, &mut |_| panic!("it was listed"));
        assert_eq!(listed, Err(Errno::EIO), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_listing_of_nothing_but_itself_has_an_end() {
    let client = client(|tag, request| match request {
        Request::Readdir(t) => {
            let mut bytes = Vec::new();
            let name = Str::new(b".").unwrap();
            Dirent { qid: DIR, offset: t.offset + 1, kind: 4, name }.encode(&mut bytes);
            Some(vec![frame(tag, Rreaddir { data: Data(&bytes) })])
        }
        Request::Lopen(_) => Some(vec![frame(tag, Rlopen { qid: DIR, iounit: 0 })]),
        _ => None,
    });
    let (root, _) = client.attach().unwrap();
    let dir = client.open(&root, OpenFlags::new(AccessMode::Read)).unwrap();
    assert_eq!(client.readdir(&dir, 0, 4096, &mut |_| true), Err(Errno::EIO));
    assert_eq!(client.ended(), Some(Errno::EIO));
}

#[test]
fn a_file_is_what_it_was() {
    let kinds = [(FileKind::Directory, FILE), (FileKind::Symlink, FILE), (FileKind::Regular, DIR)];
    for (kind, qid) in kinds {
        let client = client(move |tag, request| match request {
            Request::Getattr(t) if t.fid != Fid(0) => {
                Some(vec![frame(tag, Rgetattr { valid: GetattrMask::BASIC, qid, attr: stat(kind) })])
            }
            Request::Walk(_) => {
                let mut room = Vec::new();
                let mut qids = ListBuf::new(&mut room);
                qids.push(&qid);
                Some(vec![frame(tag, Rwalk { qids: qids.finish() })])
            }
            _ => None,
        });
        assert_eq!(client.find("f").map(drop), Err(Errno::EIO), "{kind:?}");
    }
}

#[test]
fn a_walk_ends_where_it_was_to_end() {
    for (count, errno) in [(0u16, Errno::ENOENT), (2, Errno::EIO)] {
        let client = client(move |tag, request| match request {
            Request::Walk(t) if !t.names.is_empty() => {
                let mut room = Vec::new();
                let mut qids = ListBuf::new(&mut room);
                (0..count).for_each(|_| assert!(qids.push(&FILE)));
                Some(vec![frame(tag, Rwalk { qids: qids.finish() })])
            }
            _ => None,
        });
        assert_eq!(client.find("f").map(drop), Err(errno));
    }
}

#[test]
fn an_attribute_is_no_larger_than_it_can_be() {
    let client = client(|tag, request| {
        matches!(request, Request::Xattrwalk(_)).then(|| vec![frame(tag, Rxattrwalk { size: u64::MAX })])
    });
    let (root, _) = client.attach().unwrap();
    let attribute = XattrPolicy::All.admit(b"user.a").unwrap();
    assert_eq!(client.getxattr(&root, attribute, &mut Vec::new()), Err(Errno::E2BIG));
}

#[test]
fn a_lock_has_a_status_that_there_is() {
    let client = client(|tag, request| {
        matches!(request, Request::Lock(_)).then(|| vec![frame(tag, Rlock { status: 4 })])
    });
    let (node, _) = client.find("f").unwrap();
    let file = client.open(&node, OpenFlags::new(AccessMode::ReadWrite)).unwrap();
    let lock = Lock { kind: LockKind::Shared, start: 0, length: 0 };
    assert_eq!(client.lock(&file, lock), Err(Errno::EIO));
}

#[test]
fn silence_is_etimedout_and_flushed() {
    let client = client(|tag, request| match request {
        // The reply comes after all, before that to the flush.
        Request::Flush(t) => Some(vec![frame(t.oldtag, Rread { data: Data(b"late") }), frame(tag, Rflush)]),
        Request::Read(t) if t.count == 7 => Some(vec![]),
        _ => None,
    });
    assert_eq!(read(&client, 7), Err(Errno::ETIMEDOUT));
    assert_eq!(client.ended(), None, "only that request is lost");
    for _ in 0..3 {
        assert_eq!(read(&client, 100).unwrap(), b"hello", "a late reply is nobody's");
    }
}

#[test]
fn a_fid_that_is_made_late_is_clunked() {
    let clunked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&clunked);
    let client = client(move |_, request| match request {
        Request::Walk(t) if t.names.iter().any(|name| name.as_bytes() == b"slow") => Some(vec![]),
        Request::Clunk(t) => {
            seen.lock().unwrap().push(t.fid);
            None
        }
        _ => None,
    });
    assert_eq!(client.find("slow").map(drop), Err(Errno::ETIMEDOUT));
    // Whoever reads next sees the reply to the flush.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while clunked.lock().unwrap().len() < 2 && std::time::Instant::now() < deadline {
        read(&client, 100).unwrap();
    }
    let all = clunked.lock().unwrap().clone();
    assert!(all.contains(&Fid(1)), "{all:?}");
}

#[test]
fn a_server_that_takes_nothing_is_given_up() {
    let (ours, theirs) = memory::pair();
    let (go, stop) = std::sync::mpsc::channel::<()>();
    thread::spawn(move || {
        let mut buffer: Vec<u8> = Vec::with_capacity(1 << 16);
        // The greeting, attach, getattr and a walk with its getattr, clone and open are answered.
        for _ in 0..7 {
            buffer.clear();
            theirs.recv(&mut buffer, 1 << 16).unwrap();
            let header = Header::decode(buffer.first_chunk().unwrap());
            let request = Request::decode(header.number, &buffer[HEADER..]).unwrap();
            for answer in honest(header.tag, &request) {
                theirs.send(&answer, &[], &[]).unwrap();
            }
        }
        let _ = stop.recv();
    });
    let client = Client::over(ours, &options()).unwrap();
    let (node, _) = client.find("f").unwrap();
    let file = client.open(&node, OpenFlags::new(AccessMode::Write)).unwrap();
    let much = vec![1; 4 << 20];
    assert_eq!(Backend::write(&client, &file, 0, &mut WriteFrom(&much)), Err(Errno::ETIMEDOUT));
    assert_eq!(client.ended(), Some(Errno::ETIMEDOUT), "half a request was sent");
    drop((file, node, go));
}

#[test]
fn what_cannot_be_agreed_on_is_told() {
    let over = |script: fn(Tag, &Request<'_>) -> Option<Frames>| {
        let (ours, theirs) = memory::pair();
        serve(theirs, script);
        Client::over(ours, &options()).err().unwrap()
    };
    assert!(matches!(over(|_, _| Some(vec![])), Error::Silent(_)));
    assert!(matches!(over(|_, _| Some(vec![vec![]])), Error::Lost(Errno::ECONNRESET)));
    assert!(matches!(over(|_, _| Some(vec![b"HTTP/1.1 400 Bad Request".to_vec()])), Error::Foreign));
    assert!(matches!(over(|tag, _| Some(vec![frame(tag, Rclunk)])), Error::Foreign));
    assert!(matches!(
        over(|tag, _| Some(vec![frame(
            tag,
            Rversion { msize: 8192, version: Str::new(b"unknown").unwrap() }
        )])),
        Error::Version(_)
    ));
    assert!(matches!(
        over(|tag, _| Some(vec![frame(
            tag,
            Rversion { msize: 512, version: Str::new(b"9P2000.L").unwrap() }
        )])),
        Error::Version(_)
    ));
    let closed = |tag, request: &Request<'_>| {
        matches!(request, Request::Attach(_)).then(|| vec![frame(tag, Rlerror { ecode: 13 })])
    };
    assert!(matches!(over(closed), Error::Attach { errno: Errno::EACCES, .. }));
}

/// Opens `f` at a server that donates a descriptor with each Rlopen.
fn donated(descriptor: impl Into<OwnedFd>) -> Result<Vec<u8>, Errno> {
    let (ours, theirs) = Socket::pair().unwrap();
    let descriptor = descriptor.into();
    thread::spawn(move || {
        let mut buffer: Vec<u8> = Vec::with_capacity(1 << 16);
        while matches!(theirs.recv(&mut buffer, 1 << 16), Ok(1..)) {
            let header = Header::decode(buffer.first_chunk().unwrap());
            let request = Request::decode(header.number, &buffer[HEADER..]).unwrap();
            let gift = matches!(request, Request::Lopen(_)).then(|| [descriptor.as_fd()]);
            for answer in honest(header.tag, &request) {
                // The client hangs up when it is done.
                let _ = theirs.send(&answer, &[], gift.as_ref().map_or(&[], |gift| gift));
            }
            buffer.clear();
        }
    });
    let options = Options { dialect: Some(Dialect::Google), ..options() };
    let client = Client::over(ours, &options).unwrap();
    let (node, _) = client.find("f")?;
    let file = client.open(&node, OpenFlags::new(AccessMode::Read))?;
    let mut bytes = Vec::new();
    Backend::read(&client, &file, 0, 100, &mut ReadInto::new(&mut bytes, 100))?;
    Ok(bytes)
}

#[test]
fn a_descriptor_is_used_only_if_it_is_a_regular_file_with_the_access() {
    let path = std::env::temp_dir().join(format!("gofer-donated-{}", std::process::id()));
    std::fs::write(&path, "from the file").unwrap();
    let open = || File::open(&path).unwrap();
    assert_eq!(donated(open()).unwrap(), b"from the file");
    let write_only = File::options().write(true).open(&path).unwrap();
    assert_eq!(donated(write_only).unwrap(), b"hello", "the server is asked instead");
    assert_eq!(donated(File::open("/dev/zero").unwrap()).unwrap(), b"hello");
    assert_eq!(donated(File::open("/").unwrap()).unwrap(), b"hello");
    assert_eq!(donated(Socket::pair().unwrap().0).unwrap(), b"hello");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn many_threads_share_a_connection() {
    let (ours, theirs) = memory::pair();
    serve(theirs, |_, _| None);
    let options = Options { timeout: Some(Duration::from_secs(60)), ..options() };
    let client = Arc::new(Client::over(ours, &options).unwrap());
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let client = Arc::clone(&client);
            thread::spawn(move || {
                for _ in 0..200 {
                    assert_eq!(read(&client, 100).unwrap(), b"hello");
                    let (root, _) = client.attach().unwrap();
                    client.walk(&root, name()).unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn the_end_of_a_server_is_the_end_of_all_waiting() {
    let waiting = Arc::new(std::sync::Barrier::new(9));
    let (ours, theirs) = memory::pair();
    let (tell, told) = std::sync::mpsc::channel();
    let control = Arc::new(theirs);
    let stream = Arc::clone(&control);
    thread::spawn(move || {
        let mut buffer: Vec<u8> = Vec::with_capacity(1 << 16);
        while matches!(stream.recv(&mut buffer, 1 << 16), Ok(1..)) {
            let mut rest = &buffer[..];
            while let Some(header) = rest.first_chunk().map(Header::decode) {
                let size = usize::try_from(header.size).unwrap();
                let request = Request::decode(header.number, &rest[HEADER..size]).unwrap();
                if matches!(request, Request::Read(_)) {
                    tell.send(()).unwrap();
                } else {
                    honest(header.tag, &request)
                        .iter()
                        .for_each(|answer| stream.send(answer, &[], &[]).unwrap());
                }
                rest = &rest[size..];
            }
            buffer.clear();
        }
    });
    let client = Arc::new(Client::over(ours, &Options { timeout: None, ..options() }).unwrap());
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (client, waiting) = (Arc::clone(&client), Arc::clone(&waiting));
            thread::spawn(move || {
                waiting.wait();
                read(&client, 100)
            })
        })
        .collect();
    waiting.wait();
    (0..8).for_each(|_| told.recv().unwrap());
    control.close();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Err(Errno::ECONNRESET));
    }
}

/// Not a lie, only an old server.
#[test]
fn a_server_without_names_in_its_messages_is_asked_by_fid() {
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let client = client(move |tag, request| {
        seen.lock().unwrap().push(request.name());
        match request {
            Request::Renameat(_) | Request::Unlinkat(_) => Some(vec![frame(tag, Rlerror { ecode: 95 })]),
            Request::Rename(_) => Some(vec![frame(tag, Rrename)]),
            Request::Remove(_) => Some(vec![frame(tag, Rremove)]),
            _ => None,
        }
    });
    let (root, _) = client.attach().unwrap();
    client.rename(&root, name(), &root, name(), RenameFlags::Replace).unwrap();
    client.rename(&root, name(), &root, name(), RenameFlags::Replace).unwrap();
    client.unlink(&root, name(), Unlink::File).unwrap();
    assert_eq!(
        client.unlink(&root, name(), Unlink::Directory),
        Err(Errno::ENOTDIR),
        "it is looked at before"
    );
    let count = |what| asked.lock().unwrap().iter().filter(|name| **name == what).count();
    assert_eq!((count("Trenameat"), count("Tunlinkat")), (1, 0), "it is remembered");
    assert_eq!((count("Trename"), count("Tremove")), (2, 1));
}

#[test]
fn the_highest_version_that_both_know_is_spoken() {
    let offered = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&offered);
    let (ours, theirs) = memory::pair();
    serve(theirs, move |tag, request| {
        let Request::Version(t) = request else { return None };
        let version = Version::parse(t.version.as_bytes()).unwrap();
        seen.lock().unwrap().push(version.0);
        let answer = if version.0 > 7 {
            frame(tag, Rlerror { ecode: 11 })
        } else {
            frame(tag, Rversion { msize: t.msize, version: t.version })
        };
        Some(vec![answer])
    });
    let client = Client::over(ours, &Options { dialect: Some(Dialect::Google), ..options() }).unwrap();
    assert!(client.features().is_google());
    assert!(offered.lock().unwrap().iter().copied().eq((7..=13).rev()));
}
