//! mkdir, mknod, symlink and their u forms; link, rename, renameat, unlinkat, remove, bind.

use gofer_vfs::{
    Attr, Backend, Errno, FileKind, Name, NameBuf, PeerGid, PeerUid, RenameFlags, Result, Special, Unlink,
};
use gofer_wire::p9::{
    self, Qid, Rbind, Rlink, Rmkdir, Rmknod, Rremove, Rrename, Rrenameat, Rsymlink, Rumkdir, Rumknod,
    Runlinkat, Rusymlink, Tbind, Tlink, Tmkdir, Tmknod, Tremove, Trename, Trenameat, Tsymlink, Tumkdir,
    Tumknod, Tunlinkat, Tusymlink, Version,
};

use super::fids::{Entry, Fid, Place};
use super::{Cx, Session};

impl<B: Backend> Session<B> {
    pub(super) fn mkdir(&self, t: Tmkdir<'_>, cx: Cx<'_>) -> Result<Rmkdir> {
        let qid = self.make_dir(t.dfid, t.name, t.mode, (PeerUid::NONE, t.gid), cx.version)?;
        Ok(Rmkdir { qid })
    }

    pub(super) fn umkdir(&self, t: Tumkdir<'_>, cx: Cx<'_>) -> Result<Rumkdir> {
        let qid = self.make_dir(t.dfid, t.name, t.mode, (t.uid, t.gid), cx.version)?;
        Ok(Rumkdir { qid })
    }

    fn make_dir(
        &self,
        dfid: p9::Fid,
        name: Name<'_>,
        mode: u32,
        (uid, gid): (PeerUid, PeerGid),
        version: Version,
    ) -> Result<Qid> {
        let dir = self.dir(dfid, version)?;
        let owner = self.owner(&dir.place, uid, gid);
        let made = self.backend(&dir.place).mkdir(&dir.place.node, name, mode & 0o7777, owner);
        self.made(&dir, version, made)
    }

    pub(super) fn mknod(&self, t: Tmknod<'_>, cx: Cx<'_>) -> Result<Rmknod> {
        let node = Node { mode: t.mode, device: (t.major, t.minor) };
        let qid = self.make_node(t.dfid, t.name, node, (PeerUid::NONE, t.gid), cx.version)?;
        Ok(Rmknod { qid })
    }

    pub(super) fn umknod(&self, t: Tumknod<'_>, cx: Cx<'_>) -> Result<Rumknod> {
        let node = Node { mode: t.mode, device: (t.major, t.minor) };
        let qid = self.make_node(t.dfid, t.name, node, (t.uid, t.gid), cx.version)?;
        Ok(Rumknod { qid })
    }

    fn make_node(
        &self,
        dfid: p9::Fid,
        name: Name<'_>,
        node: Node,
        (uid, gid): (PeerUid, PeerGid),
        version: Version,
    ) -> Result<Qid> {
        let dir = self.dir(dfid, version)?;
        let what = node.special(version, self.policy(&dir.place).devices)?;
        let owner = self.owner(&dir.place, uid, gid);
        let made = self.backend(&dir.place).mknod(&dir.place.node, name, what, node.mode & 0o7777, owner);
        self.made(&dir, version, made)
    }

    pub(super) fn symlink(&self, t: Tsymlink<'_>, cx: Cx<'_>) -> Result<Rsymlink> {
        let qid =
            self.make_symlink(t.dfid, t.name, t.target.as_bytes(), (PeerUid::NONE, t.gid), cx.version)?;
        Ok(Rsymlink { qid })
    }

    pub(super) fn usymlink(&self, t: Tusymlink<'_>, cx: Cx<'_>) -> Result<Rusymlink> {
        let qid = self.make_symlink(t.dfid, t.name, t.target.as_bytes(), (t.uid, t.gid), cx.version)?;
        Ok(Rusymlink { qid })
    }

    fn make_symlink(
        &self,
        dfid: p9::Fid,
        name: Name<'_>,
        target: &[u8],
        (uid, gid): (PeerUid, PeerGid),
        version: Version,
    ) -> Result<Qid> {
        let dir = self.dir(dfid, version)?;
        let owner = self.owner(&dir.place, uid, gid);
        let made = self.backend(&dir.place).symlink(&dir.place.node, name, target, owner);
        self.made(&dir, version, made)
    }

    fn made(&self, dir: &Fid<B>, version: Version, made: Result<(B::Node, Attr)>) -> Result<Qid> {
        let (_, attr) = self.in_dir(&dir.place, version, made)?;
        self.exports.qid(dir.place.export, attr.id, attr.kind)
    }

    pub(super) fn link(&self, t: Tlink<'_>, cx: Cx<'_>) -> Result<Rlink> {
        let (dir, file) = (self.fids.get(t.dfid)?, self.fids.get(t.fid)?);
        dir.check_dir(cx.version)?;
        if file.place.export != dir.place.export {
            return Err(Errno::EXDEV);
        }
        let linked = self.backend(&dir.place).link(&file.place.node, &dir.place.node, t.name);
        self.in_dir(&dir.place, cx.version, linked)?;
        Ok(Rlink)
    }

    pub(super) fn renameat(&self, t: Trenameat<'_>, cx: Cx<'_>) -> Result<Rrenameat> {
        let (old_dir, new_dir) = (self.fids.get(t.olddirfid)?, self.fids.get(t.newdirfid)?);
        old_dir.check_dir(cx.version)?;
        new_dir.check_dir(cx.version)?;
        if old_dir.place.export != new_dir.place.export {
            return Err(Errno::EXDEV);
        }
        let (from, to) = (&old_dir.place.node, &new_dir.place.node);
        let moved = self.backend(&old_dir.place).rename(from, t.oldname, to, t.newname, RenameFlags::Replace);
        let moved = self.in_dir(&old_dir.place, cx.version, moved);
        self.in_dir(&new_dir.place, cx.version, moved)?;
        Ok(Rrenameat)
    }

    /// Moves the file that a fid stands for, wherever it was found.
    pub(super) fn rename(&self, t: Trename<'_>, cx: Cx<'_>) -> Result<Rrename> {
        let (file, dir) = (self.fids.get(t.fid)?, self.fids.get(t.dfid)?);
        let (from, name) = self.checked_link(&file.place)?;
        if dir.place.kind != FileKind::Directory {
            return Err(Errno::EINVAL);
        }
        if file.place.export != dir.place.export {
            return Err(Errno::EXDEV);
        }
        let (backend, to) = (self.backend(&file.place), &dir.place.node);
        let moved = backend.rename(&from, name.as_name(), to, t.name, RenameFlags::Replace);
        self.in_dir(&dir.place, cx.version, moved)?;
        backend.moved(&file.place.node, to, t.name);
        Ok(Rrename)
    }

    pub(super) fn unlinkat(&self, t: Tunlinkat<'_>, cx: Cx<'_>) -> Result<Runlinkat> {
        let dir = self.dir(t.dfid, cx.version)?;
        let what = match t.flags {
            0 => Unlink::File,
            Tunlinkat::AT_REMOVEDIR => Unlink::Directory,
            _ => return Err(Errno::EINVAL),
        };
        let removed = self.backend(&dir.place).unlink(&dir.place.node, t.name, what);
        self.in_dir(&dir.place, cx.version, removed)?;
        Ok(Runlinkat)
    }

    /// Removes the file that a fid stands for, wherever it was found. The fid is clunked whatever happens.
    pub(super) fn remove(&self, t: Tremove, _: Cx<'_>) -> Result<Rremove> {
        let entry = self.fids.remove(t.fid)?;
        match &entry {
            Entry::Walked(place) => self.remove_file(place)?,
            Entry::Opened(file) => self.remove_file(&file.place)?,
            // What was to be written to it is dropped with it.
            Entry::Xattr(_) => return Err(Errno::EINVAL),
        }
        Ok(Rremove)
    }

    fn remove_file(&self, file: &Place<B>) -> Result<()> {
        let (dir, name) = self.checked_link(file)?;
        let what = if file.kind == FileKind::Directory { Unlink::Directory } else { Unlink::File };
        self.backend(file).unlink(&dir, name.as_name(), what)
    }

    /// Where a fid was found, if the same file is still there.
    ///
    /// # Errors
    /// `EINVAL` for what was attached and for what has lost its last name, `ENOENT` when the name now stands
    /// for nothing or for another file.
    fn checked_link(&self, file: &Place<B>) -> Result<(B::Node, NameBuf)> {
        let backend = self.backend(file);
        let found = if file.is_root { None } else { backend.found_at(&file.node) };
        let (dir, name) = found.ok_or(Errno::EINVAL)?;
        let same = match backend.lookup(&dir, name.as_name()) {
            Ok(attr) => attr.id == backend.id(&file.node),
            Err(Errno::ENOENT) => false,
            Err(errno) => return Err(errno),
        };
        if same {
            Ok((dir, name))
        } else if self.is_removed(file)? {
            Err(Errno::EINVAL)
        } else {
            Err(Errno::ENOENT)
        }
    }

    /// No version that has this message can be agreed on.
    pub(super) fn bind(&self, _: Tbind<'_>, _: Cx<'_>) -> Result<Rbind> {
        Err(Errno::EOPNOTSUPP)
    }
}

/// A node to make: its kind in the type bits of the mode, and the numbers of a device.
#[derive(Clone, Copy)]
struct Node {
    mode: u32,
    device: (u32, u32),
}

impl Node {
    /// What that is for the backend. Without type bits it is a regular file (`mknod(2)`). A Google client
    /// may make nothing else, any other what has no life of its own, and devices where the operator says so.
    fn special(&self, version: Version, devices: bool) -> Result<Special> {
        const TYPE: u32 = 0o170_000;
        let (major, minor) = self.device;
        let what = match FileKind::of_mode(self.mode) {
            Some(FileKind::Regular) => Special::Regular,
            None if self.mode & TYPE == 0 => Special::Regular,
            Some(FileKind::Fifo) => Special::Fifo,
            Some(FileKind::Socket) => Special::Socket,
            Some(FileKind::CharDevice) if devices => Special::CharDevice(major, minor),
            Some(FileKind::BlockDevice) if devices => Special::BlockDevice(major, minor),
            Some(FileKind::Directory | FileKind::Symlink | FileKind::CharDevice | FileKind::BlockDevice) => {
                return Err(Errno::EPERM);
            }
            None => return Err(Errno::EINVAL),
        };
        if version.is_google() && what != Special::Regular { Err(Errno::EPERM) } else { Ok(what) }
    }
}
