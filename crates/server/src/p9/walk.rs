//! walk, walkgetattr, multigetattr.

use gofer_vfs::{Attr, Backend, Errno, FileKind, Name, Result};
use gofer_wire::codec::{List, ListBuf, Str};
use gofer_wire::p9::{
    self, FullStat, Qid, Rmultigetattr, Rwalk, Rwalkgetattr, Tmultigetattr, Twalk, Twalkgetattr, Version,
};

use super::attr::{stat, valid};
use super::fids::Place;
use super::{Cx, Session};
use crate::steps::stat_steps;

/// Where names lead.
struct Walked<'b, B: Backend> {
    place: Place<B>,
    /// Its attributes, when there were names to follow.
    attr: Option<Attr>,
    qids: List<'b, Qid>,
}

impl<B: Backend> Session<B> {
    pub(super) fn walk<'b>(&self, t: Twalk<'_>, cx: Cx<'b>) -> Result<Rwalk<'b>> {
        let Walked { place, qids, .. } = self.follow(t.fid, t.newfid, t.names, 0, cx)?;
        self.fids.insert(t.newfid, place)?;
        Ok(Rwalk { qids })
    }

    pub(super) fn walkgetattr<'b>(&self, t: Twalkgetattr<'_>, cx: Cx<'b>) -> Result<Rwalkgetattr<'b>> {
        let more = FullStat::LEN - Qid::LEN;
        let Walked { place, attr, qids } = self.follow(t.fid, t.newfid, t.names, more, cx)?;
        let attr = attr.map_or_else(|| self.backend(&place).getattr(&place.node), Ok)?;
        let map = self.policy(&place).ids;
        self.fids.insert(t.newfid, place)?;
        Ok(Rwalkgetattr { valid: valid(&attr), attr: stat(&attr, map), qids })
    }

    /// Follows the names from `fid`; without any, the end is the same place. `newfid` is only looked at: the
    /// caller makes it stand for the end when nothing can fail any more. The reply has `more` bytes besides
    /// the qids.
    fn follow<'b>(
        &self,
        fid: p9::Fid,
        newfid: p9::Fid,
        names: List<'_, Str<'_>>,
        more: usize,
        cx: Cx<'b>,
    ) -> Result<Walked<'b, B>> {
        let start = self.fids.get(fid)?;
        for name in names.iter() {
            Name::new(name.as_bytes())?;
        }
        if newfid == p9::Fid::NONE {
            return Err(Errno::EINVAL);
        }
        if start.open().is_some() && (cx.version.is_google() || newfid == fid) {
            return Err(Errno::EBUSY);
        }
        if p9::HEADER + 2 + more + names.len() * Qid::LEN > cx.msize as usize {
            return Err(Errno::ERANGE);
        }
        let mut qids = ListBuf::new(cx.scratch);
        let mut place = start.place;
        let mut found = None;
        for name in names.iter() {
            let name = Name::new(name.as_bytes())?;
            let (next, attr) = self.step(&place, name, cx.version)?;
            if !qids.push(&self.qid(&next)?) {
                return Err(Errno::ERANGE);
            }
            (place, found) = (next, Some(attr));
        }
        Ok(Walked { place, attr: found, qids: qids.finish() })
    }

    /// One step down from a place, if this client may make it.
    pub(super) fn step(&self, from: &Place<B>, name: Name<'_>, version: Version) -> Result<(Place<B>, Attr)> {
        if from.kind != FileKind::Directory {
            return Err(if version.is_google() { Errno::EINVAL } else { Errno::ENOTDIR });
        }
        let (node, attr) = self.backend(from).walk(&from.node, name)?;
        if version.is_google() && !self.shows(from, attr.kind) {
            return Err(Errno::EPERM);
        }
        Ok((Place { node, kind: attr.kind, is_root: false, ..*from }, attr))
    }

    /// Whether a Google client may walk to a file of this kind. It would take it for something to open.
    fn shows(&self, place: &Place<B>, kind: FileKind) -> bool {
        let policy = self.policy(place);
        match kind {
            FileKind::Regular | FileKind::Directory | FileKind::Symlink => true,
            FileKind::Socket => policy.sockets.may_connect(),
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
        let (backend, export) = (self.backend(&start.place), start.place.export);
        let map = self.policy(&start.place).ids;
        let room = (cx.msize as usize - p9::HEADER - 2) / FullStat::LEN;
        let mut stats = ListBuf::new(cx.scratch);
        let mut push = |attr: &Attr| -> Result<bool> {
            let full = FullStat {
                qid: self.exports.qid(export, attr.id, attr.kind)?,
                valid: valid(attr),
                attr: stat(attr, map),
            };
            Ok(stats.push(&full) && stats.len() < room && attr.kind == FileKind::Directory)
        };
        if t.names.len() > usize::from(own) && start.place.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        stat_steps(backend, &start.place.node, t.names, &mut push)?;
        Ok(Rmultigetattr { stats: stats.finish() })
    }
}
