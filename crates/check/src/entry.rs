//! mkdir, mknod, symlink and their forms with an owner; link, rename, renameat, unlinkat, remove, bind.

use gofer_server::Policy;
use gofer_vfs::{Errno, FileKind, PeerGid, PeerUid, Result};
use gofer_wire::p9::*;

use crate::attr::mode;
use crate::client::{Client, ROOT, name, text};
use crate::names::{Fids, named};
use crate::sample::HELLO;
use crate::verdict::skip;
use crate::{Checked, Lack, Site, demand_eq, family};

/// The type bits of `st_mode`.
const FIFO: u32 = 0o010_000;
const CHAR: u32 = 0o020_000;
const DIR: u32 = 0o040_000;
const BLOCK: u32 = 0o060_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const SOCKET: u32 = 0o140_000;

/// What is made by each of the messages that make something but do not open it.
const MAKERS: [&str; 6] = ["mkdir", "umkdir", "mknod", "umknod", "symlink", "usymlink"];

/// Makes something by the message with this name, with this mode and owner; a link leads to `target`.
fn make(
    c: &mut Client,
    message: &str,
    dfid: Fid,
    at: &str,
    mode: u32,
    (uid, gid): (PeerUid, PeerGid),
) -> Result<Qid> {
    let (name, target, major, minor) = (name(at), text("target"), 0, 0);
    Ok(match message {
        "mkdir" => c.call(Tmkdir { dfid, name, mode, gid })?.mkdir().qid,
        "umkdir" => c.call(Tumkdir { dfid, name, mode, gid, uid })?.umkdir().qid,
        "mknod" => c.call(Tmknod { dfid, name, mode: mode | REGULAR, major, minor, gid })?.mknod().qid,
        "umknod" => {
            c.call(Tumknod { dfid, name, mode: mode | REGULAR, major, minor, gid, uid })?.umknod().qid
        }
        "symlink" => c.call(Tsymlink { dfid, name, target, gid })?.symlink().qid,
        _ => c.call(Tusymlink { dfid, name, target, gid, uid })?.usymlink().qid,
    })
}

/// No owner: the host's rules.
const NOBODY: (PeerUid, PeerGid) = (PeerUid::NONE, PeerGid::NONE);

fn rename_fid(c: &mut Client, fid: Fid, dfid: Fid, at: &str) -> Result<()> {
    c.call(Trename { fid, dfid, name: name(at) }).map(drop)
}

/// Everything that changes a directory, done in `dfid`, of which `dir` and `file` are in [`ROOT`].
fn changes(c: &mut Client, dfid: Fid, file: Fid) -> Vec<(&'static str, Result<()>)> {
    let mut all: Vec<_> =
        MAKERS.iter().map(|m| (*m, make(c, m, dfid, &format!("new {m}"), 0o644, NOBODY).map(drop))).collect();
    all.push(("link", c.link(file, dfid, "linked")));
    all.push(("renameat, from it", c.rename(dfid, "new mknod", ROOT, "renamed")));
    all.push(("renameat, into it", c.rename(ROOT, "renamed", dfid, "renamed")));
    all.push(("unlinkat", c.unlink(dfid, "linked")));
    all.push(("unlinkat of a directory", c.rmdir(dfid, "new mkdir")));
    all
}

fn what_is_made_is_there(site: &Site) -> Checked {
    let mut c = site.client();
    let dir = c.at("dir")?;
    for message in MAKERS {
        let qid = make(&mut c, message, dir, message, 0o740, NOBODY)?;
        demand_eq!(c.walk(dir, Fid(50), &[message])?, [qid]);
        let attr = c.getattr(Fid(50))?.attr;
        let expected = match message {
            "mkdir" | "umkdir" => DIR | 0o740,
            "mknod" | "umknod" => REGULAR | 0o740,
            _ => attr.mode & 0o7777 | SYMLINK,
        };
        demand_eq!(attr.mode, expected, "{message}");
    }
    let link = c.at("dir/symlink")?;
    demand_eq!(c.readlink(link)?, b"target");
    let names = ["inner", "mkdir", "mknod", "sub", "symlink", "umkdir", "umknod", "usymlink"];
    demand_eq!(c.names("dir")?, names);
    let below = c.at("dir/mkdir")?;
    c.mkdir(below, "more")?;
    Ok(())
}

fn what_is_made_has_the_mode_that_was_asked_for(site: &Site) -> Checked {
    let mut c = site.client();
    let dir = c.at("empty")?;
    for (message, kind) in [("mkdir", DIR), ("umkdir", DIR), ("mknod", REGULAR), ("umknod", REGULAR)] {
        for perm in [0, 0o777, 0o666, 0o1777, 0o4755, 0o2755, 0o7777] {
            let at = format!("{message} {perm:o}");
            make(&mut c, message, dir, &at, kind | perm, NOBODY)?;
            c.walk(dir, Fid(60), &[&at])?;
            demand_eq!(c.getattr(Fid(60))?.attr.mode, kind | perm, "{at}");
        }
    }
    Ok(())
}

fn what_is_made_has_the_owner_that_was_asked_for(site: &Site) -> Checked {
    if !site.may_chown() {
        return skip("needs a server that may give files away");
    }
    let mut c = site.client();
    let dir = c.at("empty")?;
    let valid = SetattrMask::UID | SetattrMask::GID;
    c.setattr(dir, SetattrBody { valid, uid: PeerUid(70), gid: PeerGid(80), ..super::attr::nothing() })?;
    c.setattr(dir, mode(0o2777))?;
    for message in MAKERS {
        let at = format!("given {message}");
        make(&mut c, message, dir, &at, 0o6755, (PeerUid(71), PeerGid(81)))?;
        c.walk(dir, Fid(60), &[&at])?;
        let attr = c.getattr(Fid(60))?.attr;
        demand_eq!(attr.gid, PeerGid(81), "{message}: not the directory's");
        demand_eq!(attr.uid == PeerUid(71), message.starts_with('u'), "{message}");
        if !message.ends_with("symlink") {
            demand_eq!(attr.mode & 0o7777, 0o6755, "{message}: the owner does not take the bits");
        }
        let at = format!("inherited {message}");
        make(&mut c, message, dir, &at, 0o755, NOBODY)?;
        c.walk(dir, Fid(60), &[&at])?;
        let attr = c.getattr(Fid(60))?.attr;
        demand_eq!(attr.gid, PeerGid(80), "{message}: the directory's");
        demand_eq!(attr.mode & 0o2000 != 0, message.ends_with("mkdir"), "{message}");
    }
    Ok(())
}

fn a_name_that_is_taken_is_eexist(site: &Site) -> Checked {
    let mut c = site.client();
    let file = c.at("file")?;
    for taken in site.names() {
        for message in MAKERS {
            demand_eq!(make(&mut c, message, ROOT, taken, 0o644, NOBODY), Err(Errno::EEXIST), "{message}");
        }
        demand_eq!(c.link(file, ROOT, taken), Err(Errno::EEXIST), "{taken}");
    }
    demand_eq!(c.content("file")?, HELLO);
    Ok(())
}

fn only_a_directory_is_changed(site: &Site) -> Checked {
    let mut c = site.client();
    let file = c.at("file")?;
    for path in ["dir/inner", "link", "dirlink"] {
        let fid = c.at(path)?;
        for (what, done) in changes(&mut c, fid, file) {
            demand_eq!(done, Err(Errno::EINVAL), "{what} in {path}");
        }
        demand_eq!(rename_fid(&mut c, file, fid, "new"), Err(Errno::EINVAL));
    }
    demand_eq!(c.names("")?, site.names());
    Ok(())
}

fn an_open_directory_may_or_may_not_be_changed(site: &Site) -> Checked {
    let mut c = site.client();
    let (file, open) = (c.at("file")?, c.open_at("dir", OpenBits::RDONLY)?);
    for (what, done) in changes(&mut c, open, file) {
        // gVisor's server looked at the old directory only.
        if site.is_google() && what != "renameat, into it" {
            demand_eq!(done, Err(Errno::EINVAL), "{what}");
        } else if !site.is_google() {
            demand_eq!(done, Ok(()), "{what}");
        }
    }
    Ok(())
}

fn nothing_is_made_in_a_removed_directory(site: &Site) -> Checked {
    let mut c = site.client();
    let (file, gone) = (c.at("file")?, c.at("empty")?);
    c.rmdir(ROOT, "empty")?;
    let errno = site.google_or(Errno::EINVAL, Errno::ENOENT);
    for (what, done) in changes(&mut c, gone, file) {
        if what != "renameat, into it" {
            demand_eq!(done, Err(errno), "{what}");
        }
    }
    demand_eq!(c.rename(ROOT, "file", gone, "new"), Err(errno));
    demand_eq!(rename_fid(&mut c, file, gone, "new"), Err(errno));
    c.mkdir(ROOT, "empty")?;
    demand_eq!(c.mkdir(gone, "new"), Err(errno), "the name is another's");
    demand_eq!(c.names("empty")?, [""; 0]);
    Ok(())
}

fn names_are_looked_at_before_fids(site: &Site) -> Checked {
    let mut c = site.client();
    let fids = Fids { dir: Fid(9000), file: Fid(9001), unused: Fid(9002) };
    for request in named(fids, text("dir"), text("..")) {
        let errno = c.call_raw(request.number, &request.body).err();
        let expected = if request.what.starts_with("walk") { Errno::EBADF } else { Errno::EINVAL };
        demand_eq!(errno, Some(expected), "{}", request.what);
    }
    Ok(())
}

fn mknod_makes_what_has_no_life_of_its_own(site: &Site) -> Checked {
    let mut c = site.client();
    let dir = c.at("empty")?;
    let umknod = |c: &mut Client, at: &str, mode| {
        let (major, minor, gid, uid) = (1, 3, PeerGid::NONE, PeerUid::NONE);
        c.call(Tumknod { dfid: dir, name: name(at), mode, major, minor, gid, uid }).map(drop)
    };
    c.mknod(dir, "typeless", 0o600)?;
    umknod(&mut c, "u typeless", 0o600)?;
    for at in ["typeless", "u typeless"] {
        let fid = c.at(&format!("empty/{at}"))?;
        demand_eq!(c.getattr(fid)?.attr.mode, REGULAR | 0o600, "{at}: a regular file");
    }
    for (at, kind) in [("fifo", FIFO), ("socket", SOCKET)] {
        let made = !site.is_google() && site.can(Lack::Special);
        let expected = if made { Ok(()) } else { Err(Errno::EPERM) };
        demand_eq!(c.mknod(dir, at, kind | 0o600).map(drop), expected, "{at}");
        demand_eq!(umknod(&mut c, &format!("u {at}"), kind | 0o600), expected, "{at}");
        if made {
            let fid = c.at(&format!("empty/{at}"))?;
            demand_eq!(c.getattr(fid)?.attr.mode, kind | 0o600);
        }
    }
    for kind in [CHAR, BLOCK, DIR, SYMLINK] {
        demand_eq!(c.mknod(dir, "new", kind | 0o600), Err(Errno::EPERM), "{kind:o}");
        demand_eq!(umknod(&mut c, "new", kind | 0o600), Err(Errno::EPERM), "{kind:o}");
    }
    demand_eq!(c.at("empty/new"), Err(Errno::ENOENT));
    Ok(())
}

fn devices_are_made_where_the_operator_says_so(site: &Site) -> Checked {
    let devices = site.with_policy(Policy { devices: true, ..Policy::default() });
    let mut c = devices.client();
    for kind in [CHAR, BLOCK] {
        let (major, minor, gid) = (1, 3, PeerGid::NONE);
        let made = c.call(Tmknod { dfid: ROOT, name: name("new"), mode: kind | 0o600, major, minor, gid });
        match made.map(drop) {
            // Not by Google's clients, and not by a server without the right.
            Err(Errno::EPERM) if site.is_google() || site.is_host() || !site.can(Lack::Special) => {}
            other => {
                other?;
                let fid = c.at("new")?;
                demand_eq!(c.getattr(fid)?.attr.mode, kind | 0o600);
                demand_eq!(c.open(fid, OpenBits::RDONLY).err(), Some(Errno::EPERM), "but never opened");
                c.unlink(ROOT, "new")?;
            }
        }
    }
    Ok(())
}

fn a_target_is_not_interpreted(site: &Site) -> Checked {
    let mut c = site.client();
    for (at, target) in [("a", "/"), ("b", "../../../etc"), ("c", "a//b/./../"), ("d", " ")] {
        demand_eq!(c.symlink(ROOT, at, target)?.kind, QidKind::SYMLINK);
    }
    for (target, errno) in [("", Errno::ENOENT), ("a\0b", Errno::EINVAL), ("\0", Errno::EINVAL)] {
        demand_eq!(c.symlink(ROOT, "e", target), Err(errno), "{target:?}");
        let (gid, uid) = (PeerGid::NONE, PeerUid::NONE);
        let usymlink = Tusymlink { dfid: ROOT, name: name("e"), target: text(target), gid, uid };
        demand_eq!(c.call(usymlink).err(), Some(errno), "{target:?}");
    }
    let longest = "t".repeat(4096);
    demand_eq!(c.symlink(ROOT, "e", &longest), Err(Errno::ENAMETOOLONG));
    c.symlink(ROOT, "e", &longest[1..])?;
    Ok(())
}

fn link_gives_a_file_another_name(site: &Site) -> Checked {
    let mut c = site.client();
    let (file, link, dir) = (c.at("file")?, c.at("link")?, c.at("dir")?);
    let opened = c.open_at("dir/inner", OpenBits::RDONLY)?;
    c.link(file, dir, "other")?;
    demand_eq!(c.walk(dir, Fid(70), &["other"])?, [c.getattr(file)?.qid]);
    c.link(link, dir, "same link")?;
    demand_eq!(c.walk(dir, Fid(70), &["same link"])?, [c.getattr(link)?.qid], "of the link itself");
    c.link(opened, ROOT, "from an open fid")?;
    demand_eq!(c.content("from an open fid")?, b"inner");
    Ok(())
}

fn link_needs_a_file_that_has_a_name(site: &Site) -> Checked {
    let mut c = site.client();
    let (file, dir) = (c.at("file")?, c.at("dir")?);
    demand_eq!(c.link(dir, ROOT, "new"), Err(Errno::EPERM));
    let open = c.open_at("file", OpenBits::RDONLY)?;
    c.unlink(ROOT, "file")?;
    demand_eq!(c.link(file, ROOT, "new"), Err(Errno::ENOENT));
    demand_eq!(c.link(open, ROOT, "new"), Err(Errno::ENOENT));
    demand_eq!(c.at("new"), Err(Errno::ENOENT));
    Ok(())
}

fn renameat_moves_names(site: &Site) -> Checked {
    let mut c = site.client();
    let (dir, sub) = (c.at("dir")?, c.at("dir/sub")?);
    c.rename(ROOT, "file", ROOT, "renamed")?;
    c.rename(ROOT, "renamed", sub, "moved")?;
    demand_eq!(c.content("dir/sub/moved")?, HELLO);
    c.rename(sub, "moved", dir, "inner")?;
    demand_eq!(c.content("dir/inner")?, HELLO, "what was there is replaced");
    c.rename(dir, "sub", ROOT, "empty")?;
    demand_eq!(c.content("empty/deep")?, b"deep", "an empty directory too");
    c.rename(ROOT, "link", ROOT, "dirlink")?;
    let link = c.at("dirlink")?;
    demand_eq!(c.readlink(link)?, b"file");
    c.rename(dir, "inner", dir, "inner")?;
    demand_eq!(c.content("dir/inner")?, HELLO, "to the same place");
    Ok(())
}

fn renameat_keeps_two_names_of_one_file(site: &Site) -> Checked {
    let mut c = site.client();
    let (file, open) = (c.at("file")?, c.open_at("file", OpenBits::RDONLY)?);
    c.link(file, ROOT, "second")?;
    c.rename(ROOT, "file", ROOT, "second")?;
    assert!(c.at("file").is_ok() && c.at("second").is_ok(), "rename(2) does nothing");
    let second = c.at("second")?;
    c.remove(second)?;
    demand_eq!(c.read(open, 0, 100)?, HELLO);
    demand_eq!(c.getattr(file)?.attr.nlink, 1);
    c.remove(file)?;
    Ok(())
}

fn renameat_fails_as_the_host_does(site: &Site) -> Checked {
    let mut c = site.client();
    let (dir, sub) = (c.at("dir")?, c.at("dir/sub")?);
    for (from, to, errno) in [
        ((ROOT, "missing"), (ROOT, "new"), Errno::ENOENT),
        ((ROOT, "file"), (ROOT, "dir"), Errno::EISDIR),
        ((ROOT, "dir"), (ROOT, "file"), Errno::ENOTDIR),
        ((ROOT, "empty"), (ROOT, "dir"), Errno::ENOTEMPTY),
        ((ROOT, "dir"), (sub, "new"), Errno::EINVAL),
        ((ROOT, "dir"), (dir, "new"), Errno::EINVAL),
    ] {
        demand_eq!(c.rename(from.0, from.1, to.0, to.1), Err(errno), "{from:?} {to:?}");
    }
    demand_eq!(c.names("")?, site.names());
    Ok(())
}

fn rename_moves_the_fids_file(site: &Site) -> Checked {
    let mut c = site.client();
    let (file, dir, sub) = (c.at("file")?, c.at("dir")?, c.at("dir/sub")?);
    rename_fid(&mut c, file, dir, "one")?;
    demand_eq!(c.content("dir/one")?, HELLO);
    rename_fid(&mut c, file, sub, "two")?;
    demand_eq!(c.content("dir/sub/two")?, HELLO, "the fid knows where it is now");
    rename_fid(&mut c, sub, ROOT, "out")?;
    demand_eq!(c.content("out/two")?, HELLO, "directories too");
    rename_fid(&mut c, file, ROOT, "two")?;
    rename_fid(&mut c, file, ROOT, "two")?;
    let open = c.open_at("two", OpenBits::RDONLY)?;
    rename_fid(&mut c, open, dir, "inner")?;
    demand_eq!(c.content("dir/inner")?, HELLO, "an open fid will do");
    c.remove(open)?;
    demand_eq!(c.names("dir")?, [""; 0]);
    Ok(())
}

fn rename_fails_where_it_cannot_be_meant(site: &Site) -> Checked {
    let mut c = site.client();
    let (dir, sub, clone) = (c.at("dir")?, c.at("dir/sub")?, c.at("")?);
    for root in [ROOT, clone] {
        demand_eq!(rename_fid(&mut c, root, dir, "new"), Err(Errno::EINVAL), "a root");
    }
    demand_eq!(rename_fid(&mut c, dir, sub, "new"), Err(Errno::EINVAL), "into itself");
    demand_eq!(rename_fid(&mut c, sub, ROOT, "dir"), Err(Errno::ENOTEMPTY));
    demand_eq!(rename_fid(&mut c, sub, ROOT, "file"), Err(Errno::ENOTDIR));
    let inner = c.at("dir/inner")?;
    demand_eq!(rename_fid(&mut c, inner, ROOT, "empty"), Err(Errno::EISDIR));
    c.unlink(dir, "inner")?;
    demand_eq!(rename_fid(&mut c, inner, ROOT, "new"), Err(Errno::EINVAL), "it has no name");
    let file = c.at("file")?;
    c.rename(ROOT, "file", ROOT, "elsewhere")?;
    demand_eq!(rename_fid(&mut c, file, dir, "new"), Err(Errno::ENOENT), "nothing has its name");
    c.create_at("file")?;
    demand_eq!(rename_fid(&mut c, file, dir, "new"), Err(Errno::ENOENT), "another has its name");
    demand_eq!(c.content("elsewhere")?, HELLO);
    Ok(())
}

fn unlinkat_removes_names(site: &Site) -> Checked {
    let mut c = site.client();
    let (file, dir) = (c.at("file")?, c.at("dir")?);
    c.unlink(ROOT, "file")?;
    c.unlink(ROOT, "dirlink")?;
    c.rmdir(ROOT, "empty")?;
    c.unlink(ROOT, "fifo")?;
    c.unlink(ROOT, "socket")?;
    demand_eq!(c.names("")?, ["dir", "link"]);
    demand_eq!(c.names("dir")?, ["inner", "sub"], "not what a link leads to");
    demand_eq!(c.getattr(file)?.attr.nlink, 0);
    let flags = |flags| Tunlinkat { dfid: ROOT, name: name("dir"), flags };
    for wrong in [1, 0x100, 0x201, 0x400, u32::MAX] {
        demand_eq!(c.call(flags(wrong)).err(), Some(Errno::EINVAL), "{wrong:#x}");
    }
    for (done, errno) in [
        (c.unlink(ROOT, "missing"), Errno::ENOENT),
        (c.rmdir(ROOT, "missing"), Errno::ENOENT),
        (c.unlink(ROOT, "dir"), Errno::EISDIR),
        (c.rmdir(ROOT, "dir"), Errno::ENOTEMPTY),
        (c.rmdir(dir, "inner"), Errno::ENOTDIR),
        (c.rmdir(ROOT, "link"), Errno::ENOTDIR),
    ] {
        demand_eq!(done, Err(errno));
    }
    Ok(())
}

fn remove_removes_the_fids_file(site: &Site) -> Checked {
    let mut c = site.client();
    for path in ["dir/inner", "dir/sub/deep", "dir/sub", "dir", "link", "empty"] {
        let (fid, open) = (c.at(path)?, c.at(path)?);
        c.remove(fid)?;
        demand_eq!(c.clunk(fid), Err(Errno::EBADF));
        demand_eq!(c.at(path), Err(Errno::ENOENT), "{path}");
        c.getattr(open)?;
    }
    let open = c.open_at("file", OpenBits::RDWR)?;
    c.remove(open)?;
    let made = c.create_at("made")?;
    c.remove(made)?;
    demand_eq!(c.names("")?, ["dirlink", "fifo", "socket"]);
    Ok(())
}

fn remove_clunks_even_when_it_fails(site: &Site) -> Checked {
    let mut c = site.client();
    let fails = |c: &mut Client, fid, errno| {
        demand_eq!(c.remove(fid), Err(errno));
        demand_eq!(c.clunk(fid), Err(Errno::EBADF));
    };
    let (clone, full) = (c.at("")?, c.at("dir")?);
    fails(&mut c, clone, Errno::EINVAL);
    fails(&mut c, full, Errno::ENOTEMPTY);
    let (removed, moved, replaced) = (c.at("dir/inner")?, c.at("link")?, c.at("file")?);
    let dir = c.at("dir")?;
    c.unlink(dir, "inner")?;
    c.rename(ROOT, "link", ROOT, "elsewhere")?;
    c.rename(ROOT, "file", ROOT, "old")?;
    c.create_at("file")?;
    fails(&mut c, removed, Errno::EINVAL);
    fails(&mut c, moved, Errno::ENOENT);
    fails(&mut c, replaced, Errno::ENOENT);
    assert!(c.at("file").is_ok() && c.at("old").is_ok() && c.at("elsewhere").is_ok());
    let (fid, value) = (c.at("file")?, text("user.a"));
    c.call(Txattrcreate { fid, name: value, size: 1, flags: 0 })?;
    assert!(c.remove(fid).is_err(), "what is to be written is dropped");
    demand_eq!(c.clunk(fid), Err(Errno::EBADF));
    Ok(())
}

fn sockets_are_not_bound(site: &Site) -> Checked {
    let mut c = site.client();
    let newfid = c.fid();
    let (uid, gid) = (PeerUid::NONE, PeerGid::NONE);
    let bind = Tbind { dfid: ROOT, kind: 1, name: name("new"), uid, gid, newfid };
    demand_eq!(c.call(bind).err(), Some(Errno::EOPNOTSUPP));
    demand_eq!(c.clunk(newfid), Err(Errno::EBADF));
    Ok(())
}

fn clients_see_each_others_changes(site: &Site) -> Checked {
    let (mut a, mut b) = (site.client(), site.client());
    let dir = a.at("dir")?;
    a.mkdir(dir, "made")?;
    let seen = b.at("dir/made")?;
    demand_eq!(FileKind::of_mode(b.getattr(seen)?.attr.mode), Some(FileKind::Directory));
    b.rename(ROOT, "dir", ROOT, "renamed")?;
    a.mkdir(dir, "again")?;
    demand_eq!(b.names("renamed")?, ["again", "inner", "made", "sub"]);
    a.rmdir(dir, "made")?;
    demand_eq!(b.walk(seen, Fid(80), &["x"]), Err(Errno::ENOENT));
    Ok(())
}

family! {
    "entry";
    cases:
        what_is_made_is_there
        a_name_that_is_taken_is_eexist
        only_a_directory_is_changed
        nothing_is_made_in_a_removed_directory
        link_gives_a_file_another_name
        link_needs_a_file_that_has_a_name
        renameat_moves_names
        renameat_keeps_two_names_of_one_file
        renameat_fails_as_the_host_does
        rename_moves_the_fids_file
        rename_fails_where_it_cannot_be_meant
        unlinkat_removes_names
        remove_removes_the_fids_file
        remove_clunks_even_when_it_fails
        clients_see_each_others_changes;
    ours:
        what_is_made_has_the_mode_that_was_asked_for
        what_is_made_has_the_owner_that_was_asked_for
        an_open_directory_may_or_may_not_be_changed
        names_are_looked_at_before_fids
        mknod_makes_what_has_no_life_of_its_own
        devices_are_made_where_the_operator_says_so
        a_target_is_not_interpreted
        sockets_are_not_bound;
    promises:
        mkdir: EBADF EINVAL EEXIST ENOENT EROFS;
        umkdir: EBADF EINVAL EEXIST ENOENT EROFS;
        mknod: EBADF EINVAL EEXIST ENOENT EPERM EROFS;
        umknod: EBADF EINVAL EEXIST ENOENT EPERM EROFS;
        symlink: EBADF EINVAL EEXIST ENOENT ENAMETOOLONG EROFS;
        usymlink: EBADF EINVAL EEXIST ENOENT EROFS;
        link: EBADF EINVAL EEXIST ENOENT EPERM EXDEV EROFS;
        rename: EBADF EINVAL ENOENT EISDIR ENOTDIR ENOTEMPTY EXDEV EROFS;
        renameat: EBADF EINVAL ENOENT EISDIR ENOTDIR ENOTEMPTY EXDEV EROFS;
        unlinkat: EBADF EINVAL ENOENT EISDIR ENOTDIR ENOTEMPTY EROFS;
        remove: EBADF EINVAL ENOENT ENOTEMPTY EROFS;
        bind(never): EOPNOTSUPP;
}
