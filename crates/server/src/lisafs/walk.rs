//! Walk, WalkStat.

use gofer_vfs::{Backend, Errno, FileKind, Name, Result};
use gofer_wire::codec::ListBuf;
use gofer_wire::lisafs::{Inode, PAYLOAD_MAX, WalkReq, WalkResp, WalkStatReq, WalkStatResp, WalkStatus};

use super::attr::statx;
use super::fds::Place;
use super::{Cx, Session};
use crate::steps::stat_steps;

impl<B: Backend> Session<B> {
    /// Makes a place of each step. Where it fails, none is kept.
    pub(super) fn walk<'b>(&self, t: WalkReq<'_>, cx: Cx<'b>) -> Result<WalkResp<'b>> {
        let mut place = self.fds.dir(t.dir)?;
        if WalkResp::encoded_len(t.names.len()) > PAYLOAD_MAX as usize {
            return Err(Errno::EIO);
        }
        let mut inodes = ListBuf::new(cx.scratch);
        let mut walked = Ok(WalkStatus::SUCCESS);
        for name in t.names {
            match self.step(&place, name.as_bytes(), &mut inodes) {
                Ok(Step::To(next)) => place = next,
                Ok(Step::Ended(status)) => {
                    walked = Ok(status);
                    break;
                }
                Err(errno) => {
                    walked = Err(errno);
                    break;
                }
            }
        }
        let inodes = inodes.finish();
        if walked.is_err() {
            for made in inodes {
                drop(self.fds.remove(made.fd));
            }
        }
        Ok(WalkResp { status: walked?, inodes })
    }

    fn step(&self, from: &Place<B>, name: &[u8], inodes: &mut ListBuf<'_, Inode>) -> Result<Step<B>> {
        let name = Name::new(name)?;
        if from.kind == FileKind::Symlink {
            return Ok(Step::Ended(WalkStatus::SYMLINK));
        }
        let (node, attr) = match self.backend().walk(&from.node, name) {
            Ok(found) => found,
            Err(Errno::ENOENT) => return Ok(Step::Ended(WalkStatus::DOES_NOT_EXIST)),
            Err(errno) => return Err(errno),
        };
        if attr.kind == FileKind::BlockDevice {
            return Err(Errno::EPERM);
        }
        let place = Place { node, kind: attr.kind, is_root: false };
        inodes.push(&self.hold(place.clone(), &attr)?);
        Ok(Step::To(place))
    }

    /// The attributes of each step, the first name being empty for the start itself.
    pub(super) fn walk_stat<'b>(&self, t: WalkStatReq<'_>, cx: Cx<'b>) -> Result<WalkStatResp<'b>> {
        let start = self.fds.place(t.dir)?;
        let own = t.names.iter().next().is_some_and(|name| name.as_bytes().is_empty());
        if start.kind != FileKind::Directory && !(own && t.names.len() == 1) {
            return Err(Errno::ENOTDIR);
        }
        for name in t.names.iter().skip(usize::from(own)) {
            Name::new(name.as_bytes())?;
        }
        if WalkStatResp::encoded_len(t.names.len()) > PAYLOAD_MAX as usize {
            return Err(Errno::EIO);
        }
        let map = self.policy().ids;
        let mut stats = ListBuf::new(cx.scratch);
        stat_steps(self.backend(), &start.node, t.names, &mut |attr| {
            stats.push(&statx(attr, map));
            Ok(attr.kind != FileKind::Symlink)
        })?;
        Ok(WalkStatResp { stats: stats.finish() })
    }
}

/// What a step of a walk comes to.
enum Step<B: Backend> {
    To(Place<B>),
    Ended(WalkStatus),
}
