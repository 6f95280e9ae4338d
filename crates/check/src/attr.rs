//! getattr, setattr, setattrclunk, statfs, readlink.

use std::fs;
use std::os::unix::fs::MetadataExt;

use gofer_server::Policy;
use gofer_vfs::{Errno, FileKind, PeerGid, PeerUid, Result};
use gofer_wire::p9::*;

use crate::client::{Client, ROOT, name, text};
use crate::verdict::is_exact;
use crate::{Checked, Site, body, demand_eq, family};

/// A change of nothing.
pub(crate) fn nothing() -> SetattrBody {
    SetattrBody {
        valid: SetattrMask(0),
        mode: 0,
        uid: PeerUid::NONE,
        gid: PeerGid::NONE,
        size: 0,
        atime_sec: 0,
        atime_nsec: 0,
        mtime_sec: 0,
        mtime_nsec: 0,
    }
}

/// A change of mode.
pub(crate) fn mode(mode: u32) -> SetattrBody {
    SetattrBody { valid: SetattrMask::MODE, mode, ..nothing() }
}

/// A change of size.
pub(crate) fn size(size: u64) -> SetattrBody {
    SetattrBody { valid: SetattrMask::SIZE, size, ..nothing() }
}

fn times((atime_sec, atime_nsec): (i64, u64), (mtime_sec, mtime_nsec): (i64, u64)) -> SetattrBody {
    let valid = SetattrMask::ATIME | SetattrMask::ATIME_SET | SetattrMask::MTIME | SetattrMask::MTIME_SET;
    let (atime_sec, mtime_sec) = (atime_sec.cast_unsigned(), mtime_sec.cast_unsigned());
    SetattrBody { valid, atime_sec, atime_nsec, mtime_sec, mtime_nsec, ..nothing() }
}

fn owner(uid: u32, gid: u32) -> SetattrBody {
    let valid = SetattrMask::UID | SetattrMask::GID;
    SetattrBody { valid, uid: PeerUid(uid), gid: PeerGid(gid), ..nothing() }
}

fn atime(attr: &Stat) -> (u64, u64) {
    (attr.atime_sec, attr.atime_nsec)
}

fn mtime(attr: &Stat) -> (u64, u64) {
    (attr.mtime_sec, attr.mtime_nsec)
}

fn ctime(attr: &Stat) -> (u64, u64) {
    (attr.ctime_sec, attr.ctime_nsec)
}

fn all_kinds_have_attributes(site: &Site) -> Checked {
    let mut c = site.client();
    for (name, kind) in site.entries() {
        if site.is_google() && matches!(kind, FileKind::Fifo | FileKind::Socket) {
            continue;
        }
        let fid = c.at(name)?;
        let Rgetattr { valid, qid, attr } = c.getattr(fid)?;
        assert!(valid.contains(GetattrMask::BASIC), "{valid:?}");
        if is_exact() {
            demand_eq!(valid.0 & !(GetattrMask::BASIC | GetattrMask::BTIME).0, 0, "only what is known");
        }
        demand_eq!(FileKind::of_mode(attr.mode), Some(kind), "{name}");
        assert!(super::walk::qid_kinds(kind).contains(&qid.kind), "{name}");
        if is_exact() {
            demand_eq!((qid.version, attr.generation, attr.data_version), (0, 0, 0));
            assert!(valid.contains(GetattrMask::BTIME) || (attr.btime_sec, attr.btime_nsec) == (0, 0));
        }
        assert!(attr.nlink >= 1 && attr.blksize > 0);
        if kind == FileKind::Symlink {
            demand_eq!(attr.size, if name == "link" { 4 } else { 3 }, "the length of the target");
        }
    }
    Ok(())
}

fn the_mask_asks_for_nothing_in_particular(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.at("file")?;
    let all = c.getattr(fid)?;
    for mask in [0, 1, 0x7ff, 0x3fff, u64::MAX] {
        demand_eq!(c.call(Tgetattr { fid, mask: GetattrMask(mask) })?.getattr(), all);
    }
    Ok(())
}

fn attributes_are_the_hosts(site: &Site) -> Checked {
    let host = site.hosted();
    let mut c = site.client();
    for path in ["file", "dir", "dir/sub", "link", "dirlink", "dir/sub/deep", ""] {
        let fid = c.at(path)?;
        let Rgetattr { qid, attr, .. } = c.getattr(fid)?;
        let own = fs::symlink_metadata(host.join(path)).expect("stat");
        demand_eq!(qid.path & ((1 << 56) - 1), own.ino(), "{path}");
        demand_eq!((attr.mode, attr.uid.0, attr.gid.0), (own.mode(), own.uid(), own.gid()), "{path}");
        demand_eq!((attr.nlink, attr.rdev, attr.size), (own.nlink(), own.rdev(), own.size()), "{path}");
        demand_eq!((attr.blksize, attr.blocks), (own.blksize(), own.blocks()), "{path}");
        let time = |sec: i64, nsec: i64| (sec.cast_unsigned(), nsec.cast_unsigned());
        demand_eq!(mtime(&attr), time(own.mtime(), own.mtime_nsec()), "{path}");
        demand_eq!(ctime(&attr), time(own.ctime(), own.ctime_nsec()), "{path}");
        demand_eq!(atime(&attr), time(own.atime(), own.atime_nsec()), "{path}");
    }
    Ok(())
}

fn links_are_counted(site: &Site) -> Checked {
    let mut c = site.client();
    let (file, dir) = (c.at("file")?, c.at("empty")?);
    demand_eq!(c.getattr(file)?.attr.nlink, 1);
    c.link(file, ROOT, "second")?;
    demand_eq!(c.getattr(file)?.attr.nlink, 2);
    c.unlink(ROOT, "file")?;
    c.unlink(ROOT, "second")?;
    demand_eq!(c.getattr(file)?.attr.nlink, 0);
    c.rmdir(ROOT, "empty")?;
    demand_eq!(FileKind::of_mode(c.getattr(dir)?.attr.mode), Some(FileKind::Directory));
    c.call(Tstatfs { fid: file })?;
    Ok(())
}

fn a_device_has_its_number(site: &Site) -> Checked {
    let devices = site.with_policy(Policy { devices: true, ..Policy::default() });
    let mut c = devices.client();
    for (at, kind, major, minor) in [("c", 0o020_000, 1, 3), ("b", 0o060_000, 7, 300)] {
        let mknod =
            Tmknod { dfid: ROOT, name: name(at), mode: kind | 0o600, major, minor, gid: PeerGid::NONE };
        // Google's clients may not, and not every server may.
        if c.call(mknod).is_ok() {
            let fid = c.at(at)?;
            let rdev = u64::from(minor & 0xff | major << 8 | (minor & !0xff) << 12);
            let attr = c.getattr(fid)?.attr;
            demand_eq!((attr.mode, attr.rdev), (kind | 0o600, rdev));
        }
    }
    Ok(())
}

fn a_mode_is_set_as_asked(site: &Site) -> Checked {
    let mut c = site.client();
    for path in ["file", "dir"] {
        let fid = c.at(path)?;
        let kind = c.getattr(fid)?.attr.mode & 0o170_000;
        for perm in [0, 0o600, 0o1777, 0o4755, 0o2755, 0o7777, 0o755] {
            // Only the low bits count.
            c.setattr(fid, mode(perm | 0o7_770_000))?;
            demand_eq!(c.getattr(fid)?.attr.mode, kind | perm, "{path} {perm:o}");
        }
    }
    let link = c.at("link")?;
    demand_eq!(c.setattr(link, mode(0o600)), Err(Errno::EOPNOTSUPP));
    Ok(())
}

fn a_size_is_set_as_asked(site: &Site) -> Checked {
    let mut c = site.client();
    let unopened = c.at("file")?;
    let reader = c.open_at("file", OpenBits::RDONLY)?;
    let writer = c.open_at("file", OpenBits::RDWR)?;
    for (fid, len, content) in [
        (unopened, 12, &b"hello, 9p\0\0\0"[..]),
        (reader, 5, b"hello"),
        (writer, 7, b"hello\0\0"),
        (writer, 0, b""),
    ] {
        // Through what is open for reading only some do not.
        let fid = if fid == reader && !is_exact() { writer } else { fid };
        c.setattr(fid, size(len))?;
        demand_eq!(c.read(reader, 0, 100)?, content);
    }
    for len in [1 << 63, u64::MAX] {
        demand_eq!(c.setattr(unopened, size(len)), Err(Errno::EINVAL));
        demand_eq!(c.setattr(writer, size(len)), Err(Errno::EINVAL));
    }
    for path in ["dir", "link"] {
        let fid = c.at(path)?;
        demand_eq!(c.setattr(fid, size(0)), Err(Errno::EINVAL), "{path}");
    }
    Ok(())
}

fn times_are_set_as_asked(site: &Site) -> Checked {
    let mut c = site.client();
    for path in ["file", "dir", "link"] {
        let fid = c.at(path)?;
        for (a, m) in [((1, 2), (3, 4)), ((1_700_000_000, 999_999_999), (0, 0)), ((-5, 500_000_000), (-1, 0))]
        {
            c.setattr(fid, times(a, m))?;
            let attr = c.getattr(fid)?.attr;
            demand_eq!(atime(&attr), (a.0.cast_unsigned(), a.1), "{path}");
            demand_eq!(mtime(&attr), (m.0.cast_unsigned(), m.1), "{path}");
        }
    }
    let file = c.at("file")?;
    assert!(c.getattr(file)?.attr.atime_sec.cast_signed() < 0, "the target of a link is another file");
    Ok(())
}

fn each_time_is_set_alone(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.at("file")?;
    let set = |c: &mut Client, valid| {
        c.setattr(fid, times((7, 7), (7, 7)))?;
        c.setattr(fid, SetattrBody { valid, ..times((1, 2), (3, 4)) })?;
        c.getattr(fid).map(|a| (atime(&a.attr), mtime(&a.attr)))
    };
    let (a, m) = (SetattrMask::ATIME, SetattrMask::MTIME);
    let (a_set, m_set) = (SetattrMask::ATIME_SET, SetattrMask::MTIME_SET);
    demand_eq!(set(&mut c, a | a_set)?, ((1, 2), (7, 7)));
    demand_eq!(set(&mut c, m | m_set)?, ((7, 7), (3, 4)));
    demand_eq!(set(&mut c, a_set | m_set)?, ((7, 7), (7, 7)), "without the bit itself it says nothing");
    let (now, other) = set(&mut c, a)?;
    assert!(now.0 >= 1_000_000_000 && other == (7, 7), "the server's now");
    let (other, now) = set(&mut c, m)?;
    assert!(now.0 >= 1_000_000_000 && other == (7, 7), "the server's now");
    let (given, now) = set(&mut c, a | a_set | m)?;
    assert!(now.0 >= 1_000_000_000 && given == (1, 2));
    Ok(())
}

fn what_is_no_time_is_einval(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.at("file")?;
    c.setattr(fid, times((7, 7), (7, 7)))?;
    // The last two are UTIME_NOW and UTIME_OMIT.
    for nsec in [1_000_000_000, u64::from(u32::MAX), u64::MAX, 1 << 32, 0x3fff_ffff, 0x3fff_fffe] {
        demand_eq!(c.setattr(fid, times((1, nsec), (1, 0))), Err(Errno::EINVAL), "{nsec}");
        demand_eq!(c.setattr(fid, times((1, 0), (1, nsec))), Err(Errno::EINVAL), "{nsec}");
    }
    let valid = SetattrMask::ATIME | SetattrMask::MTIME;
    c.setattr(fid, SetattrBody { valid, ..times((1, u64::MAX), (1, u64::MAX)) })?;
    Ok(())
}

fn an_owner_is_set_as_asked(site: &Site) -> Checked {
    let mut c = site.client();
    let (file, link) = (c.at("file")?, c.at("link")?);
    let ids = |c: &mut Client, fid| c.getattr(fid).map(|a| (a.attr.uid.0, a.attr.gid.0));
    let before = ids(&mut c, file)?;
    c.setattr(file, owner(u32::MAX, u32::MAX))?;
    demand_eq!(ids(&mut c, file)?, before, "no id changes nothing");
    c.setattr(file, owner(before.0, before.1))?;
    if !site.may_chown() {
        demand_eq!(c.setattr(file, owner(before.0 + 1, u32::MAX)), Err(Errno::EPERM));
        return Ok(());
    }
    c.setattr(file, owner(4000, 5000))?;
    demand_eq!(ids(&mut c, file)?, (4000, 5000));
    c.setattr(file, owner(u32::MAX, 5001))?;
    demand_eq!(ids(&mut c, file)?, (4000, 5001));
    c.setattr(file, SetattrBody { valid: SetattrMask::UID, ..owner(4001, 9) })?;
    demand_eq!(ids(&mut c, file)?, (4001, 5001), "only what is marked");
    c.setattr(link, owner(6000, 6001))?;
    demand_eq!((ids(&mut c, link)?, ids(&mut c, file)?), ((6000, 6001), (4001, 5001)));
    Ok(())
}

fn all_at_once_ends_as_asked(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.at("file")?;
    let ids = c.getattr(fid)?.attr;
    let ids = if site.may_chown() { (PeerUid(77), PeerGid(78)) } else { (ids.uid, ids.gid) };
    let valid = SetattrMask(SetattrMask::MODE.0 | 0x0e) | times((0, 0), (0, 0)).valid | SetattrMask::CTIME;
    let all =
        SetattrBody { valid, mode: 0o6755, uid: ids.0, gid: ids.1, size: 4, ..times((10, 11), (12, 13)) };
    c.setattr(fid, all)?;
    let attr = c.getattr(fid)?.attr;
    demand_eq!((attr.mode, attr.uid, attr.gid, attr.size), (0o106_755, ids.0, ids.1, 4));
    demand_eq!((atime(&attr), mtime(&attr)), ((10, 11), (12, 13)));
    Ok(())
}

fn a_part_that_fails_does_not_stop_the_rest(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.at("dir")?;
    let valid = SetattrMask::SIZE | SetattrMask::MODE | times((0, 0), (0, 0)).valid;
    let set = SetattrBody { valid, mode: 0o700, ..times((1, 1), (2, 2)) };
    demand_eq!(c.setattr(fid, set), Err(Errno::EINVAL), "the first error");
    let attr = c.getattr(fid)?.attr;
    demand_eq!((attr.mode, mtime(&attr)), (0o040_700, (2, 2)));
    Ok(())
}

fn changes_move_ctime(site: &Site) -> Checked {
    let mut c = site.client();
    for path in ["file", "dir", "link"] {
        let fid = c.at(path)?;
        let before = c.getattr(fid)?.attr;
        // The clocks of file systems tick slowly.
        let mut after = before;
        for _ in 0..1_000_000 {
            c.setattr(fid, SetattrBody { valid: SetattrMask::CTIME, ..nothing() })?;
            after = c.getattr(fid)?.attr;
            if ctime(&after) != ctime(&before) {
                break;
            }
        }
        assert!(ctime(&after) > ctime(&before), "{path}");
        let rest = Stat { ctime_sec: after.ctime_sec, ctime_nsec: after.ctime_nsec, ..before };
        demand_eq!(after, rest, "{path}: nothing else");
    }
    Ok(())
}

/// What the kernel's client sends for chmod, chown, ftruncate, utimes.
fn a_ctime_beside_other_changes_is_no_more(site: &Site) -> Checked {
    let mut c = site.client();
    let fid = c.open_at("file", OpenBits::RDWR)?;
    c.setattr(fid, SetattrBody { valid: SetattrMask(0x41), ..mode(0o4600) })?;
    demand_eq!(c.getattr(fid)?.attr.mode, 0o104_600);
    c.setattr(fid, SetattrBody { valid: SetattrMask::CTIME, ..nothing() })?;
    demand_eq!(c.getattr(fid)?.attr.mode, 0o104_600, "set-id bits stay when only ctime moves");
    c.setattr(fid, SetattrBody { valid: SetattrMask(0x46), ..nothing() })?;
    c.setattr(fid, SetattrBody { valid: SetattrMask(0x68), ..size(2) })?;
    demand_eq!(c.getattr(fid)?.attr.size, 2);
    c.setattr(fid, SetattrBody { valid: SetattrMask(0x1f0), ..times((5, 6), (7, 8)) })?;
    let attr = c.getattr(fid)?.attr;
    demand_eq!((atime(&attr), mtime(&attr)), ((5, 6), (7, 8)));
    Ok(())
}

fn nothing_to_change_is_no_change(site: &Site) -> Checked {
    let mut c = site.client();
    for path in ["file", "dir", "link"] {
        let fid = c.at(path)?;
        let before = c.getattr(fid)?;
        c.setattr(fid, nothing())?;
        // Bits without a meaning are dropped.
        let all = SetattrBody { mode: 0o7777, size: 3, uid: PeerUid(9), ..times((1, 1), (1, 1)) };
        c.setattr(fid, SetattrBody { valid: SetattrMask(0xffff_fe00), ..all })?;
        demand_eq!(c.getattr(fid)?, before, "{path}");
    }
    Ok(())
}

fn a_removed_file_can_be_changed(site: &Site) -> Checked {
    let mut c = site.client();
    let (unopened, opened) = (c.at("file")?, c.open_at("file", OpenBits::RDWR)?);
    c.unlink(ROOT, "file")?;
    for (fid, len) in [(unopened, 3), (opened, 2)] {
        c.setattr(fid, size(len))?;
        c.setattr(fid, mode(0o600))?;
        c.setattr(fid, times((1, 2), (3, 4)))?;
        let attr = c.getattr(fid)?.attr;
        demand_eq!((attr.size, attr.mode, attr.nlink, mtime(&attr)), (len, 0o100_600, 0, (3, 4)));
    }
    c.call(Tsetattrclunk { fid: unopened, setattr: size(1) })?;
    demand_eq!(c.getattr(opened)?.attr.size, 1);
    Ok(())
}

fn setattrclunk_changes_and_clunks(site: &Site) -> Checked {
    let mut c = site.client();
    let watch = c.at("file")?;
    let go = |c: &mut Client, fid, setattr| -> Result<()> {
        let changed = c.call(Tsetattrclunk { fid, setattr }).map(drop);
        demand_eq!(c.clunk(fid), Err(Errno::EBADF), "clunked, whatever happened");
        changed
    };
    let fid = c.at("file")?;
    go(&mut c, fid, mode(0o600))?;
    let fid = c.open_at("file", OpenBits::RDWR)?;
    go(&mut c, fid, size(3))?;
    let fid = c.at("file")?;
    go(&mut c, fid, nothing())?;
    demand_eq!((c.getattr(watch)?.attr.mode, c.getattr(watch)?.attr.size), (0o100_600, 3));
    let (dir, file, link) = (c.at("dir")?, c.at("file")?, c.at("link")?);
    demand_eq!(go(&mut c, dir, size(3)), Err(Errno::EINVAL));
    demand_eq!(go(&mut c, file, times((1, 1 << 40), (1, 1))), Err(Errno::EINVAL));
    demand_eq!(go(&mut c, link, mode(0)), Err(Errno::EOPNOTSUPP));
    Ok(())
}

fn statfs_tells_of_the_file_system(site: &Site) -> Checked {
    let mut c = site.client();
    for path in ["", "file", "dir/sub", "link"] {
        let fid = c.at(path)?;
        let stat = c.call(Tstatfs { fid })?.statfs().stat;
        assert!(stat.bsize > 0 && stat.kind > 0, "{stat:?}");
        assert!(stat.bfree <= stat.blocks && stat.bavail <= stat.blocks, "{stat:?}");
        assert!(stat.ffree <= stat.files, "{stat:?}");
        demand_eq!(stat.namelen, 255);
    }
    Ok(())
}

fn readlink_tells_the_target(site: &Site) -> Checked {
    let mut c = site.client();
    let long = "t/".repeat(2047);
    for (at, target) in
        [("a", "/etc/passwd"), ("b", "../.."), ("c", "."), ("d", "missing"), ("e", &long), ("f", "a b\n")]
    {
        let qid = c.symlink(ROOT, at, target)?;
        let fid = c.at(at)?;
        demand_eq!(c.readlink(fid)?, target.as_bytes());
        demand_eq!((c.getattr(fid)?.qid, c.getattr(fid)?.attr.size), (qid, target.len() as u64));
    }
    let odd = gofer_wire::Str::new(b"\xff\xfe/").unwrap_or_default();
    c.call_raw(16, &body!(ROOT, text("odd"), odd, PeerGid::NONE))?;
    let fid = c.at("odd")?;
    demand_eq!(c.readlink(fid)?, b"\xff\xfe/");
    Ok(())
}

fn only_a_link_that_is_there_has_a_target(site: &Site) -> Checked {
    let mut c = site.client();
    for path in ["", "file", "dir"] {
        let fid = c.at(path)?;
        demand_eq!(c.readlink(fid), Err(Errno::EINVAL), "{path}");
    }
    if !is_exact() {
        return Ok(());
    }
    let fid = c.at("link")?;
    c.unlink(ROOT, "link")?;
    demand_eq!(c.readlink(fid), Err(Errno::EINVAL));
    c.getattr(fid)?;
    Ok(())
}

family! {
    "attr";
    cases:
        all_kinds_have_attributes
        attributes_are_the_hosts
        links_are_counted
        a_mode_is_set_as_asked
        a_size_is_set_as_asked
        times_are_set_as_asked
        each_time_is_set_alone
        an_owner_is_set_as_asked
        a_removed_file_can_be_changed
        setattrclunk_changes_and_clunks
        statfs_tells_of_the_file_system
        readlink_tells_the_target
        only_a_link_that_is_there_has_a_target;
    ours:
        the_mask_asks_for_nothing_in_particular
        a_device_has_its_number
        what_is_no_time_is_einval
        all_at_once_ends_as_asked
        a_part_that_fails_does_not_stop_the_rest
        changes_move_ctime
        a_ctime_beside_other_changes_is_no_more
        nothing_to_change_is_no_change;
    promises:
        getattr: EBADF;
        setattr: EBADF EINVAL EOPNOTSUPP EPERM EROFS;
        setattrclunk: EBADF EINVAL EOPNOTSUPP EROFS;
        statfs: EBADF;
        readlink: EBADF EINVAL;
}
