//! FStat, SetStat, FStatFS, ReadLinkAt.

use std::os::unix::fs::{MetadataExt, symlink};

use super::*;

const ANYTIME: Timespec = Timespec { sec: 0, nsec: 0 };

fn set(fd: FdId, mask: u32) -> SetStatReq {
    let (uid, gid) = (PeerUid::NONE, PeerGid::NONE);
    SetStatReq { fd, mask, mode: 0, uid, gid, size: 0, atime: ANYTIME, mtime: ANYTIME }
}

/// The mask of what failed, and why.
fn changed(talk: &mut Talk, set: &SetStatReq) -> (u32, u32) {
    let asked = talk.ask(set).expect("an answer");
    let SetStatResp { failed, errno } = asked.reply();
    (failed, errno)
}

#[test]
fn attributes_are_the_hosts() {
    let mut talk = Talk::new();
    std::fs::write(talk.path().join("f"), "content").unwrap();
    let inode = talk.walk("f");
    let host = std::fs::metadata(talk.path().join("f")).unwrap();
    for fd in [inode.fd, talk.open(inode.fd, 0).unwrap().0] {
        let stat: Statx = talk.ask(&FStatReq { fd }).unwrap().reply();
        assert_eq!(stat.mask & Statx::BASIC, Statx::BASIC);
        assert_eq!((stat.ino, u32::from(stat.mode), stat.size), (host.ino(), host.mode(), 7));
        assert_eq!((stat.uid.0, stat.gid.0, u64::from(stat.nlink)), (host.uid(), host.gid(), host.nlink()));
        assert_eq!(rustix::fs::makedev(stat.dev_major, stat.dev_minor), host.dev());
        assert_eq!((stat.mtime.sec, i64::from(stat.mtime.nsec)), (host.mtime(), host.mtime_nsec()));
    }
    assert_eq!(refused(talk.ask(&FStatReq { fd: FdId(99) })), Errno::EBADF);
    let statfs: StatFs = talk.ask(&FStatFsReq { fd: inode.fd }).unwrap().reply();
    assert!(statfs.blocks > 0 && statfs.name_max >= 255);
}

#[test]
fn what_can_be_set_is_set_and_the_rest_is_named() {
    let mut talk = Talk::new();
    let (fd, open) = talk.create("f", 2);
    assert_eq!(changed(&mut talk, &set(fd, 0)), (0, 0));
    let all = SetStatReq {
        mode: 0o100_4640,
        size: 100,
        atime: Timespec { sec: 1, nsec: 2 },
        mtime: Timespec { sec: -3, nsec: 4 },
        ..set(fd, SetStatReq::MODE | SetStatReq::SIZE | SetStatReq::ATIME | SetStatReq::MTIME)
    };
    assert_eq!(changed(&mut talk, &all), (0, 0));
    let host = std::fs::metadata(talk.path().join("f")).unwrap();
    assert_eq!((host.mode(), host.len(), host.atime(), host.mtime()), (0o104_640, 100, 1, -3));

    let wrong = SetStatReq { mtime: Timespec { sec: 0, nsec: 1_000_000_000 }, mode: 0o600, ..set(fd, 0x42) };
    assert_eq!(changed(&mut talk, &wrong), (SetStatReq::MTIME, Errno::EINVAL.on_wire()));
    assert_eq!(std::fs::metadata(talk.path().join("f")).unwrap().mode(), 0o100_600, "the mode was set");
    let omit = Timespec { sec: 0, nsec: Timespec::OMIT };
    let now = Timespec { sec: 0, nsec: Timespec::NOW };
    let times = SetStatReq { atime: omit, mtime: now, ..set(fd, SetStatReq::ATIME | SetStatReq::MTIME) };
    assert_eq!(changed(&mut talk, &times), (0, 0));
    let host = std::fs::metadata(talk.path().join("f")).unwrap();
    assert!(host.atime() == 1 && host.mtime() > 1_000_000_000);

    assert_eq!(refused(talk.ask(&set(fd, 0x2 | 0x1))), Errno::EPERM, "a bit that cannot be set");
    assert_eq!(refused(talk.ask(&set(open, 0))), Errno::EINVAL, "an open file is no place");
    std::fs::create_dir(talk.path().join("d")).unwrap();
    let dir = talk.walk("d").fd;
    assert_eq!(changed(&mut talk, &set(dir, SetStatReq::SIZE)), (SetStatReq::SIZE, Errno::EISDIR.on_wire()));
}

#[test]
fn a_link_tells_its_target_as_long_as_it_is_there() {
    let mut talk = Talk::new();
    symlink("../anywhere", talk.path().join("l")).unwrap();
    let fd = talk.walk("l").fd;
    let asked = talk.ask(&ReadLinkAtReq { fd }).unwrap();
    assert_eq!(asked.reply::<ReadLinkAtResp<'_>>().target.as_bytes(), b"../anywhere");
    let times = SetStatReq { mtime: Timespec { sec: 7, nsec: 0 }, ..set(fd, SetStatReq::MTIME) };
    assert_eq!(changed(&mut talk, &times), (0, 0));
    assert_eq!(std::fs::symlink_metadata(talk.path().join("l")).unwrap().mtime(), 7);
    std::fs::remove_file(talk.path().join("l")).unwrap();
    assert_eq!(refused(talk.ask(&ReadLinkAtReq { fd })), Errno::EINVAL);
    let root = talk.root;
    assert_eq!(refused(talk.ask(&ReadLinkAtReq { fd: root })), Errno::EINVAL);
}
