//! OpenAt, OpenCreateAt.

use std::sync::Arc;

use gofer_vfs::{AccessMode, Backend, CreateFlags, Errno, FileKind, OpenFlags, Result};
use gofer_wire::lisafs::{Inode, OpenAtReq, OpenAtResp, OpenCreateAtReq, OpenCreateAtResp};

use super::attr::statx;
use super::entry::perm;
use super::fds::{Entry, Open, Place};
use super::{Answer, Cx, Session};
use crate::protocol::Extra;

/// The descriptors that an open file needs: its own, and that of its place.
const DESCRIPTORS: usize = 2;

impl<B: Backend> Session<B> {
    pub(super) fn open_at(&self, t: OpenAtReq, _: Cx<'_>) -> Result<Answer<OpenAtResp>> {
        let (access, flags) = open_flags(t.flags);
        // The fourth mode counts as one that changes something.
        let changes = access.is_none() || flags.changes();
        if changes && self.backend().is_read_only() {
            return Err(Errno::EROFS);
        }
        let place = self.fds.place(t.fd)?;
        match place.kind {
            FileKind::Regular => {}
            FileKind::Directory if changes => return Err(Errno::EISDIR),
            FileKind::Directory => {}
            FileKind::Symlink => return Err(Errno::EINVAL),
            FileKind::Socket => return Err(Errno::ENXIO),
            // A FIFO is of use only as a descriptor: it cannot be read at an offset.
            FileKind::Fifo if self.policy().fifos && self.donates => {}
            FileKind::Fifo | FileKind::CharDevice | FileKind::BlockDevice => return Err(Errno::EPERM),
        }
        let (room, numbers) = (self.fds.room(DESCRIPTORS)?, self.fds.numbers()?);
        let file = self.open_file(&place, flags)?;
        let descriptors = self.donation(&place, &file, access)?;
        let open = Open::new(room, place, file, access);
        let [fd] = numbers.give([Entry::Open(Arc::new(open))]);
        Ok(Answer::with(OpenAtResp { fd }, descriptors))
    }

    /// Opens a place. To write to a FIFO it is opened for reading, too, where that can be: then nobody waits for a
    /// reader.
    fn open_file(&self, place: &Place<B>, flags: OpenFlags) -> Result<B::File> {
        let backend = self.backend();
        if place.kind == FileKind::Fifo && flags.access == AccessMode::Write {
            let both = backend.open(&place.node, OpenFlags { access: AccessMode::ReadWrite, ..flags });
            if both.is_ok() {
                return both;
            }
        }
        backend.open(&place.node, flags)
    }

    pub(super) fn open_create_at(
        &self,
        t: OpenCreateAtReq<'_>,
        _: Cx<'_>,
    ) -> Result<Answer<OpenCreateAtResp>> {
        let dir = self.fds.dir(t.create.dir)?;
        let (access, open) = open_flags(t.flags);
        let (room, numbers) = (self.fds.room(DESCRIPTORS)?, self.fds.numbers()?);
        let flags = CreateFlags { open, exclusive: true };
        let owner = self.owner(&t.create);
        let (node, file, attr) = self.backend().create(&dir.node, t.name, flags, perm(&t.create), owner)?;
        let place = Place { node, kind: attr.kind, is_root: false };
        let descriptors = self.donation(&place, &file, access)?;
        let open = Open::new(room, place.clone(), file, access);
        let [child, fd] = numbers.give([Entry::Place(place), Entry::Open(Arc::new(open))]);
        let child = Inode { fd: child, stat: statx(&attr, self.policy().ids) };
        Ok(Answer::with(OpenCreateAtResp { child, fd }, descriptors))
    }

    /// A descriptor of an open file for the client. A regular file can do without.
    fn donation(&self, place: &Place<B>, file: &B::File, access: Option<AccessMode>) -> Result<Extra> {
        let backend = self.backend();
        let Some(access) = access.filter(|_| self.donates) else { return Ok(Extra::None) };
        match place.kind {
            FileKind::Regular => Ok(backend.donate(file).ok().into()),
            FileKind::Fifo => {
                // What is open here may be able to do more.
                let asked = backend.open(&place.node, OpenFlags::new(access))?;
                Ok(Extra::One(backend.donate(&asked)?))
            }
            FileKind::Directory if place.is_root && self.settings.donates_root => {
                Ok(Extra::One(backend.donate_root()?))
            }
            _ => Ok(Extra::None),
        }
    }
}

/// What the flags of an open mean: nothing but access mode and truncation. The fourth mode gives a file that can
/// neither be read nor written.
fn open_flags(bits: u32) -> (Option<AccessMode>, OpenFlags) {
    let access = match bits & OpenAtReq::ACCESS {
        0 => Some(AccessMode::Read),
        1 => Some(AccessMode::Write),
        2 => Some(AccessMode::ReadWrite),
        _ => None,
    };
    let flags = OpenFlags::new(access.unwrap_or(AccessMode::Read));
    (access, OpenFlags { truncate: bits & OpenAtReq::TRUNC != 0, ..flags })
}
