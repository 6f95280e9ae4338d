//! Attach names that would lead out of an export.

use gofer_vfs::Errno;
use gofer_wire::p9::{Fid, OpenBits, QidKind};

use super::{Arena, attack};
use crate::client::{Client, ROOT};
use crate::verdict::{is_exact, note};
use crate::{Checked, Setup, Site, demand_eq};

const FID: Fid = Fid(100);

/// Links in the root of the export.
fn lay_links(arena: &Arena<'_>) {
    let outside = arena.outside();
    let secret = format!("{outside}/secret");
    for (target, at) in [(outside, "out"), ("..", "up"), ("/", "slash"), (&secret, "dir/out")] {
        arena.link(target, at).expect("a link");
    }
}

/// An attach name that is refused, or by other servers than this one taken for the root of what is exported.
fn is_refused(c: &mut Client, aname: &str, errno: Errno) {
    let root = c.attach_top(FID).expect("the root");
    let attached = c.attach(FID, aname);
    if let (Ok(qid), false) = (attached, is_exact()) {
        let own = c.getattr(ROOT).expect("attributes").qid;
        assert!([root.path, own.path].contains(&qid.path), "{aname:?} leads to {qid:?}");
        note(format_args!("attaches {aname:?} as the root"));
        return;
    }
    demand_eq!(attached, Err(errno), "{aname:?}");
    if is_exact() {
        c.clunk(FID).expect("it stands for what it stood for");
    }
}

pub(super) fn attach_names_lead_nowhere_else(site: &Site) -> Checked {
    attack(site, |arena| {
        lay_links(arena);
        let mut c = arena.site.client();
        for (aname, errno) in [
            ("..", Errno::EINVAL),
            ("/..", Errno::EINVAL),
            ("../../../../..", Errno::EINVAL),
            ("dir/../..", Errno::EINVAL),
            ("/dir/../../", Errno::EINVAL),
            ("dir/sub/../../../etc/passwd", Errno::EINVAL),
            (".", Errno::EINVAL),
            ("./..", Errno::EINVAL),
            ("//", Errno::EINVAL),
            ("//etc/passwd", Errno::EINVAL),
            ("/etc/passwd", Errno::ENOENT),
            ("/proc/self/root", Errno::ENOENT),
            ("\0", Errno::EINVAL),
            ("dir\0", Errno::EINVAL),
            ("..\0", Errno::EINVAL),
            ("up/..", Errno::EINVAL),
            ("missing/../..", Errno::EINVAL),
        ] {
            is_refused(&mut c, aname, errno);
        }
    })
}

pub(super) fn paths_of_the_host_mean_nothing(site: &Site) -> Checked {
    attack(site, |arena| {
        let mut c = arena.site.client();
        let secret = format!("{}/secret", arena.outside());
        let host = arena.site.host().and_then(|host| host.to_str()).unwrap_or("/etc");
        for path in [host, arena.outside(), &secret] {
            is_refused(&mut c, path, Errno::ENOENT);
        }
    })
}

pub(super) fn attach_does_not_follow_links(site: &Site) -> Checked {
    attack(site, |arena| {
        lay_links(arena);
        let mut c = arena.site.client();
        for aname in ["out/secret", "out/dir", "out/dir/secret", "up/x", "slash/etc/passwd", "dir/out/x"] {
            is_refused(&mut c, aname, arena.no_way_on());
        }
        for aname in ["out", "up", "slash", "dir/out"] {
            let Ok(qid) = c.attach(FID, aname) else {
                assert!(!is_exact(), "the link itself is attached");
                continue;
            };
            arena.check_inside(&[qid]);
            demand_eq!(qid.kind, QidKind::SYMLINK);
            demand_eq!(c.open(FID, OpenBits::RDONLY).err(), Some(Errno::EINVAL), "{aname}");
            demand_eq!(c.walk(FID, Fid(101), &["secret"]), Err(arena.no_way_on()), "{aname}");
        }
    })
}

pub(super) fn an_exports_name_is_no_place_to_walk_from(site: &Site) -> Checked {
    attack(&site.with(Setup { exports: &["one", "two"], ..Setup::default() }), |arena| {
        // A client has no root to make links in.
        arena.site.hosted();
        lay_links(arena);
        let mut c = arena.site.connect();
        c.version(8192, arena.site.dialect().version().0).expect("a version");
        for aname in ["one/..", "/one/..", "one/../two", "one/../../etc", "one/.", "one/\0", "two/../one"] {
            demand_eq!(c.attach(FID, aname), Err(Errno::EINVAL), "{aname}");
        }
        for aname in ["..", "../one", "/../one", "", "/", "//one", ".", "two/one", "/etc/passwd", "one\0"] {
            demand_eq!(c.attach(FID, aname), Err(Errno::ENOENT), "{aname}");
        }
        for aname in ["one/out/secret", "one/slash/etc/passwd", "one/up/x"] {
            demand_eq!(c.attach(FID, aname), Err(arena.no_way_on()), "{aname}");
        }
        let one = c.attach(FID, "one").expect("an export");
        let two = c.attach(Fid(101), "two").expect("an export");
        arena.check_inside(&[one, two]);
        for from in [FID, Fid(101)] {
            demand_eq!(c.walk(from, Fid(102), &[".."]), Err(Errno::EINVAL));
            demand_eq!(c.walk(from, Fid(102), &["..", "two"]), Err(Errno::EINVAL));
        }
    })
}
