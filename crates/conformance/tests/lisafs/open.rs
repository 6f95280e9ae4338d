//! OpenAt, OpenCreateAt.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;

use rustix::fs::{FileType, Mode, OFlags, mknodat};

use super::*;

fn flags_of(descriptor: &OwnedFd) -> OFlags {
    rustix::fs::fcntl_getfl(descriptor).expect("a file")
}

#[test]
fn a_regular_file_comes_with_a_descriptor_of_the_same_access() {
    let mut talk = Talk::new();
    std::fs::write(talk.path().join("f"), "content").unwrap();
    let fd = talk.walk("f").fd;
    for (flags, access) in [(0, OFlags::RDONLY), (1, OFlags::WRONLY), (2, OFlags::RDWR)] {
        let (_, donated) = talk.open(fd, flags).unwrap();
        let [donated] = &donated[..] else { panic!("one descriptor") };
        assert_eq!(flags_of(donated) & OFlags::RWMODE, access);
        assert!(flags_of(donated).contains(OFlags::NONBLOCK));
    }
    let (open, donated) = talk.open(fd, 3).unwrap();
    assert!(donated.is_empty(), "to be neither read nor written");
    let read = PReadReq { offset: 0, fd: open, count: 1, pad: Pad };
    assert_eq!(refused(talk.ask(&read)), Errno::EBADF);
    let mut content = String::new();
    let (_, donated) = talk.open(fd, 0).unwrap();
    File::from(donated.into_iter().next().unwrap()).read_to_string(&mut content).unwrap();
    assert_eq!(content, "content");
    // O_APPEND and O_CREAT mean nothing, O_TRUNC does.
    talk.open(fd, 1 | 0o2000 | 0o100 | OpenAtReq::TRUNC).unwrap();
    assert_eq!(std::fs::read(talk.path().join("f")).unwrap(), b"");
}

#[test]
fn what_cannot_be_opened_says_why() {
    let mut talk = Talk::new();
    std::fs::create_dir(talk.path().join("d")).unwrap();
    symlink("d", talk.path().join("l")).unwrap();
    let _listener = UnixListener::bind(talk.path().join("s")).unwrap();
    let dir = talk.walk("d").fd;
    for flags in [1, 2, 3, OpenAtReq::TRUNC] {
        assert_eq!(talk.open(dir, flags).err(), Some(Errno::EISDIR));
    }
    let (open, donated) = talk.open(dir, 0).unwrap();
    assert!(donated.is_empty(), "a directory would be a way out");
    assert_eq!(talk.open(open, 0).err(), Some(Errno::EINVAL), "what is open is no place");
    assert_eq!(talk.open(FdId(99), 0).err(), Some(Errno::EBADF));
    let link = talk.walk("l").fd;
    assert_eq!(talk.open(link, 0).err(), Some(Errno::EINVAL));
    let socket = talk.walk("s").fd;
    assert_eq!(talk.open(socket, 0).err(), Some(Errno::ENXIO));
}

#[test]
fn nobody_waits_at_a_fifo() {
    let fifo = |policy| {
        let dir = TempDir::new().unwrap();
        let root = File::open(dir.path()).unwrap();
        mknodat(&root, "p", FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let mut talk = Talk::with(dir, false, policy, Settings::default());
        let fd = talk.walk("p").fd;
        (talk, fd)
    };
    let (mut talk, fd) = fifo(everything());
    let (reads, reader) = talk.open(fd, 0).unwrap();
    let (writes, writer) = talk.open(fd, 1).unwrap();
    assert_eq!(flags_of(&writer[0]) & OFlags::RWMODE, OFlags::WRONLY, "and not what it takes not to wait");
    let read = PReadReq { offset: 0, fd: reads, count: 1, pad: Pad };
    assert_eq!(refused(talk.ask(&read)), Errno::ESPIPE, "there are no positions");
    let write = PWriteReq { offset: 0, fd: writes, data: Written(b"x") };
    assert_eq!(refused(talk.ask(&write)), Errno::ESPIPE);
    rustix::io::write(&writer[0], b"through").unwrap();
    let mut bytes = [0; 16];
    assert_eq!(rustix::io::read(&reader[0], &mut bytes), Ok(7));
    let (mut talk, fd) = fifo(Policy { fifos: false, ..everything() });
    assert_eq!(talk.open(fd, 0).err(), Some(Errno::EPERM));
}

#[test]
fn creating_is_exclusive_and_keeps_every_bit_of_the_mode() {
    let mut talk = Talk::new();
    let ask = |talk: &mut Talk, name: &str, mode| {
        let create = create(talk.root, mode);
        talk.ask(&OpenCreateAtReq { create, flags: 2, name: named(name) })
    };
    let asked = ask(&mut talk, "f", 0o4711).unwrap();
    let made: OpenCreateAtResp = asked.reply();
    assert_eq!(made.child.stat.mode, 0o104_711);
    assert_eq!(std::fs::metadata(talk.path().join("f")).unwrap().mode(), 0o104_711);
    assert_eq!(flags_of(&asked.descriptors[0]) & OFlags::RWMODE, OFlags::RDWR);
    symlink("nowhere", talk.path().join("l")).unwrap();
    std::fs::create_dir(talk.path().join("d")).unwrap();
    for taken in ["f", "l", "d"] {
        assert_eq!(refused(ask(&mut talk, taken, 0o644)), Errno::EEXIST, "{taken}");
    }
    let create = create(made.child.fd, 0o644);
    let below_a_file = OpenCreateAtReq { create, flags: 0, name: named("x") };
    assert_eq!(refused(talk.ask(&below_a_file)), Errno::ENOTDIR);
}
