//! MkdirAt, MknodAt, SymlinkAt, LinkAt, RenameAt, RenameAt2, UnlinkAt.

use gofer_vfs::{Attr, Errno, FileKind, Name, Owner, PeerGid, PeerUid, RenameFlags, Result, Special, Unlink};
use gofer_wire::Str;
use gofer_wire::lisafs::{
    Create, FdId, Inode, LinkAtReq, MkdirAtReq, MknodAtReq, Pad, RenameAt2Req, RenameAtReq, SymlinkAtReq,
    UnlinkAtReq,
};

use super::fds::Held;
use super::{Client, Node};

/// Something new.
pub(super) fn new(dir: FdId, kind: FileKind, perm: u32, owner: Owner) -> Create {
    let (uid, gid) = ids(owner);
    // Sixteen bits have room for both.
    let mode = u16::try_from(kind.mode() | perm & 0o7777).unwrap_or(u16::MAX);
    Create { dir, uid, gid, mode, pad: Pad }
}

/// The owner of something new, as a peer names it.
fn ids(owner: Owner) -> (PeerUid, PeerGid) {
    let uid = owner.uid.map_or(PeerUid::NONE, |uid| PeerUid(uid.0));
    (uid, owner.gid.map_or(PeerGid::NONE, |gid| PeerGid(gid.0)))
}

impl Client {
    pub(crate) fn mkdir(&self, dir: &Node, name: Name<'_>, perm: u32, owner: Owner) -> Result<(Node, Attr)> {
        let create = new(dir.dir()?, FileKind::Directory, perm, owner);
        let inode: Inode = self.rpc.call(&MkdirAtReq { create, name })?.body()?;
        self.made(dir, name, FileKind::Directory, Held::new(&self.rpc, inode.fd)?, &inode)
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
        let create = new(dir.dir()?, what.kind(), perm, owner);
        let inode: Inode = self.rpc.call(&MknodAtReq { create, minor, major, name })?.body()?;
        self.made(dir, name, what.kind(), Held::new(&self.rpc, inode.fd)?, &inode)
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
        let (fd, (uid, gid)) = (dir.dir()?, ids(owner));
        let target = Str::new(target).ok_or(Errno::ENAMETOOLONG)?;
        let inode: Inode = self.rpc.call(&SymlinkAtReq { dir: fd, uid, gid, name, target })?.body()?;
        self.made(dir, name, FileKind::Symlink, Held::new(&self.rpc, inode.fd)?, &inode)
    }

    /// The place of something new.
    pub(super) fn made(
        &self,
        dir: &Node,
        name: Name<'_>,
        kind: FileKind,
        held: Held,
        inode: &Inode,
    ) -> Result<(Node, Attr)> {
        let (node, attr) = self.place(held, inode)?;
        if attr.kind == kind { Ok((node.in_dir(dir, name), attr)) } else { Err(self.rpc.violated()) }
    }

    pub(crate) fn link(&self, node: &Node, dir: &Node, name: Name<'_>) -> Result<()> {
        node.same_tree(dir)?;
        if node.kind == FileKind::Directory {
            return Err(Errno::EPERM);
        }
        let request = LinkAtReq { dir: dir.dir()?, target: node.fd(), name };
        let linked = self.rpc.call(&request).and_then(|answer| {
            let inode: Inode = answer.body()?;
            // One place for a file is enough.
            Held::new(&self.rpc, inode.fd).map(drop)
        });
        linked.map_err(|errno| self.unless_removed(node, errno))
    }

    /// The errno of a request about a file, which of one that was removed is `EINVAL` at the server.
    fn unless_removed(&self, node: &Node, errno: Errno) -> Errno {
        let removed = errno == Errno::EINVAL && self.getattr(node).is_ok_and(|attr| attr.is_removed());
        if removed { Errno::ENOENT } else { errno }
    }

    /// `EINVAL` for the flags where the server does not have them.
    pub(crate) fn rename(
        &self,
        old_dir: &Node,
        old: Name<'_>,
        new_dir: &Node,
        new: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        old_dir.same_tree(new_dir)?;
        let (old_fd, new_fd) = (old_dir.dir()?, new_dir.dir()?);
        if old_dir.id == new_dir.id && old == new {
            // Servers need not look.
            self.lookup(old_dir, old)?;
        }
        let flags = match flags {
            RenameFlags::Replace => {
                let request = RenameAtReq { old_dir: old_fd, new_dir: new_fd, old_name: old, new_name: new };
                return self.rpc.call(&request).map(drop);
            }
            RenameFlags::NoReplace => RenameAt2Req::NOREPLACE,
            RenameFlags::Exchange => RenameAt2Req::EXCHANGE,
        };
        let request = RenameAt2Req { old_dir: old_fd, new_dir: new_fd, old_name: old, new_name: new, flags };
        if self.rpc.has::<RenameAt2Req<'_>>() {
            self.rpc.call(&request).map(drop)
        } else {
            Err(Errno::EINVAL)
        }
    }

    pub(crate) fn unlink(&self, dir: &Node, name: Name<'_>, what: Unlink) -> Result<()> {
        let flags = if what == Unlink::Directory { UnlinkAtReq::REMOVEDIR } else { 0 };
        self.rpc.call(&UnlinkAtReq { dir: dir.dir()?, flags, name }).map(drop)
    }
}
