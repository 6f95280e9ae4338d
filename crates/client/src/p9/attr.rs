//! getattr, setattr, statfs, readlink.

use gofer_vfs::{
    Attr, Errno, FileId, FileKind, Gid, PeerGid, PeerUid, Result, SetAttr, SetTime, StatFs, Time, Uid,
};
use gofer_wire::p9::{
    Fid, GetattrMask, Qid, QidKind, Rgetattr, Rreadlink, Rstatfs, SetattrBody, SetattrMask, Stat, Tgetattr,
    Treadlink, Tsetattr, Tstatfs,
};

use crate::emulated::settable;
use crate::{Client, File, Node};

impl Client {
    pub(crate) fn getattr(&self, node: &Node) -> Result<Attr> {
        let attr = self.getattr_fid(node.fid(), node.qid)?;
        // A file does not change its kind.
        if attr.kind == node.kind { Ok(attr) } else { Err(Errno::EIO) }
    }

    /// The attributes of what a fid stands for.
    pub(crate) fn getattr_fid(&self, fid: Fid, qid: Qid) -> Result<Attr> {
        let answer = self.rpc.call(Tgetattr { fid, mask: GetattrMask::ALL })?;
        let Rgetattr { valid, attr, .. } = answer.body()?;
        self.attr(qid, valid, &attr)
    }

    pub(crate) fn attr(&self, qid: Qid, valid: GetattrMask, stat: &Stat) -> Result<Attr> {
        attr(self.number, qid, valid, stat)
    }

    pub(crate) fn id_of(&self, node: &Node) -> FileId {
        self.id(node.qid)
    }

    /// Which file a qid stands for.
    pub(crate) fn id(&self, qid: Qid) -> FileId {
        id(self.number, qid)
    }

    pub(crate) fn setattr(&self, node: &Node, file: Option<&File>, set: &SetAttr) -> Result<()> {
        let fid = file.filter(|file| file.flags.access.writes()).map_or(node.fid(), File::fid);
        let (set, refused) = settable(node.kind, set);
        self.setattr_fid(fid, &set).and(refused)
    }

    pub(crate) fn setattr_fid(&self, fid: Fid, set: &SetAttr) -> Result<()> {
        if set.is_empty() {
            return Ok(());
        }
        self.rpc.call(Tsetattr { fid, setattr: body(set) }).map(drop)
    }

    pub(crate) fn statfs(&self, node: &Node) -> Result<StatFs> {
        let answer = self.rpc.call(Tstatfs { fid: node.fid() })?;
        let Rstatfs { stat } = answer.body()?;
        Ok(StatFs {
            magic: stat.kind,
            block_size: stat.bsize,
            blocks: stat.blocks,
            blocks_free: stat.bfree,
            blocks_available: stat.bavail,
            files: stat.files,
            files_free: stat.ffree,
            id: stat.fsid,
            name_max: stat.namelen,
        })
    }

    pub(crate) fn readlink(&self, node: &Node, into: &mut Vec<u8>) -> Result<()> {
        if node.kind != FileKind::Symlink {
            return Err(Errno::EINVAL);
        }
        let answer = self.rpc.call(Treadlink { fid: node.fid() })?;
        let Rreadlink { target } = answer.body()?;
        if target.as_bytes().is_empty() || target.as_bytes().contains(&0) {
            return Err(Errno::EIO);
        }
        into.extend_from_slice(target.as_bytes());
        Ok(())
    }
}

/// Which file a qid stands for. Our server packs the device into the top byte of the path; any other's bits are
/// as good in two numbers as in one.
fn id(client: u64, qid: Qid) -> FileId {
    const INODE_BITS: u32 = 56;
    let inode = (1 << INODE_BITS) - 1;
    FileId { dev: client.wrapping_shl(8) | (qid.path >> INODE_BITS), ino: qid.path & inode }
}

/// Whether a file of this kind may have this qid.
pub(crate) fn agrees(qid: Qid, kind: FileKind) -> bool {
    qid.kind.contains(QidKind::DIR) == (kind == FileKind::Directory)
        && qid.kind.contains(QidKind::SYMLINK) == (kind == FileKind::Symlink)
}

/// Attributes as they came, checked.
///
/// # Errors
/// `EIO` without kind and size, with a kind that the qid denies, and with a time that is none.
pub(crate) fn attr(client: u64, qid: Qid, valid: GetattrMask, stat: &Stat) -> Result<Attr> {
    let has = |bit| valid.contains(bit);
    let kind = FileKind::of_mode(stat.mode).ok_or(Errno::EIO)?;
    if !has(GetattrMask::MODE | GetattrMask::SIZE) || !agrees(qid, kind) {
        return Err(Errno::EIO);
    }
    let time = |bit, sec: u64, nsec| match has(bit) {
        false => Ok(None),
        true => {
            let nsec = u32::try_from(nsec).map_err(|_| Errno::EIO)?;
            Time::new(sec.cast_signed(), nsec).map(Some).map_err(|_| Errno::EIO)
        }
    };
    Ok(Attr {
        id: id(client, qid),
        kind,
        perm: stat.mode & 0o7777,
        uid: Uid(stat.uid.0),
        gid: Gid(stat.gid.0),
        nlink: if has(GetattrMask::NLINK) { stat.nlink } else { 1 },
        rdev: stat.rdev,
        size: stat.size,
        blksize: stat.blksize,
        blocks: stat.blocks,
        atime: time(GetattrMask::ATIME, stat.atime_sec, stat.atime_nsec)?.unwrap_or_default(),
        mtime: time(GetattrMask::MTIME, stat.mtime_sec, stat.mtime_nsec)?.unwrap_or_default(),
        ctime: time(GetattrMask::CTIME, stat.ctime_sec, stat.ctime_nsec)?.unwrap_or_default(),
        btime: time(GetattrMask::BTIME, stat.btime_sec, stat.btime_nsec)?,
    })
}

fn body(set: &SetAttr) -> SetattrBody {
    let mut valid = SetattrMask(0);
    let mut mark = |set: bool, bit| {
        if set {
            valid = valid | bit;
        }
    };
    let mut time = |time: Option<SetTime>, bit, given| {
        mark(time.is_some(), bit);
        let Some(SetTime::At(time)) = time else { return (0, 0) };
        mark(true, given);
        (time.sec().cast_unsigned(), u64::from(time.nsec()))
    };
    let (atime_sec, atime_nsec) = time(set.atime, SetattrMask::ATIME, SetattrMask::ATIME_SET);
    let (mtime_sec, mtime_nsec) = time(set.mtime, SetattrMask::MTIME, SetattrMask::MTIME_SET);
    mark(set.perm.is_some(), SetattrMask::MODE);
    mark(set.uid.is_some(), SetattrMask::UID);
    mark(set.gid.is_some(), SetattrMask::GID);
    mark(set.size.is_some(), SetattrMask::SIZE);
    mark(set.ctime, SetattrMask::CTIME);
    SetattrBody {
        valid,
        mode: set.perm.unwrap_or(0) & 0o7777,
        uid: set.uid.map_or(PeerUid::NONE, |uid| PeerUid(uid.0)),
        gid: set.gid.map_or(PeerGid::NONE, |gid| PeerGid(gid.0)),
        size: set.size.unwrap_or(0),
        atime_sec,
        atime_nsec,
        mtime_sec,
        mtime_nsec,
    }
}
