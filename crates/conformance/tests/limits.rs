//! What a client may hold. At each limit it gets an errno, loses nothing that it has, and can go on when it has
//! let go of something; nobody else notices. That all of it comes back is in `resources.rs`.

use std::thread;

use gofer_conformance::client::text;
use gofer_conformance::{Client, Dialect, Ground, ROOT, Setup, Site, Transport, site};
use gofer_server::{Export, Limits, Policy, Server};
use gofer_sys::io::WriteFrom;
use gofer_transport::Socket;
use gofer_vfs::{AccessMode, Backend, CreateFlags, Errno, MemFs, Name, OpenFlags, Owner, Result};
use gofer_wire::p9::*;

/// A walk of no names.
const NONE: &[&str] = &[];

/// A site of each kind whose clients may hold as much as `limits` says.
fn sites(limits: Limits) -> impl Iterator<Item = Site> {
    let site = move |ground, transport, dialect| {
        site(ground, transport, dialect, Setup { limits, ..Setup::default() })
    };
    [
        site(Ground::Host, Transport::Pair, Dialect::Base),
        site(Ground::Host, Transport::Unix, Dialect::Google),
        site(Ground::Memory, Transport::Memory, Dialect::Base),
    ]
    .into_iter()
}

/// How often `hold` succeeds before it answers `errno`.
fn until(errno: Errno, mut hold: impl FnMut() -> Result<()>) -> usize {
    for held in 0..100_000 {
        match hold() {
            Ok(()) => {}
            Err(end) if end == errno => return held,
            Err(other) => panic!("{other} where {errno} is the limit"),
        }
    }
    panic!("there is no limit");
}

#[test]
fn fids() {
    let check = |site: &Site| -> Result<()> {
        let (mut c, mut other) = (site.client(), site.client());
        let file = c.at("file")?;
        // The root and the file are two.
        assert_eq!(until(Errno::ENFILE, || c.at("dir").map(drop)), 98);
        assert_eq!(c.at(""), Err(Errno::ENFILE), "a clone is a fid too");
        assert_eq!(c.attach(Fid(9000), ""), Err(Errno::ENFILE));
        let walk = |c: &mut Client| c.call(Txattrwalk { fid: file, newfid: Fid(9000), name: text("") }).err();
        assert_eq!(walk(&mut c), Some(Errno::ENFILE));
        assert_eq!(c.clunk(Fid(9000)), Err(Errno::EBADF));
        c.walk(ROOT, Fid(2), &["dir", "sub"])?;
        c.attach(Fid(3), "file")?;
        assert_eq!(c.getattr(file)?.attr.size, 9, "a number that is in use is no more than one");
        c.clunk(Fid(2))?;
        c.open_at("file", OpenBits::RDONLY)?;
        assert_eq!(c.at(""), Err(Errno::ENFILE));
        c.version(8192, site.dialect().version().0)?;
        c.attach(ROOT, "")?;
        assert_eq!(until(Errno::ENFILE, || c.at("dir").map(drop)), 99, "a version frees them all");
        other.at("file").map(drop)
    };
    for site in sites(Limits { fids: 100, ..Limits::default() }) {
        check(&site).expect("answers");
    }
}

#[test]
fn descriptors() {
    let check = |site: &Site| -> Result<()> {
        let (mut c, mut other) = (site.client(), site.client());
        let (file, clone, mut last) = (c.at("file")?, c.at("")?, None);
        let mut open = |c: &mut Client| {
            last = Some(c.at("file")?);
            c.open(last.unwrap_or(ROOT), OpenBits::RDONLY).map(drop)
        };
        assert_eq!(until(Errno::ENFILE, || open(&mut c)), 10, "two for each, and as many for others");
        for _ in 0..100 {
            c.at("file")?;
        }
        let refused = c.create(clone, "new", OpenBits::RDWR, 0o644).err();
        assert_eq!(refused, Some(Errno::ENFILE));
        assert_eq!(c.at("new"), Err(Errno::ENOENT), "nothing was left behind");
        assert_eq!(until(Errno::ENFILE, || open(&mut other)), 5, "others have enough, and leave some too");
        let Some(fid) = last else { return Err(Errno::EIO) };
        other.clunk(fid)?;
        assert_eq!(c.open(file, OpenBits::RDONLY).err(), Some(Errno::ENFILE), "which is not for the first");
        assert_eq!(c.getattr(file)?.attr.size, 9);
        Ok(())
    };
    for site in sites(Limits { descriptors: 40, ..Limits::default() }) {
        check(&site).expect("answers");
    }
}

#[test]
fn locks() {
    let lock = |c: &mut Client, fid, kind, start| -> Result<u8> {
        let (flags, length, proc_id, client_id) = (0, 1, 1, text(""));
        Ok(c.call(Tlock { fid, kind, flags, start, length, proc_id, client_id })?.lock().status)
    };
    let check = |site: &Site| -> Result<()> {
        let (mut c, mut other) = (site.client(), site.client());
        let (fid, others) = (c.open_at("file", OpenBits::RDWR)?, other.open_at("file", OpenBits::RDWR)?);
        let mut at = 0;
        let held = until(Errno::ENOLCK, || {
            at += 2;
            lock(&mut c, fid, Tlock::WRLCK, at).map(|status| assert_eq!(status, Rlock::SUCCESS))
        });
        assert!((15..=20).contains(&held), "{held} of 20: the last is kept for one that splits");
        assert_eq!(lock(&mut other, others, Tlock::WRLCK, 2), Ok(Rlock::BLOCKED), "what was had is kept");
        assert_eq!(lock(&mut other, others, Tlock::WRLCK, at), Ok(Rlock::SUCCESS), "what was refused is not");
        assert_eq!(lock(&mut c, fid, Tlock::UNLCK, 2), Ok(Rlock::SUCCESS));
        assert_eq!(lock(&mut c, fid, Tlock::WRLCK, 100), Ok(Rlock::SUCCESS));
        c.clunk(fid)?;
        let fid = c.open_at("file", OpenBits::RDWR)?;
        let mut at = 1000;
        let again = until(Errno::ENOLCK, || {
            at += 2;
            lock(&mut c, fid, Tlock::WRLCK, at).map(drop)
        });
        assert_eq!(again, held, "a clunk gives all of them back");
        Ok(())
    };
    for site in sites(Limits { locks: 20, ..Limits::default() }) {
        check(&site).expect("answers");
    }
}

#[test]
fn bytes_of_extended_attributes() {
    let name = text("user.a");
    let check = |site: &Site| -> Result<()> {
        let (mut c, mut other) = (site.client(), site.client());
        let file = c.at("file")?;
        let set = Tsetxattr { fid: file, name, value: text("0123456789"), flags: 0 };
        match c.call(set) {
            // This host's file system has none.
            Err(Errno::EOPNOTSUPP) if site.host().is_some() => return Ok(()),
            other => drop(other?),
        }
        let pending = |c: &mut Client| -> Result<Fid> {
            let fid = c.at("file")?;
            c.call(Txattrcreate { fid, name, size: 10_000, flags: 0 }).map(|_| fid)
        };
        let snapshot = |c: &mut Client| -> Result<Fid> {
            let newfid = c.fid();
            c.call(Txattrwalk { fid: file, newfid, name }).map(|_| newfid)
        };
        let first = pending(&mut c)?;
        assert_eq!(until(Errno::ENOBUFS, || pending(&mut c).map(drop)), 9, "what was announced counts");
        assert_eq!(snapshot(&mut c).err(), Some(Errno::ENOBUFS));
        pending(&mut other)?;
        // It is not complete.
        assert_eq!(c.clunk(first), Err(Errno::EINVAL));
        assert_eq!(until(Errno::ENOBUFS, || snapshot(&mut c).map(drop)), 1000);
        assert_eq!(pending(&mut c).err(), Some(Errno::ENOBUFS));
        c.getattr(file).map(drop)
    };
    for site in sites(Limits { xattr_bytes: 100_000, ..Limits::default() }) {
        check(&site).expect("answers");
    }
}

#[test]
fn connections() {
    for site in sites(Limits { connections: 3, ..Limits::default() }) {
        let mut clients = [site.client(), site.client(), site.client()];
        for _ in 0..5 {
            assert_eq!(site.connect().recv_to_end(), b"", "closed without a word");
        }
        for client in &mut clients {
            client.getattr(ROOT).expect("the others stay");
        }
        let [first, ..] = clients;
        drop(first);
        // The server learns of an end only when it comes.
        while site.connect().attach(ROOT, "").is_err() {
            thread::yield_now();
        }
    }
}

/// A connection with a file open that is as long as a message.
fn with_large_file(site: &Site) -> Result<(Client, Fid)> {
    let mut c = site.connect();
    c.version(MESSAGE_MAX, site.dialect().version().0)?;
    c.attach(ROOT, "")?;
    let fid = c.create_at("large")?;
    c.write(fid, 0, &vec![1; (MESSAGE_MAX - 23) as usize])?;
    Ok((c, fid))
}

#[test]
fn requests_in_progress() {
    let check = |site: &Site| -> Result<()> {
        let (mut c, fid) = with_large_file(site)?;
        let mut other = site.client();
        // More than the connection has threads for; it stops receiving until some of it was taken.
        for tag in 0..40 {
            c.send(Tag(tag), Tread { fid, offset: 0, count: MESSAGE_MAX })?;
        }
        for _ in 0..400 {
            other.getattr(ROOT)?;
        }
        assert_eq!(other.content("file")?, b"hello, 9p");
        let mut tags: Vec<_> = (0..40).map(|_| c.recv().map(|a| a.tag().0)).collect::<Result<_>>()?;
        tags.sort_unstable();
        assert!(tags.into_iter().eq(0..40), "each is answered, once there is who takes it");
        Ok(())
    };
    for threads in [1, 2, 16] {
        for site in sites(Limits { threads, ..Limits::default() }) {
            check(&site).expect("answers");
        }
    }
}

#[test]
fn flushes_that_wait() {
    for site in sites(Limits::default()) {
        let (mut c, fid) = with_large_file(&site).expect("answers");
        let mut other = site.client();
        c.send(Tag(0), Tread { fid, offset: 0, count: MESSAGE_MAX }).expect("a connection");
        assert_eq!(c.begin(), Ok(Tag(0)), "a reply that is not taken");
        c.send(Tag(1), Tgetattr { fid, mask: GetattrMask::BASIC }).expect("a connection");
        let refused = (2..Tag::NONE.0).find(|tag| c.send(Tag(*tag), Tflush { oldtag: Tag(1) }).is_err());
        assert!(refused.is_some(), "as many flushes as there are tags wait for one request");
        c.recv_to_end();
        other.getattr(ROOT).expect("nobody else notices");
    }
}

/// A reply was made to wait for the next request, whose thread had taken the turn away meanwhile and had nothing to say:
/// nobody sent it.
#[test]
fn a_reply_that_waits_is_sent_when_the_turn_is_gone() {
    for site in sites(Limits::default()) {
        let (mut c, fid) = with_large_file(&site).expect("answers");
        let mut other = site.client();
        c.send(Tag(0), Tread { fid, offset: 0, count: MESSAGE_MAX }).expect("a connection");
        assert_eq!(c.begin(), Ok(Tag(0)), "a reply that is not taken");
        let getattr = Tgetattr { fid, mask: GetattrMask::BASIC };
        c.send_together(&[getattr.into(), Tflush { oldtag: Tag(1) }.into()]).expect("a connection");
        for _ in 0..400 {
            other.getattr(ROOT).expect("an answer");
        }
        let tags = [(); 3].map(|()| c.recv().expect("a reply").tag());
        assert_eq!(tags, [Tag(0), Tag(1), Tag(2)]);
    }
}

#[test]
fn floods_are_answered() {
    let check = |site: &Site| -> Result<()> {
        let (mut c, mut other) = (site.client(), site.client());
        for round in 0..100 {
            for tag in 0..100 {
                c.send(Tag(tag), Tflush { oldtag: Tag(tag ^ round) })?;
            }
            for _ in 0..100 {
                c.recv()?.flush();
            }
        }
        for _ in 0..100 {
            for tag in 0..10 {
                let version = text(site.dialect().version().0);
                c.send(Tag(tag), Tversion { msize: 8192, version })?;
            }
            for _ in 0..10 {
                c.recv()?.version();
            }
        }
        c.attach(ROOT, "")?;
        other.getattr(ROOT).map(drop)
    };
    for site in sites(Limits::default()) {
        check(&site).expect("answers");
    }
}

#[test]
fn clients_that_vanish() {
    let walk = [&[27, 0, 0, 0, 110, 1, 0][..], &[0; 4], &[9, 0, 0, 0], &[1, 0, 8, 0], b"whatever"].concat();
    for site in sites(Limits { connections: 8, ..Limits::default() }) {
        let mut stays = site.client();
        for len in 1..walk.len() {
            let c = connected(&site);
            c.send_raw(&walk[..len]).expect("a connection");
        }
        for _ in 0..20 {
            let c = connected(&site);
            for tag in 0..50 {
                c.send(Tag(tag), Tgetattr { fid: ROOT, mask: GetattrMask::BASIC }).expect("a connection");
            }
        }
        for _ in 0..20 {
            let mut c = connected(&site);
            let fid = c.open_at("file", OpenBits::RDWR).expect("an open file");
            c.send(Tag(1), Tfsync { fid, datasync: 0 }).expect("a connection");
            c.send(Tag(2), Twalk { fid, newfid: Fid(3), names: gofer_wire::List::EMPTY }).ok();
        }
        stays.walk(ROOT, Fid(1), NONE).expect("nobody else notices");
    }
}

/// A client that is attached, as soon as those before it are forgotten.
fn connected(site: &Site) -> Client {
    let (version, msize) = site.dialect().version();
    loop {
        let mut c = site.connect();
        if c.version(msize, version).and_then(|_| c.attach(ROOT, "")).is_ok() {
            return c;
        }
        thread::yield_now();
    }
}

#[test]
fn a_full_file_system() {
    let tree = MemFs::new(400_000);
    let (root, _) = tree.attach().expect("a root");
    let name = Name::new(b"file").expect("a name");
    let flags = CreateFlags { open: OpenFlags::new(AccessMode::Write), exclusive: true };
    let (_, file, _) = tree.create(&root, name, flags, 0o644, Owner::default()).expect("a file");
    tree.write(&file, 0, &mut WriteFrom(b"content")).expect("a write");
    let export = Export { name: None, backend: tree, policy: Policy::default() };
    let server = Server::new(vec![export], Limits::default()).expect("a server");
    let (ours, theirs) = Socket::pair().expect("sockets");
    server.connect(theirs).expect("a connection");

    let mut c = Client::new(ours);
    c.attach(ROOT, "").expect("a root");
    let fid = c.open_at("file", OpenBits::RDWR).expect("an open file");
    let mut end = 7;
    let full = loop {
        match c.write(fid, end, &[1; 10_000]) {
            Ok(n) => end += u64::from(n),
            Err(errno) => break errno,
        }
    };
    assert_eq!(full, Errno::ENOSPC);
    assert_eq!(c.getattr(fid).expect("attributes").attr.size, end, "all that was said to be written is");
    let mut made = 0;
    until(Errno::ENOSPC, || {
        made += 1;
        c.mkdir(ROOT, &made.to_string()).map(drop)
    });
    assert_eq!(c.names("").expect("names").len(), made, "what was made, and the file");
    assert_eq!(c.read(fid, 0, 7).expect("content"), b"content");
    c.setattr(fid, truncated()).expect("room");
    assert_eq!(c.write(fid, 0, &[1; 10_000]), Ok(10_000), "what was given up can be used again");
}

/// A change of size to nothing.
fn truncated() -> SetattrBody {
    let (uid, gid) = (gofer_vfs::PeerUid::NONE, gofer_vfs::PeerGid::NONE);
    let (atime_sec, atime_nsec, mtime_sec, mtime_nsec) = (0, 0, 0, 0);
    let valid = SetattrMask::SIZE;
    SetattrBody { valid, mode: 0, uid, gid, size: 0, atime_sec, atime_nsec, mtime_sec, mtime_nsec }
}
