//! getattr, setattr, statfs, readlink.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileHandle, FileType, INodeNo, TimeOrNow};
use gofer_vfs::{
    Attr, Backend, Errno, FileId, FileKind, PeerGid, PeerUid, Result, SetAttr, SetTime, StatFs, Time,
};

use crate::Served;

/// What the kernel asks to be changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) size: Option<u64>,
    pub(crate) atime: Option<TimeOrNow>,
    pub(crate) mtime: Option<TimeOrNow>,
    /// Who asks is not the superuser.
    pub(crate) ordinary: bool,
}

impl<B: Backend> Served<B> {
    pub(crate) fn getattr(&self, nodeid: INodeNo) -> Result<FileAttr> {
        let inode = self.inodes.named(nodeid)?;
        let attr = self.backend.getattr(&inode.node())?;
        inode.saw(&attr);
        Ok(told(INodeNo(inode.number), &attr))
    }

    pub(crate) fn setattr(
        &self,
        nodeid: INodeNo,
        file: Option<FileHandle>,
        change: Change,
    ) -> Result<FileAttr> {
        let inode = self.inodes.named(nodeid)?;
        let handle = file.and_then(|file| self.handles.named(file).ok());
        let ids = self.options.ids;
        let mut set = SetAttr {
            perm: change.mode.map(|mode| mode & 0o7777),
            uid: change.uid.and_then(|uid| ids.uid(PeerUid(uid))),
            gid: change.gid.and_then(|gid| ids.gid(PeerGid(gid))),
            size: change.size,
            atime: change.atime.map(set_time).transpose()?,
            // A change of size moves it. A kernel that collects writes says the time, too, which only an owner may.
            mtime: change.mtime.filter(|_| change.size.is_none()).map(set_time).transpose()?,
            ctime: false,
        };
        // A change of size by an ordinary user takes set-id bits away, which the kernel leaves to us.
        if set.size.is_some() && set.perm.is_none() && change.ordinary {
            let perm = self.backend.getattr(&inode.node())?.perm;
            set.perm = Some(perm & !set_id_bits(perm)).filter(|kept| *kept != perm);
        }
        if !set.is_empty() {
            self.backend.setattr(&inode.node(), handle.as_ref().map(|handle| &handle.file), &set)?;
        }
        self.getattr(nodeid)
    }

    pub(crate) fn statfs(&self, nodeid: INodeNo) -> Result<StatFs> {
        self.backend.statfs(&self.inodes.named(nodeid)?.node())
    }

    pub(crate) fn readlink(&self, nodeid: INodeNo, into: &mut Vec<u8>) -> Result<()> {
        self.backend.readlink(&self.inodes.named(nodeid)?.node(), into)
    }
}

/// The bits that would let others act as the file's owner or group (`inode(7)`).
fn set_id_bits(perm: u32) -> u32 {
    let group = if perm & 0o010 != 0 { 0o2000 } else { 0 };
    perm & (0o4000 | group)
}

/// The attributes as the kernel is told them.
pub(crate) fn told(ino: INodeNo, attr: &Attr) -> FileAttr {
    FileAttr {
        ino,
        size: attr.size,
        blocks: attr.blocks,
        atime: system_time(attr.atime),
        mtime: system_time(attr.mtime),
        ctime: system_time(attr.ctime),
        crtime: UNIX_EPOCH,
        kind: file_type(attr.kind),
        // Twelve bits.
        perm: u16::try_from(attr.perm & 0o7777).unwrap_or_default(),
        nlink: u32::try_from(attr.nlink).unwrap_or(u32::MAX),
        uid: attr.uid.0,
        gid: attr.gid.0,
        // The kernel's own encoding is the low half of `makedev(3)`, which has all of the numbers it knows.
        rdev: u32::try_from(attr.rdev & u64::from(u32::MAX)).unwrap_or_default(),
        blksize: u32::try_from(attr.blksize).unwrap_or(4096),
        flags: 0,
    }
}

/// What stands for a file that does not exist.
pub(crate) fn nothing() -> FileAttr {
    let (id, time) = (FileId { dev: 0, ino: 0 }, Time::default());
    let attr = Attr {
        id,
        kind: FileKind::Regular,
        perm: 0,
        uid: gofer_vfs::Uid(0),
        gid: gofer_vfs::Gid(0),
        nlink: 0,
        rdev: 0,
        size: 0,
        blksize: 0,
        blocks: 0,
        atime: time,
        mtime: time,
        ctime: time,
        btime: None,
    };
    told(INodeNo(0), &attr)
}

pub(crate) fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::Directory => FileType::Directory,
        FileKind::Regular => FileType::RegularFile,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Socket => FileType::Socket,
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::CharDevice => FileType::CharDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
    }
}

fn system_time(time: Time) -> SystemTime {
    let seconds = Duration::from_secs(time.sec().unsigned_abs());
    let whole =
        if time.sec() < 0 { UNIX_EPOCH.checked_sub(seconds) } else { UNIX_EPOCH.checked_add(seconds) };
    let exact = whole.and_then(|whole| whole.checked_add(Duration::from_nanos(time.nsec().into())));
    exact.unwrap_or(UNIX_EPOCH)
}

fn set_time(time: TimeOrNow) -> Result<SetTime> {
    let TimeOrNow::SpecificTime(time) = time else { return Ok(SetTime::Now) };
    let moment = |sec: Option<i64>, nsec| sec.ok_or(Errno::EOVERFLOW).and_then(|sec| Time::new(sec, nsec));
    Ok(SetTime::At(match time.duration_since(UNIX_EPOCH) {
        Ok(since) => moment(i64::try_from(since.as_secs()).ok(), since.subsec_nanos())?,
        // The kernel sent seconds before 1970 and nanoseconds to be added; fuser has subtracted both.
        Err(before) => {
            let before = before.duration();
            moment(0i64.checked_sub_unsigned(before.as_secs()), before.subsec_nanos())?
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_go_both_ways() {
        // As fuser reads -200.25 s: second -201, nanosecond 750,000,000.
        let read = UNIX_EPOCH - Duration::new(201, 750_000_000);
        let time = Time::new(-201, 750_000_000).unwrap();
        assert_eq!(set_time(TimeOrNow::SpecificTime(read)), Ok(SetTime::At(time)));
        assert_eq!(system_time(time), UNIX_EPOCH - Duration::new(200, 250_000_000));
    }
}
