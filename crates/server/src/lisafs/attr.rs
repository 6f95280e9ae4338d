//! FStat, SetStat, FStatFS, ReadLinkAt.

use gofer_vfs::{Attr, Backend, Errno, FileKind, IdMap, Result, SetAttr, SetTime, Time};
use gofer_wire::codec::Str;
use gofer_wire::lisafs::{
    FStatFsReq, FStatReq, Pad, ReadLinkAtReq, ReadLinkAtResp, SetStatReq, SetStatResp, StatFs, Statx,
    Timespec, Timestamp,
};

use super::fds::Entry;
use super::{Cx, Session};

impl<B: Backend> Session<B> {
    pub(super) fn fstat(&self, t: FStatReq, _: Cx<'_>) -> Result<Statx> {
        let entry = self.fds.entry(t.fd)?;
        let node = match &entry {
            Entry::Place(place) => &place.node,
            Entry::Open(open) => &open.place.node,
            Entry::Bound(_) => return Err(Errno::EINVAL),
        };
        Ok(statx(&self.backend().getattr(node)?, self.policy().ids))
    }

    /// Changes one attribute after the other, in the order of [`SetAttr`], and says which could not be changed and
    /// why the last of them could not.
    pub(super) fn set_stat(&self, t: SetStatReq, _: Cx<'_>) -> Result<SetStatResp> {
        let place = self.fds.place(t.fd)?;
        if t.mask & !SetStatReq::ALL != 0 {
            return Err(Errno::EPERM);
        }
        let (mut failed, mut last) = (0, 0);
        for (bits, change) in changes(&t, self.policy().ids) {
            let changed = change.and_then(|change| match change {
                SetAttr { size: Some(_), .. } if place.kind == FileKind::Directory => Err(Errno::EISDIR),
                change if change.is_empty() => Ok(()),
                change => self.backend().setattr(&place.node, None, &change),
            });
            if let Err(errno) = changed {
                (failed, last) = (failed | bits & t.mask, errno.on_wire());
            }
        }
        Ok(SetStatResp { failed, errno: last })
    }

    pub(super) fn fstatfs(&self, t: FStatFsReq, _: Cx<'_>) -> Result<StatFs> {
        let place = self.fds.place(t.fd)?;
        let fs = self.backend().statfs(&place.node)?;
        Ok(StatFs {
            kind: fs.magic.into(),
            block_size: fs.block_size.into(),
            blocks: fs.blocks,
            blocks_free: fs.blocks_free,
            blocks_available: fs.blocks_available,
            files: fs.files,
            files_free: fs.files_free,
            name_max: fs.name_max.into(),
        })
    }

    pub(super) fn read_link_at<'b>(&self, t: ReadLinkAtReq, cx: Cx<'b>) -> Result<ReadLinkAtResp<'b>> {
        let place = self.fds.place(t.fd)?;
        if place.kind != FileKind::Symlink || self.is_removed(&place)? {
            return Err(Errno::EINVAL);
        }
        self.backend().readlink(&place.node, cx.scratch)?;
        Ok(ReadLinkAtResp { target: Str::new(cx.scratch).ok_or(Errno::ENAMETOOLONG)? })
    }
}

/// What a request asks to change, each with the bits of the mask that it stands for.
fn changes(t: &SetStatReq, map: IdMap) -> [(u32, Result<SetAttr>); 4] {
    let has = |bit| t.mask & bit != 0;
    let none = SetAttr::default();
    let owner = SetAttr {
        uid: has(SetStatReq::UID).then(|| map.uid(t.uid)).flatten(),
        gid: has(SetStatReq::GID).then(|| map.gid(t.gid)).flatten(),
        ..none
    };
    let size = SetAttr { size: has(SetStatReq::SIZE).then_some(t.size), ..none };
    let perm = SetAttr { perm: has(SetStatReq::MODE).then_some(t.mode & 0o7777), ..none };
    let times = || {
        let time = |bit, at| if has(bit) { set_time(at) } else { Ok(None) };
        let (atime, mtime) = (time(SetStatReq::ATIME, t.atime)?, time(SetStatReq::MTIME, t.mtime)?);
        Ok(SetAttr { atime, mtime, ..none })
    };
    [
        (SetStatReq::UID | SetStatReq::GID, Ok(owner)),
        (SetStatReq::SIZE, Ok(size)),
        (SetStatReq::MODE, Ok(perm)),
        (SetStatReq::ATIME | SetStatReq::MTIME, times()),
    ]
}

/// What a time to set means. `EINVAL` for nanoseconds that are no time and nothing special.
fn set_time(at: Timespec) -> Result<Option<SetTime>> {
    match at.nsec {
        Timespec::NOW => Ok(Some(SetTime::Now)),
        Timespec::OMIT => Ok(None),
        nsec => {
            let nsec = u32::try_from(nsec).map_err(|_| Errno::EINVAL)?;
            Time::new(at.sec, nsec).map(|time| Some(SetTime::At(time)))
        }
    }
}

/// Attributes as they are sent: all the basic ones, and the time of birth where it is known.
pub(super) fn statx(attr: &Attr, map: IdMap) -> Statx {
    let time = |time: Time| Timestamp { sec: time.sec(), nsec: time.nsec(), pad: Pad };
    let narrow = |wide: u64| u32::try_from(wide).unwrap_or(u32::MAX);
    Statx {
        mask: if attr.btime.is_some() { Statx::BASIC | Statx::BTIME } else { Statx::BASIC },
        blksize: narrow(attr.blksize),
        attributes: 0,
        nlink: narrow(attr.nlink),
        uid: map.peer_uid(attr.uid),
        gid: map.peer_gid(attr.gid),
        // Kind and permissions have 16 bits.
        mode: u16::try_from(attr.mode()).unwrap_or_default(),
        pad: Pad,
        ino: attr.id.ino,
        size: attr.size,
        blocks: attr.blocks,
        attributes_mask: 0,
        atime: time(attr.atime),
        btime: time(attr.btime.unwrap_or_default()),
        ctime: time(attr.ctime),
        mtime: time(attr.mtime),
        rdev_major: major(attr.rdev),
        rdev_minor: minor(attr.rdev),
        dev_major: major(attr.id.dev),
        dev_minor: minor(attr.id.dev),
    }
}

/// The major part of a device number (`makedev(3)`): 12 bits from the 8th on, 20 from the 44th on.
pub(super) fn major(dev: u64) -> u32 {
    low(dev >> 32 & 0xFFFF_F000 | dev >> 8 & 0xFFF)
}

/// The minor part: the lowest 8 bits, 24 from the 20th on.
pub(super) fn minor(dev: u64) -> u32 {
    low(dev >> 12 & 0xFFFF_FF00 | dev & 0xFF)
}

/// The lower half of a number.
fn low(wide: u64) -> u32 {
    u32::try_from(wide & u64::from(u32::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_come_apart() {
        for (dev, numbers) in [
            (0, (0, 0)),
            (0xFE01, (254, 1)),
            (0x0010_0801, (8, 0x0000_0101)),
            (0xFFFF_FFFF_FFFF_FFFF, (u32::MAX, u32::MAX)),
            (0xABCD_E000_0000_0000 | 0xF << 8, (0xABCD_E00F, 0)),
        ] {
            assert_eq!((major(dev), minor(dev)), numbers, "{dev:x}");
        }
    }
}
