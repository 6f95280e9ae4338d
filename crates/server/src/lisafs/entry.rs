//! MkdirAt, MknodAt, SymlinkAt, LinkAt, UnlinkAt, RenameAt, RenameAt2.

use gofer_vfs::{Attr, Backend, Errno, FileKind, Name, Owner, RenameFlags, Result, Special, Unlink};
use gofer_wire::lisafs::{
    Create, Done, FdId, Inode, LinkAtReq, MkdirAtReq, MknodAtReq, RenameAt2Req, RenameAtReq, SymlinkAtReq,
    UnlinkAtReq,
};

use super::attr::statx;
use super::fds::{Entry, Numbers, Place};
use super::{Cx, Session};

/// A name in a directory.
type At<'a> = (FdId, Name<'a>);

impl<B: Backend> Session<B> {
    pub(super) fn mkdir_at(&self, t: MkdirAtReq<'_>, _: Cx<'_>) -> Result<Inode> {
        let dir = self.fds.dir(t.create.dir)?;
        let numbers = self.fds.numbers()?;
        let made = self.backend().mkdir(&dir.node, t.name, perm(&t.create), self.owner(&t.create))?;
        Ok(self.made(numbers, made))
    }

    /// Anything but a regular file is `EPERM`, for which the client makes one that exists only on its side.
    pub(super) fn mknod_at(&self, t: MknodAtReq<'_>, _: Cx<'_>) -> Result<Inode> {
        let dir = self.fds.dir(t.create.dir)?;
        if FileKind::of_mode(t.create.mode.into()) != Some(FileKind::Regular) {
            return Err(Errno::EPERM);
        }
        let (perm, owner) = (perm(&t.create), self.owner(&t.create));
        let numbers = self.fds.numbers()?;
        let made = self.backend().mknod(&dir.node, t.name, Special::Regular, perm, owner)?;
        Ok(self.made(numbers, made))
    }

    pub(super) fn symlink_at(&self, t: SymlinkAtReq<'_>, _: Cx<'_>) -> Result<Inode> {
        let dir = self.fds.dir(t.dir)?;
        let owner = self.policy().ids.owner(t.uid, t.gid);
        let numbers = self.fds.numbers()?;
        let made = self.backend().symlink(&dir.node, t.name, t.target.as_bytes(), owner)?;
        Ok(self.made(numbers, made))
    }

    pub(super) fn link_at(&self, t: LinkAtReq<'_>, _: Cx<'_>) -> Result<Inode> {
        let dir = self.fds.dir(t.dir)?;
        let target = self.fds.place(t.target)?;
        if target.kind == FileKind::Directory {
            return Err(Errno::EPERM);
        }
        let (numbers, backend) = (self.fds.numbers()?, self.backend());
        match backend.link(&target.node, &dir.node, t.name) {
            // A file without a name gets none.
            Err(Errno::ENOENT) if self.is_removed(&target)? => return Err(Errno::EINVAL),
            linked => linked?,
        }
        // A place of its own: the name by which the target was found may go first.
        Ok(self.made(numbers, backend.walk(&dir.node, t.name)?))
    }

    pub(super) fn unlink_at(&self, t: UnlinkAtReq<'_>, _: Cx<'_>) -> Result<Done> {
        let dir = self.fds.dir(t.dir)?;
        let what = match t.flags {
            0 => Unlink::File,
            UnlinkAtReq::REMOVEDIR => Unlink::Directory,
            _ => return Err(Errno::EINVAL),
        };
        self.backend().unlink(&dir.node, t.name, what)?;
        Ok(Done)
    }

    pub(super) fn rename_at(&self, t: RenameAtReq<'_>, _: Cx<'_>) -> Result<Done> {
        self.rename((t.old_dir, t.old_name), (t.new_dir, t.new_name), RenameFlags::Replace)
    }

    pub(super) fn rename_at2(&self, t: RenameAt2Req<'_>, _: Cx<'_>) -> Result<Done> {
        let flags = match t.flags {
            0 => RenameFlags::Replace,
            RenameAt2Req::NOREPLACE => RenameFlags::NoReplace,
            RenameAt2Req::EXCHANGE => RenameFlags::Exchange,
            _ => return Err(Errno::EINVAL),
        };
        self.rename((t.old_dir, t.old_name), (t.new_dir, t.new_name), flags)
    }

    fn rename(&self, (old_dir, old): At<'_>, (new_dir, new): At<'_>, flags: RenameFlags) -> Result<Done> {
        let (from, to) = (self.fds.place(old_dir)?, self.fds.place(new_dir)?);
        if from.kind != FileKind::Directory || to.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let backend = self.backend();
        let stays = old == new && backend.id(&from.node) == backend.id(&to.node);
        // To the name it has it is not moved, be it there or not.
        if !stays || flags == RenameFlags::NoReplace {
            backend.rename(&from.node, old, &to.node, new, flags)?;
        }
        Ok(Done)
    }

    pub(super) fn owner(&self, create: &Create) -> Owner {
        self.policy().ids.owner(create.uid, create.gid)
    }

    fn made(&self, numbers: Numbers<'_, B, 1>, (node, attr): (B::Node, Attr)) -> Inode {
        let place = Place { node, kind: attr.kind, is_root: false };
        let [fd] = numbers.give([Entry::Place(place)]);
        Inode { fd, stat: statx(&attr, self.policy().ids) }
    }
}

/// The permission bits of something new.
pub(super) fn perm(create: &Create) -> u32 {
    u32::from(create.mode) & 0o7777
}
