//! version, auth, attach, flush, clunk. What remains of the family, channel, is in `channels.rs`.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use gofer_vfs::{Backend, Errno, Name, Result};
use gofer_wire::p9::{
    self, Rattach, Rauth, Rclunk, Rflush, Rversion, Tattach, Tauth, Tclunk, Tflush, Tversion, Version,
};

use super::fids::{Entry, Place};
use super::{Cx, Negotiated, Session};

impl<B: Backend> Session<B> {
    /// Agrees on a version and a message size and begins anew, when nothing else is in flight: all fids are
    /// clunked.
    ///
    /// Nothing changes unless all is well. A Google client is told to try an older version (`EAGAIN`) rather
    /// than offered one, and never gets a smaller message size: it would not look.
    pub(super) fn version<'b>(&self, t: Tversion<'b>, _: Cx<'b>) -> Result<Rversion<'b>> {
        let version = Version::parse(t.version.as_bytes()).ok_or(Errno::EINVAL)?;
        let is_plain = t.version.as_bytes() == b"9P2000.L";
        if t.msize < p9::MSIZE_MIN || (t.msize > p9::MESSAGE_MAX && !is_plain) {
            return Err(Errno::EINVAL);
        }
        if version > Version::HIGHEST {
            return Err(Errno::EAGAIN);
        }
        let msize = t.msize.min(p9::MESSAGE_MAX);
        // The version is answered as it was written, leading zeros and all.
        if p9::HEADER + 6 + t.version.as_bytes().len() > msize as usize {
            return Err(Errno::EINVAL);
        }
        let mut negotiated = self.negotiated.write().unwrap_or_else(PoisonError::into_inner);
        self.fids.clear();
        *negotiated = Negotiated { version, extended: !is_plain, msize };
        self.frame_max.store(msize as usize, Ordering::Relaxed);
        Ok(Rversion { msize, version: t.version })
    }

    /// There is no authentication. diod's clients understand only `ENOENT` as that.
    pub(super) fn auth(&self, _: Tauth<'_>, cx: Cx<'_>) -> Result<Rauth> {
        Err(if cx.version.is_google() { Errno::ENOSYS } else { Errno::ENOENT })
    }

    /// Makes a fid stand for a place in an export: the root or what the attach name leads to. For this
    /// client it is a root.
    pub(super) fn attach(&self, t: Tattach<'_>, cx: Cx<'_>) -> Result<Rattach> {
        if t.afid != p9::Fid::NONE || t.fid == p9::Fid::NONE {
            return Err(Errno::EINVAL);
        }
        let (export, path) = self.exports.find(t.aname.as_bytes())?;
        let steps = || path.split(|b| *b == b'/').filter(|_| !path.is_empty());
        for step in steps() {
            Name::new(step)?;
        }
        let (node, attr) = self.exports.backend(export).attach()?;
        let mut place = Place { node, user: t.n_uname, export, kind: attr.kind, is_root: true };
        for step in steps() {
            place = self.step(&place, Name::new(step)?, cx.version)?.0;
        }
        let qid = self.qid(&place)?;
        self.fids.insert(t.fid, Place { is_root: true, ..place })?;
        if self.exports.policy(export).strict {
            self.strict.store(true, Ordering::Relaxed);
        }
        Ok(Rattach { qid })
    }

    /// Reached only by a flush that has nothing to wait for.
    pub(super) fn flush(&self, _: Tflush, _: Cx<'_>) -> Result<Rflush> {
        Ok(Rflush)
    }

    /// Frees a fid. Only the fid of an extended attribute to be written can fail, and is free all the same.
    pub(super) fn clunk(&self, t: Tclunk, _: Cx<'_>) -> Result<Rclunk> {
        match self.fids.remove(t.fid)? {
            Entry::Xattr(fid) => self.finish_xattr(&fid)?,
            file @ (Entry::Walked(_) | Entry::Opened(_)) => drop(file),
        }
        Ok(Rclunk)
    }
}
