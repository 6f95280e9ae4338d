use std::os::unix::fs::{PermissionsExt, symlink};

use gofer_localfs::{LocalFs, Node};
use gofer_vfs::{Attr, Backend, Errno, Gid, OpenFlags, Owner, SetAttr, SetTime, Special, Time, Uid};

use crate::{AccessMode, Export, can_chown, is_held_off, myself, name};

const NOTHING: SetAttr =
    SetAttr { perm: None, uid: None, gid: None, size: None, atime: None, mtime: None, ctime: false };

fn at(sec: i64, nsec: u32) -> Option<SetTime> {
    Some(SetTime::At(Time::new(sec, nsec).unwrap()))
}

/// One of each kind that has a mode.
fn with_mode(export: &Export) -> Vec<Node> {
    let make = |at, what| export.fs.mknod(&export.root, name(at), what, 0o600, Owner::default()).unwrap().0;
    vec![
        export.host_file("file", ""),
        export.host_dir("dir"),
        make("fifo", Special::Fifo),
        make("socket", Special::Socket),
    ]
}

#[test]
fn modes_change_on_every_kind_but_links() {
    let export = Export::new();
    for node in with_mode(&export) {
        // Also without a right to open it.
        for perm in [0, 0o751] {
            export.fs.setattr(&node, None, &SetAttr { perm: Some(perm), ..NOTHING }).unwrap();
            assert_eq!(export.attr(&node).perm, perm);
        }
    }
    symlink("file", export.path("link")).unwrap();
    let link = export.node("link");
    let set = SetAttr { perm: Some(0o600), ..NOTHING };
    assert_eq!(export.fs.setattr(&link, None, &set), Err(Errno::EOPNOTSUPP));
    assert_eq!(export.attr(&export.node("file")).perm, 0o751);
}

#[test]
fn times_change_on_every_kind() {
    let export = Export::new();
    let mut nodes = with_mode(&export);
    symlink("file", export.path("link")).unwrap();
    nodes.push(export.node("link"));
    for node in nodes {
        export.fs.setattr(&node, None, &SetAttr { mtime: at(-1, 999_999_999), ..NOTHING }).unwrap();
        let before = export.attr(&node);
        assert_eq!((before.mtime.sec(), before.mtime.nsec()), (-1, 999_999_999));
        export.fs.setattr(&node, None, &SetAttr { atime: at(5, 6), ..NOTHING }).unwrap();
        let after = export.attr(&node);
        assert_eq!((after.atime, after.mtime), (Time::new(5, 6).unwrap(), before.mtime));
        export.fs.setattr(&node, None, &SetAttr { mtime: Some(SetTime::Now), ..NOTHING }).unwrap();
        assert!(export.attr(&node).mtime.sec() > 1_000_000_000);
    }
}

#[test]
fn sizes_change_with_and_without_an_open_file() {
    let export = Export::new();
    let (node, writer) = export.create("f", AccessMode::Write);
    let reader = export.fs.open(&node, OpenFlags::new(AccessMode::Read)).unwrap();
    for (file, size) in [(None, 5), (Some(&writer), 0), (Some(&reader), 12)] {
        export.fs.setattr(&node, file, &SetAttr { size: Some(size), ..NOTHING }).unwrap();
        assert_eq!(export.attr(&node).size, size);
    }
    // The open file can write although the server could not open it so any more.
    std::fs::set_permissions(export.path("f"), PermissionsExt::from_mode(0o0)).unwrap();
    let shrink = SetAttr { size: Some(1), ..NOTHING };
    if is_held_off() {
        assert_eq!(export.fs.setattr(&node, None, &shrink), Err(Errno::EACCES));
    }
    export.fs.setattr(&node, Some(&writer), &shrink).unwrap();
    // Nor does it need a name.
    std::fs::remove_file(export.path("f")).unwrap();
    export.fs.setattr(&node, Some(&writer), &SetAttr { size: Some(2), ..NOTHING }).unwrap();
    assert_eq!(export.attr(&node).size, 2);
}

#[test]
fn what_has_no_size_or_too_much_of_it_is_refused() {
    let export = Export::new();
    let set = |node: &Node, size| export.fs.setattr(node, None, &SetAttr { size: Some(size), ..NOTHING });
    symlink("file", export.path("link")).unwrap();
    let link = export.node("link");
    assert_eq!(set(&link, 0), Err(Errno::EINVAL));
    for node in with_mode(&export).iter().skip(1) {
        assert_eq!(set(node, 0), Err(Errno::EINVAL));
    }
    let file = export.node("file");
    assert_eq!(set(&file, 1 << 63), Err(Errno::EINVAL));
    assert_eq!(set(&file, u64::MAX), Err(Errno::EINVAL));
    assert_eq!(set(&file, i64::MAX as u64), Err(Errno::EFBIG));
}

#[test]
fn everything_at_once_ends_as_asked() {
    let export = Export::new();
    let node = export.host_file("f", "content");
    let me = myself();
    let set = SetAttr {
        perm: Some(0o6711),
        uid: me.uid,
        gid: me.gid,
        size: Some(3),
        atime: at(1, 2),
        mtime: at(3, 4),
        ctime: true,
    };
    export.fs.setattr(&node, None, &set).unwrap();
    let Attr { perm, size, atime, mtime, .. } = export.attr(&node);
    let (first, second) = (Time::new(1, 2).unwrap(), Time::new(3, 4).unwrap());
    assert_eq!((perm, size, atime, mtime), (0o6711, 3, first, second));
}

#[test]
fn owners_change_and_links_have_their_own() {
    if !can_chown() {
        return;
    }
    let export = Export::new();
    let node = export.host_file("f", "");
    symlink("f", export.path("l")).unwrap();
    let link = export.node("l");
    let set = |node: &Node, uid, gid| {
        let set = SetAttr { uid: Some(Uid(uid)), gid: Some(Gid(gid)), ..NOTHING };
        export.fs.setattr(node, None, &set).unwrap();
        let attr = export.attr(node);
        (attr.uid.0, attr.gid.0)
    };
    assert_eq!(set(&link, 77, 88), (77, 88));
    assert_eq!(set(&node, 1, 2), (1, 2));
    assert_eq!(set(&node, u32::MAX, 3), (1, 3));
    assert_eq!(set(&node, 4, u32::MAX), (4, 3));
    assert_eq!(export.attr(&link).uid, Uid(77));
}

#[test]
fn later_changes_are_made_after_one_failed() {
    let export = Export::new();
    let dir = export.host_dir("d");
    let set = SetAttr { size: Some(0), perm: Some(0o710), mtime: at(9, 0), ..NOTHING };
    assert_eq!(export.fs.setattr(&dir, None, &set), Err(Errno::EINVAL));
    let attr = export.attr(&dir);
    assert_eq!((attr.perm, attr.mtime.sec()), (0o710, 9));
}

#[test]
fn ctime_moves_alone() {
    let export = Export::new();
    for perm in [0o644, 0o6755] {
        let node = export.host_file("f", "");
        std::fs::set_permissions(export.path("f"), PermissionsExt::from_mode(perm)).unwrap();
        let before = export.attr(&node);
        let mut after = before;
        // The kernel's clock for files moves in steps.
        for _ in 0..1000 {
            export.fs.setattr(&node, None, &SetAttr { ctime: true, ..NOTHING }).unwrap();
            after = export.attr(&node);
            if after.ctime > before.ctime {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!(after.ctime > before.ctime);
        assert_eq!(after, Attr { ctime: after.ctime, ..before });
    }
    let node = export.node("f");
    let before = export.attr(&node);
    export.fs.setattr(&node, None, &NOTHING).unwrap();
    assert_eq!(export.attr(&node), before);
}

#[test]
fn the_file_system_is_described() {
    let export = Export::new();
    let node = export.host_file("f", "");
    let ours = export.fs.statfs(&node).unwrap();
    let host = rustix::fs::statvfs(export.dir.path()).unwrap();
    assert_eq!((ours.blocks, ours.files, ours.id), (host.f_blocks, host.f_files, host.f_fsid));
    assert_eq!(u64::from(ours.name_max), host.f_namemax);
    assert_eq!(u64::from(ours.block_size), host.f_bsize);
    let proc = LocalFs::open("/proc".as_ref()).unwrap();
    assert_eq!(proc.statfs(&proc.attach().unwrap().0).unwrap().magic, 0x9FA0);
}

#[test]
fn targets_of_links_are_read_and_nothing_else() {
    let export = Export::new();
    for target in ["t", "/a/../b", &"x/".repeat(2047)] {
        symlink(target, export.path("l")).unwrap();
        let mut into = b">".to_vec();
        export.fs.readlink(&export.node("l"), &mut into).unwrap();
        assert_eq!(into, format!(">{target}").as_bytes());
        std::fs::remove_file(export.path("l")).unwrap();
    }
    let mut into = Vec::new();
    for node in with_mode(&export) {
        assert_eq!(export.fs.readlink(&node, &mut into), Err(Errno::EINVAL));
    }
    assert!(into.is_empty());
}
