//! Servers of lisafs.

mod channels;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use gofer_client::lisafs::{Client, Error, Options};
use gofer_transport::{ReadInto, Socket, Stream, WriteFrom, memory};
use gofer_vfs::{
    AccessMode, Backend, Errno, FileKind, Name, OpenFlags, Owner, PeerGid, PeerUid, SetAttr, XattrFlags,
    XattrPolicy,
};
use gofer_wire::lisafs::*;
use gofer_wire::{List, ListBuf, Str, Wire};

/// What a server answers: whole frames, as they are sent. An empty one is the end.
type Frames = Vec<Vec<u8>>;

const ROOT: FdId = FdId(1);

/// Attributes of a directory or file.
fn stat(kind: FileKind) -> Statx {
    let moment = Timestamp { sec: 1, nsec: 2, pad: Pad };
    Statx {
        mask: Statx::BASIC,
        blksize: 4096,
        attributes: 0,
        nlink: 1,
        uid: PeerUid(0),
        gid: PeerGid(0),
        mode: u16::try_from(kind.mode() | 0o644).unwrap(),
        pad: Pad,
        ino: 7,
        size: 5,
        blocks: 8,
        attributes_mask: 0,
        atime: moment,
        btime: moment,
        ctime: moment,
        mtime: moment,
        rdev_major: 0,
        rdev_minor: 0,
        dev_major: 254,
        dev_minor: 1,
    }
}

fn inode(fd: u64, kind: FileKind) -> Inode {
    Inode { fd: FdId(fd), stat: stat(kind) }
}

fn framed<'a>(number: u16, message: &impl Wire<'a>) -> Vec<u8> {
    let mut head = Vec::new();
    let payload = frame(number, message, &mut head);
    [head, payload.to_vec()].concat()
}

/// The reply to a request of this type.
fn to<'a, R: Operation<'a>>(reply: &impl Wire<'a>) -> Frames {
    vec![framed(R::NUMBER, reply)]
}

fn failure(errno: u32) -> Frames {
    vec![framed(Failure::NUMBER, &Failure { errno })]
}

fn mounted(root: Inode, payload_max: u32, numbers: &[u16]) -> Frames {
    let mut room = Vec::new();
    let mut list = ListBuf::new(&mut room);
    numbers.iter().for_each(|number| assert!(list.push(number)));
    to::<MountReq>(&MountResp { root, payload_max, numbers: list.finish() })
}

fn walked(status: WalkStatus, inodes: &[Inode]) -> Frames {
    let mut room = Vec::new();
    let mut list = ListBuf::new(&mut room);
    inodes.iter().for_each(|inode| assert!(list.push(inode)));
    to::<WalkReq<'_>>(&WalkResp { status, inodes: list.finish() })
}

fn read_bytes(bytes: &[u8]) -> Frames {
    to::<PReadReq>(&PReadResp { data: Taken(bytes) })
}

/// What an honest server with the file `f` in its root would say.
fn honest(request: &Request<'_>) -> Frames {
    match request {
        Request::Mount(_) => mounted(inode(1, FileKind::Directory), PAYLOAD_MAX, NUMBERS),
        Request::Walk(_) => walked(WalkStatus::SUCCESS, &[inode(2, FileKind::Regular)]),
        Request::FStat(t) => {
            let kind = if t.fd == ROOT { FileKind::Directory } else { FileKind::Regular };
            to::<FStatReq>(&stat(kind))
        }
        Request::OpenAt(_) => to::<OpenAtReq>(&OpenAtResp { fd: FdId(3) }),
        Request::PRead(_) => read_bytes(b"hello"),
        Request::PWrite(t) => to::<PWriteReq<'_>>(&PWriteResp { count: t.data.0.len() as u64 }),
        Request::Close(_) => to::<CloseReq<'_>>(&Done),
        Request::Channel(_) => failure(12),
        other => panic!("{} was not to be asked", other.name()),
    }
}

/// Serves a stream by a script, which says nothing where the honest answer is to be given.
fn serve<S: Stream>(stream: S, script: impl Fn(&Request<'_>) -> Option<Frames> + Send + 'static) {
    thread::spawn(move || {
        let mut buffer: Vec<u8> = Vec::new();
        loop {
            let header = buffer.first_chunk().map(Header::decode);
            let size = header.map(|header| HEADER + usize::try_from(header.length).unwrap());
            let (Some(header), Some(size)) = (header, size.filter(|size| buffer.len() >= *size)) else {
                buffer.reserve(1 << 16);
                match stream.recv(&mut buffer, 1 << 16) {
                    Ok(0) | Err(_) => return,
                    Ok(_) => continue,
                }
            };
            let rest = buffer.split_off(size);
            let request = Request::decode(header.number, &buffer[HEADER..]).unwrap();
            for answer in script(&request).unwrap_or_else(|| honest(&request)) {
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
    Options { timeout: Some(Duration::from_millis(300)), ..Options::default() }
}

fn client(script: impl Fn(&Request<'_>) -> Option<Frames> + Send + 'static) -> Client {
    let (ours, theirs) = memory::pair();
    serve(theirs, script);
    Client::over(ours, &options()).unwrap()
}

fn name() -> Name<'static> {
    Name::new(b"f").unwrap()
}

fn read(client: &Client, len: usize) -> Result<Vec<u8>, Errno> {
    let (root, _) = client.attach()?;
    let (node, _) = client.walk(&root, name())?;
    let file = client.open(&node, OpenFlags::new(AccessMode::ReadWrite))?;
    let mut bytes = Vec::new();
    Backend::read(client, &file, 0, len, &mut ReadInto::new(&mut bytes, len))?;
    Ok(bytes)
}

#[test]
fn the_honest_server_is_believed() {
    assert_eq!(read(&client(|_| None), 100).unwrap(), b"hello");
}

/// A lie in the answer to one kind of request, and what it costs.
#[test]
fn a_lie_ends_the_connection() {
    fn raw(number: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        u32::try_from(payload.len()).unwrap().encode(&mut bytes);
        number.encode(&mut bytes);
        Pad::<2>.encode(&mut bytes);
        [bytes, payload.to_vec()].concat()
    }
    /// What is said to a PRead, and what comes of it.
    type Lie = (&'static str, fn() -> Frames, Errno);
    let lies: [Lie; 11] = [
        ("more bytes than were asked for", || read_bytes(&[1; 200]), Errno::EIO),
        ("a count without the bytes", || vec![raw(12, &[100, 0, 0, 0, 0, 0, 0, 0, 1])], Errno::EIO),
        ("a count of all there is", || vec![raw(12, &[0xFF; 8])], Errno::EIO),
        ("no count", || vec![raw(12, &[])], Errno::EIO),
        ("another operation's reply", || vec![raw(11, &[0; 8])], Errno::EIO),
        ("a number that nothing has", || vec![raw(0xFFFF, &[0; 8])], Errno::EIO),
        ("half an errno", || vec![raw(0, &[5, 0])], Errno::EIO),
        ("a payload longer than was agreed on", || vec![vec![0xFF; HEADER]], Errno::EIO),
        ("the end", || vec![vec![]], Errno::ECONNRESET),
        ("the end in the header", || vec![vec![8, 0, 0], vec![]], Errno::ECONNRESET),
        ("the end in the payload", || vec![raw(12, &[0; 8])[..12].to_vec(), vec![]], Errno::ECONNRESET),
    ];
    for (lie, tell, errno) in lies {
        let client = client(move |request| matches!(request, Request::PRead(_)).then(tell));
        assert_eq!(read(&client, 100), Err(errno), "{lie}");
        assert_eq!(read(&client, 100), Err(errno), "{lie}: and so it stays");
        assert_eq!(client.ended(), Some(errno), "{lie}");
    }
}

#[test]
fn an_errno_that_is_none_is_eio() {
    for errno in [0, 4096, u32::MAX] {
        let client = client(move |request| matches!(request, Request::PRead(_)).then(|| failure(errno)));
        assert_eq!(read(&client, 100), Err(Errno::EIO), "{errno}");
        assert_eq!(client.ended(), None);
    }
}

#[test]
fn a_write_is_not_longer_than_it_was() {
    let client = client(|request| {
        matches!(request, Request::PWrite(_)).then(|| to::<PWriteReq<'_>>(&PWriteResp { count: 6 }))
    });
    let (root, _) = client.attach().unwrap();
    let (node, _) = client.walk(&root, name()).unwrap();
    let file = client.open(&node, OpenFlags::new(AccessMode::Write)).unwrap();
    assert_eq!(Backend::write(&client, &file, 0, &mut WriteFrom(b"hello")), Err(Errno::EIO));
}

#[test]
fn a_walk_ends_where_it_was_to_end() {
    let file = inode(2, FileKind::Regular);
    let ends: [(WalkStatus, &[Inode], Errno); 7] = [
        (WalkStatus::DOES_NOT_EXIST, &[], Errno::ENOENT),
        (WalkStatus::DOES_NOT_EXIST, &[file], Errno::EIO),
        (WalkStatus::SUCCESS, &[], Errno::EIO),
        (WalkStatus::SUCCESS, &[file, file], Errno::EIO),
        (WalkStatus::SYMLINK, &[file], Errno::EIO),
        (WalkStatus(3), &[file], Errno::EIO),
        (WalkStatus::SUCCESS, &[inode(0, FileKind::Regular)], Errno::EIO),
    ];
    for (status, inodes, errno) in ends {
        let told = walked(status, inodes);
        let client = client(move |request| matches!(request, Request::Walk(_)).then(|| told.clone()));
        let (root, _) = client.attach().unwrap();
        assert_eq!(client.walk(&root, name()).map(drop), Err(errno), "{status:?} {}", inodes.len());
        assert_eq!(client.ended(), Some(errno).filter(|errno| *errno == Errno::EIO));
    }
}

#[test]
fn attributes_are_what_can_be() {
    type Lie = (&'static str, fn(&mut Statx));
    let lies: [Lie; 5] = [
        ("no kind", |stat| stat.mask &= !1),
        ("no size of a file", |stat| stat.mask &= !SetStatReq::SIZE),
        ("no number", |stat| stat.mask &= !0x100),
        ("a kind that is none", |stat| stat.mode = 0o644),
        ("a time that is none", |stat| stat.mtime.nsec = 1_000_000_000),
    ];
    for (lie, tell) in lies {
        let mut inode = inode(2, FileKind::Regular);
        tell(&mut inode.stat);
        let client = client(move |request| {
            matches!(request, Request::Walk(_)).then(|| walked(WalkStatus::SUCCESS, &[inode]))
        });
        let (root, _) = client.attach().unwrap();
        assert_eq!(client.walk(&root, name()).map(drop), Err(Errno::EIO), "{lie}");
    }
}

#[test]
fn a_file_is_what_it_was() {
    let client = client(|request| match request {
        Request::FStat(t) if t.fd != ROOT => Some(to::<FStatReq>(&stat(FileKind::Symlink))),
        Request::MkdirAt(_) => Some(to::<MkdirAtReq<'_>>(&inode(9, FileKind::Regular))),
        _ => None,
    });
    let (root, _) = client.attach().unwrap();
    let (node, _) = client.walk(&root, name()).unwrap();
    assert_eq!(client.getattr(&node), Err(Errno::EIO));
    assert_eq!(client.mkdir(&root, name(), 0o755, Owner::default()).map(drop), Err(Errno::EIO));
    assert_eq!(client.ended(), Some(Errno::EIO));
}

#[test]
fn a_failure_to_set_has_an_errno() {
    for (failed, errno, expected) in [(0, 0, Ok(())), (2, 1, Err(Errno::EPERM)), (2, 0, Err(Errno::EIO))] {
        let client = client(move |request| {
            matches!(request, Request::SetStat(_)).then(|| to::<SetStatReq>(&SetStatResp { failed, errno }))
        });
        let (root, _) = client.attach().unwrap();
        let set = SetAttr { perm: Some(0o700), ..SetAttr::default() };
        assert_eq!(client.setattr(&root, None, &set), expected, "{failed} {errno}");
    }
}

/// A listing as it is sent.
fn listed(entries: &[(&'static [u8], u64)]) -> Frames {
    let mut elements = Vec::new();
    for (name, offset) in entries {
        let name = Str::new(name).unwrap();
        Dirent { ino: 7, dev_minor: 1, dev_major: 254, offset: *offset, kind: 8, name }.encode(&mut elements);
    }
    let len = u16::try_from(entries.len()).unwrap().to_le_bytes();
    let list = [&len[..], &elements].concat();
    let entries = Dirents(List::decode(&mut gofer_wire::Reader::new(&list)).unwrap());
    to::<Getdents64Req>(&Getdents64Resp { entries })
}

/// Lists the root of a server that answers so.
fn list(script: impl Fn(&Getdents64Req) -> Frames + Send + 'static) -> (Result<usize, Errno>, Option<Errno>) {
    let client = client(move |request| match request {
        Request::Getdents64(t) => Some(script(t)),
        _ => None,
    });
    let (root, _) = client.attach().unwrap();
    let dir = client.open(&root, OpenFlags::new(AccessMode::Read)).unwrap();
    let mut taken = 0;
    let done = client.readdir(&dir, 0, 4096, &mut |_| {
        taken += 1;
        true
    });
    (done.map(|()| taken), client.ended())
}

#[test]
fn names_and_positions_in_a_listing_are_checked() {
    let long: &'static [u8] = &[b'n'; 256];
    let bad = [(&b"a/b"[..], 1), (b"", 1), (b"a\0", 1), (long, 1), (b"fine", 0), (b"fine", u64::MAX)];
    for entry in bad {
        assert_eq!(list(move |_| listed(&[entry])), (Err(Errno::EIO), Some(Errno::EIO)), "{entry:?}");
    }
    let more = vec![(&b"more than was asked for"[..], 1); 1000];
    assert_eq!(list(move |_| listed(&more)), (Err(Errno::EIO), Some(Errno::EIO)));
    let dots = |_: &Getdents64Req| listed(&[(b".", 1), (b"..", 2)]);
    assert_eq!(list(dots), (Err(Errno::EIO), Some(Errno::EIO)), "it has no end");
    let with_dots = |t: &Getdents64Req| {
        if t.count < 0 { listed(&[(b".", 1), (b"..", 2), (b"f", 3)]) } else { listed(&[]) }
    };
    assert_eq!(list(with_dots), (Ok(3), None));
}

/// Positions are the host's; what lies before one is read again.
#[test]
fn a_position_that_was_left_is_found_again() {
    let (position, fails) = (Mutex::new(0), Arc::new(Mutex::new(false)));
    let fail = Arc::clone(&fails);
    let client = client(move |request| match request {
        Request::Getdents64(_) if std::mem::take(&mut *fail.lock().unwrap()) => Some(failure(5)),
        Request::Getdents64(t) => {
            let mut position = position.lock().unwrap();
            let from = if t.count < 0 { 0 } else { *position };
            *position = 4.min(from + 2);
            let all: [(&'static [u8], u64); 4] = [(b"a", 40), (b"b", 10), (b"c", 30), (b"d", 20)];
            Some(listed(&all[from..*position]))
        }
        _ => None,
    });
    let (root, _) = client.attach().unwrap();
    let dir = client.open(&root, OpenFlags::new(AccessMode::Read)).unwrap();
    let names = |cookie| {
        let mut names = Vec::new();
        let each = &mut |entry: gofer_vfs::Entry<'_>| {
            names.extend_from_slice(entry.name.as_bytes());
            true
        };
        client.readdir(&dir, cookie, 0, each).map(|()| String::from_utf8(names).unwrap())
    };
    assert_eq!(names(0).unwrap(), "...ab");
    assert_eq!(names(10).unwrap(), "cd");
    assert_eq!(names(20).unwrap(), "");
    assert_eq!(names(40).unwrap(), "b");
    assert_eq!(names(30).unwrap(), "d");
    assert_eq!(names(11), Err(Errno::EINVAL), "there is no such position");
    assert_eq!(names(40).unwrap(), "b");
    *fails.lock().unwrap() = true;
    assert_eq!(names(10), Err(Errno::EIO));
    assert_eq!(names(10).unwrap(), "cd", "where the server is after a failure is not known");
}

#[test]
fn silence_is_etimedout_and_a_late_reply_is_nobodys() {
    let (ours, theirs) = Socket::pair().unwrap();
    let late = Socket::from_fd(theirs.as_fd().try_clone_to_owned().unwrap()).unwrap();
    let late = Arc::new(late);
    serve(theirs, move |request| match request {
        Request::PRead(t) if t.count == 7 => {
            let late = Arc::clone(&late);
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(450));
                late.send(&read_bytes(b"late").remove(0), &[], &[]).unwrap();
            });
            Some(vec![])
        }
        _ => None,
    });
    let client = Client::over(ours, &options()).unwrap();
    assert_eq!(read(&client, 7), Err(Errno::ETIMEDOUT));
    assert_eq!(client.ended(), None, "only that request is lost");
    for _ in 0..3 {
        assert_eq!(read(&client, 100).unwrap(), b"hello");
    }
}

/// A server that is silent for good is asked nothing more.
#[test]
fn nothing_is_sent_while_a_reply_is_owed() {
    let asked = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&asked);
    let client = client(move |request| {
        *seen.lock().unwrap() += 1;
        matches!(request, Request::FStat(_)).then(Vec::new)
    });
    for _ in 0..3 {
        assert_eq!(client.attach().map(drop), Err(Errno::ETIMEDOUT));
    }
    assert_eq!(*asked.lock().unwrap(), 2, "Mount and one FStat");
}

#[test]
fn what_cannot_be_agreed_on_is_told() {
    let over = |script: fn(&Request<'_>) -> Option<Frames>| {
        let (ours, theirs) = memory::pair();
        serve(theirs, script);
        Client::over(ours, &options()).err().unwrap()
    };
    let root = inode(1, FileKind::Directory);
    assert!(matches!(over(|_| Some(vec![])), Error::Silent(_)));
    assert!(matches!(over(|_| Some(vec![vec![]])), Error::Lost(Errno::ECONNRESET)));
    assert!(matches!(over(|_| Some(vec![b"HTTP/1.1 400 Bad Request".to_vec()])), Error::Foreign));
    assert!(matches!(over(|_| Some(to::<CloseReq<'_>>(&Done))), Error::Foreign));
    assert!(matches!(over(|_| Some(failure(13))), Error::Mount(Errno::EACCES)));
    assert!(matches!(
        over(|_| Some(mounted(inode(0, FileKind::Directory), 1 << 20, NUMBERS))),
        Error::Foreign
    ));
    let (ours, theirs) = memory::pair();
    serve(theirs, move |_| Some(mounted(root, 1000, NUMBERS)));
    assert!(matches!(Client::over(ours, &options()), Err(Error::Narrow(1000))));
}

#[test]
fn what_is_not_offered_is_not_asked_for() {
    let client = client(|request| {
        let few = [1, 3, 5, 7, 9, 11, 64, 65_535];
        matches!(request, Request::Mount(_))
            .then(|| mounted(inode(1, FileKind::Directory), PAYLOAD_MAX, &few))
    });
    let (root, _) = client.attach().unwrap();
    let (node, _) = client.walk(&root, name()).unwrap();
    let file = client.open(&node, OpenFlags::new(AccessMode::Write)).unwrap();
    let attribute = XattrPolicy::All.admit(b"user.a").unwrap();
    assert_eq!(client.setxattr(&node, attribute, b"", XattrFlags::Any), Err(Errno::EOPNOTSUPP));
    assert_eq!(client.fsync(&file, false), Err(Errno::EOPNOTSUPP));
    assert_eq!(client.flush(&file), Ok(()), "there is nothing to say");
}

#[test]
fn what_is_dropped_is_closed_together() {
    let closed = Arc::new(Mutex::new(Vec::new()));
    let (seen, next) = (Arc::clone(&closed), Mutex::new(1));
    let client = client(move |request| match request {
        Request::Walk(_) => {
            *next.lock().unwrap() += 1;
            Some(walked(WalkStatus::SUCCESS, &[inode(*next.lock().unwrap(), FileKind::Regular)]))
        }
        Request::Close(t) => {
            seen.lock().unwrap().push(t.fds.iter().map(|fd| fd.0).collect::<Vec<_>>());
            None
        }
        _ => None,
    });
    let (root, _) = client.attach().unwrap();
    for _ in 0..250 {
        client.walk(&root, name()).unwrap();
    }
    let closed = closed.lock().unwrap().clone();
    assert_eq!(closed, [(2..102).collect::<Vec<_>>(), (102..202).collect()]);
}

/// Opens a file of a kind at a server that donates a descriptor with each OpenAt. The client, and the open file.
fn donated(kind: FileKind, given: impl Into<OwnedFd>) -> Result<bool, Errno> {
    let (ours, theirs) = Socket::pair().unwrap();
    let given = given.into();
    let sender = Socket::from_fd(theirs.as_fd().try_clone_to_owned().unwrap()).unwrap();
    serve(theirs, move |request| match request {
        Request::OpenAt(_) => {
            let reply = to::<OpenAtReq>(&OpenAtResp { fd: FdId(3) }).remove(0);
            // The client hangs up when it is done.
            let _ = sender.send(&reply, &[], &[given.as_fd(), given.as_fd()]);
            Some(vec![])
        }
        Request::Walk(_) => Some(walked(WalkStatus::SUCCESS, &[inode(2, kind)])),
        _ => None,
    });
    let client = Client::over(ours, &options()).unwrap();
    let (root, _) = client.attach()?;
    let (node, _) = client.walk(&root, name())?;
    let file = client.open(&node, OpenFlags::new(AccessMode::Read))?;
    Ok(client.lend(&file).is_some())
}

#[test]
fn a_descriptor_is_used_only_if_it_is_what_was_opened() {
    let path = std::env::temp_dir().join(format!("gofer-donated-lisafs-{}", std::process::id()));
    std::fs::write(&path, "from the file").unwrap();
    assert_eq!(donated(FileKind::Regular, File::open(&path).unwrap()), Ok(true));
    let write_only = File::options().write(true).open(&path).unwrap();
    assert_eq!(donated(FileKind::Regular, write_only), Ok(false), "the server is asked instead");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(donated(FileKind::Regular, File::open("/dev/zero").unwrap()), Ok(false));
    assert_eq!(donated(FileKind::Regular, File::open("/").unwrap()), Ok(false));
    let (reader, writer) = std::io::pipe().unwrap();
    assert_eq!(donated(FileKind::Fifo, reader), Ok(false));
    assert_eq!(donated(FileKind::Fifo, writer), Err(Errno::EIO), "without it there is no FIFO");
    assert_eq!(donated(FileKind::Fifo, Socket::pair().unwrap().0), Err(Errno::EIO));
}

#[test]
fn many_threads_share_a_connection() {
    let (ours, theirs) = memory::pair();
    serve(theirs, |_| None);
    let client = Arc::new(Client::over(ours, &Options::default()).unwrap());
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let client = Arc::clone(&client);
            thread::spawn(move || (0..200).for_each(|_| assert_eq!(read(&client, 100).unwrap(), b"hello")))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn the_end_of_a_server_is_the_end_of_all_waiting() {
    let (ours, theirs) = memory::pair();
    let (tell, told) = std::sync::mpsc::channel();
    let control = Arc::new(Mutex::new(Some(tell)));
    serve(theirs, move |request| match request {
        Request::PRead(_) => {
            // The first asks, the others wait for their turn.
            if let Some(tell) = control.lock().unwrap().take() {
                tell.send(()).unwrap();
                thread::sleep(Duration::from_millis(100));
            }
            Some(vec![vec![]])
        }
        _ => None,
    });
    let client = Arc::new(Client::over(ours, &Options { timeout: None, ..options() }).unwrap());
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let client = Arc::clone(&client);
            thread::spawn(move || read(&client, 100))
        })
        .collect();
    told.recv().unwrap();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Err(Errno::ECONNRESET));
    }
}
