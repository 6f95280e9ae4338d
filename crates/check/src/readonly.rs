//! Exports that are read-only: what changes anything is EROFS, whatever it would have come to.

use std::fs::File;
use std::os::unix::fs::FileExt;

use gofer_server::Policy;
use gofer_vfs::{Errno, PeerGid, PeerUid, Result};
use gofer_wire::p9::*;

use crate::attr::{mode, nothing, size};
use crate::client::{Client, ROOT, name, text};
use crate::sample::HELLO;
use crate::{Checked, Lack, Setup, Site, demand_eq, family};

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

/// The fids that [`changes`] uses.
#[derive(Clone, Copy)]
struct Fids {
    dir: Fid,
    file: Fid,
    /// Of an empty directory, and of a file: they do not survive.
    empty: Fid,
    gone: Fid,
}

/// Everything that would change something.
fn changes<'a>(Fids { dir, file, empty, gone }: Fids) -> Vec<Request<'a>> {
    let (flags, mode, gid, uid) = (OpenBits::RDWR, 0o644, PeerGid::NONE, PeerUid::NONE);
    let (new, xattr, target) = (name("new"), text("user.a"), text("target"));
    let (major, minor) = (0, 0);
    let open = |fid, flags| Request::from(Tlopen { fid, flags });
    let setattr = SetattrBody { mode: 0o777, valid: SetattrMask::MODE | SetattrMask::SIZE, ..nothing() };
    vec![
        open(file, OpenBits::WRONLY),
        open(file, OpenBits::RDWR),
        open(file, OpenBits::RDONLY | OpenBits::TRUNC),
        open(file, OpenBits::RDWR | OpenBits::TRUNC),
        Tlcreate { fid: dir, name: new, flags, mode, gid }.into(),
        Tlcreate { fid: dir, name: name("inner"), flags: OpenBits::RDWR, mode, gid }.into(),
        Tucreate { fid: dir, name: new, flags, mode, gid, uid }.into(),
        Tmkdir { dfid: dir, name: new, mode, gid }.into(),
        Tumkdir { dfid: dir, name: new, mode, gid, uid }.into(),
        Tmknod { dfid: dir, name: new, mode, major, minor, gid }.into(),
        Tumknod { dfid: dir, name: new, mode, major, minor, gid, uid }.into(),
        Tsymlink { dfid: dir, name: new, target, gid }.into(),
        Tusymlink { dfid: dir, name: new, target, gid, uid }.into(),
        Tlink { dfid: dir, fid: file, name: new }.into(),
        Tunlinkat { dfid: ROOT, name: name("file"), flags: 0 }.into(),
        Tunlinkat { dfid: ROOT, name: name("empty"), flags: Tunlinkat::AT_REMOVEDIR }.into(),
        Trenameat { olddirfid: ROOT, oldname: name("file"), newdirfid: dir, newname: new }.into(),
        Trename { fid: file, dfid: dir, name: new }.into(),
        Tsetattr { fid: file, setattr: super::attr::mode(0o600) }.into(),
        Tsetattr { fid: file, setattr: size(0) }.into(),
        Tsetattr { fid: dir, setattr: SetattrBody { valid: SetattrMask::MTIME, ..nothing() } }.into(),
        Tsetxattr { fid: file, name: xattr, value: target, flags: 0 }.into(),
        Tremovexattr { fid: file, name: xattr }.into(),
        Txattrcreate { fid: file, name: xattr, size: 1, flags: 0 }.into(),
        Tremove { fid: empty }.into(),
        Tsetattrclunk { fid: gone, setattr }.into(),
    ]
}

/// What would change nothing, but is of the kind that does.
fn idle_changes<'a>(Fids { dir, file, .. }: Fids) -> [Request<'a>; 5] {
    let (flags, mode, gid) = (OpenBits::RDONLY, 0o644, PeerGid::NONE);
    [
        Tlcreate { fid: ROOT, name: name("file"), flags, mode, gid }.into(),
        Tunlinkat { dfid: ROOT, name: name("missing"), flags: 0 }.into(),
        Trenameat { olddirfid: ROOT, oldname: name("file"), newdirfid: ROOT, newname: name("file") }.into(),
        Tsetattr { fid: file, setattr: nothing() }.into(),
        Tsetattr { fid: dir, setattr: SetattrBody { valid: SetattrMask::CTIME, ..nothing() } }.into(),
    ]
}

fn fids(c: &mut Client) -> Result<Fids> {
    Ok(Fids { dir: c.at("dir")?, file: c.at("file")?, empty: c.at("empty")?, gone: c.at("dir/inner")? })
}

fn every_change_is_refused(site: &Site) -> Checked {
    let mut c = site.client();
    let before = looks(&mut c)?;
    let mut done = Vec::new();
    for request in changes(fids(&mut c)?) {
        if !c.may(request.number()) {
            continue;
        }
        let shown = format!("{request:?}");
        match c.call(request) {
            Ok(_) => done.push(shown),
            Err(errno) => demand_eq!(errno, Errno::EROFS, "{shown}"),
        }
    }
    assert!(done.is_empty(), "these succeed: {}", done.join("; "));
    demand_eq!(looks(&mut c)?, before);
    demand_eq!(c.names("")?, site.names());
    Ok(())
}

fn what_would_change_nothing_is_erofs_too(site: &Site) -> Checked {
    let mut c = site.client();
    let before = looks(&mut c)?;
    let fids = fids(&mut c)?;
    for request in changes(fids).into_iter().chain(idle_changes(fids)) {
        demand_eq!(c.call(request).err(), Some(Errno::EROFS), "{request:?}");
    }
    for fid in [fids.empty, fids.gone] {
        demand_eq!(c.clunk(fid), Err(Errno::EBADF), "clunked all the same");
    }
    for fid in [fids.dir, fids.file] {
        c.getattr(fid)?;
    }
    demand_eq!(looks(&mut c)?, before);
    Ok(())
}

/// An open that was refused leaves nothing that could be written to.
fn a_refused_open_is_none(site: &Site) -> Checked {
    let mut c = site.client();
    let before = looks(&mut c)?;
    let fid = c.at("file")?;
    for flags in [OpenBits::WRONLY, OpenBits::RDWR, OpenBits::RDONLY | OpenBits::TRUNC] {
        demand_eq!(c.open(fid, flags).map(drop), Err(Errno::EROFS));
    }
    demand_eq!(c.write(fid, 0, b"x"), Err(Errno::EINVAL));
    let fid = c.open_at("dir/sub/deep", OpenBits::RDONLY)?;
    demand_eq!(c.write(fid, 0, b"x"), Err(Errno::EPERM));
    demand_eq!(looks(&mut c)?, before);
    Ok(())
}

fn other_errors_come_first(site: &Site) -> Checked {
    let mut c = site.client();
    let (file, dir) = (c.at("file")?, c.at("dir")?);
    demand_eq!(c.mkdir(file, "new"), Err(Errno::EINVAL));
    demand_eq!(c.mkdir(Fid(9000), "new"), Err(Errno::EBADF));
    demand_eq!(c.create(file, "new", OpenBits::RDWR, 0o644).err(), Some(Errno::EINVAL));
    demand_eq!(c.open(dir, OpenBits::RDWR).err(), Some(Errno::EISDIR));
    demand_eq!(c.open(file, OpenBits(3)).err(), Some(Errno::EINVAL), "an access mode that is none");
    let root = c.at("")?;
    demand_eq!(c.remove(root), Err(Errno::EINVAL));
    let reader = c.open_at("file", OpenBits::RDONLY)?;
    demand_eq!(c.write(reader, 0, b"x"), Err(Errno::EPERM));
    let allocate = Tallocate { fid: reader, mode: 0, offset: 0, length: 1 };
    demand_eq!(c.call(allocate).err(), Some(Errno::EBADF));
    demand_eq!(c.setattr(reader, mode(0)), Err(Errno::EROFS), "an open fid too");
    Ok(())
}

fn reading_is_as_ever(site: &Site) -> Checked {
    let mut c = site.client();
    demand_eq!(c.content("file")?, HELLO);
    demand_eq!(c.content("dir/sub/deep")?, b"deep");
    demand_eq!(c.names("dir")?, ["inner", "sub"]);
    let link = c.at("link")?;
    demand_eq!(c.readlink(link)?, b"file");
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
        demand_eq!(donated.read_at(&mut [0; 9], 0).expect("a read"), 9);
        assert!(donated.write_at(b"x", 0).is_err() && donated.set_len(0).is_err());
    }
    demand_eq!(c.content("file")?, HELLO);
    Ok(())
}

/// Who cannot write shall not hold off those who can.
fn exclusive_locks_are_changes(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.open_at("file", OpenBits::RDONLY)?;
    let (flags, start, length, proc_id, client_id) = (0, 0, 0, 1, text(""));
    let lock = |kind| Tlock { fid, kind, flags, start, length, proc_id, client_id };
    demand_eq!(c.call(lock(Tlock::WRLCK)).err(), Some(Errno::EROFS));
    site.able(Lack::Locks);
    for kind in [Tlock::RDLCK, Tlock::UNLCK] {
        demand_eq!(c.call(lock(kind))?.lock().status, Rlock::SUCCESS);
    }
    Ok(())
}

/// A client of a strict export that goes beyond reading is cut off; others are not.
fn who_changes_a_strict_export_is_cut_off(site: &Site) -> Checked {
    let policy = Policy { strict: true, ..Policy::default() };
    let site = site.with(Setup { read_only: true, policy, ..Setup::default() });
    let (mut c, mut other) = (site.client(), site.client());
    let fid = c.open_at("file", OpenBits::RDONLY)?;
    demand_eq!(c.read(fid, 0, 5)?, b"hello");
    demand_eq!(c.mkdir(ROOT, "new").err(), Some(Errno::ECONNRESET));
    demand_eq!(c.read(fid, 0, 5).err(), Some(Errno::ECONNRESET));
    // What was received behind it is not looked at, nor does anybody wait for what is never answered.
    let c = site.client();
    let mkdir = Tmkdir { dfid: ROOT, name: name("new"), mode: 0o755, gid: PeerGid::NONE };
    c.send_together(&[mkdir.into(), Tversion { msize: 8192, version: text("9P2000.L") }.into()])?;
    demand_eq!(c.recv_to_end(), b"");
    other.getattr(ROOT).map(drop)?;
    Ok(())
}

family! {
    "readonly" read_only;
    cases:
        every_change_is_refused
        a_refused_open_is_none
        reading_is_as_ever
        a_donated_descriptor_cannot_write;
    ours:
        what_would_change_nothing_is_erofs_too
        other_errors_come_first
        exclusive_locks_are_changes
        who_changes_a_strict_export_is_cut_off;
    promises:
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The operations that change nothing.
    const READING: [&str; 26] = [
        "statfs",
        "readlink",
        "getattr",
        "listxattr",
        "xattrwalk",
        "getxattr",
        "readdir",
        "fsync",
        "lock",
        "getlock",
        "version",
        "auth",
        "attach",
        "flush",
        "walk",
        "read",
        "clunk",
        "flushf",
        "walkgetattr",
        "lconnect",
        "multigetattr",
        "channel",
        // These need a file that was opened to be written, which there is none of.
        "write",
        "allocate",
        // This one is never done.
        "bind",
        // Not a change with all flags; with those that are, it is among the changes.
        "lopen",
    ];

    #[test]
    fn no_operation_is_forgotten() {
        macro_rules! operations {
            ($($number:literal $variant:ident $name:ident: $request:ty => $reply:ty;)*) => {
                [$(($number, stringify!($name))),*]
            };
        }
        let fids = Fids { dir: Fid(1), file: Fid(2), empty: Fid(3), gone: Fid(4) };
        let changes: Vec<u8> = changes(fids).iter().map(Request::number).collect();
        for (number, operation) in gofer_wire::p9_operations!(operations) {
            assert!(changes.contains(&number) || READING.contains(&operation), "{operation}");
        }
    }
}
