//! version, auth, attach, clunk; fids.

use std::time::Duration;

use gofer_vfs::{Errno, FileKind, PeerGid, PeerUid};
use gofer_wire::Data;
use gofer_wire::p9::*;

use crate::client::{Client, ROOT, name, text};
use crate::verdict::skip;
use crate::{Checked, Setup, Site, demand_eq, family};

fn versions_are_agreed_on_as_they_were_written(site: &Site) -> Checked {
    let mut c = site.connect();
    for n in 0..=13 {
        let version = format!("9P2000.L.Google.{n}");
        demand_eq!(c.version(65_536, &version)?, (65_536, version.into_bytes()));
    }
    for version in ["9P2000.L", "9P2000.L.Google.013", "9P2000.L.Google.0000000000"] {
        demand_eq!(c.version(8192, version)?, (8192, version.as_bytes().to_vec()));
    }
    Ok(())
}

fn newer_versions_are_to_be_tried_lower(site: &Site) -> Checked {
    let mut c = site.connect();
    for version in ["9P2000.L.Google.14", "9P2000.L.Google.4294967295", "9P2000.L.Google.00014"] {
        demand_eq!(c.version(65_536, version), Err(Errno::EAGAIN), "{version}");
    }
    demand_eq!(c.version(0, "9P2000.L.Google.14"), Err(Errno::EINVAL), "the msize is looked at first");
    c.version(65_536, "9P2000.L.Google.13")?;
    Ok(())
}

fn other_strings_are_no_version(site: &Site) -> Checked {
    let mut c = site.connect();
    for version in [
        "",
        "9P2000",
        "9P2000.u",
        "9P2000.L.foo",
        "9P2000.L.Google",
        "9P2000.L.Google.",
        "9P2000.L.Google.-1",
        "9P2000.L.Google.+1",
        "9P2000.L.Google. 1",
        "9P2000.L.Google.1.2",
        "9P2000.L.Google.4294967296",
        "9p2000.l",
        "unknown",
    ] {
        demand_eq!(c.version(65_536, version), Err(Errno::EINVAL), "{version:?}");
    }
    Ok(())
}

fn msize_has_a_range(site: &Site) -> Checked {
    let mut c = site.connect();
    for version in ["9P2000.L", "9P2000.L.Google.0", "9P2000.L.Google.13"] {
        for msize in [0, 1, 7, 4095] {
            demand_eq!(c.version(msize, version), Err(Errno::EINVAL), "{msize} {version}");
        }
        for msize in [4096, MESSAGE_MAX] {
            demand_eq!(c.version(msize, version)?.0, msize);
        }
    }
    for msize in [MESSAGE_MAX + 1, u32::MAX] {
        demand_eq!(c.version(msize, "9P2000.L")?.0, MESSAGE_MAX);
        // They would not look at the answer.
        demand_eq!(c.version(msize, "9P2000.L.Google.0"), Err(Errno::EINVAL));
        demand_eq!(c.version(msize, "9P2000.L.Google.13"), Err(Errno::EINVAL));
    }
    Ok(())
}

fn a_refused_version_changes_nothing(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.create_at("new")?;
    demand_eq!(c.version(1, "9P2000.L"), Err(Errno::EINVAL));
    demand_eq!(c.version(4096, "9P2000.L.Google.14"), Err(Errno::EAGAIN));
    demand_eq!(c.version(4096, "9P2001"), Err(Errno::EINVAL));
    demand_eq!(c.write(fid, 0, &[1; 20_000])?, 20_000);
    demand_eq!(c.read(fid, 0, 20_000)?.len(), 20_000);
    Ok(())
}

fn a_version_begins_anew(site: &Site) -> Checked {
    let mut c = site.client();
    let (open, pending) = (c.create_at("new")?, c.at("file")?);
    let (name, size) = (text("user.dropped"), 1);
    c.call(Txattrcreate { fid: pending, name, size, flags: 0 })?;
    c.write(pending, 0, b"x")?;
    c.version(8192, site.dialect().version().0)?;
    for fid in [ROOT, open, pending] {
        demand_eq!(c.getattr(fid), Err(Errno::EBADF));
        demand_eq!(c.clunk(fid), Err(Errno::EBADF));
    }
    c.attach(ROOT, "")?;
    let (fid, newfid) = (c.at("file")?, c.fid());
    let gone = c.call(Txattrwalk { fid, newfid, name }).err();
    assert!(matches!(gone, Some(Errno::ENODATA | Errno::EOPNOTSUPP)), "{gone:?}");
    // The new msize is the limit.
    c.send_frame(118, Tag(1), &vec![0; 8192 - HEADER])?;
    demand_eq!(c.recv()?.errno(), Some(Errno::EIO));
    c.send_frame(118, Tag(1), &vec![0; 8193 - HEADER])?;
    demand_eq!(c.recv_to_end(), b"");
    Ok(())
}

fn a_version_may_have_any_tag(site: &Site) -> Checked {
    let mut c = site.connect();
    for tag in [Tag::NONE, Tag(0), Tag(1)] {
        c.send(tag, Tversion { msize: 8192, version: text("9P2000.L") })?;
        demand_eq!(c.recv()?.tag(), tag);
    }
    Ok(())
}

fn before_a_version_all_is_served(site: &Site) -> Checked {
    let mut c = site.connect();
    c.attach(ROOT, "/")?;
    demand_eq!(c.call(auth()).err(), Some(Errno::ENOENT), "as to one who agreed on 9P2000.L");
    let fid = c.create_at("new")?;
    let data = vec![7; (MESSAGE_MAX - 23) as usize];
    demand_eq!(c.write(fid, 0, &data)?, MESSAGE_MAX - 23, "a frame of 1 MiB");
    c.send_raw(&(MESSAGE_MAX + 1).to_le_bytes())?;
    c.send_raw(&[118, 1, 0])?;
    demand_eq!(c.recv_to_end(), b"");
    Ok(())
}

fn auth() -> Tauth<'static> {
    Tauth { afid: Fid(70), uname: text("nobody"), aname: text(""), n_uname: PeerUid::NONE }
}

fn there_is_no_authentication(site: &Site) -> Checked {
    let mut c = site.client();
    demand_eq!(c.call(auth()).err(), Some(site.google_or(Errno::ENOSYS, Errno::ENOENT)));
    demand_eq!(c.clunk(Fid(70)), Err(Errno::EBADF));
    let (uname, aname) = (text(""), text(""));
    let attach = Tattach { fid: Fid(71), afid: Fid(70), uname, aname, n_uname: PeerUid::NONE };
    demand_eq!(c.call(attach).err(), Some(Errno::EINVAL));
    demand_eq!(c.clunk(Fid(71)), Err(Errno::EBADF));
    Ok(())
}

fn attach_leads_to_what_is_named(site: &Site) -> Checked {
    let mut c = site.client();
    let qid = |c: &mut Client, path: &str| {
        let fid = c.at(path)?;
        c.getattr(fid).map(|attr| attr.qid)
    };
    for path in ["", "/", "dir", "/dir", "/dir/sub", "file", "dir/sub/deep", "link", "empty"] {
        let fid = c.fid();
        let attached = c.attach(fid, path)?;
        demand_eq!(attached, qid(&mut c, path)?, "{path:?}");
        demand_eq!(c.getattr(fid)?.qid, attached);
    }
    let fid = c.fid();
    c.attach(fid, "/dir")?;
    demand_eq!(c.walk(fid, Fid(500), &["inner"])?.len(), 1);
    demand_eq!(c.walk(fid, Fid(501), &["file"]), Err(Errno::ENOENT));
    Ok(())
}

fn attach_fails_as_a_walk_does(site: &Site) -> Checked {
    let mut c = site.client();
    let through = site.google_or(Errno::EINVAL, Errno::ENOTDIR);
    for (path, errno) in [
        ("missing", Errno::ENOENT),
        ("dir/missing", Errno::ENOENT),
        ("dir/", Errno::EINVAL),
        ("dir//inner", Errno::EINVAL),
        ("//dir", Errno::EINVAL),
        (".", Errno::EINVAL),
        ("..", Errno::EINVAL),
        ("/dir/../file", Errno::EINVAL),
        ("dir/./inner", Errno::EINVAL),
        ("dir/in\0ner", Errno::EINVAL),
        ("file/x", through),
        ("link/x", through),
        ("dirlink/inner", through),
    ] {
        let fid = c.fid();
        demand_eq!(c.attach(fid, path), Err(errno), "{path:?}");
        demand_eq!(c.clunk(fid), Err(Errno::EBADF));
    }
    demand_eq!(c.attach(Fid(60), &"n".repeat(256)), Err(Errno::ENAMETOOLONG));
    demand_eq!(c.attach(Fid::NONE, ""), Err(Errno::EINVAL));
    let fifo = c.attach(Fid(61), "fifo");
    demand_eq!(fifo.is_err().then_some(Errno::EPERM), site.google_or(Some(Errno::EPERM), None), "{fifo:?}");
    c.attach(Fid(62), "")?;
    Ok(())
}

fn attach_may_be_repeated(site: &Site) -> Checked {
    let mut c = site.client();
    let first = c.getattr(ROOT)?.qid;
    for _ in 0..20 {
        let fid = c.fid();
        demand_eq!(c.attach(fid, "/")?, first);
    }
    let file = c.at("file")?;
    c.attach(file, "/dir")?;
    demand_eq!(c.walk(file, Fid(300), &["inner"])?.len(), 1, "a fid in use is replaced");
    Ok(())
}

fn what_was_attached_is_a_root(site: &Site) -> Checked {
    let mut c = site.client();
    for path in ["", "dir", "dir/inner", "empty"] {
        let (fid, clone) = (c.fid(), c.fid());
        c.attach(fid, path)?;
        c.walk(fid, clone, &[""; 0])?;
        for fid in [fid, clone] {
            let rename = Trename { fid, dfid: ROOT, name: name("moved") };
            demand_eq!(c.call(rename).err(), Some(Errno::EINVAL), "{path}");
            demand_eq!(c.remove(fid), Err(Errno::EINVAL), "{path}");
            demand_eq!(c.clunk(fid), Err(Errno::EBADF), "clunked all the same");
        }
    }
    demand_eq!(c.names("dir")?, ["inner", "sub"]);
    Ok(())
}

fn an_attach_name_finds_its_export(site: &Site) -> Checked {
    let two = site.with(Setup { exports: &["one", "two"], ..Setup::default() });
    let mut c = two.connect();
    c.version(8192, site.dialect().version().0)?;
    let fid = Fid;
    for (at, path) in (1..).zip(["one", "/two", "one/dir", "/two/dir/inner"]) {
        c.attach(fid(at), path)?;
    }
    for path in ["", "/", "three", "/../one", "one/../two", ".", "on", "one\0"] {
        assert!(c.attach(fid(9), path).is_err(), "{path:?}");
        demand_eq!(c.clunk(fid(9)), Err(Errno::EBADF), "{path:?}");
    }
    demand_eq!(c.attach(fid(9), "/"), Err(Errno::ENOENT));
    demand_eq!(c.attach(fid(9), "three/dir"), Err(Errno::ENOENT));
    assert_ne!(c.getattr(fid(1))?.qid, c.getattr(fid(2))?.qid, "two trees, two roots");
    demand_eq!(c.walk(fid(1), fid(5), &["file"])?.len(), 1);
    demand_eq!(c.link(fid(5), fid(2), "across"), Err(Errno::EXDEV));
    demand_eq!(c.rename(fid(1), "file", fid(2), "across"), Err(Errno::EXDEV));
    let rename = Trename { fid: fid(5), dfid: fid(2), name: name("across") };
    demand_eq!(c.call(rename).err(), Some(Errno::EXDEV));
    drop(c);
    let one = site.with(Setup { exports: &["one"], ..Setup::default() });
    let mut c = one.client();
    c.attach(fid(1), "one")?;
    demand_eq!(c.attach(fid(2), "other"), Err(Errno::ENOENT));
    Ok(())
}

fn who_attaches_owns_what_is_made(site: &Site) -> Checked {
    if !site.may_chown() {
        return skip("needs a server that may give files away");
    }
    let mut c = site.client();
    let (fid, n_uname) = (c.fid(), PeerUid(4321));
    c.attach_as(n_uname, fid, "dir")?;
    c.mkdir(fid, "new")?;
    c.walk(fid, Fid(400), &["new"])?;
    demand_eq!(c.getattr(Fid(400))?.attr.uid, n_uname);
    Ok(())
}

fn clunk_frees_a_fid(site: &Site) -> Checked {
    let mut c = site.client();
    for path in ["", "file", "dir", "link", "dir/sub/deep"] {
        let fid = c.at(path)?;
        c.clunk(fid)?;
        demand_eq!(c.clunk(fid), Err(Errno::EBADF));
        demand_eq!(c.getattr(fid), Err(Errno::EBADF));
    }
    let (dir, below) = (c.at("dir")?, c.fid());
    c.walk(dir, below, &["inner"])?;
    c.clunk(dir)?;
    demand_eq!(c.getattr(below)?.attr.size, 5, "what was found through it stays");
    c.clunk(ROOT)?;
    demand_eq!(c.getattr(below)?.attr.size, 5);
    Ok(())
}

/// Every request, with a fid that stands for nothing in every place where it has one.
fn an_unknown_fid_is_ebadf(site: &Site) -> Checked {
    let mut c = site.client();
    let file = c.at("file")?;
    let fid = Fid(9999);
    let (name, text, newfid) = (name("file"), text("user.a"), Fid(9998));
    let (flags, mode, gid, uid) = (OpenBits::RDONLY, 0o644, PeerGid::NONE, PeerUid::NONE);
    let (size, setattr) = (0, super::attr::nothing());
    let (client_id, proc_id, start, length, kind) = (text, 1, 0, 0, Tlock::RDLCK);
    let names = gofer_wire::List::EMPTY;
    let requests: Vec<Request<'_>> = vec![
        Tstatfs { fid }.into(),
        Tlopen { fid, flags }.into(),
        Tlcreate { fid, name, flags, mode, gid }.into(),
        Tsymlink { dfid: fid, name, target: text, gid }.into(),
        Tmknod { dfid: fid, name, mode, major: 0, minor: 0, gid }.into(),
        Trename { fid, dfid: ROOT, name }.into(),
        Trename { fid: file, dfid: fid, name }.into(),
        Treadlink { fid }.into(),
        Tgetattr { fid, mask: GetattrMask::ALL }.into(),
        Tsetattr { fid, setattr }.into(),
        Tlistxattr { fid, size }.into(),
        Txattrwalk { fid, newfid, name: text }.into(),
        Txattrcreate { fid, name: text, size, flags: 0 }.into(),
        Tgetxattr { fid, name: text, size }.into(),
        Tsetxattr { fid, name: text, value: text, flags: 0 }.into(),
        Tremovexattr { fid, name: text }.into(),
        Treaddir { fid, offset: 0, count: 100 }.into(),
        Tfsync { fid, datasync: 0 }.into(),
        Tlock { fid, kind, flags: 0, start, length, proc_id, client_id }.into(),
        Tgetlock { fid, kind, start, length, proc_id, client_id }.into(),
        Tlink { dfid: fid, fid: file, name }.into(),
        Tlink { dfid: ROOT, fid, name }.into(),
        Tmkdir { dfid: fid, name, mode, gid }.into(),
        Trenameat { olddirfid: fid, oldname: name, newdirfid: ROOT, newname: name }.into(),
        Trenameat { olddirfid: ROOT, oldname: name, newdirfid: fid, newname: name }.into(),
        Tunlinkat { dfid: fid, name, flags: 0 }.into(),
        Twalk { fid, newfid, names }.into(),
        Tread { fid, offset: 0, count: 1 }.into(),
        Twrite { fid, offset: 0, data: Data(b"x") }.into(),
        Tclunk { fid }.into(),
        Tremove { fid }.into(),
        Tflushf { fid }.into(),
        Twalkgetattr { fid, newfid, names }.into(),
        Tucreate { fid, name, flags, mode, gid, uid }.into(),
        Tumkdir { dfid: fid, name, mode, gid, uid }.into(),
        Tumknod { dfid: fid, name, mode, major: 0, minor: 0, gid, uid }.into(),
        Tusymlink { dfid: fid, name, target: text, gid, uid }.into(),
        Tlconnect { fid, flags: 0 }.into(),
        Tallocate { fid, mode: 0, offset: 0, length: 1 }.into(),
        Tsetattrclunk { fid, setattr }.into(),
        Tmultigetattr { fid, names }.into(),
    ];
    for request in requests {
        demand_eq!(c.call(request).err(), Some(Errno::EBADF), "{request:?}");
    }
    demand_eq!(c.getattr(Fid::NONE), Err(Errno::EBADF));
    Ok(())
}

fn fids_are_a_connections_own(site: &Site) -> Checked {
    let (mut a, mut b) = (site.client(), site.client());
    let fid = a.at("file")?;
    demand_eq!(b.getattr(fid), Err(Errno::EBADF));
    b.clunk(ROOT)?;
    drop(b);
    demand_eq!(a.getattr(fid)?.attr.size, 9);
    a.getattr(ROOT)?;
    Ok(())
}

fn a_server_that_stops_ends_its_connections(site: &Site) -> Checked {
    let other = site.with(Setup::default());
    let c = other.client();
    demand_eq!(other.drain(Duration::from_secs(60)), 0);
    demand_eq!(c.recv_to_end(), b"");
    demand_eq!(FileKind::of_mode(site.client().getattr(ROOT)?.attr.mode), Some(FileKind::Directory));
    Ok(())
}

family! {
    "session";
    cases:
        a_version_begins_anew
        attach_may_be_repeated
        who_attaches_owns_what_is_made
        clunk_frees_a_fid
        an_unknown_fid_is_ebadf
        fids_are_a_connections_own;
    ours:
        versions_are_agreed_on_as_they_were_written
        newer_versions_are_to_be_tried_lower
        other_strings_are_no_version
        msize_has_a_range
        a_refused_version_changes_nothing
        a_version_may_have_any_tag
        before_a_version_all_is_served
        there_is_no_authentication
        attach_leads_to_what_is_named
        attach_fails_as_a_walk_does
        what_was_attached_is_a_root
        an_attach_name_finds_its_export
        a_server_that_stops_ends_its_connections;
    promises:
        version: EINVAL EAGAIN;
        auth(never): ENOENT ENOSYS;
        attach: EINVAL ENOENT ENOTDIR EPERM ENAMETOOLONG;
        clunk: EBADF;
}
