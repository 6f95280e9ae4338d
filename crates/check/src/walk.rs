//! walk, walkgetattr, multigetattr.

use gofer_server::{HostSockets, Policy};
use gofer_vfs::{Errno, FileKind, Result};
use gofer_wire::p9::*;
use gofer_wire::{List, ListBuf, Str};

use crate::client::{Client, ROOT, text};
use crate::names::{Fids, named};
use crate::verdict::{is_exact, skip};
use crate::{Checked, Site, body, demand_eq, family};

/// No names: a walk that clones.
pub(crate) const NONE: &[&str] = &[];

/// The qid types that both kinds of client can live with.
pub(crate) fn qid_kinds(kind: FileKind) -> &'static [QidKind] {
    match kind {
        FileKind::Directory => &[QidKind::DIR],
        FileKind::Symlink => &[QidKind::SYMLINK],
        FileKind::Regular | FileKind::BlockDevice => &[QidKind::FILE],
        FileKind::Socket | FileKind::Fifo | FileKind::CharDevice => &[QidKind::APPEND, QidKind::FILE],
    }
}

fn strings<'b>(names: &[&str], room: &'b mut Vec<u8>) -> List<'b, Str<'b>> {
    let mut list = ListBuf::new(room);
    names.iter().for_each(|name| assert!(list.push_str(text(name))));
    list.finish()
}

fn walkgetattr(c: &mut Client, fid: Fid, newfid: Fid, names: &[&str]) -> Result<(Stat, Vec<Qid>)> {
    let mut room = Vec::new();
    let answer = c.call(Twalkgetattr { fid, newfid, names: strings(names, &mut room) })?;
    let Rwalkgetattr { valid, attr, qids } = answer.walkgetattr();
    assert!(valid.contains(GetattrMask::BASIC));
    Ok((attr, qids.iter().collect()))
}

fn multigetattr(c: &mut Client, fid: Fid, names: &[&str]) -> Result<Vec<FullStat>> {
    let mut room = Vec::new();
    let answer = c.call(Tmultigetattr { fid, names: strings(names, &mut room) })?;
    Ok(answer.multigetattr().stats.iter().collect())
}

fn every_step_has_its_qid(site: &Site) -> Checked {
    let mut c = site.client();
    let path = ["dir", "sub", "deep"];
    let all = c.walk(ROOT, Fid(10), &path)?;
    demand_eq!(all.len(), 3);
    for (end, newfid) in (1..=3).zip((11..).map(Fid)) {
        let steps = c.walk(ROOT, newfid, &path[..end])?;
        demand_eq!(steps, all[..end]);
        demand_eq!(c.getattr(newfid)?.qid, all[end - 1]);
    }
    let one_by_one = [(ROOT, "dir", 14), (Fid(14), "sub", 15), (Fid(15), "deep", 16)];
    for ((fid, name, newfid), qid) in one_by_one.into_iter().zip(&all) {
        demand_eq!(c.walk(fid, Fid(newfid), &[name])?, [*qid]);
    }
    demand_eq!((all[0].kind, all[1].kind, all[2].kind), (QidKind::DIR, QidKind::DIR, QidKind::FILE));
    assert!(all.iter().all(|qid| qid.version == 0) || !is_exact());
    assert_ne!(all[0].path, all[1].path);
    let link = c.walk(ROOT, Fid(17), &["link"])?[0];
    let file = c.walk(ROOT, Fid(18), &["file"])?[0];
    demand_eq!(link.kind, QidKind::SYMLINK);
    assert_ne!(link.path, file.path);
    Ok(())
}

fn no_names_make_a_clone(site: &Site) -> Checked {
    let mut c = site.client();
    for path in ["", "file", "dir", "link"] {
        let (fid, clone) = (c.at(path)?, c.fid());
        demand_eq!(c.walk(fid, clone, NONE)?, []);
        demand_eq!(c.getattr(clone)?.qid, c.getattr(fid)?.qid);
        c.clunk(fid)?;
        c.getattr(clone)?;
        c.walk(clone, clone, NONE)?;
        c.getattr(clone)?;
    }
    Ok(())
}

fn a_failed_walk_leaves_no_trace(site: &Site) -> Checked {
    let mut c = site.client();
    let (dir, used, unused) = (c.at("dir")?, c.at("file")?, c.fid());
    for names in [&["missing"][..], &["sub", "missing"], &["sub", "deep", "x"], &["..", "x"]] {
        assert!(c.walk(dir, unused, names).is_err());
        demand_eq!(c.clunk(unused), Err(Errno::EBADF));
        if is_exact() {
            assert!(c.walk(dir, used, names).is_err());
            demand_eq!(c.getattr(used)?.attr.size, 9, "newfid is what it was");
        }
        assert!(c.walk(dir, dir, names).is_err());
        c.walk(dir, Fid(300), &["inner"])?;
    }
    demand_eq!(c.walk(dir, unused, &["missing", "missing"]), Err(Errno::ENOENT));
    Ok(())
}

fn newfid_may_be_in_use(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.at("dir")?;
    c.walk(fid, fid, &["sub"])?;
    c.walk(fid, fid, &["deep"])?;
    demand_eq!(c.getattr(fid)?.attr.size, 4);
    let open = c.open_at("file", OpenBits::RDONLY)?;
    c.walk(ROOT, open, &["dir"])?;
    demand_eq!(c.read(open, 0, 9), Err(Errno::EINVAL), "the file is not open any more");
    demand_eq!(c.walk(ROOT, Fid::NONE, &["dir"]), Err(Errno::EINVAL));
    demand_eq!(c.walk(ROOT, Fid::NONE, NONE), Err(Errno::EINVAL));
    Ok(())
}

fn only_directories_lead_on(site: &Site) -> Checked {
    let mut c = site.client();
    let errno = site.google_or(Errno::EINVAL, Errno::ENOTDIR);
    for names in [["file", "x"], ["link", "x"], ["dirlink", "inner"], ["dirlink", "sub"]] {
        demand_eq!(c.walk(ROOT, Fid(20), &names), Err(errno), "{names:?}");
        let fid = c.at(names[0])?;
        demand_eq!(c.walk(fid, Fid(20), &names[1..]), Err(errno), "{names:?}");
        demand_eq!(walkgetattr(&mut c, ROOT, Fid(20), &names), Err(errno));
    }
    Ok(())
}

fn what_is_no_name_is_einval_everywhere(site: &Site) -> Checked {
    let mut c = site.client();
    let (file, unused) = (c.at("file")?, c.fid());
    let fids = Fids { dir: ROOT, file, unused };
    for bad in ["", ".", "..", "/", "a/b", "/etc", "a/", "../file", "\0", "a\0b", "file\0"] {
        for request in named(fids, text("dir"), text(bad)) {
            let answer = c.call_raw(request.number, &request.body).map(drop);
            demand_eq!(answer, Err(Errno::EINVAL), "{} of {bad:?}", request.what);
        }
    }
    demand_eq!(c.walk(ROOT, Fid(30), &["missing", ".."]), Err(Errno::EINVAL), "before anything is walked");
    demand_eq!(c.walk(Fid(77), Fid(30), &[".."]), Err(Errno::EBADF), "the fid comes first");
    demand_eq!(c.names("")?, site.names());
    demand_eq!(c.clunk(unused), Err(Errno::EBADF));
    Ok(())
}

fn names_have_at_most_255_bytes(site: &Site) -> Checked {
    let mut c = site.client();
    let (file, unused) = (c.at("file")?, c.fid());
    let fids = Fids { dir: ROOT, file, unused };
    for len in [256, 300, 4096, 60_000] {
        let long = "n".repeat(len);
        for request in named(fids, text("dir"), text(&long)) {
            let answer = c.call_raw(request.number, &request.body).map(drop);
            demand_eq!(answer, Err(Errno::ENAMETOOLONG), "{} of {len} bytes", request.what);
        }
    }
    let longest = "n".repeat(255);
    demand_eq!(c.at(&format!("{longest}n")), Err(Errno::ENAMETOOLONG));
    demand_eq!(c.at(&longest), Err(Errno::ENOENT));
    c.mkdir(ROOT, &longest)?;
    c.at(&longest)?;
    Ok(())
}

fn any_other_bytes_are_a_name(site: &Site) -> Checked {
    let mut c = site.client();
    for odd in [&b"..."[..], b" ", b"\n", b"\xff\xfe", b"a\\b", b"-rf", b"..a"] {
        // Strings of 9P are UTF-8, names of Linux are not.
        if str::from_utf8(odd).is_err() && !is_exact() {
            continue;
        }
        let name = Str::new(odd).unwrap_or_default();
        let body = body!(ROOT, name, 0o755u32, gofer_vfs::PeerGid::NONE);
        c.call_raw(72, &body)?;
        c.walk(ROOT, Fid(40), &[odd])?;
    }
    Ok(())
}

fn an_open_fid_may_or_may_not_be_left(site: &Site) -> Checked {
    let mut c = site.client();
    let (dir, file) =
        (c.open_at("dir", OpenBits::RDONLY)?, c.open_at("dir/inner", OpenBits::RDWR | OpenBits::TRUNC)?);
    if site.is_google() {
        demand_eq!(c.walk(dir, Fid(50), &["inner"]), Err(Errno::EBUSY));
        demand_eq!(c.walk(dir, Fid(50), NONE), Err(Errno::EBUSY));
        demand_eq!(c.walk(file, Fid(50), NONE), Err(Errno::EBUSY));
        demand_eq!(walkgetattr(&mut c, dir, Fid(50), &["inner"]), Err(Errno::EBUSY));
        demand_eq!(c.walk(dir, Fid(50), &[".."]), Err(Errno::EINVAL), "names are looked at before");
        demand_eq!(c.clunk(Fid(50)), Err(Errno::EBADF));
    } else {
        c.walk(dir, Fid(50), &["inner"])?;
        c.walk(dir, Fid(51), NONE)?;
        c.walk(file, Fid(52), NONE)?;
        demand_eq!(c.read(Fid(52), 0, 1), Err(Errno::EINVAL), "the clone is not open");
        c.open(Fid(52), OpenBits::RDONLY)?;
        demand_eq!(c.walk(dir, dir, &["inner"]), Err(Errno::EBUSY));
        demand_eq!(c.walk(dir, dir, NONE), Err(Errno::EBUSY));
        demand_eq!(walkgetattr(&mut c, dir, dir, NONE), Err(Errno::EBUSY));
    }
    assert!(!c.list(dir)?.is_empty(), "the fid is as it was");
    Ok(())
}

/// Whether that is allowed is for the server to say. It is answered, and nobody else notices.
fn a_walk_of_an_open_fid_to_itself_is_answered(site: &Site) -> Checked {
    let (mut c, mut other) = (site.client(), site.client());
    for names in [NONE, &["inner"], &["missing"]] {
        let fid = c.open_at("dir", OpenBits::RDONLY)?;
        let walked = c.walk(fid, fid, names);
        assert_ne!(walked, Err(Errno::ECONNRESET), "the connection ends");
        c.clunk(fid)?;
    }
    other.getattr(ROOT)?;
    site.client().getattr(ROOT)?;
    Ok(())
}

fn special_files_are_places(site: &Site) -> Checked {
    let mut c = site.client();
    for (name, kind) in site.entries() {
        let walked = c.walk(ROOT, Fid(60), &[name]);
        if site.is_google() && matches!(kind, FileKind::Fifo | FileKind::Socket) {
            demand_eq!(walked, Err(Errno::EPERM), "{name}");
            demand_eq!(walkgetattr(&mut c, ROOT, Fid(60), &[name]), Err(Errno::EPERM), "{name}");
        } else {
            assert!(qid_kinds(kind).contains(&walked?[0].kind), "{name}");
            demand_eq!(FileKind::of_mode(c.getattr(Fid(60))?.attr.mode), Some(kind));
        }
    }
    let policy = Policy { fifos: true, sockets: HostSockets::Connect, ..Policy::default() };
    let open = site.with_policy(policy);
    let mut c = open.client();
    for name in open.names() {
        c.at(name)?;
    }
    Ok(())
}

fn a_removed_directory_leads_nowhere(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.at("empty")?;
    c.rmdir(ROOT, "empty")?;
    demand_eq!(c.walk(fid, Fid(70), &["x"]), Err(Errno::ENOENT));
    c.walk(fid, Fid(71), NONE)?;
    demand_eq!(c.getattr(Fid(71))?.qid, c.getattr(fid)?.qid);
    c.mkdir(ROOT, "empty")?;
    demand_eq!(c.walk(fid, Fid(70), &["x"]), Err(Errno::ENOENT), "the name is another's");
    Ok(())
}

fn a_fid_stays_with_its_file(site: &Site) -> Checked {
    let mut c = site.client();
    let (file, dir) = (c.at("file")?, c.at("dir")?);
    let qid = c.getattr(file)?.qid;
    c.rename(ROOT, "file", dir, "moved")?;
    c.rename(ROOT, "dir", ROOT, "renamed")?;
    c.create_at("file")?;
    demand_eq!((c.getattr(file)?.qid, c.getattr(file)?.attr.size), (qid, 9));
    demand_eq!(c.walk(dir, Fid(80), &["moved"])?, [qid]);
    c.unlink(dir, "moved")?;
    demand_eq!((c.getattr(file)?.qid, c.getattr(file)?.attr.nlink), (qid, 0));
    assert_ne!(c.walk(ROOT, Fid(81), &["file"])?, [qid], "another file");
    Ok(())
}

/// Makes directories named `d`, each in the one before, and answers their names.
fn deep(c: &mut Client, levels: usize) -> Result<Vec<&'static str>> {
    let fid = c.at("")?;
    for _ in 0..levels {
        c.mkdir(fid, "d")?;
        c.walk(fid, fid, &["d"])?;
    }
    Ok(vec!["d"; levels])
}

fn a_walk_may_be_long(site: &Site) -> Checked {
    let mut c = site.client();
    let names = deep(&mut c, 400)?;
    let qids = c.walk(ROOT, Fid(90), &names)?;
    demand_eq!(qids.len(), 400);
    c.version(4096, site.dialect().version().0)?;
    c.attach(ROOT, "")?;
    let fit = (4096 - 9) / 13;
    demand_eq!(c.walk(ROOT, Fid(90), &names[..fit])?, qids[..fit]);
    demand_eq!(c.walk(ROOT, Fid(91), &names), Err(Errno::ERANGE), "never a part of the answer");
    demand_eq!(c.clunk(Fid(91)), Err(Errno::EBADF));
    demand_eq!(walkgetattr(&mut c, ROOT, Fid(91), &names), Err(Errno::ERANGE));
    Ok(())
}

fn a_directory_may_be_closed_to_the_server(site: &Site) -> Checked {
    if site.is_root() {
        return skip("nothing is closed to a server that may do everything");
    }
    let mut c = site.client();
    let fid = c.at("dir")?;
    c.setattr(fid, super::attr::mode(0))?;
    demand_eq!(c.walk(fid, Fid(95), &["inner"]), Err(Errno::EACCES));
    demand_eq!(c.walk(ROOT, Fid(95), &["dir", "inner"]), Err(Errno::EACCES));
    demand_eq!(walkgetattr(&mut c, fid, Fid(95), &["inner"]), Err(Errno::EACCES));
    demand_eq!(multigetattr(&mut c, fid, &["", "inner"]), Err(Errno::EACCES));
    demand_eq!(c.attach(Fid(95), "dir/inner"), Err(Errno::EACCES));
    c.setattr(fid, super::attr::mode(0o755))?;
    Ok(())
}

fn walkgetattr_is_walk_and_getattr(site: &Site) -> Checked {
    let mut c = site.client();
    for names in [&["dir"][..], &["dir", "sub"], &["dir", "sub", "deep"], &["link"], NONE] {
        let (attr, qids) = walkgetattr(&mut c, ROOT, Fid(100), names)?;
        demand_eq!(qids, c.walk(ROOT, Fid(101), names)?);
        demand_eq!(attr, c.getattr(Fid(101))?.attr);
        demand_eq!(c.getattr(Fid(100))?.qid, c.getattr(Fid(101))?.qid);
    }
    demand_eq!(walkgetattr(&mut c, ROOT, Fid(102), &["dir", "missing"]), Err(Errno::ENOENT));
    demand_eq!(walkgetattr(&mut c, ROOT, Fid::NONE, NONE), Err(Errno::EINVAL));
    demand_eq!(c.clunk(Fid(102)), Err(Errno::EBADF));
    Ok(())
}

fn multigetattr_tells_of_every_step(site: &Site) -> Checked {
    let mut c = site.client();
    let path = ["dir", "sub", "deep"];
    let stats = multigetattr(&mut c, ROOT, &["", "dir", "sub", "deep"])?;
    demand_eq!(stats.len(), 4);
    for (end, stat) in stats.iter().enumerate() {
        c.walk(ROOT, Fid(110), &path[..end])?;
        let Rgetattr { valid, qid, attr } = c.getattr(Fid(110))?;
        demand_eq!(*stat, FullStat { qid, valid, attr });
    }
    demand_eq!(multigetattr(&mut c, ROOT, &path)?, stats[1..]);
    demand_eq!(multigetattr(&mut c, ROOT, &[""])?, stats[..1]);
    demand_eq!(multigetattr(&mut c, ROOT, &[])?, []);
    let open = c.open_at("dir", OpenBits::RDONLY)?;
    demand_eq!(multigetattr(&mut c, open, &["", "sub", "deep"])?, stats[1..], "an open fid will do");
    let file = c.at("file")?;
    demand_eq!(multigetattr(&mut c, file, &[""])?.len(), 1);
    Ok(())
}

fn multigetattr_stops_where_nothing_leads_on(site: &Site) -> Checked {
    let mut c = site.client();
    for (names, len) in [
        (&["missing"][..], 0),
        (&["", "missing"], 1),
        (&["dir", "missing", "x"], 1),
        (&["dir", "inner", "x", "y"], 2),
        (&["link", "x"], 1),
        (&["dirlink", "inner"], 1),
        (&["fifo"], 1),
        (&["socket", "x"], 1),
    ] {
        demand_eq!(multigetattr(&mut c, ROOT, names)?.len(), len, "{names:?}");
    }
    let (file, link) = (c.at("file")?, c.at("dirlink")?);
    for fid in [file, link] {
        demand_eq!(multigetattr(&mut c, fid, &["x"]), Err(Errno::ENOTDIR));
        demand_eq!(multigetattr(&mut c, fid, &["", "x"]), Err(Errno::ENOTDIR));
    }
    let gone = c.at("empty")?;
    c.rmdir(ROOT, "empty")?;
    let stats = multigetattr(&mut c, gone, &["", "x"])?;
    demand_eq!(stats.len(), 1);
    // Some file systems keep a link of a directory that was removed.
    demand_eq!(stats[0].qid, c.getattr(gone)?.qid);
    Ok(())
}

fn multigetattr_looks_at_names_first(site: &Site) -> Checked {
    let mut c = site.client();
    for names in [&["missing", ".."][..], &["dir", ""], &["", ""], &["a/b"], &["", "."]] {
        demand_eq!(multigetattr(&mut c, ROOT, names), Err(Errno::EINVAL), "{names:?}");
        demand_eq!(multigetattr(&mut c, Fid(9999), names), Err(Errno::EINVAL), "{names:?}");
    }
    Ok(())
}

fn multigetattr_answers_what_fits(site: &Site) -> Checked {
    let mut c = site.client();
    c.version(4096, site.dialect().version().0)?;
    c.attach(ROOT, "")?;
    let names = deep(&mut c, 40)?;
    demand_eq!(multigetattr(&mut c, ROOT, &names)?.len(), (4096 - 9) / FullStat::LEN);
    Ok(())
}

family! {
    "walk";
    cases:
        every_step_has_its_qid
        no_names_make_a_clone
        a_failed_walk_leaves_no_trace
        only_directories_lead_on
        any_other_bytes_are_a_name
        a_walk_of_an_open_fid_to_itself_is_answered
        special_files_are_places
        a_removed_directory_leads_nowhere
        a_fid_stays_with_its_file
        a_directory_may_be_closed_to_the_server
        walkgetattr_is_walk_and_getattr
        multigetattr_tells_of_every_step
        multigetattr_stops_where_nothing_leads_on
        multigetattr_answers_what_fits;
    ours:
        a_walk_may_be_long
        newfid_may_be_in_use
        what_is_no_name_is_einval_everywhere
        names_have_at_most_255_bytes
        an_open_fid_may_or_may_not_be_left
        multigetattr_looks_at_names_first;
    promises:
        walk: EBADF EINVAL EBUSY ENOENT ENOTDIR EPERM ENAMETOOLONG EACCES ERANGE;
        walkgetattr: EBADF EINVAL EBUSY ENOENT ENOTDIR EPERM EACCES ERANGE;
        multigetattr: EBADF EINVAL ENOTDIR EACCES;
}
