//! Devices, FIFOs and sockets of the host, which are never opened; and which of them a client may make.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use gofer_conformance::client::{name, text};
use gofer_conformance::{Client, ROOT, Setup};
use gofer_server::{HostSockets, Policy};
use gofer_vfs::{Errno, Name, PeerGid, PeerUid, Special};
use gofer_wire::p9::*;
use rustix::fs::inotify::{ReadFlags, WatchFlags};

use crate::{Arena, Watch, attack};

const FLAGS: [OpenBits; 6] = [
    OpenBits::RDONLY,
    OpenBits::WRONLY,
    OpenBits::RDWR,
    OpenBits(1 | OpenBits::NONBLOCK.0),
    OpenBits(1 | OpenBits::TRUNC.0),
    OpenBits(2 | OpenBits::APPEND.0),
];

/// Devices in the root of the export, where this process may make them. Opening any of them would do no harm.
fn lay_devices(arena: &Arena) -> Vec<&'static str> {
    let root = std::fs::File::open(arena.export()).expect("a directory");
    let make = |(name, what): &(&'static str, Special)| {
        let at = Name::new(name.as_bytes()).expect("a name");
        gofer_sys::entry::mknod(root.as_fd(), at, *what, 0o666).is_ok()
    };
    let devices = [("null", Special::CharDevice(1, 3)), ("ram", Special::BlockDevice(1, 0))];
    devices.into_iter().filter(make).map(|(name, _)| name).collect()
}

/// Everything that could open a file, with what it is answered for one that is not to be opened.
fn touch(c: &mut Client, arena: &Arena, at: &str, refused: Errno) {
    let found = c.at(at);
    if arena.site.is_google() {
        assert_eq!(found, Err(Errno::EPERM), "{at}");
    } else {
        let fid = found.expect("a place");
        for flags in FLAGS {
            assert_eq!(c.open(fid, flags).err(), Some(refused), "{at} {flags:?}");
        }
        let mut size = crate::links::only(SetattrMask::SIZE);
        size.size = 1;
        assert_eq!(c.setattr(fid, size), Err(Errno::EINVAL), "{at}");
        c.setattr(fid, crate::links::only(SetattrMask::MTIME)).expect("a time");
        assert_eq!(c.read(fid, 0, 1), Err(Errno::EINVAL));
        assert_eq!(c.write(fid, 0, b"x"), Err(Errno::EINVAL));
        c.call(Tstatfs { fid }).expect("a file system");
        // Whether there can be any is the host's affair.
        let _ = c.call(Tgetxattr { fid, name: text("user.a"), size: 0 });
        let _ = c.call(Tsetxattr { fid, name: text("user.a"), value: text("x"), flags: 0 });
        let _ = c.call(Tlistxattr { fid, size: 0 });
        c.link(fid, ROOT, "other-name").expect("another name");
        c.unlink(ROOT, "other-name").expect("a name");
    }
    for flags in FLAGS {
        let dir = c.at("").expect("the root");
        assert_eq!(c.create(dir, at, flags, 0o644).err(), Some(Errno::EEXIST), "{at} {flags:?}");
    }
    let dir = c.open_at("", OpenBits::RDONLY).expect("an open directory");
    assert!(c.list(dir).expect("a listing").iter().any(|entry| entry.name == at.as_bytes()));
}

#[test]
fn what_is_no_file_is_never_opened() {
    attack(Setup::default(), |arena| {
        let devices = lay_devices(arena);
        let mut c = arena.site.client();
        let watch = Watch::new(&[arena.export()], WatchFlags::OPEN);
        touch(&mut c, arena, "fifo", Errno::EPERM);
        touch(&mut c, arena, "socket", Errno::EINVAL);
        for device in &devices {
            touch(&mut c, arena, device, Errno::EPERM);
        }
        let opened = |events: &[(ReadFlags, String)], at: &str| events.iter().any(|(_, name)| name == at);
        let events = watch.events();
        for at in ["fifo", "socket", "null", "ram"] {
            assert!(!opened(&events, at), "{at}");
        }
        // The watch sees what is opened.
        c.open_at("file", OpenBits::RDONLY).expect("an open file");
        assert!(opened(&watch.events(), "file"));
    });
}

#[test]
fn a_socket_beyond_a_link_is_not_connected_to() {
    let policy = Policy { sockets: HostSockets::All, ..Policy::default() };
    attack(Setup { policy, ..Setup::default() }, |arena| {
        let dir = tempfile::tempdir().expect("a directory for temporary files");
        let listener = UnixListener::bind(dir.path().join("s")).expect("a listener");
        listener.set_nonblocking(true).expect("a listener");
        symlink(dir.path().join("s"), arena.export().join("to-the-socket")).expect("a link");
        symlink(dir.path(), arena.export().join("to-its-directory")).expect("a link");
        let mut c = arena.site.client();
        assert_eq!(c.at("to-its-directory/s"), Err(arena.no_way_on()));
        let fid = c.at("to-the-socket").expect("the link itself");
        for flags in 0..4 {
            assert_eq!(c.call(Tlconnect { fid, flags }).err(), Some(Errno::EINVAL));
        }
        assert_eq!(listener.accept().err().map(|error| error.kind()), Some(ErrorKind::WouldBlock));
    });
}

#[test]
fn devices_are_not_made_unless_the_operator_says_so() {
    attack(Setup::default(), |arena| {
        let mut c = arena.site.client();
        let before = arena.tree();
        let (gid, uid, name) = (PeerGid::NONE, PeerUid::NONE, name("new"));
        for kind in [0o020_000, 0o060_000] {
            for (major, minor) in [(1, 3), (8, 0), (0, 0), (u32::MAX, u32::MAX)] {
                let mode = kind | 0o666;
                let mknod = Tmknod { dfid: ROOT, name, mode, major, minor, gid };
                assert_eq!(c.call(mknod).err(), Some(Errno::EPERM));
                let umknod = Tumknod { dfid: ROOT, name, mode, major, minor, gid, uid };
                assert_eq!(c.call(umknod).err(), Some(Errno::EPERM));
            }
        }
        assert_eq!(arena.tree(), before);
    });
}

/// A program with set-id bits keeps them only as long as its content is what it was.
#[test]
fn a_set_id_file_loses_its_bits_when_it_is_written() {
    attack(Setup::default(), |arena| {
        let mut c = arena.site.client();
        let dir = c.at("").expect("the root");
        c.create(dir, "program", OpenBits::RDWR, 0o6755).expect("a file");
        let perm = |c: &mut Client| c.getattr(dir).expect("attributes").attr.mode & 0o7777;
        let made = perm(&mut c);
        // A host may not let every user make such a file.
        assert!(made == 0o6755 || made & 0o1777 == 0o755, "{made:o}");
        c.write(dir, 0, b"another program").expect("a write");
        // Google's sandbox takes the bits itself.
        assert_eq!(perm(&mut c), arena.site.google_or(made, 0o755));
    });
}
