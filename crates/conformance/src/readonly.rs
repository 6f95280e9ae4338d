//! Exports that are read-only: what changes anything is EROFS, whatever it would have come to.

use std::fs::File;
use std::os::unix::fs::FileExt;

use gofer_server::Policy;
use gofer_vfs::{Errno, PeerGid, PeerUid, Result};
use gofer_wire::p9::*;

use crate::attr::{mode, nothing, size};
use crate::client::{Client, ROOT, name, text};
use crate::sample::{HELLO, NAMES};
use crate::{Checked, Setup, Site, family};

/// The attributes of everything that a test may have touched.
fn looks(c: &mut Client) -> Result<Vec<Rgetattr>> {
    let paths = ["", "file", "dir", "dir/inner", "dir/sub", "dir/sub/deep", "empty", "link", "dirlink"];
    let look = |path: &&str| {
        let fid = c.at(path)?;
        let mut look = c.getattr(fid)?;
        // Reading moves it, where the host says so.
        (look.attr.atime_sec, look.attr.atime_nsec) = (0, 0);
        c.clunk(fid).map(|()| look)
    };
    paths.iter().map(look).collect()
}

fn every_change_is_erofs(site: &Site) -> Checked {
    let mut c = site.client();
    let before = looks(&mut c)?;
    let (dir, file, empty, gone) = (c.at("dir")?, c.at("file")?, c.at("empty")?, c.at("dir/inner")?);
    let (flags, mode, gid, uid) = (OpenBits::RDONLY, 0o644, PeerGid::NONE, PeerUid::NONE);
    let (new, xattr, target) = (name("new"), text("user.a"), text("target"));
    let (major, minor) = (0, 0);
    let open = |fid, flags| Request::from(Tlopen { fid, flags });
    let requests: Vec<Request<'_>> = vec![
        open(file, OpenBits::WRONLY),
        open(file, OpenBits::RDWR),
        open(file, OpenBits::RDONLY | OpenBits::TRUNC),
        Tlcreate { fid: dir, name: new, flags, mode, gid }.into(),
        Tlcreate { fid: ROOT, name: name("file"), flags, mode, gid }.into(),
        Tucreate { fid: dir, name: new, flags, mode, gid, uid }.into(),
        Tmkdir { dfid: dir, name: new, mode, gid }.into(),
        Tumkdir { dfid: dir, name: new, mode, gid, uid }.into(),
        Tmknod { dfid: dir, name: new, mode, major, minor, gid }.into(),
        Tumknod { dfid: dir, name: new, mode, major, minor, gid, uid }.into(),
        Tsymlink { dfid: dir, name: new, target, gid }.into(),
        Tusymlink { dfid: dir, name: new, target, gid, uid }.into(),
        Tlink { dfid: dir, fid: file, name: new }.into(),
        Tunlinkat { dfid: ROOT, name: name("file"), flags: 0 }.into(),
        Tunlinkat { dfid: ROOT, name: name("missing"), flags: 0 }.into(),
        Tunlinkat { dfid: ROOT, name: name("empty"), flags: Tunlinkat::AT_REMOVEDIR }.into(),
        Trenameat { olddirfid: ROOT, oldname: name("file"), newdirfid: dir, newname: new }.into(),
        Trenameat { olddirfid: ROOT, oldname: name("file"), newdirfid: ROOT, newname: name("file") }.into(),
        Trename { fid: file, dfid: dir, name: new }.into(),
        Tsetattr { fid: file, setattr: super::attr::mode(0o600) }.into(),
        Tsetattr { fid: file, setattr: size(0) }.into(),
        Tsetattr { fid: file, setattr: nothing() }.into(),
        Tsetattr { fid: dir, setattr: SetattrBody { valid: SetattrMask::CTIME, ..nothing() } }.into(),
        Tsetxattr { fid: file, name: xattr, value: target, flags: 0 }.into(),
        Tremovexattr { fid: file, name: xattr }.into(),
        Txattrcreate { fid: file, name: xattr, size: 1, flags: 0 }.into(),
        Tremove { fid: empty }.into(),
        Tsetattrclunk { fid: gone, setattr: nothing() }.into(),
    ];
    for request in requests {
        assert_eq!(c.call(request).err(), Some(Errno::EROFS), "{request:?}");
    }
    for fid in [empty, gone] {
        assert_eq!(c.clunk(fid), Err(Errno::EBADF), "clunked all the same");
    }
    for fid in [dir, file] {
        c.getattr(fid)?;
    }
    assert_eq!(looks(&mut c)?, before);
    assert_eq!(c.names("")?, NAMES);
    Ok(())
}

fn other_errors_come_first(site: &Site) -> Checked {
    let mut c = site.client();
    let (file, dir) = (c.at("file")?, c.at("dir")?);
    assert_eq!(c.mkdir(file, "new"), Err(Errno::EINVAL));
    assert_eq!(c.mkdir(Fid(9000), "new"), Err(Errno::EBADF));
    assert_eq!(c.create(file, "new", OpenBits::RDWR, 0o644).err(), Some(Errno::EINVAL));
    assert_eq!(c.open(dir, OpenBits::RDWR).err(), Some(Errno::EISDIR));
    assert_eq!(c.open(file, OpenBits(3)).err(), Some(Errno::EINVAL), "an access mode that is none");
    let root = c.at("")?;
    assert_eq!(c.remove(root), Err(Errno::EINVAL));
    let reader = c.open_at("file", OpenBits::RDONLY)?;
    assert_eq!(c.write(reader, 0, b"x"), Err(Errno::EPERM));
    let allocate = Tallocate { fid: reader, mode: 0, offset: 0, length: 1 };
    assert_eq!(c.call(allocate).err(), Some(Errno::EBADF));
    assert_eq!(c.setattr(reader, mode(0)), Err(Errno::EROFS), "an open fid too");
    Ok(())
}

fn reading_is_as_ever(site: &Site) -> Checked {
    let mut c = site.client();
    assert_eq!(c.content("file")?, HELLO);
    assert_eq!(c.content("dir/sub/deep")?, b"deep");
    assert_eq!(c.names("dir")?, ["inner", "sub"]);
    let link = c.at("link")?;
    assert_eq!(c.readlink(link)?, b"file");
    c.call(Tstatfs { fid: link })?;
    let fid = c.open_at("file", OpenBits::RDONLY)?;
    c.call(Tfsync { fid, datasync: 0 })?;
    c.call(Tflushf { fid })?;
    let (newfid, name) = (c.fid(), text("user.a"));
    let got = c.call(Txattrwalk { fid, newfid, name }).err();
    assert!(matches!(got, Some(Errno::ENODATA | Errno::EOPNOTSUPP)), "{got:?}");
    Ok(())
}

fn a_donated_descriptor_cannot_write(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.at("file")?;
    if let Some(donated) = c.open(fid, OpenBits::RDONLY)?.descriptor {
        let donated = File::from(donated);
        assert_eq!(donated.read_at(&mut [0; 9], 0).expect("a read"), 9);
        assert!(donated.write_at(b"x", 0).is_err() && donated.set_len(0).is_err());
    }
    assert_eq!(c.content("file")?, HELLO);
    Ok(())
}

/// Who cannot write shall not hold off those who can.
fn exclusive_locks_are_changes(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.open_at("file", OpenBits::RDONLY)?;
    let (flags, start, length, proc_id, client_id) = (0, 0, 0, 1, text(""));
    let lock = |kind| Tlock { fid, kind, flags, start, length, proc_id, client_id };
    assert_eq!(c.call(lock(Tlock::WRLCK)).err(), Some(Errno::EROFS));
    for kind in [Tlock::RDLCK, Tlock::UNLCK] {
        assert_eq!(c.call(lock(kind))?.lock().status, Rlock::SUCCESS);
    }
    Ok(())
}

/// A client of a strict export that goes beyond reading is cut off; others are not.
fn who_changes_a_strict_export_is_cut_off(site: &Site) -> Checked {
    let policy = Policy { strict: true, ..Policy::default() };
    let site = site.with(Setup { read_only: true, policy, ..Setup::default() });
    let (mut c, mut other) = (site.client(), site.client());
    let fid = c.open_at("file", OpenBits::RDONLY)?;
    assert_eq!(c.read(fid, 0, 5)?, b"hello");
    assert_eq!(c.mkdir(ROOT, "new").err(), Some(Errno::ECONNRESET));
    assert_eq!(c.read(fid, 0, 5).err(), Some(Errno::ECONNRESET));
    // What was received behind it is not looked at, nor does anybody wait for what is never answered.
    let c = site.client();
    let mkdir = Tmkdir { dfid: ROOT, name: name("new"), mode: 0o755, gid: PeerGid::NONE };
    c.send_together(&[mkdir.into(), Tversion { msize: 8192, version: text("9P2000.L") }.into()])?;
    assert_eq!(c.recv_to_end(), b"");
    other.getattr(ROOT).map(drop)?;
    Ok(())
}

family! {
    "readonly" read_only;
    cases:
        every_change_is_erofs
        other_errors_come_first
        reading_is_as_ever
        a_donated_descriptor_cannot_write
        exclusive_locks_are_changes
        who_changes_a_strict_export_is_cut_off;
    promises:
}
