//! getattr, setattr, setattrclunk, statfs, readlink.

use gofer_vfs::{Attr, Backend, Errno, FileKind, IdMap, Result, SetAttr, SetTime, Time};
use gofer_wire::codec::Str;
use gofer_wire::p9::{
    self, Fsstat, GetattrMask, Rgetattr, Rreadlink, Rsetattr, Rsetattrclunk, Rstatfs, SetattrBody,
    SetattrMask, Stat, Tgetattr, Treadlink, Tsetattr, Tsetattrclunk, Tstatfs,
};

use super::{Cx, Session};

/// The most of a symbolic link's target that a string carries.
const TARGET_MAX: usize = u16::MAX as usize;

impl<B: Backend> Session<B> {
    pub(super) fn getattr(&self, t: Tgetattr, _: Cx<'_>) -> Result<Rgetattr> {
        let fid = self.fids.get(t.fid)?;
        let attr = self.backend(&fid.place).getattr(&fid.place.node)?;
        let map = self.policy(&fid.place).ids;
        Ok(Rgetattr { valid: valid(&attr), qid: self.qid(&fid.place)?, attr: stat(&attr, map) })
    }

    pub(super) fn setattr(&self, t: Tsetattr, _: Cx<'_>) -> Result<Rsetattr> {
        self.change(t.fid, &t.setattr)?;
        Ok(Rsetattr)
    }

    pub(super) fn setattrclunk(&self, t: Tsetattrclunk, _: Cx<'_>) -> Result<Rsetattrclunk> {
        let changed = self.change(t.fid, &t.setattr);
        drop(self.fids.remove(t.fid)?);
        changed.map(|()| Rsetattrclunk)
    }

    fn change(&self, fid: p9::Fid, body: &SetattrBody) -> Result<()> {
        let fid = self.fids.get(fid)?;
        let set = set_attr(body, self.policy(&fid.place).ids)?;
        let file = fid.open().map(|open| &open.file);
        self.backend(&fid.place).setattr(&fid.place.node, file, &set)
    }

    pub(super) fn statfs(&self, t: Tstatfs, _: Cx<'_>) -> Result<Rstatfs> {
        let fid = self.fids.get(t.fid)?;
        let fs = self.backend(&fid.place).statfs(&fid.place.node)?;
        let stat = Fsstat {
            kind: fs.magic,
            bsize: fs.block_size,
            blocks: fs.blocks,
            bfree: fs.blocks_free,
            bavail: fs.blocks_available,
            files: fs.files,
            ffree: fs.files_free,
            fsid: fs.id,
            namelen: fs.name_max,
        };
        Ok(Rstatfs { stat })
    }

    pub(super) fn readlink<'b>(&self, t: Treadlink, cx: Cx<'b>) -> Result<Rreadlink<'b>> {
        let fid = self.fids.get(t.fid)?;
        if fid.place.kind != FileKind::Symlink || self.is_removed(&fid.place)? {
            return Err(Errno::EINVAL);
        }
        self.backend(&fid.place).readlink(&fid.place.node, cx.scratch)?;
        if cx.scratch.len() > TARGET_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let target = Str::new(cx.scratch).ok_or(Errno::ENAMETOOLONG)?;
        Ok(Rreadlink { target })
    }
}

/// Which fields of [`stat`] are true: all the basic ones whatever was asked for, and the time of birth where
/// it is known.
pub(super) fn valid(attr: &Attr) -> GetattrMask {
    if attr.btime.is_some() { GetattrMask::BASIC | GetattrMask::BTIME } else { GetattrMask::BASIC }
}

/// Attributes as they are sent.
pub(super) fn stat(attr: &Attr, map: IdMap) -> Stat {
    let nsec = |time: Time| u64::from(time.nsec());
    let btime = attr.btime.unwrap_or_default();
    Stat {
        mode: attr.mode(),
        uid: map.peer_uid(attr.uid),
        gid: map.peer_gid(attr.gid),
        nlink: attr.nlink,
        rdev: attr.rdev,
        size: attr.size,
        blksize: attr.blksize,
        blocks: attr.blocks,
        atime_sec: attr.atime.sec().cast_unsigned(),
        atime_nsec: nsec(attr.atime),
        mtime_sec: attr.mtime.sec().cast_unsigned(),
        mtime_nsec: nsec(attr.mtime),
        ctime_sec: attr.ctime.sec().cast_unsigned(),
        ctime_nsec: nsec(attr.ctime),
        btime_sec: btime.sec().cast_unsigned(),
        btime_nsec: nsec(btime),
        generation: 0,
        data_version: 0,
    }
}

/// What a setattr asks for. Bits without a meaning are dropped; a time that is no time is `EINVAL`.
fn set_attr(body: &SetattrBody, map: IdMap) -> Result<SetAttr> {
    let has = |bit| body.valid.contains(bit);
    let time = |set, given, sec: u64, nsec| match (has(set), has(given)) {
        (false, _) => Ok(None),
        (true, false) => Ok(Some(SetTime::Now)),
        (true, true) => {
            let nsec = u32::try_from(nsec).map_err(|_| Errno::EINVAL)?;
            Time::new(sec.cast_signed(), nsec).map(|time| Some(SetTime::At(time)))
        }
    };
    Ok(SetAttr {
        perm: has(SetattrMask::MODE).then_some(body.mode & 0o7777),
        uid: has(SetattrMask::UID).then(|| map.uid(body.uid)).flatten(),
        gid: has(SetattrMask::GID).then(|| map.gid(body.gid)).flatten(),
        size: has(SetattrMask::SIZE).then_some(body.size),
        atime: time(SetattrMask::ATIME, SetattrMask::ATIME_SET, body.atime_sec, body.atime_nsec)?,
        mtime: time(SetattrMask::MTIME, SetattrMask::MTIME_SET, body.mtime_sec, body.mtime_nsec)?,
        ctime: has(SetattrMask::CTIME),
    })
}
