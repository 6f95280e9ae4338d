//! Walk, WalkStat.

use std::sync::Arc;

use gofer_vfs::{Attr, Errno, FileId, Name, Result};
use gofer_wire::lisafs::{Inode, WalkReq, WalkResp, WalkStatReq, WalkStatResp, WalkStatus};
use gofer_wire::{List, ListBuf, Str};

use super::fds::Held;
use super::{Client, Node};

impl Client {
    pub(crate) fn walk(&self, dir: &Node, name: Name<'_>) -> Result<(Node, Attr)> {
        self.follow(dir, &[name]).map(|(node, attr)| (node.in_dir(dir, name), attr))
    }

    /// Down by at least one name, in one message.
    pub(crate) fn follow(&self, dir: &Node, names: &[Name<'_>]) -> Result<(Node, Attr)> {
        let mut room = Vec::new();
        let request = WalkReq { dir: dir.dir()?, names: list(names, &mut room) };
        let answer = self.rpc.call(&request)?;
        let WalkResp { status, inodes } = answer.body()?;
        if inodes.len() > names.len() {
            return Err(self.rpc.violated());
        }
        // All are held before one of them is looked at, so that all are closed.
        let held: Vec<_> = inodes.iter().map(|inode| Held::new(&self.rpc, inode.fd)).collect();
        match (status, inodes.iter().zip(held).last()) {
            (WalkStatus::SUCCESS, Some((inode, held))) if inodes.len() == names.len() => {
                self.place(held?, &inode)
            }
            (WalkStatus::DOES_NOT_EXIST, _) if inodes.len() < names.len() => Err(Errno::ENOENT),
            (WalkStatus::SYMLINK, Some(_)) if inodes.len() < names.len() => Err(Errno::ENOTDIR),
            _ => Err(self.rpc.violated()),
        }
    }

    /// A place that a reply brought.
    pub(crate) fn place(&self, held: Held, inode: &Inode) -> Result<(Node, Attr)> {
        let attr = self.attr(&inode.stat)?;
        Ok((Node::new(Arc::new(held), attr.id, attr.kind), attr))
    }

    pub(crate) fn lookup(&self, dir: &Node, name: Name<'_>) -> Result<Attr> {
        let mut room = Vec::new();
        let answer = self.rpc.call(&WalkStatReq { dir: dir.dir()?, names: list(&[name], &mut room) })?;
        let WalkStatResp { stats } = answer.body()?;
        let mut stats = stats.iter();
        match (stats.next(), stats.next()) {
            (None, _) => Err(Errno::ENOENT),
            (Some(stat), None) => self.attr(&stat),
            (Some(_), Some(_)) => Err(self.rpc.violated()),
        }
    }

    pub(crate) fn id_of(&self, node: &Node) -> FileId {
        node.id
    }
}

fn list<'b>(names: &[Name<'_>], room: &'b mut Vec<u8>) -> List<'b, Str<'b>> {
    let mut list = ListBuf::new(room);
    for name in names {
        // Few names: there is room for each.
        list.push_str(Str::from(*name));
    }
    list.finish()
}
