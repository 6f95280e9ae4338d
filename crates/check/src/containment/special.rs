//! Devices, FIFOs and sockets of the host, which are never opened; and which of them a client may make.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use gofer_server::{HostSockets, Policy};
use gofer_sys::watch::{Event, Watch};
use gofer_vfs::{Errno, Name, PeerGid, PeerUid, Special};
use gofer_wire::p9::*;

use super::{Arena, attack};
use crate::attr::{nothing, size};
use crate::client::{Client, Heard, ROOT, name, text};
use crate::sample::HELLO;
use crate::verdict::{is_exact, note, skip};
use crate::{Checked, Lack, Site, demand_eq};

const FLAGS: [OpenBits; 6] = [
    OpenBits::RDONLY,
    OpenBits::WRONLY,
    OpenBits::RDWR,
    OpenBits(1 | OpenBits::NONBLOCK.0),
    OpenBits(1 | OpenBits::TRUNC.0),
    OpenBits(2 | OpenBits::APPEND.0),
];

/// Devices in the root of the export, where this process may make them. Opening any of them would do no harm.
fn lay_devices(arena: &Arena<'_>) -> Vec<&'static str> {
    let root = std::fs::File::open(arena.site.hosted()).expect("a directory");
    let make = |(name, what): &(&'static str, Special)| {
        let at = Name::new(name.as_bytes()).expect("a name");
        gofer_sys::entry::mknod(root.as_fd(), at, *what, 0o666).is_ok()
    };
    let devices = [("null", Special::CharDevice(1, 3)), ("ram", Special::BlockDevice(1, 0))];
    let devices = &devices[..if arena.site.can(Lack::BlockDevice) { 2 } else { 1 }];
    devices.iter().filter(|device| make(device)).map(|(name, _)| *name).collect()
}

/// Everything that could open a file, with what it is answered for one that is not to be opened.
fn touch(c: &mut Client, arena: &Arena<'_>, at: &str, refused: Errno) {
    let found = c.at(at);
    if arena.site.is_google() {
        demand_eq!(found, Err(Errno::EPERM), "{at}");
    } else {
        let fid = found.expect("a place");
        for flags in FLAGS {
            demand_eq!(c.open(fid, flags).err(), Some(refused), "{at} {flags:?}");
        }
        demand_eq!(c.setattr(fid, size(1)), Err(Errno::EINVAL), "{at}");
        c.setattr(fid, SetattrBody { valid: SetattrMask::MTIME, ..nothing() }).expect("a time");
        demand_eq!(c.read(fid, 0, 1), Err(Errno::EINVAL));
        demand_eq!(c.write(fid, 0, b"x"), Err(Errno::EINVAL));
        c.call(Tstatfs { fid }).expect("a file system");
        // Whether there can be any is the host's affair.
        let _ = c.call(Tgetxattr { fid, name: text("user.a"), size: 0 });
        let _ = c.call(Tsetxattr { fid, name: text("user.a"), value: text("x"), flags: 0 });
        let _ = c.call(Tlistxattr { fid, size: 0 });
        match c.link(fid, ROOT, "other-name") {
            // Landlock lets nobody give a device a name who may not make one.
            Err(Errno::EACCES) if !arena.site.is_here() => {}
            linked => {
                linked.expect("another name");
                c.unlink(ROOT, "other-name").expect("a name");
            }
        }
    }
    for flags in FLAGS {
        let dir = c.at("").expect("the root");
        demand_eq!(c.create(dir, at, flags, 0o644).err(), Some(Errno::EEXIST), "{at} {flags:?}");
    }
    let dir = c.open_at("", OpenBits::RDONLY).expect("an open directory");
    assert!(c.list(dir).expect("a listing").iter().any(|entry| entry.name == at.as_bytes()));
}

pub(super) fn what_is_no_file_is_never_opened(site: &Site) -> Checked {
    attack(site, |arena| {
        let devices = lay_devices(arena);
        let mut c = arena.site.client();
        let watch = Watch::new(&[arena.site.hosted()]).expect("inotify(7), of which every user has some");
        touch(&mut c, arena, "fifo", Errno::EPERM);
        touch(&mut c, arena, "socket", Errno::EINVAL);
        for device in &devices {
            touch(&mut c, arena, device, Errno::EPERM);
        }
        let opened =
            |events: &[Event], at: &str| events.iter().any(|event| event.is_open && event.name == at);
        let events = watch.events();
        for at in ["fifo", "socket", "null", "ram"] {
            assert!(!opened(&events, at), "{at}");
        }
        // The watch sees what is opened.
        c.open_at("file", OpenBits::RDONLY).expect("an open file");
        assert!(opened(&watch.events(), "file"));
    })
}

/// Whether a FIFO opens is for the server to say; whoever waits for its other end waits alone.
pub(super) fn a_fifo_holds_up_nobody(site: &Site) -> Checked {
    let (mut c, mut other) = (site.client(), site.client());
    let Ok(fid) = c.at("fifo") else { return skip("no FIFO can be walked to") };
    c.send(Tag(1), Tlopen { fid, flags: OpenBits::RDONLY })?;
    let heard = c.hear();
    demand_eq!(other.content("file")?, HELLO);
    demand_eq!(site.client().content("file")?, HELLO);
    match heard {
        Heard::End(_) => panic!("the connection ends"),
        Heard::Quiet(bytes) if bytes.is_empty() => {
            note("waits for the other end of a FIFO");
            // That end, so that nothing is left waiting.
            let fid = other.at("fifo")?;
            other.send(Tag(1), Tlopen { fid, flags: OpenBits::WRONLY })?;
            other.hear();
        }
        Heard::Quiet(_) => {}
    }
    Ok(())
}

pub(super) fn a_socket_beyond_a_link_is_not_connected_to(site: &Site) -> Checked {
    let policy = Policy { sockets: HostSockets::All, ..Policy::default() };
    let site = if is_exact() { &site.with_policy(policy) } else { site };
    attack(site, |arena| {
        let dir = arena.outside.beside();
        let listener = UnixListener::bind(dir.join("s")).expect("a listener");
        listener.set_nonblocking(true).expect("a listener");
        symlink(dir.join("s"), arena.site.hosted().join("to-the-socket")).expect("a link");
        symlink(&dir, arena.site.hosted().join("to-its-directory")).expect("a link");
        let mut c = arena.site.client();
        demand_eq!(c.at("to-its-directory/s"), Err(arena.no_way_on()));
        let fid = c.at("to-the-socket").expect("the link itself");
        for flags in 0..4 {
            demand_eq!(c.call(Tlconnect { fid, flags }).err(), Some(Errno::EINVAL));
        }
        demand_eq!(listener.accept().err().map(|error| error.kind()), Some(ErrorKind::WouldBlock));
    })
}

pub(super) fn devices_are_not_made_unless_the_operator_says_so(site: &Site) -> Checked {
    attack(site, |arena| {
        let mut c = arena.site.client();
        let before = arena.tree();
        let (gid, uid, name) = (PeerGid::NONE, PeerUid::NONE, name("new"));
        for kind in [0o020_000, 0o060_000] {
            for (major, minor) in [(1, 3), (8, 0), (0, 0), (u32::MAX, u32::MAX)] {
                let mode = kind | 0o666;
                let mknod = Tmknod { dfid: ROOT, name, mode, major, minor, gid };
                demand_eq!(c.call(mknod).err(), Some(Errno::EPERM));
                let umknod = Tumknod { dfid: ROOT, name, mode, major, minor, gid, uid };
                demand_eq!(c.call(umknod).err(), Some(Errno::EPERM));
            }
        }
        demand_eq!(arena.tree(), before);
    })
}

/// A program with set-id bits keeps them only as long as its content is what it was.
pub(super) fn a_set_id_file_loses_its_bits_when_it_is_written(site: &Site) -> Checked {
    attack(site, |arena| {
        let mut c = arena.site.client();
        let dir = c.at("").expect("the root");
        c.create(dir, "program", OpenBits::RDWR, 0o6755).expect("a file");
        let perm = |c: &mut Client| c.getattr(dir).expect("attributes").attr.mode & 0o7777;
        let made = perm(&mut c);
        // A host may not let every user make such a file.
        assert!(made == 0o6755 || made & 0o1777 == 0o755, "{made:o}");
        c.write(dir, 0, b"another program").expect("a write");
        // Google's sandbox takes the bits itself. A server without the right to keep them cannot leave that to it.
        let left = perm(&mut c);
        assert!(left == 0o755 || arena.site.is_google() && left == made, "{left:o}");
    })
}
