//! Symbolic links at every position: they are places, and lead nowhere.

use gofer_vfs::{Errno, PeerGid, PeerUid, Result};
use gofer_wire::p9::*;
use gofer_wire::{Data, List, ListBuf, Str};

use super::{Arena, attack};
use crate::attr::nothing;
use crate::client::{Client, ROOT, name, text};
use crate::verdict::{is_exact, skip_now};
use crate::{Checked, Site, demand_eq};

/// Where the links lie.
const DIRS: [&str; 3] = ["", "dir", "dir/sub"];

/// What is asked for behind them.
const TAILS: [&[&str]; 4] = [&["secret"], &["dir", "secret"], &["inner"], &["sub", "deep"]];

/// The links, and where they point: to what is here for it, or nowhere. A server that follows them does so with
/// whatever is asked of it.
fn links(arena: &Arena<'_>) -> Vec<(&'static str, String)> {
    let outside = arena.outside();
    let own = [
        ("itself", "."),
        ("loop", "loop"),
        ("chain", "beside"),
        ("inside", "dir"),
        ("inside-file", "file"),
        ("missing", "nothing"),
    ];
    let mut links = own.map(|(link, target)| (link, target.to_owned())).to_vec();
    links.push(("absolute", outside.to_owned()));
    links.push(("process", format!("/proc/self/root{outside}")));
    // From the root of any export a way up, and down again.
    links.push(("beside", format!("{}{}", "../".repeat(12).trim_end_matches('/'), outside)));
    links.push(("secret", format!("{outside}/secret")));
    links.push(("new", format!("{outside}/new")));
    links
}

fn lay_links(arena: &Arena<'_>) -> Vec<(&'static str, String)> {
    let links = links(arena);
    for dir in DIRS {
        for (link, target) in &links {
            let at = if dir.is_empty() { (*link).to_owned() } else { format!("{dir}/{link}") };
            arena.link(target, &at).expect("a link");
        }
    }
    links
}

fn list<'a>(names: &[&str], room: &'a mut Vec<u8>) -> List<'a, Str<'a>> {
    let mut list = ListBuf::new(room);
    names.iter().for_each(|name| assert!(list.push_str(text(name))));
    list.finish()
}

/// Calls `each` with the names that lead to every link.
fn at_every_position(arena: &Arena<'_>, mut each: impl FnMut(&mut Client, &[&str], &str)) {
    let links = lay_links(arena);
    let mut c = arena.site.client();
    for dir in DIRS {
        for (link, target) in &links {
            let path: Vec<&str> = dir.split('/').filter(|name| !name.is_empty()).chain([*link]).collect();
            each(&mut c, &path, target);
        }
    }
}

pub(super) fn a_walk_ends_at_a_link(site: &Site) -> Checked {
    attack(site, |arena| {
        at_every_position(arena, |c, path, target| {
            let fid = c.fid();
            let qids = c.walk(ROOT, fid, path).expect("the link itself");
            arena.check_inside(&qids);
            demand_eq!(qids.last().map(|qid| qid.kind), Some(QidKind::SYMLINK), "{path:?}");
            demand_eq!(c.readlink(fid), Ok(target.as_bytes().to_vec()), "{path:?}");
            c.clunk(fid).expect("a fid");
        });
    })
}

pub(super) fn nothing_is_behind_a_link(site: &Site) -> Checked {
    attack(site, |arena| {
        at_every_position(arena, |c, path, _| {
            let (newfid, link) = (c.fid(), c.at(&path.join("/")).expect("the link itself"));
            for tail in TAILS {
                let through = [path, tail].concat();
                demand_eq!(c.walk(ROOT, newfid, &through), Err(arena.no_way_on()), "{through:?}");
                demand_eq!(c.walk(link, newfid, tail), Err(arena.no_way_on()), "{through:?}");
                let mut room = Vec::new();
                let names = list(&through, &mut room);
                if arena.site.knows_google() {
                    let walk = c.call(Twalkgetattr { fid: ROOT, newfid, names });
                    demand_eq!(walk.err(), Some(arena.no_way_on()), "{through:?}");
                }
                demand_eq!(c.clunk(newfid), Err(Errno::EBADF), "{through:?}");
            }
            c.clunk(link).expect("a fid");
        });
    })
}

pub(super) fn attributes_behind_a_link_are_not_told(site: &Site) -> Checked {
    attack(site, |arena| {
        at_every_position(arena, |c, path, target| {
            for tail in TAILS {
                let through = [path, tail].concat();
                let mut room = Vec::new();
                let names = list(&through, &mut room);
                let answer = c.call(Tmultigetattr { fid: ROOT, names }).expect("a list");
                let stats: Vec<FullStat> = answer.multigetattr().stats.iter().collect();
                arena.check_inside(&stats.iter().map(|stat| stat.qid).collect::<Vec<_>>());
                demand_eq!(stats.len(), path.len(), "{through:?}");
                let last = stats.last().expect("the link itself");
                demand_eq!((last.qid.kind, last.attr.size), (QidKind::SYMLINK, target.len() as u64));
            }
        });
    })
}

pub(super) fn attach_ends_at_a_link(site: &Site) -> Checked {
    attack(site, |arena| {
        at_every_position(arena, |c, path, _| {
            let (fid, path) = (c.fid(), path.join("/"));
            let qid = c.attach(fid, &path).expect("the link itself");
            demand_eq!(qid.kind, QidKind::SYMLINK, "{path}");
            c.clunk(fid).expect("a fid");
            for tail in TAILS {
                let through = format!("{path}/{}", tail.join("/"));
                demand_eq!(c.attach(fid, &through), Err(arena.no_way_on()), "{through}");
            }
        });
    })
}

/// What a client can ask of a fid, and what it is told of one that is a link.
fn of_a_link<'a>(fid: Fid, newfid: Fid) -> Vec<(Request<'a>, Option<Errno>)> {
    let einval = Some(Errno::EINVAL);
    let (new, secret, mode) = (name("new-name"), name("secret"), 0o644);
    let (gid, uid, target, data) = (PeerGid::NONE, PeerUid::NONE, text("target"), Data(b"x"));
    let (start, length, proc_id, client_id) = (0, 1, 1, text("client"));
    let open = |flags| (Tlopen { fid, flags }.into(), einval);
    let flags = OpenBits::RDWR;
    let size = SetattrBody { size: 0, valid: SetattrMask::SIZE, ..nothing() };
    let chmod = SetattrBody { mode: 0o777, valid: SetattrMask::MODE, ..nothing() };
    vec![
        open(OpenBits::RDONLY),
        open(OpenBits::WRONLY),
        open(OpenBits::RDWR),
        open(OpenBits::RDONLY | OpenBits::TRUNC),
        open(OpenBits::RDONLY | OpenBits::DIRECTORY),
        open(OpenBits::RDONLY | OpenBits::NOFOLLOW),
        (Tread { fid, offset: 0, count: 100 }.into(), einval),
        (Twrite { fid, offset: 0, data }.into(), einval),
        (Treaddir { fid, offset: 0, count: 1000 }.into(), einval),
        (Tfsync { fid, datasync: 0 }.into(), einval),
        (Tallocate { fid, mode: 0, offset: 0, length }.into(), einval),
        (Tlconnect { fid, flags: 0 }.into(), einval),
        (Tlcreate { fid, name: new, flags, mode, gid }.into(), einval),
        (Tlcreate { fid, name: secret, flags: OpenBits::RDONLY, mode, gid }.into(), einval),
        (Tucreate { fid, name: new, flags, mode, gid, uid }.into(), einval),
        (Tmkdir { dfid: fid, name: new, mode, gid }.into(), einval),
        (Tumkdir { dfid: fid, name: new, mode, gid, uid }.into(), einval),
        (Tmknod { dfid: fid, name: new, mode, major: 0, minor: 0, gid }.into(), einval),
        (Tumknod { dfid: fid, name: new, mode, major: 0, minor: 0, gid, uid }.into(), einval),
        (Tsymlink { dfid: fid, name: new, target, gid }.into(), einval),
        (Tusymlink { dfid: fid, name: new, target, gid, uid }.into(), einval),
        (Tlink { dfid: fid, fid: ROOT, name: new }.into(), einval),
        (Tunlinkat { dfid: fid, name: secret, flags: 0 }.into(), einval),
        (Tunlinkat { dfid: fid, name: name("dir"), flags: Tunlinkat::AT_REMOVEDIR }.into(), einval),
        (Trenameat { olddirfid: fid, oldname: secret, newdirfid: ROOT, newname: new }.into(), einval),
        (Trenameat { olddirfid: ROOT, oldname: name("file"), newdirfid: fid, newname: new }.into(), einval),
        (Tsetattr { fid, setattr: size }.into(), einval),
        (Tsetattr { fid, setattr: chmod }.into(), Some(Errno::EOPNOTSUPP)),
        (
            Tlock { fid, kind: Tlock::WRLCK, flags: 0, start, length, proc_id, client_id }.into(),
            Some(Errno::EBADF),
        ),
        (Tgetlock { fid, kind: Tlock::WRLCK, start, length, proc_id, client_id }.into(), Some(Errno::EBADF)),
        // These are the link's own.
        (Tstatfs { fid }.into(), None),
        (Tflushf { fid }.into(), None),
        (Tsetattr { fid, setattr: SetattrBody { valid: SetattrMask::MTIME, ..nothing() } }.into(), None),
        (Tsetattr { fid, setattr: SetattrBody { valid: SetattrMask::CTIME, ..nothing() } }.into(), None),
        (Twalk { fid, newfid, names: List::EMPTY }.into(), None),
    ]
}

pub(super) fn a_fid_of_a_link_is_no_way_to_what_it_points_to(site: &Site) -> Checked {
    attack(site, |arena| {
        at_every_position(arena, |c, path, target| {
            let (fid, newfid) = (c.at(&path.join("/")).expect("the link itself"), c.fid());
            for (request, expected) in of_a_link(fid, newfid) {
                // What a link has of its own is for each server to say.
                let is_free = expected.is_none() && !is_exact() && request.number() != 110;
                if !c.may(request.number()) || is_free {
                    continue;
                }
                demand_eq!(c.call(request).err(), expected, "{path:?}: {request:?}");
            }
            let file = c.at("file").expect("a file");
            if c.may(20) {
                let rename = Trename { fid: file, dfid: fid, name: name("new-name") };
                demand_eq!(c.call(rename).err(), Some(Errno::EINVAL), "{path:?}");
            }
            for fid in [fid, newfid] {
                let look = c.getattr(fid).expect("its own attributes");
                demand_eq!((look.qid.kind, look.attr.size), (QidKind::SYMLINK, target.len() as u64));
                c.clunk(fid).expect("a fid");
            }
            c.clunk(file).expect("a fid");
        });
    })
}

pub(super) fn extended_attributes_behind_a_link_are_out_of_reach(site: &Site) -> Checked {
    attack(site, |arena| {
        at_every_position(arena, |c, path, _| {
            let (fid, newfid, attribute) =
                (c.at(&path.join("/")).expect("the link itself"), c.fid(), text("user.secret"));
            let value = text("changed");
            let none: [Request<'_>; 4] = [
                Tgetxattr { fid, name: attribute, size: 0 }.into(),
                Tsetxattr { fid, name: attribute, value, flags: 0 }.into(),
                Tremovexattr { fid, name: attribute }.into(),
                Txattrwalk { fid, newfid, name: attribute }.into(),
            ];
            for request in none {
                let tried = c.may(request.number()).then(|| c.call(request));
                assert!(!matches!(tried, Some(Ok(_))), "{path:?}: {request:?}");
            }
            if let Some(Ok(listed)) = c.may(28).then(|| c.call(Tlistxattr { fid, size: 0 })) {
                demand_eq!(listed.listxattr().names.len(), 0, "{path:?}");
            }
            if c.call(Txattrwalk { fid, newfid, name: text("") }).is_ok() {
                demand_eq!(c.read(newfid, 0, 1000), Ok(Vec::new()), "{path:?}");
                c.clunk(newfid).expect("a fid");
            }
            // Some look at it now, others when it is set.
            let promised =
                c.may(32) && c.call(Txattrcreate { fid, name: attribute, size: 7, flags: 0 }).is_ok();
            assert!(promised || !c.may(32) || !is_exact(), "a promise");
            if promised {
                demand_eq!(c.write(fid, 0, b"changed"), Ok(7));
                assert!(c.clunk(fid).is_err(), "{path:?}");
            }
        });
    })
}

/// Whether the server has the message.
fn is_known(arena: &Arena<'_>, request: &Request<'_>) -> bool {
    arena.site.knows_google() || request.number() < 124
}

pub(super) fn what_is_made_does_not_follow_a_link(site: &Site) -> Checked {
    attack(site, |arena| {
        lay_links(arena);
        let mut c = arena.site.client();
        let before = arena.tree();
        let (mode, gid, uid) = (0o644, PeerGid::NONE, PeerUid::NONE);
        for (link, _) in links(arena) {
            let (at, target) = (name(link), text("target"));
            let file = c.at("file").expect("a file");
            for flags in [
                OpenBits::RDONLY,
                OpenBits::WRONLY | OpenBits::TRUNC,
                OpenBits::RDWR | OpenBits::EXCL,
                OpenBits::RDWR | OpenBits::CREATE | OpenBits::APPEND,
            ] {
                let fid = c.at("").expect("the root");
                let requests: [Request<'_>; 2] = [
                    Tlcreate { fid, name: at, flags, mode, gid }.into(),
                    Tucreate { fid, name: at, flags, mode, gid, uid }.into(),
                ];
                for request in requests.into_iter().filter(|request| is_known(arena, request)) {
                    demand_eq!(c.call(request).err(), Some(Errno::EEXIST), "{request:?}");
                }
            }
            let requests: [Request<'_>; 5] = [
                Tmkdir { dfid: ROOT, name: at, mode, gid }.into(),
                Tmknod { dfid: ROOT, name: at, mode, major: 0, minor: 0, gid }.into(),
                Tsymlink { dfid: ROOT, name: at, target, gid }.into(),
                Tlink { dfid: ROOT, fid: file, name: at }.into(),
                Tumkdir { dfid: ROOT, name: at, mode, gid, uid }.into(),
            ];
            for request in requests.into_iter().filter(|request| is_known(arena, request)) {
                demand_eq!(c.call(request).err(), Some(Errno::EEXIST), "{request:?}");
            }
        }
        demand_eq!(arena.tree(), before);
    })
}

/// What moves or removes a name changes the link of that name.
pub(super) fn what_moves_and_removes_does_not_follow_a_link(site: &Site) -> Checked {
    attack(site, |arena| {
        lay_links(arena);
        let mut c = arena.site.client();
        let steps = |c: &mut Client, link: &str, target: &str| -> Result<()> {
            demand_eq!(c.rmdir(ROOT, link), Err(Errno::ENOTDIR), "{link}");
            // Another name of it, moved about, and over a file.
            let fid = c.at(link)?;
            let dir = c.at("empty")?;
            c.link(fid, ROOT, "other")?;
            c.rename(ROOT, "other", dir, "moved")?;
            let moved = c.at("empty/moved")?;
            demand_eq!(c.readlink(moved)?, target.as_bytes());
            c.call(Trename { fid: moved, dfid: ROOT, name: name("moved") })?;
            // Removed by its name, by its fid, and by a file that takes its place.
            c.unlink(ROOT, "moved")?;
            c.link(fid, ROOT, "removed")?;
            let removed = c.at("removed")?;
            c.remove(removed)?;
            c.mknod(ROOT, "new-file", 0o100_644)?;
            c.rename(ROOT, "new-file", ROOT, link)?;
            demand_eq!(c.content(link)?, b"");
            c.unlink(ROOT, link)?;
            demand_eq!(c.at(link), Err(Errno::ENOENT));
            c.clunk(fid)
        };
        for (link, target) in links(arena) {
            match steps(&mut c, link, &target) {
                Err(Errno::EOPNOTSUPP) if !is_exact() => skip_now("gives links no second name"),
                done => done.unwrap_or_else(|errno| panic!("{link}: {errno}")),
            }
        }
    })
}

/// A link that a client made itself is no better than one that it found.
pub(super) fn links_of_a_clients_own_lead_nowhere(site: &Site) -> Checked {
    attack(site, |arena| {
        let mut c = arena.site.client();
        for (of, target) in links(arena) {
            let link = format!("own-{of}");
            c.symlink(ROOT, &link, &target).expect("a link");
            demand_eq!(c.at(&format!("{link}/secret")), Err(arena.no_way_on()));
            let fid = c.at(&link).expect("the link itself");
            demand_eq!(c.open(fid, OpenBits::RDONLY).err(), Some(Errno::EINVAL));
        }
        demand_eq!(c.content("own-secret").err(), Some(Errno::EINVAL));
    })
}
