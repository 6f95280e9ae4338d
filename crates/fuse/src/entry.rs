//! mkdir, mknod, symlink, link, rename, unlink, and who owns what is made.

use std::ffi::OsStr;

use fuser::{FileAttr, INodeNo, RenameFlags as Asked, Request};
use gofer_vfs::{
    Backend, Errno, FileKind, Name, Owner, PeerGid, PeerUid, RenameFlags, Result, Special, Unlink,
    XattrPolicy,
};

use crate::Served;
use crate::inodes::Inode;
use crate::walk::name;
use crate::xattr::DEFAULT_ACL;

/// Who makes something, and with which mode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maker {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
    pub(crate) umask: u32,
}

impl Maker {
    pub(crate) fn new(request: &Request, mode: u32, umask: u32) -> Self {
        Self { uid: request.uid(), gid: request.gid(), mode, umask }
    }
}

impl<B: Backend> Served<B> {
    /// The owner of what is made in a directory. The group is left to the host where the directory hands down its
    /// own.
    pub(crate) fn owner(&self, dir: &Inode<B>, maker: Maker) -> Owner {
        let owner = self.options.ids.owner(PeerUid(maker.uid), PeerGid(maker.gid));
        match dir.heritage() {
            Some(gid) => Owner { gid: owner.gid.map(|_| gid), ..owner },
            None => owner,
        }
    }

    /// The mode of what is made in a directory: a default access control list takes the place of the umask.
    pub(crate) fn perm(&self, dir: &Inode<B>, maker: Maker) -> u32 {
        let mode = maker.mode & 0o7777;
        if mode & maker.umask & 0o777 == 0 {
            return mode;
        }
        let listed = XattrPolicy::All.admit(DEFAULT_ACL);
        let has_list =
            listed.is_ok_and(|list| self.backend.getxattr(&dir.node(), list, &mut Vec::new()).is_ok());
        if has_list { mode } else { mode & !maker.umask }
    }

    pub(crate) fn mkdir(&self, dir: INodeNo, child: &OsStr, maker: Maker) -> Result<FileAttr> {
        let (dir, child) = (self.inodes.named(dir)?, name(child)?);
        let mut perm = self.perm(&dir, maker);
        if dir.heritage().is_some() {
            perm |= 0o2000;
        }
        let (node, attr) = self.backend.mkdir(&dir.node(), child, perm, self.owner(&dir, maker))?;
        self.entry(&dir, child, node, &attr)
    }

    pub(crate) fn mknod(&self, dir: INodeNo, child: &OsStr, maker: Maker, rdev: u32) -> Result<FileAttr> {
        let (dir, child) = (self.inodes.named(dir)?, name(child)?);
        let (major, minor) = device(rdev);
        let what = match FileKind::of_mode(maker.mode).ok_or(Errno::EINVAL)? {
            FileKind::Regular => Special::Regular,
            FileKind::Fifo => Special::Fifo,
            FileKind::Socket => Special::Socket,
            FileKind::CharDevice | FileKind::BlockDevice if !self.options.devices => {
                return Err(Errno::EPERM);
            }
            FileKind::CharDevice => Special::CharDevice(major, minor),
            FileKind::BlockDevice => Special::BlockDevice(major, minor),
            FileKind::Directory | FileKind::Symlink => return Err(Errno::EINVAL),
        };
        let (perm, owner) = (self.perm(&dir, maker), self.owner(&dir, maker));
        let (node, attr) = self.backend.mknod(&dir.node(), child, what, perm, owner)?;
        self.entry(&dir, child, node, &attr)
    }

    pub(crate) fn symlink(
        &self,
        dir: INodeNo,
        child: &OsStr,
        target: &[u8],
        maker: Maker,
    ) -> Result<FileAttr> {
        let (dir, child) = (self.inodes.named(dir)?, name(child)?);
        let (node, attr) = self.backend.symlink(&dir.node(), child, target, self.owner(&dir, maker))?;
        self.entry(&dir, child, node, &attr)
    }

    pub(crate) fn link(&self, nodeid: INodeNo, dir: INodeNo, child: &OsStr) -> Result<FileAttr> {
        let (inode, dir, child) = (self.inodes.named(nodeid)?, self.inodes.named(dir)?, name(child)?);
        self.backend.link(&inode.node(), &dir.node(), child)?;
        // The kernel holds it already, and is told the same inode; a walk to the new name could lead elsewhere.
        let attr = self.backend.getattr(&inode.node())?;
        self.inodes.hold_again(&inode)?;
        inode.found(dir.nodeid, child);
        Ok(crate::attr::told(inode.nodeid, &attr))
    }

    pub(crate) fn rename(
        &self,
        (old_dir, old): (INodeNo, &OsStr),
        (new_dir, new): (INodeNo, &OsStr),
        asked: Asked,
    ) -> Result<()> {
        let flags = if asked.is_empty() {
            RenameFlags::Replace
        } else if asked == Asked::RENAME_NOREPLACE {
            RenameFlags::NoReplace
        } else if asked == Asked::RENAME_EXCHANGE {
            RenameFlags::Exchange
        } else {
            return Err(Errno::EINVAL);
        };
        let (old_dir, new_dir) = (self.inodes.named(old_dir)?, self.inodes.named(new_dir)?);
        let (old, new) = (name(old)?, name(new)?);
        self.backend.rename(&old_dir.node(), old, &new_dir.node(), new, flags)?;
        self.renamed(&new_dir, new);
        if flags == RenameFlags::Exchange {
            self.renamed(&old_dir, old);
        }
        Ok(())
    }

    /// Notes the new name of what the kernel knows, by which it can be made to forget it.
    fn renamed(&self, dir: &Inode<B>, name: Name<'_>) {
        let number = self.backend.lookup(&dir.node(), name).and_then(|attr| self.inodes.number(attr.id));
        if let Ok(inode) = number.and_then(|number| self.inodes.named(INodeNo(number))) {
            inode.found(dir.nodeid, name);
        }
    }

    pub(crate) fn unlink(&self, dir: INodeNo, child: &OsStr, what: Unlink) -> Result<()> {
        self.backend.unlink(&self.inodes.named(dir)?.node(), name(child)?, what)
    }
}

/// Major and minor number in the kernel's encoding (`new_decode_dev`).
fn device(rdev: u32) -> (u32, u32) {
    ((rdev & 0xf_ff00) >> 8, (rdev & 0xff) | ((rdev >> 12) & 0xf_ff00))
}
