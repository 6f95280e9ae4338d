//! Attach names that would lead out of an export.

use std::os::unix::fs::symlink;

use gofer_conformance::{Client, Setup};
use gofer_vfs::Errno;
use gofer_wire::p9::{Fid, OpenBits, QidKind};

use crate::{Arena, attack};

const FID: Fid = Fid(100);

/// Links in the root of the export.
fn lay_links(arena: &Arena) {
    let (export, outside) = (arena.export(), arena.outside.path());
    symlink(outside, export.join("out")).expect("a link");
    symlink("..", export.join("up")).expect("a link");
    symlink("/", export.join("slash")).expect("a link");
    symlink(outside.join("secret"), export.join("dir/out")).expect("a link");
}

fn is_refused(c: &mut Client, aname: &str, errno: Errno) {
    assert_eq!(c.attach(FID, aname), Err(errno), "{aname}");
    assert_eq!(c.clunk(FID), Err(Errno::EBADF), "{aname}");
}

/// A name that leads to nothing, wherever the export is.
fn leads_nowhere(aname: &str, errno: Errno) {
    attack(Setup::default(), |arena| {
        lay_links(arena);
        is_refused(&mut arena.site.client(), aname, errno);
    });
}

macro_rules! rows {
    ($($row:ident: $aname:expr => $errno:ident;)*) => { $(
        #[test]
        fn $row() {
            leads_nowhere($aname, Errno::$errno);
        }
    )* };
}

rows! {
    parent: ".." => EINVAL;
    parent_of_the_root: "/.." => EINVAL;
    parents: "../../../../.." => EINVAL;
    down_and_up: "dir/../.." => EINVAL;
    down_and_up_from_the_root: "/dir/../../" => EINVAL;
    down_and_far_up: "dir/sub/../../../etc/passwd" => EINVAL;
    itself: "." => EINVAL;
    itself_and_up: "./.." => EINVAL;
    slashes: "//" => EINVAL;
    slashes_and_a_path: "//etc/passwd" => EINVAL;
    a_path_of_the_host: "/etc/passwd" => ENOENT;
    the_servers_own_root: "/proc/self/root" => ENOENT;
    nul: "\0" => EINVAL;
    nul_behind: "dir\0" => EINVAL;
    nul_behind_dots: "..\0" => EINVAL;
    parents_behind_a_link: "up/.." => EINVAL;
    parents_behind_what_is_missing: "missing/../.." => EINVAL;
}

#[test]
fn paths_of_the_host_mean_nothing() {
    attack(Setup::default(), |arena| {
        let mut c = arena.site.client();
        for path in [arena.export(), arena.outside.path(), &arena.outside.path().join("secret")] {
            is_refused(&mut c, path.to_str().expect("a path in ASCII"), Errno::ENOENT);
        }
    });
}

#[test]
fn links_lead_nowhere() {
    attack(Setup::default(), |arena| {
        lay_links(arena);
        let mut c = arena.site.client();
        for aname in ["out/secret", "out/dir", "out/dir/secret", "up/x", "slash/etc/passwd", "dir/out/x"] {
            is_refused(&mut c, aname, arena.no_way_on());
        }
        for aname in ["out", "up", "slash", "dir/out"] {
            let qid = c.attach(FID, aname).expect("the link itself");
            arena.check_inside(&[qid]);
            assert_eq!(qid.kind, QidKind::SYMLINK);
            assert_eq!(c.open(FID, OpenBits::RDONLY).err(), Some(Errno::EINVAL), "{aname}");
            assert_eq!(c.walk(FID, Fid(101), &["secret"]), Err(arena.no_way_on()), "{aname}");
        }
    });
}

#[test]
fn an_exports_name_is_no_place_to_walk_from() {
    attack(Setup { exports: &["one", "two"], ..Setup::default() }, |arena| {
        lay_links(arena);
        let mut c = arena.site.connect();
        c.version(8192, arena.site.dialect().version().0).expect("a version");
        for aname in ["one/..", "/one/..", "one/../two", "one/../../etc", "one/.", "one/\0", "two/../one"] {
            is_refused(&mut c, aname, Errno::EINVAL);
        }
        for aname in ["..", "../one", "/../one", "", "/", "//one", ".", "two/one", "/etc/passwd", "one\0"] {
            is_refused(&mut c, aname, Errno::ENOENT);
        }
        for aname in ["one/out/secret", "one/slash/etc/passwd", "one/up/x"] {
            is_refused(&mut c, aname, arena.no_way_on());
        }
        let one = c.attach(FID, "one").expect("an export");
        let two = c.attach(Fid(101), "two").expect("an export");
        arena.check_inside(&[one, two]);
        for from in [FID, Fid(101)] {
            assert_eq!(c.walk(from, Fid(102), &[".."]), Err(Errno::EINVAL));
            assert_eq!(c.walk(from, Fid(102), &["..", "two"]), Err(Errno::EINVAL));
        }
    });
}
