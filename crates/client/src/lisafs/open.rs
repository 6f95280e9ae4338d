//! OpenAt, OpenCreateAt, and descriptors that are donated.

use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use gofer_transport::Donated;
use gofer_transport::donated::{self, Fifo};
use gofer_vfs::{AccessMode, Attr, CreateFlags, Errno, FileKind, Name, OpenFlags, Owner, Result};
use gofer_wire::lisafs::{OpenAtReq, OpenAtResp, OpenCreateAtReq, OpenCreateAtResp, Pad};

use super::dir::Listing;
use super::entry::new;
use super::fds::{Given, Held};
use super::{Client, File, Node};
use crate::emulated::{check_open, create};

impl Client {
    pub(crate) fn open(&self, node: &Node, flags: OpenFlags) -> Result<File> {
        check_open(node.kind, flags)?;
        let truncate = if flags.truncate { OpenAtReq::TRUNC } else { 0 };
        let mut answer =
            self.rpc.call(&OpenAtReq { fd: node.fd(), flags: access(flags) | truncate, pad: Pad })?;
        let descriptor = answer.descriptor();
        let OpenAtResp { fd } = answer.body()?;
        let file = self.file(node, Held::new(&self.rpc, fd)?, flags, descriptor)?;
        if flags.truncate {
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
        let create = new(dir.dir()?, FileKind::Regular, perm, owner);
        let mut answer = self.rpc.call(&OpenCreateAtReq { create, flags: access(flags), name })?;
        let descriptor = answer.descriptor();
        let OpenCreateAtResp { child, fd } = answer.body()?;
        // Both are held before one of them is looked at, so that both are closed.
        let (place, held) = (Held::new(&self.rpc, child.fd)?, Held::new(&self.rpc, fd)?);
        let (node, attr) = self.made(dir, name, FileKind::Regular, place, &child)?;
        let file = self.file(&node, held, flags, descriptor)?;
        Ok((node, file, attr))
    }

    /// A description of its own: the file is opened once more, for that alone.
    pub(crate) fn donate(&self, file: &File) -> Result<OwnedFd> {
        if !matches!(file.kind, FileKind::Regular | FileKind::Fifo) {
            return Err(Errno::EOPNOTSUPP);
        }
        let request = OpenAtReq { fd: file.place.fd, flags: access(file.flags), pad: Pad };
        let mut answer = self.rpc.call(&request)?;
        let descriptor = answer.descriptor();
        let OpenAtResp { fd } = answer.body()?;
        drop(Held::new(&self.rpc, fd)?);
        let descriptor = descriptor.ok_or(Errno::EOPNOTSUPP)?;
        donated::checked(descriptor, file.kind, file.flags.access).map_err(|_| Errno::EIO)
    }

    fn file(
        &self,
        node: &Node,
        mut held: Held,
        flags: OpenFlags,
        descriptor: Option<OwnedFd>,
    ) -> Result<File> {
        held.at_once = node.kind == FileKind::Fifo;
        let given = match (node.kind, descriptor) {
            // One that is not what it should be is closed, and everything goes through the server.
            (FileKind::Regular, Some(descriptor)) => Donated::new(descriptor, flags.access)
                .ok()
                .filter(|donated| !flags.append || donated.append().is_ok())
                .map_or(Given::Nothing, Given::Regular),
            // Through the server nobody can wait.
            (FileKind::Fifo, Some(descriptor)) => {
                Fifo::new(descriptor, flags.access).map(Given::Fifo).map_err(|_| Errno::EIO)?
            }
            (FileKind::Fifo, None) => return Err(Errno::EOPNOTSUPP),
            _ => Given::Nothing,
        };
        Ok(File {
            place: Arc::clone(&node.held),
            held,
            id: node.id,
            kind: node.kind,
            flags,
            given,
            listing: Mutex::new(Listing::default()),
            set_id_seen: AtomicU64::new(0),
        })
    }
}

/// The access mode of `open(2)`, which is all that servers take besides cutting to nothing.
fn access(flags: OpenFlags) -> u32 {
    match flags.access {
        AccessMode::Read => 0,
        AccessMode::Write => 1,
        AccessMode::ReadWrite => 2,
    }
}
