//! FStat, SetStat, FStatFS, ReadLinkAt.

use std::sync::atomic::Ordering;

use gofer_vfs::{
    Attr, Errno, FileId, FileKind, Gid, PeerGid, PeerUid, Result, SetAttr, SetTime, StatFs, Time, Uid,
};
use gofer_wire::lisafs::{
    self, FStatFsReq, FStatReq, FdId, ReadLinkAtReq, ReadLinkAtResp, SetStatReq, SetStatResp, Statx,
    Timespec, Timestamp,
};

use super::{Client, File, Node};
use crate::emulated::{settable, without_set_id};

impl Client {
    pub(crate) fn getattr(&self, node: &Node) -> Result<Attr> {
        let attr = self.getattr_fd(node.fd())?;
        // A file does not change its kind.
        if attr.kind == node.kind { Ok(Attr { id: node.id, ..attr }) } else { Err(Errno::EIO) }
    }

    /// The attributes of what a number stands for.
    pub(crate) fn getattr_fd(&self, fd: FdId) -> Result<Attr> {
        let answer = self.rpc.call(&FStatReq { fd })?;
        self.attr(&answer.body()?)
    }

    /// Which file has these numbers.
    pub(crate) fn file_id(&self, major: u32, minor: u32, ino: u64) -> FileId {
        id(self.number, major, minor, ino)
    }

    pub(crate) fn attr(&self, stat: &Statx) -> Result<Attr> {
        attr(self.number, stat)
    }

    pub(crate) fn setattr(&self, node: &Node, _: Option<&File>, set: &SetAttr) -> Result<()> {
        let (mut set, refused) = settable(node.kind, set);
        if set == (SetAttr { ctime: true, ..SetAttr::default() }) {
            // Of all that moves it, a time that is what it was does least where somebody else changes it meanwhile.
            set.atime = Some(SetTime::At(self.getattr(node)?.atime));
        }
        let done = self.set(node.fd(), &set);
        if set.perm.is_some_and(|perm| without_set_id(perm) != perm) {
            self.set_id_epoch.fetch_add(1, Ordering::AcqRel);
        }
        done.and(refused)
    }

    pub(crate) fn set(&self, fd: FdId, set: &SetAttr) -> Result<()> {
        let request = request(fd, set);
        if request.mask == 0 {
            return Ok(());
        }
        let answer = self.rpc.call(&request)?;
        let SetStatResp { failed, errno } = answer.body()?;
        if failed == 0 { Ok(()) } else { Err(crate::rpc::errno(errno)) }
    }

    pub(crate) fn statfs(&self, node: &Node) -> Result<StatFs> {
        let answer = self.rpc.call(&FStatFsReq { fd: node.fd() })?;
        let stat: lisafs::StatFs = answer.body()?;
        let word = |number| u32::try_from(number).map_err(|_| Errno::EIO);
        Ok(StatFs {
            magic: word(stat.kind)?,
            block_size: u32::try_from(stat.block_size).map_err(|_| Errno::EIO)?,
            blocks: stat.blocks,
            blocks_free: stat.blocks_free,
            blocks_available: stat.blocks_available,
            files: stat.files,
            files_free: stat.files_free,
            id: 0,
            name_max: word(stat.name_max)?,
        })
    }

    pub(crate) fn readlink(&self, node: &Node, into: &mut Vec<u8>) -> Result<()> {
        if node.kind != FileKind::Symlink {
            return Err(Errno::EINVAL);
        }
        let answer = self.rpc.call(&ReadLinkAtReq { fd: node.fd() })?;
        let ReadLinkAtResp { target } = answer.body()?;
        if target.as_bytes().is_empty() || target.as_bytes().contains(&0) {
            return Err(Errno::EIO);
        }
        into.extend_from_slice(target.as_bytes());
        Ok(())
    }
}

/// Which file this is. Linux has devices of 32 bits, and the client's number goes above them; any others stay as
/// different as they were.
fn id(client: u64, major: u32, minor: u32, ino: u64) -> FileId {
    FileId { dev: device(major, minor) ^ client.wrapping_shl(32), ino }
}

/// A device number as `makedev(3)` has it.
fn device(major: u32, minor: u32) -> u64 {
    let (major, minor) = (u64::from(major), u64::from(minor));
    (major & 0xFFFF_F000) << 32 | (major & 0xFFF) << 8 | (minor & 0xFFFF_FF00) << 12 | minor & 0xFF
}

/// Attributes as they came, checked.
///
/// # Errors
/// `EIO` without kind, permissions, identity and, for a regular file, size; with a kind that is none, and with a time
/// that is none.
pub(super) fn attr(client: u64, stat: &Statx) -> Result<Attr> {
    const TYPE: u32 = 0x1;
    const NLINK: u32 = 0x4;
    const CTIME: u32 = 0x80;
    const INO: u32 = 0x100;
    const NEEDED: u32 = TYPE | SetStatReq::MODE | INO;
    let has = |bits| stat.mask & bits == bits;
    let kind = FileKind::of_mode(stat.mode.into()).ok_or(Errno::EIO)?;
    if !has(NEEDED) || (kind == FileKind::Regular && !has(SetStatReq::SIZE)) {
        return Err(Errno::EIO);
    }
    let time = |bit, Timestamp { sec, nsec, .. }: Timestamp| match has(bit) {
        false => Ok(None),
        true => Time::new(sec, nsec).map(Some).map_err(|_| Errno::EIO),
    };
    Ok(Attr {
        id: id(client, stat.dev_major, stat.dev_minor, stat.ino),
        kind,
        perm: u32::from(stat.mode) & 0o7777,
        uid: Uid(stat.uid.0),
        gid: Gid(stat.gid.0),
        nlink: if has(NLINK) { stat.nlink.into() } else { 1 },
        rdev: device(stat.rdev_major, stat.rdev_minor),
        size: stat.size,
        blksize: stat.blksize.into(),
        blocks: stat.blocks,
        atime: time(SetStatReq::ATIME, stat.atime)?.unwrap_or_default(),
        mtime: time(SetStatReq::MTIME, stat.mtime)?.unwrap_or_default(),
        ctime: time(CTIME, stat.ctime)?.unwrap_or_default(),
        btime: time(Statx::BTIME, stat.btime)?,
    })
}

fn request(fd: FdId, set: &SetAttr) -> SetStatReq {
    let mut mask = 0;
    let mut mark = |set: bool, bit| {
        if set {
            mask |= bit;
        }
    };
    mark(set.perm.is_some(), SetStatReq::MODE);
    mark(set.uid.is_some(), SetStatReq::UID);
    mark(set.gid.is_some(), SetStatReq::GID);
    mark(set.size.is_some(), SetStatReq::SIZE);
    mark(set.atime.is_some(), SetStatReq::ATIME);
    mark(set.mtime.is_some(), SetStatReq::MTIME);
    SetStatReq {
        fd,
        mask,
        mode: set.perm.unwrap_or(0) & 0o7777,
        uid: set.uid.map_or(PeerUid::NONE, |uid| PeerUid(uid.0)),
        gid: set.gid.map_or(PeerGid::NONE, |gid| PeerGid(gid.0)),
        size: set.size.unwrap_or(0),
        atime: timespec(set.atime),
        mtime: timespec(set.mtime),
    }
}

fn timespec(time: Option<SetTime>) -> Timespec {
    match time {
        Some(SetTime::At(time)) => Timespec { sec: time.sec(), nsec: time.nsec().into() },
        Some(SetTime::Now) => Timespec { sec: 0, nsec: Timespec::NOW },
        None => Timespec { sec: 0, nsec: Timespec::OMIT },
    }
}
