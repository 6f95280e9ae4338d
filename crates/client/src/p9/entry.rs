//! mkdir, mknod, symlink and their forms with an owner; link, rename, renameat, unlinkat, remove.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gofer_vfs::{Attr, Errno, FileKind, Name, Owner, PeerGid, PeerUid, RenameFlags, Result, Special, Unlink};
use gofer_wire::Str;
use gofer_wire::p9::{
    Fid, Qid, Rmkdir, Rmknod, Rsymlink, Rumkdir, Rumknod, Rusymlink, Tlink, Tmkdir, Tmknod, Tremove, Trename,
    Trenameat, Tsymlink, Tumkdir, Tumknod, Tunlinkat, Tusymlink,
};

use crate::p9::fids::Held;
use crate::{Client, Node};

/// The owner of something new, as a peer names it.
fn ids(owner: Owner) -> (PeerUid, PeerGid) {
    let uid = owner.uid.map_or(PeerUid::NONE, |uid| PeerUid(uid.0));
    (uid, owner.gid.map_or(PeerGid::NONE, |gid| PeerGid(gid.0)))
}

impl Client {
    pub(crate) fn mkdir(&self, dir: &Node, name: Name<'_>, perm: u32, owner: Owner) -> Result<(Node, Attr)> {
        let (dfid, mode, (uid, gid)) = (dir.dir()?, perm & 0o7777, ids(owner));
        let qid = if self.features.has(3) {
            let Rumkdir { qid } = self.rpc.call(Tumkdir { dfid, name, mode, gid, uid })?.body()?;
            qid
        } else {
            let Rmkdir { qid } = self.rpc.call(Tmkdir { dfid, name, mode, gid })?.body()?;
            qid
        };
        self.made(dir, name, qid, owner)
    }

    pub(crate) fn mknod(
        &self,
        dir: &Node,
        name: Name<'_>,
        what: Special,
        perm: u32,
        owner: Owner,
    ) -> Result<(Node, Attr)> {
        let (major, minor) = match what {
            Special::CharDevice(major, minor) | Special::BlockDevice(major, minor) => (major, minor),
            Special::Regular | Special::Fifo | Special::Socket => (0, 0),
        };
        // Linux has 12 and 20 bits.
        if major > 0xFFF || minor > 0xF_FFFF {
            return Err(Errno::EINVAL);
        }
        let (dfid, (uid, gid)) = (dir.dir()?, ids(owner));
        let mode = what.kind().mode() | perm & 0o7777;
        let qid = if self.features.has(3) {
            let Rumknod { qid } =
                self.rpc.call(Tumknod { dfid, name, mode, major, minor, gid, uid })?.body()?;
            qid
        } else {
            let Rmknod { qid } = self.rpc.call(Tmknod { dfid, name, mode, major, minor, gid })?.body()?;
            qid
        };
        self.made(dir, name, qid, owner)
    }

    pub(crate) fn symlink(
        &self,
        dir: &Node,
        name: Name<'_>,
        target: &[u8],
        owner: Owner,
    ) -> Result<(Node, Attr)> {
        match target {
            [] => return Err(Errno::ENOENT),
            target if target.contains(&0) => return Err(Errno::EINVAL),
            _ => {}
        }
        let (dfid, (uid, gid)) = (dir.dir()?, ids(owner));
        let target = Str::new(target).ok_or(Errno::ENAMETOOLONG)?;
        let qid = if self.features.has(3) {
            let Rusymlink { qid } = self.rpc.call(Tusymlink { dfid, name, target, gid, uid })?.body()?;
            qid
        } else {
            let Rsymlink { qid } = self.rpc.call(Tsymlink { dfid, name, target, gid })?.body()?;
            qid
        };
        self.made(dir, name, qid, owner)
    }

    /// The place of something new, with the owner that was asked for.
    fn made(&self, dir: &Node, name: Name<'_>, qid: Qid, owner: Owner) -> Result<(Node, Attr)> {
        let (node, attr) = self.walk_to(dir, name, qid)?;
        let owner = (!self.features.has(3)).then_some(owner);
        let settled = self.settle(&node, attr, owner);
        let attr = settled.inspect_err(|_| self.undo(dir, name, attr.kind))?;
        Ok((node, attr))
    }

    /// Removes what was just made. That it cannot be removed says less than why it has to be.
    fn undo(&self, dir: &Node, name: Name<'_>, kind: FileKind) {
        let what = if kind == FileKind::Directory { Unlink::Directory } else { Unlink::File };
        let _ = self.unlink(dir, name, what);
    }

    pub(crate) fn link(&self, node: &Node, dir: &Node, name: Name<'_>) -> Result<()> {
        node.same_tree(dir)?;
        if node.kind == FileKind::Directory {
            return Err(Errno::EPERM);
        }
        let dfid = dir.dir()?;
        self.rpc.call(Tlink { dfid, fid: node.fid(), name }).map(drop)
    }

    /// `EINVAL` for the flags, which the protocol does not have.
    pub(crate) fn rename(
        &self,
        old_dir: &Node,
        old: Name<'_>,
        new_dir: &Node,
        new: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        old_dir.same_tree(new_dir)?;
        let (olddirfid, newdirfid) = (old_dir.dir()?, new_dir.dir()?);
        if flags != RenameFlags::Replace {
            return Err(Errno::EINVAL);
        }
        let at = || self.rpc.call(Trenameat { olddirfid, oldname: old, newdirfid, newname: new }).map(drop);
        self.or_by_fid(at, || {
            let (node, _) = self.walk(old_dir, old)?;
            self.rpc.call(Trename { fid: node.fid(), dfid: newdirfid, name: new }).map(drop)
        })
    }

    pub(crate) fn unlink(&self, dir: &Node, name: Name<'_>, what: Unlink) -> Result<()> {
        let dfid = dir.dir()?;
        let flags = if what == Unlink::Directory { Tunlinkat::AT_REMOVEDIR } else { 0 };
        self.or_by_fid(
            || self.rpc.call(Tunlinkat { dfid, name, flags }).map(drop),
            || {
                let (node, attr) = self.walk(dir, name)?;
                match (what, attr.kind == FileKind::Directory) {
                    (Unlink::File, true) => Err(Errno::EISDIR),
                    (Unlink::Directory, false) => Err(Errno::ENOTDIR),
                    _ => self.remove(node),
                }
            },
        )
    }

    /// Removes what a fid stands for; the fid goes with it.
    fn remove(&self, node: Node) -> Result<()> {
        let fid: Fid = Arc::into_inner(node.held).map(Held::into_fid).ok_or(Errno::EBUSY)?;
        let removed = self.rpc.call(Tremove { fid }).map(drop);
        self.rpc.released(fid, &removed);
        removed
    }

    /// An operation by names, or by fids where the server has only that.
    fn or_by_fid(&self, at: impl FnOnce() -> Result<()>, by_fid: impl FnOnce() -> Result<()>) -> Result<()> {
        if !self.lacks_at.load(Ordering::Relaxed) {
            match at() {
                Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => self.lacks_at.store(true, Ordering::Relaxed),
                done => return done,
            }
        }
        by_fid()
    }
}
