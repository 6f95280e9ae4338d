//! walk, walkgetattr, multigetattr.

use std::sync::Arc;

use gofer_vfs::{Attr, Errno, Name, Result};
use gofer_wire::p9::{FullStat, Qid, Rmultigetattr, Rwalk, Rwalkgetattr, Tmultigetattr, Twalk, Twalkgetattr};
use gofer_wire::{List, ListBuf, Str};

use crate::p9::fids::Held;
use crate::{Client, Node};

impl Client {
    pub(crate) fn walk(&self, dir: &Node, name: Name<'_>) -> Result<(Node, Attr)> {
        self.follow(dir, &[name]).map(|(node, attr)| (node.in_dir(dir, name), attr))
    }

    /// Down by at least one and at most sixteen names, in one message.
    pub(crate) fn follow(&self, dir: &Node, names: &[Name<'_>]) -> Result<(Node, Attr)> {
        let fid = dir.dir()?;
        let mut room = Vec::new();
        let names = list(names, &mut room);
        let newfid = self.rpc.new_fid()?;
        if self.features.has(2) {
            let answer = self.rpc.call(Twalkgetattr { fid, newfid, names })?;
            let held = Held::new(&self.rpc, newfid);
            let Rwalkgetattr { valid, attr: stat, qids } = answer.body()?;
            let qid = self.end_of_walk(qids, names.len())?;
            let attr = self.attr(qid, valid, &stat)?;
            return Ok((Node::new(Arc::new(held), qid, attr.kind), attr));
        }
        let answer = self.rpc.call(Twalk { fid, newfid, names })?;
        let held = Held::new(&self.rpc, newfid);
        let Rwalk { qids } = answer.body()?;
        let qid = self.end_of_walk(qids, names.len())?;
        let attr = self.getattr_fid(newfid, qid)?;
        Ok((Node::new(Arc::new(held), qid, attr.kind), attr))
    }

    /// The last qid. Servers may answer a walk as far as it came, and then make no fid.
    fn end_of_walk(&self, qids: List<'_, Qid>, names: usize) -> Result<Qid> {
        match qids.len() {
            len if len > names => Err(self.rpc.violated()),
            len if len < names => Err(Errno::ENOENT),
            _ => qids.iter().last().ok_or(Errno::EIO),
        }
    }

    /// Another fid for the same place.
    pub(crate) fn clone_fid(&self, held: &Held) -> Result<Held> {
        let newfid = self.rpc.new_fid()?;
        self.rpc.call(Twalk { fid: held.fid(), newfid, names: List::EMPTY })?;
        Ok(Held::new(&self.rpc, newfid))
    }

    pub(crate) fn lookup(&self, dir: &Node, name: Name<'_>) -> Result<Attr> {
        let fid = dir.dir()?;
        if !self.features.has(13) {
            return self.walk(dir, name).map(|(_, attr)| attr);
        }
        let mut room = Vec::new();
        let names = list(&[name], &mut room);
        let answer = self.rpc.call(Tmultigetattr { fid, names })?;
        let Rmultigetattr { stats } = answer.body()?;
        let mut stats = stats.iter();
        match (stats.next(), stats.next()) {
            (None, _) => Err(Errno::ENOENT),
            (Some(FullStat { qid, valid, attr }), None) => self.attr(qid, valid, &attr),
            (Some(_), Some(_)) => Err(self.rpc.violated()),
        }
    }

    /// What a name that was just given to something stands for, which must be that.
    ///
    /// # Errors
    /// `ESTALE` when somebody put another file there meanwhile.
    pub(crate) fn walk_to(&self, dir: &Node, name: Name<'_>, made: Qid) -> Result<(Node, Attr)> {
        let (node, attr) = match self.walk(dir, name) {
            Err(Errno::ENOENT) => return Err(Errno::ESTALE),
            other => other?,
        };
        if (node.qid.path, node.qid.kind) == (made.path, made.kind) {
            Ok((node, attr))
        } else {
            Err(Errno::ESTALE)
        }
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
