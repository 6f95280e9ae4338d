use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use gofer_vfs::{Backend, CreateFlags, Errno, FileKind, Gid, OpenFlags, Owner, Special, Sync, Uid};
use rustix::fs::OFlags;

use crate::{AccessMode, Export, can_chown, is_held_off, myself, name, owner, refused, status_flags};

const ALL: [AccessMode; 3] = [AccessMode::Read, AccessMode::Write, AccessMode::ReadWrite];

/// The part of the flags that a client can ask for.
fn asked(flags: OFlags) -> OFlags {
    flags & (OFlags::ACCMODE | OFlags::APPEND | OFlags::SYNC | OFlags::NOATIME | OFlags::NONBLOCK)
}

fn access(access: AccessMode) -> OFlags {
    match access {
        AccessMode::Read => OFlags::RDONLY,
        AccessMode::Write => OFlags::WRONLY,
        AccessMode::ReadWrite => OFlags::RDWR,
    }
}

#[test]
fn a_file_is_opened_as_asked() {
    let export = Export::new();
    let node = export.host_file("f", "content");
    for mode in ALL {
        let file = export.fs.open(&node, OpenFlags::new(mode)).unwrap();
        assert_eq!(asked(status_flags(&file)), access(mode) | OFlags::NONBLOCK);
        assert_eq!(export.read(&file, 0, 100).is_ok(), mode.reads());
        assert_eq!(export.write(&file, 0, b"C").is_ok(), mode.writes());
    }
    let flags = OpenFlags { append: true, sync: Sync::Full, ..OpenFlags::new(AccessMode::Write) };
    let file = export.fs.open(&node, flags).unwrap();
    assert!(status_flags(&file).contains(OFlags::APPEND | OFlags::SYNC));
    let flags = OpenFlags { sync: Sync::Data, ..OpenFlags::new(AccessMode::Write) };
    let file = export.fs.open(&node, flags).unwrap();
    // `O_DSYNC` is one of the two bits of `O_SYNC`.
    let sync = status_flags(&file) & OFlags::SYNC;
    assert!(!sync.is_empty() && sync != OFlags::SYNC, "{sync:?}");
    let cloexec = rustix::io::fcntl_getfd(&file).unwrap();
    assert_eq!(cloexec, rustix::io::FdFlags::CLOEXEC);
}

#[test]
fn truncation_is_part_of_the_open() {
    let export = Export::new();
    for mode in ALL {
        let node = export.host_file("f", "content");
        export.fs.open(&node, OpenFlags { truncate: true, ..OpenFlags::new(mode) }).unwrap();
        assert_eq!(export.attr(&node).size, 0, "{mode:?}");
    }
    let node = export.host_file("set-id", "content");
    std::fs::set_permissions(export.path("set-id"), PermissionsExt::from_mode(0o6755)).unwrap();
    let flags = OpenFlags { truncate: true, clears_set_id: true, ..OpenFlags::new(AccessMode::Write) };
    export.fs.open(&node, flags).unwrap();
    assert_eq!(export.attr(&node).perm, 0o755);
}

#[test]
fn access_times_are_left_alone_where_that_is_allowed() {
    let export = Export::new();
    let node = export.host_file("f", "");
    let flags = OpenFlags { no_atime: true, ..OpenFlags::new(AccessMode::Read) };
    let file = export.fs.open(&node, flags).unwrap();
    assert!(status_flags(&file).contains(OFlags::NOATIME));
    // Of another's file only with a right that root has.
    let etc = gofer_localfs::LocalFs::open("/etc".as_ref()).unwrap();
    let (root, _) = etc.attach().unwrap();
    let (passwd, attr) = etc.walk(&root, name("passwd")).unwrap();
    let file = etc.open(&passwd, flags).unwrap();
    let is_own = attr.uid == myself().uid.unwrap();
    assert_eq!(status_flags(&file).contains(OFlags::NOATIME), is_own);
}

#[test]
fn kinds_open_as_they_can() {
    let export = Export::new();
    let read = OpenFlags::new(AccessMode::Read);
    let directory = OpenFlags { directory: true, ..read };
    let dir = export.host_dir("d");
    let file = export.host_file("f", "");
    symlink("f", export.path("l")).unwrap();
    let link = export.node("l");
    let make = |at, what| export.fs.mknod(&export.root, name(at), what, 0o600, Owner::default()).unwrap().0;
    let (fifo, socket) = (make("fifo", Special::Fifo), make("socket", Special::Socket));

    assert!(export.fs.open(&dir, directory).is_ok());
    assert_eq!(refused(export.fs.open(&dir, OpenFlags::new(AccessMode::Write))), Errno::EISDIR);
    assert_eq!(refused(export.fs.open(&dir, OpenFlags { truncate: true, ..read })), Errno::EISDIR);
    for node in [&file, &link, &fifo, &socket] {
        assert_eq!(refused(export.fs.open(node, directory)), Errno::ENOTDIR);
    }
    assert_eq!(refused(export.fs.open(&link, read)), Errno::ELOOP);
    assert_eq!(refused(export.fs.open(&socket, read)), Errno::ENXIO);
    let dev = gofer_localfs::LocalFs::open("/dev".as_ref()).unwrap();
    let (null, _) = dev.walk(&dev.attach().unwrap().0, name("null")).unwrap();
    assert_eq!(refused(dev.open(&null, read)), Errno::ENXIO);
}

#[test]
fn a_fifo_neither_waits_for_the_other_end_nor_for_bytes() {
    let export = Export::new();
    let (fifo, _) =
        export.fs.mknod(&export.root, name("fifo"), Special::Fifo, 0o600, Owner::default()).unwrap();
    assert_eq!(refused(export.fs.open(&fifo, OpenFlags::new(AccessMode::Write))), Errno::ENXIO);
    let reader = export.fs.open(&fifo, OpenFlags::new(AccessMode::Read)).unwrap();
    let writer = export.fs.open(&fifo, OpenFlags::new(AccessMode::Write)).unwrap();
    assert_eq!(export.read(&reader, 0, 8), Err(Errno::EAGAIN));
    assert_eq!(export.write(&writer, 99, b"bytes"), Ok(5));
    assert_eq!(export.read(&reader, 0, 2).unwrap(), b"by");
    assert_eq!(export.read(&reader, 0, 8).unwrap(), b"tes");
    while export.write(&writer, 0, &[0; 4096]).is_ok() {}
    assert_eq!(export.write(&writer, 0, &[0; 4096]), Err(Errno::EAGAIN));
    let donated = std::fs::File::from(export.fs.donate(&reader).unwrap());
    drop(reader);
    assert_eq!(export.write(&writer, 0, b"x"), Err(Errno::EAGAIN), "the client reads it still");
    drop(donated);
    assert_eq!(export.write(&writer, 0, b"x"), Err(Errno::EPIPE));
}

#[test]
fn a_removed_file_can_be_opened() {
    let export = Export::new();
    let node = export.host_file("f", "content");
    std::fs::remove_file(export.path("f")).unwrap();
    let file = export.fs.open(&node, OpenFlags::new(AccessMode::Read)).unwrap();
    assert_eq!(export.read(&file, 3, 100).unwrap(), b"tent");
}

#[test]
fn the_hosts_permissions_hold() {
    let export = Export::new();
    let node = export.host_file("f", "");
    std::fs::set_permissions(export.path("f"), PermissionsExt::from_mode(0o400)).unwrap();
    if is_held_off() {
        assert_eq!(refused(export.fs.open(&node, OpenFlags::new(AccessMode::Write))), Errno::EACCES);
    }
}

#[test]
fn what_is_donated_has_the_files_access_and_its_own_description() {
    let export = Export::new();
    for (number, mode) in ALL.into_iter().enumerate() {
        let (node, file, _) = export
            .try_create(
                &format!("f{number}"),
                OpenFlags { append: true, ..OpenFlags::new(mode) },
                0o600,
                myself(),
            )
            .unwrap();
        let donated = export.fs.donate(&file).unwrap();
        assert_eq!(asked(status_flags(&donated)), access(mode) | OFlags::NONBLOCK);
        assert_eq!(rustix::io::fcntl_getfd(&donated).unwrap(), rustix::io::FdFlags::CLOEXEC);
        // What the client does to its own flags and position is its own.
        rustix::fs::fcntl_setfl(&donated, OFlags::empty()).unwrap();
        assert!(status_flags(&file).contains(OFlags::NONBLOCK | OFlags::APPEND));
        let metadata = std::fs::File::from(donated).metadata().unwrap();
        assert_eq!(metadata.ino(), export.attr(&node).id.ino);
    }
    let dir = export.fs.open(&export.root, OpenFlags::new(AccessMode::Read)).unwrap();
    assert_eq!(refused(export.fs.donate(&dir)), Errno::EOPNOTSUPP);
}

#[test]
fn a_new_file_is_as_asked() {
    let export = Export::new();
    for perm in [0, 0o644, 0o4755, 0o2755, 0o6777, 0o1666, 0o7777] {
        let at = format!("f{perm:o}");
        let (node, file, attr) =
            export.try_create(&at, OpenFlags::new(AccessMode::ReadWrite), perm, myself()).unwrap();
        assert_eq!((attr.kind, attr.perm, attr.size), (FileKind::Regular, perm, 0));
        assert_eq!(attr, export.attr(&node));
        assert_eq!(attr, export.fs.lookup(&export.root, name(&at)).unwrap());
        // Whatever the mode says, the one who made it can use it.
        export.write(&file, 0, b"bytes").unwrap();
        assert_eq!(export.read(&file, 0, 9).unwrap(), b"bytes");
    }
    let again = export.try_create("f0", OpenFlags::new(AccessMode::Read), 0o600, myself());
    assert_eq!(refused(again), Errno::EEXIST);
}

#[test]
fn owner_and_set_id_bits_are_both_given() {
    if !can_chown() {
        return;
    }
    let export = Export::new();
    let (_, _, attr) =
        export.try_create("f", OpenFlags::new(AccessMode::Write), 0o6755, owner(1234, 5678)).unwrap();
    assert_eq!((attr.perm, attr.uid, attr.gid), (0o6755, Uid(1234), Gid(5678)));
    let only_group = Owner { uid: None, gid: Some(Gid(5678)) };
    let (_, _, attr) = export.try_create("g", OpenFlags::new(AccessMode::Write), 0o4711, only_group).unwrap();
    assert_eq!((attr.perm, attr.uid, attr.gid), (0o4711, myself().uid.unwrap(), Gid(5678)));
    let none = owner(u32::MAX, u32::MAX);
    let (_, _, attr) = export.try_create("h", OpenFlags::new(AccessMode::Write), 0o4711, none).unwrap();
    assert_eq!((attr.perm, attr.uid), (0o4711, myself().uid.unwrap()));
}

#[test]
fn a_set_group_id_directory_gives_its_group_unless_another_is_named() {
    if !can_chown() {
        return;
    }
    let export = Export::new();
    let dir = export.host_dir("d");
    std::os::unix::fs::chown(export.path("d"), None, Some(4321)).unwrap();
    std::fs::set_permissions(export.path("d"), PermissionsExt::from_mode(0o2777)).unwrap();
    let flags = CreateFlags { open: OpenFlags::new(AccessMode::Write), exclusive: true };
    let create = |at, owner| export.fs.create(&dir, name(at), flags, 0o644, owner).unwrap().2;
    assert_eq!(create("host", Owner::default()).gid, Gid(4321));
    assert_eq!(create("named", owner(1, 99)).gid, Gid(99));
    let mkdir = |at, owner| export.fs.mkdir(&dir, name(at), 0o755, owner).unwrap().1;
    let made = mkdir("sub", Owner::default());
    assert_eq!((made.gid, made.perm), (Gid(4321), 0o2755));
    let made = mkdir("subnamed", owner(1, 99));
    assert_eq!((made.gid, made.perm), (Gid(99), 0o2755));
}

#[test]
fn what_cannot_be_given_away_is_not_left_behind() {
    if gofer_sys::process::has_cap_chown() {
        eprintln!("not tested: this user may give files away");
        return;
    }
    let export = Export::new();
    let (fs, root, to) = (&export.fs, &export.root, owner(0, 0));
    let create = export.try_create("f", OpenFlags::new(AccessMode::Write), 0o644, to);
    assert_eq!(refused(create), Errno::EPERM);
    assert_eq!(refused(fs.mkdir(root, name("d"), 0o755, to)), Errno::EPERM);
    assert_eq!(refused(fs.symlink(root, name("l"), b"t", to)), Errno::EPERM);
    for what in [Special::Regular, Special::Fifo, Special::Socket] {
        assert_eq!(refused(fs.mknod(root, name("n"), what, 0o644, to)), Errno::EPERM);
    }
    assert!(export.is_empty());
}

#[test]
fn an_existing_file_is_opened_as_it_is() {
    let export = Export::new();
    std::fs::File::create(export.path("f")).unwrap().write_all(b"content").unwrap();
    std::fs::set_permissions(export.path("f"), PermissionsExt::from_mode(0o640)).unwrap();
    let create = |at, open| {
        let flags = CreateFlags { open, exclusive: false };
        export.fs.create(&export.root, name(at), flags, 0o777, owner(1, 1))
    };
    let (node, file, attr) = create("f", OpenFlags::new(AccessMode::ReadWrite)).unwrap();
    assert_eq!((attr.perm, attr.size, attr.uid), (0o640, 7, myself().uid.unwrap()));
    assert_eq!(export.attr(&node), attr);
    assert_eq!(export.read(&file, 0, 99).unwrap(), b"content");
    let (_, _, attr) =
        create("f", OpenFlags { truncate: true, ..OpenFlags::new(AccessMode::Write) }).unwrap();
    assert_eq!((attr.perm, attr.size), (0o640, 0));

    export.host_dir("d");
    symlink("f", export.path("l")).unwrap();
    symlink("new", export.path("dangling")).unwrap();
    export.fs.mknod(&export.root, name("fifo"), Special::Fifo, 0o600, Owner::default()).unwrap();
    let read = OpenFlags::new(AccessMode::Read);
    assert_eq!(refused(create("d", read)), Errno::EISDIR);
    for at in ["l", "dangling", "fifo"] {
        assert_eq!(refused(create(at, read)), Errno::EEXIST, "{at}");
    }
    assert!(!export.path("new").exists());
}

#[test]
fn nothing_is_created_where_there_is_no_directory() {
    let export = Export::new();
    let flags = CreateFlags { open: OpenFlags::new(AccessMode::Write), exclusive: false };
    let file = export.host_file("f", "");
    assert_eq!(refused(export.fs.create(&file, name("x"), flags, 0o644, myself())), Errno::ENOTDIR);
    let dir = export.host_dir("d");
    std::fs::remove_dir(export.path("d")).unwrap();
    assert_eq!(refused(export.fs.create(&dir, name("x"), flags, 0o644, myself())), Errno::ENOENT);
}
