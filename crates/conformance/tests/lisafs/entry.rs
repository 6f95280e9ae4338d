//! MkdirAt, MknodAt, SymlinkAt, LinkAt, UnlinkAt, RenameAt, RenameAt2.

use std::os::unix::fs::MetadataExt;

use super::*;

#[test]
fn what_is_made_can_be_used_at_once() {
    let mut talk = Talk::new();
    let root = talk.root;
    let dir: Inode =
        talk.ask(&MkdirAtReq { create: create(root, 0o2755), name: named("d") }).unwrap().reply();
    assert_eq!(dir.stat.mode, 0o042_755);
    let file: Inode = talk
        .ask(&MknodAtReq { create: create(dir.fd, 0o100_600), minor: 0, major: 0, name: named("f") })
        .unwrap()
        .reply();
    let nobody = (PeerUid::NONE, PeerGid::NONE);
    let target = Str::new(b"d/f").unwrap();
    let link: Inode = talk
        .ask(&SymlinkAtReq { dir: root, uid: nobody.0, gid: nobody.1, name: named("l"), target })
        .unwrap()
        .reply();
    assert_eq!(link.stat.mode & 0o170_000, 0o120_000);
    let again: Inode = talk.ask(&LinkAtReq { dir: root, target: file.fd, name: named("h") }).unwrap().reply();
    assert_eq!((again.stat.ino, again.stat.nlink), (file.stat.ino, 2));
    assert_ne!(again.fd, file.fd);
    assert!(talk.ask(&LinkAtReq { dir: root, target: link.fd, name: named("l2") }).is_ok(), "links, too");
    assert_eq!(refused(talk.ask(&LinkAtReq { dir: root, target: dir.fd, name: named("x") })), Errno::EPERM);
    std::fs::remove_file(talk.path().join("d/f")).unwrap();
    std::fs::remove_file(talk.path().join("h")).unwrap();
    let gone = LinkAtReq { dir: root, target: file.fd, name: named("x") };
    assert_eq!(refused(talk.ask(&gone)), Errno::EINVAL, "a file without a name");
}

#[test]
fn only_regular_files_are_made_by_mknod() {
    let mut talk = Talk::new();
    let root = talk.root;
    for mode in [0o644, 0o010_644, 0o140_644, 0o020_644, 0o060_644, 0o040_755, 0o120_777] {
        let node = MknodAtReq { create: create(root, mode), minor: 0, major: 0, name: named("n") };
        assert_eq!(refused(talk.ask(&node)), Errno::EPERM, "{mode:o}");
    }
    assert_eq!(std::fs::read_dir(talk.path()).unwrap().count(), 0);
}

#[test]
fn names_are_removed_as_what_they_are() {
    let mut talk = Talk::new();
    std::fs::create_dir(talk.path().join("d")).unwrap();
    std::fs::write(talk.path().join("f"), "").unwrap();
    let dir = talk.root;
    let unlink =
        |talk: &mut Talk, flags, name| talk.ask(&UnlinkAtReq { dir, flags, name: named(name) }).map(drop);
    assert_eq!(unlink(&mut talk, 0, "d"), Err(Errno::EISDIR));
    assert_eq!(unlink(&mut talk, UnlinkAtReq::REMOVEDIR, "f"), Err(Errno::ENOTDIR));
    assert_eq!(unlink(&mut talk, 1, "f"), Err(Errno::EINVAL));
    assert_eq!(unlink(&mut talk, 0, "f"), Ok(()));
    assert_eq!(unlink(&mut talk, UnlinkAtReq::REMOVEDIR, "d"), Ok(()));
    assert_eq!(unlink(&mut talk, 0, "f"), Err(Errno::ENOENT));
}

#[test]
fn renames_are_those_of_the_host() {
    let mut talk = Talk::new();
    std::fs::create_dir(talk.path().join("d")).unwrap();
    std::fs::write(talk.path().join("a"), "a").unwrap();
    std::fs::write(talk.path().join("b"), "b").unwrap();
    let (root, dir) = (talk.root, talk.walk("d").fd);
    let file = talk.walk("a").fd;
    let rename = |talk: &mut Talk, (old_dir, old): (FdId, &str), (new_dir, new): (FdId, &str)| {
        let (old_name, new_name) = (named(old), named(new));
        talk.ask(&RenameAtReq { old_dir, new_dir, old_name, new_name }).map(drop)
    };
    assert_eq!(rename(&mut talk, (root, "a"), (dir, "c")), Ok(()));
    assert!(talk.path().join("d/c").exists());
    assert!(talk.ask(&FStatReq { fd: file }).is_ok(), "a place is the file, whatever its name");
    assert_eq!(rename(&mut talk, (root, "none"), (root, "none")), Ok(()), "to where it is");
    assert_eq!(rename(&mut talk, (root, "none"), (root, "x")), Err(Errno::ENOENT));
    assert_eq!(rename(&mut talk, (file, "x"), (root, "x")), Err(Errno::ENOTDIR));
    assert_eq!(rename(&mut talk, (root, "d"), (dir, "x")), Err(Errno::EINVAL), "into itself");

    let with = |talk: &mut Talk, old: &str, new: &str, flags| {
        let (old_name, new_name) = (named(old), named(new));
        talk.ask(&RenameAt2Req { old_dir: root, new_dir: root, old_name, new_name, flags }).map(drop)
    };
    let inode = |talk: &Talk, name: &str| std::fs::metadata(talk.path().join(name)).unwrap().ino();
    let (d, b) = (inode(&talk, "d"), inode(&talk, "b"));
    assert_eq!(with(&mut talk, "b", "d", RenameAt2Req::NOREPLACE), Err(Errno::EEXIST));
    assert_eq!(with(&mut talk, "b", "d", RenameAt2Req::EXCHANGE), Ok(()));
    assert_eq!((inode(&talk, "b"), inode(&talk, "d")), (d, b));
    assert_eq!(with(&mut talk, "b", "e", RenameAt2Req::NOREPLACE), Ok(()));
    for flags in [3, 4, 8] {
        assert_eq!(with(&mut talk, "d", "x", flags), Err(Errno::EINVAL), "{flags}");
    }
}
