//! lopen, lcreate, ucreate.

use std::os::fd::OwnedFd;

use gofer_vfs::{
    AccessMode, Backend, CreateFlags, Errno, FileKind, Name, OpenFlags, PeerGid, PeerUid, Result, Sync,
};
use gofer_wire::p9::{self, OpenBits, Qid, Rlcreate, Rlopen, Rucreate, Tlcreate, Tlopen, Tucreate, Version};

use super::fids::{Open, Place};
use super::{Answer, Cx, Session};

/// The descriptors that an open file needs: its own, and that of its place.
const DESCRIPTORS: usize = 2;

/// Clients use as much as fits a message.
const IOUNIT: u32 = 0;

impl<B: Backend> Session<B> {
    pub(super) fn lopen<'b>(&self, t: Tlopen, cx: Cx<'b>) -> Result<Answer<'b>> {
        let claim = self.fids.claim(t.fid)?;
        let flags = open_flags(t.flags, cx.version)?;
        let place = claim.place();
        match place.kind {
            FileKind::Regular => {}
            FileKind::Directory if flags.changes() => return Err(Errno::EISDIR),
            FileKind::Directory => {}
            FileKind::Symlink | FileKind::Socket => return Err(Errno::EINVAL),
            // A FIFO is of use only as a descriptor: it cannot be read at an offset.
            FileKind::Fifo if self.policy(place).fifos && cx.version.is_google() && self.donates => {}
            FileKind::Fifo | FileKind::CharDevice | FileKind::BlockDevice => return Err(Errno::EPERM),
        }
        if cx.version.is_google() && self.is_removed(place)? {
            return Err(Errno::EINVAL);
        }
        let backend = self.backend(place);
        let room = self.fids.room(DESCRIPTORS)?;
        let file = backend.open(&place.node, flags)?;
        let descriptor = match place.kind {
            FileKind::Fifo => Some(backend.donate(&file)?),
            kind => self.donation(backend, kind, &file, &cx),
        };
        let qid = self.qid(place)?;
        claim.set_open(Open::new(room, file, flags.access));
        Ok(Answer { extra: descriptor.into(), ..Rlopen { qid, iounit: IOUNIT }.into() })
    }

    pub(super) fn lcreate<'b>(&self, t: Tlcreate<'_>, cx: Cx<'b>) -> Result<Answer<'b>> {
        let new =
            New { fid: t.fid, name: t.name, flags: t.flags, mode: t.mode, uid: PeerUid::NONE, gid: t.gid };
        let (qid, descriptor) = self.create(new, &cx)?;
        Ok(Answer { extra: descriptor.into(), ..Rlcreate { qid, iounit: IOUNIT }.into() })
    }

    pub(super) fn ucreate<'b>(&self, t: Tucreate<'_>, cx: Cx<'b>) -> Result<Answer<'b>> {
        let new = New { fid: t.fid, name: t.name, flags: t.flags, mode: t.mode, uid: t.uid, gid: t.gid };
        let (qid, descriptor) = self.create(new, &cx)?;
        Ok(Answer { extra: descriptor.into(), ..Rucreate { qid, iounit: IOUNIT }.into() })
    }

    /// Creates a file and makes the directory's fid stand for it.
    fn create(&self, new: New<'_>, cx: &Cx<'_>) -> Result<(Qid, Option<OwnedFd>)> {
        // Held to the end: the fid changes its meaning, and nobody else may open it meanwhile.
        let (version, claim) = (cx.version, self.fids.claim(new.fid)?);
        let dir = claim.place().clone();
        if dir.kind != FileKind::Directory {
            return Err(Errno::EINVAL);
        }
        let open = open_flags(new.flags, version)?;
        let exclusive = version.is_google() || new.flags.contains(OpenBits::EXCL);
        let flags = CreateFlags { open, exclusive };
        let owner = self.owner(&dir, new.uid, new.gid);
        let room = self.fids.room(DESCRIPTORS)?;
        let backend = self.backend(&dir);
        let made = backend.create(&dir.node, new.name, flags, new.mode & 0o7777, owner);
        let (node, file, attr) = self.in_dir(&dir, version, made)?;
        let descriptor = self.donation(backend, attr.kind, &file, cx);
        let place = Place { node, kind: attr.kind, is_root: false, ..dir };
        let qid = self.qid(&place)?;
        claim.replace(place, Open::new(room, file, open.access))?;
        Ok((qid, descriptor))
    }

    /// Who owns what is created through a fid: whom the request names, or else whom the fid was attached for.
    pub(super) fn owner(&self, dir: &Place<B>, uid: PeerUid, gid: PeerGid) -> gofer_vfs::Owner {
        let uid = if uid == PeerUid::NONE { dir.user } else { uid };
        self.policy(dir).ids.owner(uid, gid)
    }

    /// A descriptor for a client that can use one. That there is none is no failure.
    fn donation(&self, backend: &B, kind: FileKind, file: &B::File, cx: &Cx<'_>) -> Option<OwnedFd> {
        let wanted = self.donates && cx.extended && kind == FileKind::Regular;
        wanted.then(|| backend.donate(file).ok()).flatten()
    }
}

/// A file to create.
#[derive(Clone, Copy)]
struct New<'a> {
    fid: p9::Fid,
    name: Name<'a>,
    flags: OpenBits,
    mode: u32,
    uid: PeerUid,
    gid: PeerGid,
}

/// What the flags of an open mean. A Google client means nothing but access mode and truncation; the kernel's
/// and diod's count on more. What has no meaning between machines is left out.
fn open_flags(bits: OpenBits, version: Version) -> Result<OpenFlags> {
    let access: AccessMode = bits.access().ok_or(Errno::EINVAL)?;
    let has = |bit| bits.contains(bit);
    let flags = OpenFlags { truncate: has(OpenBits::TRUNC), ..OpenFlags::new(access) };
    if version.is_google() {
        return Ok(flags);
    }
    let sync = match (has(OpenBits::SYNC), has(OpenBits::DSYNC)) {
        (true, _) => Sync::Full,
        (false, true) => Sync::Data,
        (false, false) => Sync::None,
    };
    Ok(OpenFlags {
        append: has(OpenBits::APPEND),
        sync,
        no_atime: has(OpenBits::NOATIME),
        directory: has(OpenBits::DIRECTORY),
        clears_set_id: true,
        ..flags
    })
}
