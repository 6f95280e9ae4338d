//! lopen, lcreate, ucreate, and descriptors that are donated.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use gofer_transport::{Donated, donated};
use gofer_vfs::{
    AccessMode, Attr, CreateFlags, Errno, FileKind, Name, OpenFlags, Owner, PeerGid, PeerUid, Result,
    SetAttr, Sync, Unlink,
};
use gofer_wire::p9::{OpenBits, Qid, Rlcreate, Rlopen, Rucreate, Tlcreate, Tlopen, Tucreate};

use crate::emulated::{check_open, create, whole_pages};
use crate::p9::IO_HEAD;
use crate::p9::attr::agrees;
use crate::p9::fids::Held;
use crate::p9::rpc::Answer;
use crate::{Client, File, Node};

impl Client {
    pub(crate) fn open(&self, node: &Node, flags: OpenFlags) -> Result<File> {
        check_open(node.kind, flags)?;
        let held = self.clone_fid(&node.held)?;
        let mut answer = self.rpc.call(Tlopen { fid: held.fid(), flags: self.bits(flags) })?;
        let descriptor = answer.descriptor();
        let Rlopen { qid, iounit } = answer.body()?;
        if !agrees(qid, node.kind) {
            return Err(self.rpc.violated());
        }
        if flags.truncate && !self.truncates_at_open() {
            self.setattr_fid(held.fid(), &SetAttr { size: Some(0), ..SetAttr::default() })?;
        }
        let place = Arc::clone(&node.held);
        let opened = Opened { held, place, qid: node.qid, kind: node.kind, iounit };
        let file = self.file(opened, flags, descriptor);
        if flags.truncate && self.features.is_google() {
            self.clear_set_id(&file)?;
        }
        Ok(file)
    }

    pub(crate) fn create(
        &self,
        dir: &Node,
        name: Name<'_>,
        flags: CreateFlags,
        perm: u32,
        owner: Owner,
    ) -> Result<(Node, File, Attr)> {
        create(self, dir, name, flags, || self.create_new(dir, name, flags.open, perm, owner))
    }

    fn create_new(
        &self,
        dir: &Node,
        name: Name<'_>,
        flags: OpenFlags,
        perm: u32,
        owner: Owner,
    ) -> Result<(Node, File, Attr)> {
        dir.dir()?;
        let held = self.clone_fid(&dir.held)?;
        let (fid, mode) = (held.fid(), perm & 0o7777);
        let bits = self.bits(OpenFlags { truncate: false, ..flags }) | OpenBits::EXCL;
        let gid = owner.gid.map_or(PeerGid::NONE, |gid| PeerGid(gid.0));
        let uid = owner.uid.map_or(PeerUid::NONE, |uid| PeerUid(uid.0));
        let names_owner = self.features.has(3);
        let mut answer = if names_owner {
            self.rpc.call(Tucreate { fid, name, flags: bits, mode, gid, uid })?
        } else {
            self.rpc.call(Tlcreate { fid, name, flags: bits, mode, gid })?
        };
        let descriptor = answer.descriptor();
        let (qid, iounit) = made(&answer, names_owner)?;
        if !agrees(qid, FileKind::Regular) {
            return Err(self.rpc.violated());
        }
        let settled = self.walk_to(dir, name, qid).and_then(|(node, attr)| {
            let attr = self.settle(&node, attr, (!names_owner).then_some(owner))?;
            Ok((node, attr))
        });
        let (node, attr) = settled.inspect_err(|errno| {
            if *errno != Errno::ESTALE {
                // Nothing is to be left behind; that it cannot be removed says less than why it has to be.
                let _ = self.unlink(dir, name, Unlink::File);
            }
        })?;
        let opened = Opened { held, place: Arc::clone(&node.held), qid, kind: FileKind::Regular, iounit };
        let file = self.file(opened, flags, descriptor);
        Ok((node, file, attr))
    }

    /// Gives what was just made the owner that its message could not name, and back the bits that this takes.
    pub(crate) fn settle(&self, node: &Node, attr: Attr, owner: Option<Owner>) -> Result<Attr> {
        let Some(uid) = owner.and_then(|owner| owner.uid).filter(|uid| *uid != attr.uid) else {
            return Ok(attr);
        };
        let perm = (node.kind != FileKind::Symlink).then_some(attr.perm);
        self.setattr_fid(node.fid(), &SetAttr { uid: Some(uid), perm, ..SetAttr::default() })?;
        self.getattr(node)
    }

    /// A description of its own: the file is opened once more, for that alone.
    pub(crate) fn donate(&self, file: &File) -> Result<OwnedFd> {
        let can_be = matches!(file.kind, FileKind::Regular | FileKind::Fifo);
        if !can_be || !self.features.has_descriptors() {
            return Err(Errno::EOPNOTSUPP);
        }
        let held = self.clone_fid(&file.place)?;
        let flags = self.bits(OpenFlags::new(file.flags.access));
        let descriptor = self.rpc.call(Tlopen { fid: held.fid(), flags })?.descriptor();
        let descriptor = descriptor.ok_or(Errno::EOPNOTSUPP)?;
        donated::checked(descriptor, file.kind, file.flags.access).map_err(|_| Errno::EIO)
    }

    fn file(&self, opened: Opened, flags: OpenFlags, descriptor: Option<OwnedFd>) -> File {
        let Opened { held, place, qid, kind, iounit } = opened;
        // One that is not what it should be is closed, and everything goes through the server.
        let donated = descriptor.filter(|_| kind == FileKind::Regular);
        let donated = donated.and_then(|fd| Donated::new(fd, flags.access).ok());
        let donated = donated.filter(|donated| !flags.append || donated.append().is_ok());
        let room = self.rpc.msize() - IO_HEAD;
        let most = usize::try_from(iounit).ok().filter(|unit| *unit > 0).map_or(room, |unit| unit.min(room));
        let chunk = whole_pages(most);
        File {
            place,
            held,
            qid,
            kind,
            flags,
            chunk,
            donated,
            set_id_cleared: AtomicBool::new(false),
            locked: AtomicBool::new(false),
        }
    }

    /// Whether an open may truncate.
    fn truncates_at_open(&self) -> bool {
        !self.features.is_google() || self.features.has(9)
    }

    fn bits(&self, flags: OpenFlags) -> OpenBits {
        let mut bits = match flags.access {
            AccessMode::Read => OpenBits::RDONLY,
            AccessMode::Write => OpenBits::WRONLY,
            AccessMode::ReadWrite => OpenBits::RDWR,
        };
        let mut set = |on: bool, bit| {
            if on {
                bits = bits | bit;
            }
        };
        set(flags.truncate && self.truncates_at_open(), OpenBits::TRUNC);
        // Google's servers drop the rest.
        set(flags.append, OpenBits::APPEND);
        set(flags.no_atime, OpenBits::NOATIME);
        set(flags.directory, OpenBits::DIRECTORY);
        set(flags.sync != Sync::None, OpenBits::DSYNC);
        set(flags.sync == Sync::Full, OpenBits::SYNC);
        bits
    }
}

/// A fid that was opened.
struct Opened {
    held: Held,
    place: Arc<Held>,
    qid: Qid,
    kind: FileKind,
    iounit: u32,
}

fn made(answer: &Answer<'_>, names_owner: bool) -> Result<(Qid, u32)> {
    if names_owner {
        answer.body().map(|Rucreate { qid, iounit }| (qid, iounit))
    } else {
        answer.body().map(|Rlcreate { qid, iounit }| (qid, iounit))
    }
}
