//! walk, walkgetattr, multigetattr.

use gofer_vfs::{Attr, Backend, Errno, FileKind, Name, Result};
use gofer_wire::codec::{List, ListBuf, Str};
use gofer_wire::p9::{
    self, FullStat, Qid, Rmultigetattr, Rwalk, Rwalkgetattr, Tmultigetattr, Twalk, Twalkgetattr,
};

use super::attr::{stat, valid};
use super::fids::{Fid, Link, Place};
use super::{Cx, Session};
use crate::export::HostSockets;

/// What a walk by name came to.
struct Found {
    attr: Attr,
    export: usize,
}

impl<B: Backend> Session<B> {
    pub(super) fn walk<'b>(&self, t: Twalk<'_>, cx: Cx<'b>) -> Result<Rwalk<'b>> {
        let (_, qids) = self.walk_to(t.fid, t.newfid, t.names, cx)?;
        Ok(Rwalk { qids })
    }

    pub(super) fn walkgetattr<'b>(&self, t: Twalkgetattr<'_>, cx: Cx<'b>) -> Result<Rwalkgetattr<'b>> {
        let (last, qids) = self.walk_to(t.fid, t.newfid, t.names, cx)?;
        let (attr, map) = match last {
            Some(found) => (found.attr, self.exports.policy(found.export).ids),
            None => {
                let fid = self.fids.get(t.newfid)?;
                (self.backend(&fid.place).getattr(&fid.place.node)?, self.policy(&fid.place).ids)
            }
        };
        Ok(Rwalkgetattr { valid: valid(&attr), attr: stat(&attr, map), qids })
    }

    /// Makes `newfid` stand for what the names lead to, or for the same place as `fid` when there are none.
    /// On failure it stands for what it stood for before. Answers what the names came to.
    fn walk_to<'b>(
        &self,
        fid: p9::Fid,
        newfid: p9::Fid,
        names: List<'_, Str<'_>>,
        cx: Cx<'b>,
    ) -> Result<(Option<Found>, List<'b, Qid>)> {
        let start = self.fids.get(fid)?;
        if newfid == p9::Fid::NONE {
            return Err(Errno::EINVAL);
        }
        if start.open().is_some() && (cx.version.is_google() || newfid == fid) {
            return Err(Errno::EBUSY);
        }
        let reply = p9::HEADER + 2 + names.len() * Qid::LEN;
        if reply > cx.msize as usize {
            return Err(Errno::ERANGE);
        }
        let mut qids = ListBuf::new(cx.scratch);
        let mut place = start.place.clone();
        let mut found = None;
        for name in names.iter() {
            let name = Name::new(name.as_bytes())?;
            if place.kind != FileKind::Directory {
                return Err(if cx.version.is_google() { Errno::EINVAL } else { Errno::ENOTDIR });
            }
            let export = place.export;
            let (node, attr) = self.backend(&place).walk(&place.node, name)?;
            if cx.version.is_google() && !self.shows(&place, attr.kind) {
                return Err(Errno::EPERM);
            }
            let qid = self.exports.qids(export).of(&attr)?;
            if !qids.push(&qid) {
                return Err(Errno::ERANGE);
            }
            let next = self.fids.share_place(Place { export, node, kind: attr.kind, qid });
            let parent = std::mem::replace(&mut place, next);
            if let Some((_, Link { parent: passed, .. })) =
                found.replace((attr, Link { parent, name: name.into() }))
            {
                self.fids.release_place(passed);
            }
        }
        let export = place.export;
        let (last, fid) = match found {
            Some((attr, link)) => (Some(Found { attr, export }), Fid::new(place, start.user, Some(link))),
            None => (None, start.unopened()),
        };
        drop(start);
        self.fids.insert(newfid, fid)?;
        Ok((last, qids.finish()))
    }

    /// Whether a Google client may walk to a file of this kind. It would take it for something to open.
    fn shows(&self, place: &Place<B>, kind: FileKind) -> bool {
        let policy = self.policy(place);
        match kind {
            FileKind::Regular | FileKind::Directory | FileKind::Symlink => true,
            FileKind::Socket => policy.sockets != HostSockets::None,
            FileKind::Fifo => policy.fifos,
            FileKind::CharDevice | FileKind::BlockDevice => false,
        }
    }

    /// The attributes of each step of a path, the first name being empty for the start itself. The list ends
    /// early where nothing is, behind anything but a directory, and where the reply is full.
    pub(super) fn multigetattr<'b>(&self, t: Tmultigetattr<'_>, cx: Cx<'b>) -> Result<Rmultigetattr<'b>> {
        let own = t.names.iter().next().is_some_and(|name| name.as_bytes().is_empty());
        for name in t.names.iter().skip(usize::from(own)) {
            Name::new(name.as_bytes())?;
        }
        let start = self.fids.get(t.fid)?;
        let (backend, qids) = (self.backend(&start.place), self.exports.qids(start.place.export));
        let map = self.policy(&start.place).ids;
        let room = (cx.msize as usize - p9::HEADER - 2) / FullStat::LEN;
        let mut stats = ListBuf::new(cx.scratch);
        let mut push = |attr: &Attr| -> Result<bool> {
            let full = FullStat { qid: qids.of(attr)?, valid: valid(attr), attr: stat(attr, map) };
            Ok(stats.push(&full) && stats.len() < room && attr.kind == FileKind::Directory)
        };
        let mut more = if own { push(&backend.getattr(&start.place.node)?)? } else { true };
        let mut below = None;
        let mut names = t.names.iter().skip(usize::from(own)).peekable();
        if more && names.peek().is_some() && start.place.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        while let (true, Some(name)) = (more, names.next()) {
            let dir = below.as_ref().unwrap_or(&start.place.node);
            let name = Name::new(name.as_bytes())?;
            // The last step needs no node to go on from.
            let step = if names.peek().is_some() {
                backend.walk(dir, name).map(|(node, attr)| (Some(node), attr))
            } else {
                backend.lookup(dir, name).map(|attr| (None, attr))
            };
            match step {
                Ok((node, attr)) => {
                    more = push(&attr)?;
                    below = node;
                }
                Err(Errno::ENOENT) => more = false,
                Err(errno) => return Err(errno),
            }
        }
        Ok(Rmultigetattr { stats: stats.finish() })
    }
}
