use std::os::unix::fs::symlink;

use gofer_localfs::Node;
use gofer_vfs::{Backend, Errno, FileKind, Gid, Owner, RenameFlags, Special, Uid, Unlink};

use crate::{AccessMode, Export, can_chown, myself, name, owner, refused};

#[test]
fn a_directory_is_as_asked() {
    let export = Export::new();
    for perm in [0o755, 0, 0o1777, 0o2755, 0o6711] {
        let at = format!("d{perm:o}");
        let (node, attr) = export.fs.mkdir(&export.root, name(&at), perm, myself()).unwrap();
        assert_eq!((attr.kind, attr.perm), (FileKind::Directory, perm));
        assert_eq!(attr, export.attr(&node));
    }
    assert_eq!(refused(export.fs.mkdir(&export.root, name("d755"), 0o700, myself())), Errno::EEXIST);
    // Who may not list it cannot tidy it away with the rest.
    export.fs.unlink(&export.root, name("d0"), Unlink::Directory).unwrap();
}

#[test]
fn new_files_of_every_kind_are_as_asked() {
    let export = Export::new();
    let kinds = [Special::Regular, Special::Fifo, Special::Socket];
    for (what, perm) in kinds.into_iter().flat_map(|what| [0, 0o666, 0o4755, 0o2711].map(|perm| (what, perm)))
    {
        let at = format!("{what:?}{perm:o}");
        let (node, attr) = export.fs.mknod(&export.root, name(&at), what, perm, myself()).unwrap();
        assert_eq!((attr.kind, attr.perm), (what.kind(), perm));
        assert_eq!(attr, export.attr(&node));
        let again = export.fs.mknod(&export.root, name(&at), what, perm, myself());
        assert_eq!(refused(again), Errno::EEXIST);
    }
    let (node, attr) = export.fs.symlink(&export.root, name("l"), b"/etc/passwd", myself()).unwrap();
    assert_eq!((attr.kind, attr.size), (FileKind::Symlink, 11));
    assert_eq!(attr, export.attr(&node));
    assert_eq!(std::fs::read_link(export.path("l")).unwrap().as_os_str(), "/etc/passwd");
}

#[test]
fn new_files_belong_to_whom_they_are_given() {
    if !can_chown() {
        return;
    }
    let export = Export::new();
    let (fs, root, to) = (&export.fs, &export.root, owner(12, 34));
    let made = [
        fs.mkdir(root, name("d"), 0o6755, to).unwrap().1,
        fs.mknod(root, name("r"), Special::Regular, 0o6755, to).unwrap().1,
        fs.mknod(root, name("p"), Special::Fifo, 0o6755, to).unwrap().1,
    ];
    for attr in made {
        assert_eq!((attr.uid, attr.gid, attr.perm), (Uid(12), Gid(34), 0o6755), "{:?}", attr.kind);
    }
    let link = fs.symlink(root, name("l"), b"t", to).unwrap().1;
    assert_eq!((link.uid, link.gid), (Uid(12), Gid(34)));
}

#[test]
fn devices_need_a_right() {
    let export = Export::new();
    let mknod = |at, what| export.fs.mknod(&export.root, name(at), what, 0o600, Owner::default());
    for what in [Special::CharDevice(4096, 0), Special::BlockDevice(0, 1 << 20)] {
        assert_eq!(refused(mknod("none", what)), Errno::EINVAL);
    }
    let null = mknod("null", Special::CharDevice(1, 3));
    if let Err(error) = null {
        eprintln!("not tested: this user may not make devices");
        assert_eq!(error, Errno::EPERM);
        return;
    }
    let (_, attr) = null.unwrap();
    assert_eq!((attr.kind, attr.rdev), (FileKind::CharDevice, rustix::fs::makedev(1, 3)));
    let (_, attr) = mknod("disk", Special::BlockDevice(259, 0x12345)).unwrap();
    assert_eq!((attr.kind, attr.rdev), (FileKind::BlockDevice, rustix::fs::makedev(259, 0x12345)));
}

#[test]
fn targets_of_links_are_not_looked_at() {
    let export = Export::new();
    let make = |target: &[u8]| export.fs.symlink(&export.root, name("l"), target, Owner::default());
    assert_eq!(refused(make(b"")), Errno::ENOENT);
    assert_eq!(refused(make(b"a\0b")), Errno::EINVAL);
    assert_eq!(refused(make(&[b'x'; 4096])), Errno::ENAMETOOLONG);
    make(b"\xff/../\n").unwrap();
    let mut target = Vec::new();
    export.fs.readlink(&export.node("l"), &mut target).unwrap();
    assert_eq!(target, b"\xff/../\n");
}

#[test]
fn files_get_more_names() {
    let export = Export::new();
    let link = |node: &Node, at| export.fs.link(node, &export.root, name(at));
    let file = export.host_file("f", "");
    link(&file, "f2").unwrap();
    assert_eq!(export.attr(&file).nlink, 2);
    assert_eq!(export.attr(&export.node("f2")).id, export.attr(&file).id);
    assert_eq!(link(&file, "f"), Err(Errno::EEXIST));
    // A link's second name is a name of the link.
    symlink("f", export.path("l")).unwrap();
    link(&export.node("l"), "l2").unwrap();
    assert_eq!(export.attr(&export.node("l2")).kind, FileKind::Symlink);
    let (fifo, _) = export.fs.mknod(&export.root, name("p"), Special::Fifo, 0o600, Owner::default()).unwrap();
    link(&fifo, "p2").unwrap();
    assert_eq!(link(&export.host_dir("d"), "d2"), Err(Errno::EPERM));
    assert_eq!(export.fs.link(&file, &file, name("x")), Err(Errno::ENOTDIR));
}

#[test]
fn a_removed_file_gets_no_name() {
    let export = Export::new();
    let (node, _file) = export.create("f", AccessMode::Write);
    export.fs.unlink(&export.root, name("f"), Unlink::File).unwrap();
    assert_eq!(export.fs.link(&node, &export.root, name("g")), Err(Errno::ENOENT));
}

#[test]
fn names_move() {
    let export = Export::new();
    let (fs, root) = (&export.fs, &export.root);
    let dir = export.host_dir("d");
    let (a, b) = (export.host_file("a", "a"), export.host_file("b", "b"));
    let id = |at| fs.lookup(root, name(at)).map(|attr| attr.id);
    fs.rename(root, name("a"), &dir, name("moved"), RenameFlags::Replace).unwrap();
    assert_eq!(id("a"), Err(Errno::ENOENT));
    assert_eq!(fs.lookup(&dir, name("moved")).unwrap().id, export.attr(&a).id);
    let noreplace = fs.rename(&dir, name("moved"), root, name("b"), RenameFlags::NoReplace);
    assert_eq!(noreplace, Err(Errno::EEXIST));
    fs.rename(&dir, name("moved"), root, name("b"), RenameFlags::Exchange).unwrap();
    assert_eq!(id("b"), Ok(export.attr(&a).id));
    fs.rename(&dir, name("moved"), root, name("b"), RenameFlags::Replace).unwrap();
    assert_eq!(id("b"), Ok(export.attr(&b).id));
    assert!(export.attr(&a).is_removed());
    fs.rename(root, name("b"), root, name("c"), RenameFlags::NoReplace).unwrap();
    assert_eq!(id("c"), Ok(export.attr(&b).id));
}

#[test]
fn moves_that_make_no_sense_are_refused() {
    let export = Export::new();
    let (fs, root) = (&export.fs, &export.root);
    let dir = export.host_dir("d");
    export.host_file("f", "");
    std::fs::create_dir_all(export.path("full/sub")).unwrap();
    let rename = |old, to: &_, new| fs.rename(root, name(old), to, name(new), RenameFlags::Replace);
    assert_eq!(rename("none", root, "x"), Err(Errno::ENOENT));
    assert_eq!(rename("d", &dir, "x"), Err(Errno::EINVAL));
    assert_eq!(rename("f", root, "d"), Err(Errno::EISDIR));
    assert_eq!(rename("d", root, "f"), Err(Errno::ENOTDIR));
    assert_eq!(rename("d", root, "full"), Err(Errno::ENOTEMPTY));
    assert_eq!(rename("f", root, "f"), Ok(()));
}

#[test]
fn names_go() {
    let export = Export::new();
    export.host_file("f", "");
    std::fs::create_dir_all(export.path("d/sub")).unwrap();
    let unlink = |at, what| export.fs.unlink(&export.root, name(at), what);
    assert_eq!(unlink("none", Unlink::File), Err(Errno::ENOENT));
    assert_eq!(unlink("d", Unlink::File), Err(Errno::EISDIR));
    assert_eq!(unlink("f", Unlink::Directory), Err(Errno::ENOTDIR));
    assert_eq!(unlink("d", Unlink::Directory), Err(Errno::ENOTEMPTY));
    export.fs.unlink(&export.node("d"), name("sub"), Unlink::Directory).unwrap();
    unlink("d", Unlink::Directory).unwrap();
    symlink("f", export.path("l")).unwrap();
    unlink("l", Unlink::File).unwrap();
    assert!(export.path("f").exists());
    unlink("f", Unlink::File).unwrap();
    assert!(export.is_empty());
}
