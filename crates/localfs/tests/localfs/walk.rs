use std::os::unix::fs::symlink;

use gofer_localfs::LocalFs;
use gofer_vfs::{Backend, Errno, FileKind, OpenFlags, Owner, Special, Unlink};

use crate::{AccessMode, Export, is_held_off, name, refused};

#[test]
fn a_step_leads_to_the_file_itself() {
    let export = Export::new();
    std::fs::write(export.path("f"), "12345").unwrap();
    let (node, attr) = export.fs.walk(&export.root, name("f")).unwrap();
    assert_eq!((attr.kind, attr.size, attr.nlink), (FileKind::Regular, 5, 1));
    assert_eq!(export.fs.lookup(&export.root, name("f")), Ok(attr));
    // Whatever happens to the name.
    std::fs::rename(export.path("f"), export.path("g")).unwrap();
    std::fs::create_dir(export.path("f")).unwrap();
    assert_eq!(export.attr(&node).id, attr.id);
    std::fs::remove_file(export.path("g")).unwrap();
    assert!(export.attr(&node).is_removed());
}

#[test]
fn attributes_are_those_of_the_host() {
    use std::os::unix::fs::MetadataExt;
    let export = Export::new();
    let attr = export.attr(&export.host_file("f", "x"));
    let host = std::fs::metadata(export.path("f")).unwrap();
    assert_eq!((attr.id.dev, attr.id.ino), (host.dev(), host.ino()));
    assert_eq!((attr.mode(), attr.uid.0, attr.gid.0), (host.mode(), host.uid(), host.gid()));
    assert_eq!((attr.size, attr.blksize, attr.blocks), (host.size(), host.blksize(), host.blocks()));
    assert_eq!((attr.mtime.sec(), i64::from(attr.mtime.nsec())), (host.mtime(), host.mtime_nsec()));
    assert_eq!(attr.btime.is_some(), host.created().is_ok());
    let null = LocalFs::open("/dev".as_ref()).unwrap();
    let attr = null.lookup(&null.attach().unwrap().0, name("null")).unwrap();
    assert_eq!((attr.kind, attr.rdev), (FileKind::CharDevice, rustix::fs::makedev(1, 3)));
}

#[test]
fn a_link_is_a_place_and_never_followed() {
    let export = Export::new();
    for (link, target) in [("out", "/etc"), ("up", ".."), ("gone", "nowhere"), ("proc", "/proc/self/root")] {
        symlink(target, export.path(link)).unwrap();
        let (node, attr) = export.fs.walk(&export.root, name(link)).unwrap();
        assert_eq!(attr.kind, FileKind::Symlink, "{link}");
        assert_eq!(refused(export.fs.walk(&node, name("passwd"))), Errno::ENOTDIR, "{link}");
        assert_eq!(refused(export.fs.lookup(&node, name("passwd"))), Errno::ENOTDIR, "{link}");
        assert_eq!(refused(export.fs.open(&node, OpenFlags::new(AccessMode::Read))), Errno::ELOOP, "{link}");
    }
}

#[test]
fn a_magic_link_is_a_link() {
    let proc = LocalFs::open("/proc/self/".as_ref()).unwrap();
    let (root, _) = proc.attach().unwrap();
    let (node, attr) = proc.walk(&root, name("root")).unwrap();
    assert_eq!(attr.kind, FileKind::Symlink);
    assert_eq!(refused(proc.walk(&node, name("etc"))), Errno::ENOTDIR);
}

#[test]
fn steps_that_lead_nowhere() {
    let export = Export::new();
    let file = export.host_file("f", "");
    assert_eq!(refused(export.fs.walk(&export.root, name("none"))), Errno::ENOENT);
    assert_eq!(refused(export.fs.walk(&file, name("x"))), Errno::ENOTDIR);
    let dir = export.host_dir("d");
    export.fs.unlink(&export.root, name("d"), Unlink::Directory).unwrap();
    assert_eq!(refused(export.fs.walk(&dir, name("x"))), Errno::ENOENT);
    assert!(export.fs.walk(&export.root, name(&"n".repeat(255))).is_err_and(|errno| errno == Errno::ENOENT));
}

#[test]
fn a_directory_may_be_closed_to_the_server() {
    let export = Export::new();
    let dir = export.host_dir("d");
    std::fs::write(export.path("d/f"), "").unwrap();
    rustix::fs::chmod(export.path("d"), rustix::fs::Mode::RUSR).unwrap();
    if is_held_off() {
        assert_eq!(refused(export.fs.walk(&dir, name("f"))), Errno::EACCES);
    }
    rustix::fs::chmod(export.path("d"), rustix::fs::Mode::RWXU).unwrap();
}

#[test]
fn a_walk_opens_nothing() {
    let export = Export::new();
    let fifo = export.fs.mknod(&export.root, name("fifo"), Special::Fifo, 0o600, Owner::default());
    assert_eq!(fifo.unwrap().1.kind, FileKind::Fifo);
    let _place = export.node("fifo");
    // A writer finds no reader.
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
    let writer = rustix::fs::open(export.path("fifo"), flags, rustix::fs::Mode::empty());
    assert_eq!(writer.unwrap_err(), rustix::io::Errno::NXIO);
}

#[test]
fn an_export_is_a_directory_a_file_or_a_socket() {
    let export = Export::new();
    std::fs::write(export.path("f"), "content").unwrap();
    let fs = LocalFs::open(&export.path("f")).unwrap();
    let (root, attr) = fs.attach().unwrap();
    assert_eq!(attr.kind, FileKind::Regular);
    assert_eq!(refused(fs.walk(&root, name("x"))), Errno::ENOTDIR);
    let file = fs.open(&root, OpenFlags::new(AccessMode::Read)).unwrap();
    assert_eq!(export.read(&file, 0, 9).unwrap(), b"content");

    let _listener = std::os::unix::net::UnixListener::bind(export.path("s")).unwrap();
    assert_eq!(LocalFs::open(&export.path("s")).unwrap().attach().unwrap().1.kind, FileKind::Socket);

    symlink(".", export.path("link")).unwrap();
    assert_eq!(refused(LocalFs::open(&export.path("link"))), Errno::ELOOP);
    assert!(LocalFs::open(&export.path("link/f")).is_ok());
    assert_eq!(refused(LocalFs::open(&export.path("none"))), Errno::ENOENT);
    assert_eq!(refused(LocalFs::open("/dev/null".as_ref())), Errno::EPERM);
}

#[test]
fn an_export_can_be_a_descriptor() {
    let export = Export::new();
    std::fs::write(export.path("f"), "").unwrap();
    let opened = std::fs::File::open(export.dir.path()).unwrap();
    let fs = LocalFs::from_fd(&opened).unwrap();
    drop(opened);
    let (root, attr) = fs.attach().unwrap();
    assert_eq!(attr.id, export.attr(&export.root).id);
    assert!(fs.walk(&root, name("f")).is_ok());
}
