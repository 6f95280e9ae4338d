//! xattrwalk, xattrcreate; getxattr, setxattr, listxattr, removexattr.
//!
//! The first two are 9P2000.L's: an attribute becomes a fid that is read or written like a file. The others
//! are Google's, one message each.

use std::sync::{Mutex, PoisonError};

use gofer_vfs::{Backend, Errno, Result, Sink, Source, XattrFlags, XattrName, XattrPolicy};
use gofer_wire::codec::Str;
use gofer_wire::p9::{
    Rgetxattr, Rlistxattr, Rremovexattr, Rsetxattr, Rxattrcreate, Rxattrwalk, Tgetxattr, Tlistxattr,
    Tremovexattr, Tsetxattr, Txattrcreate, Txattrwalk,
};

use super::fids::{Fid, Place};
use super::{Cx, Session};
use crate::quota::Share;
use crate::xattr::{flags, list, names, within};

/// A fid of an extended attribute.
pub(crate) struct XattrFid<B: Backend> {
    content: Content<B>,
    /// Of the bytes that the connection's fids may hold.
    _share: Share,
}

enum Content<B: Backend> {
    /// A value or list of names as it was when it was walked to.
    Snapshot(Vec<u8>),
    /// A value that is set when the fid is clunked.
    Pending { place: Place<B>, name: Vec<u8>, size: usize, flags: u32, bytes: Mutex<Vec<u8>> },
}

impl<B: Backend> XattrFid<B> {
    /// Gives up to `len` bytes from `offset` on.
    ///
    /// # Errors
    /// `EINVAL` beyond the end, and for what is being written.
    pub(super) fn read(&self, offset: u64, len: usize, into: &mut dyn Sink) -> Result<usize> {
        let Content::Snapshot(bytes) = &self.content else { return Err(Errno::EINVAL) };
        let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).ok_or(Errno::EINVAL)?;
        Ok(into.put(&rest[..len.min(rest.len())]))
    }

    /// Takes bytes of the value, at most as many as were announced and without leaving a gap.
    ///
    /// # Errors
    /// `EINVAL` otherwise, and for what is being read.
    pub(super) fn write(&self, offset: u64, from: &mut dyn Source) -> Result<usize> {
        let Content::Pending { size, bytes, .. } = &self.content else { return Err(Errno::EINVAL) };
        let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(offset).map_err(|_| Errno::EINVAL)?;
        let end = start.checked_add(from.left()).ok_or(Errno::EINVAL)?;
        if start > bytes.len() || end > *size {
            return Err(Errno::EINVAL);
        }
        if end > bytes.len() {
            bytes.resize(end, 0);
        }
        Ok(from.take(&mut bytes[start..end]))
    }
}

impl<B: Backend> Session<B> {
    pub(super) fn xattrwalk(&self, t: Txattrwalk<'_>, _: Cx<'_>) -> Result<Rxattrwalk> {
        let fid = self.fids.get(t.fid)?;
        if t.newfid == t.fid {
            return Err(Errno::EINVAL);
        }
        if self.fids.entry(t.newfid).is_ok() {
            return Err(Errno::EBADF);
        }
        let (place, policy) = (&fid.place, self.policy(&fid.place).xattr);
        let mut bytes = Vec::new();
        if t.name.as_bytes().is_empty() {
            names(self.backend(place), &place.node, policy, &mut bytes)?;
        } else {
            let name = policy.admit(t.name.as_bytes())?;
            self.backend(place).getxattr(&place.node, name, &mut bytes)?;
        }
        if bytes.len() > XattrPolicy::SIZE_MAX {
            return Err(Errno::E2BIG);
        }
        let size = bytes.len() as u64;
        let share = self.xattr_bytes.take(bytes.len()).ok_or(Errno::ENOBUFS)?;
        bytes.shrink_to_fit();
        self.fids.insert_xattr(t.newfid, XattrFid { content: Content::Snapshot(bytes), _share: share })?;
        Ok(Rxattrwalk { size })
    }

    pub(super) fn xattrcreate(&self, t: Txattrcreate<'_>, _: Cx<'_>) -> Result<Rxattrcreate> {
        let place = self.fids.get(t.fid)?.place;
        let size =
            usize::try_from(t.size).ok().filter(|size| *size <= XattrPolicy::SIZE_MAX).ok_or(Errno::E2BIG)?;
        flags(t.flags)?;
        if self.backend(&place).is_read_only() {
            return Err(Errno::EROFS);
        }
        if t.name.as_bytes().is_empty() {
            return Err(Errno::EINVAL);
        }
        self.policy(&place).xattr.admit(t.name.as_bytes())?;
        let claim = self.fids.claim(t.fid)?;
        let pending = Content::Pending {
            place,
            name: t.name.as_bytes().to_vec(),
            size,
            flags: t.flags,
            bytes: Mutex::new(Vec::new()),
        };
        let share = self.xattr_bytes.take(size).ok_or(Errno::ENOBUFS)?;
        claim.replace_with_xattr(XattrFid { content: pending, _share: share })?;
        Ok(Rxattrcreate)
    }

    /// Does what the fid of an attribute was made for, when it is clunked. An empty value that may be there
    /// already means to remove it: that is how the kernel's client says so.
    pub(super) fn finish_xattr(&self, fid: &XattrFid<B>) -> Result<()> {
        let Content::Pending { place, name, size, flags: bits, bytes } = &fid.content else { return Ok(()) };
        let bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.len() < *size {
            return Err(Errno::EINVAL);
        }
        let (backend, name) = (self.backend(place), self.policy(place).xattr.admit(name)?);
        match flags(*bits)? {
            XattrFlags::Any | XattrFlags::Replace if *size == 0 => backend.removexattr(&place.node, name),
            flags => backend.setxattr(&place.node, name, &bytes, flags),
        }
    }

    /// A file whose attributes a Google client may look at, and a name it may use.
    fn named<'n>(&self, fid: &Fid<B>, name: &'n Str<'_>) -> Result<XattrName<'n>> {
        if self.is_removed(&fid.place)? {
            return Err(Errno::EINVAL);
        }
        self.policy(&fid.place).xattr.admit(name.as_bytes())
    }

    pub(super) fn getxattr<'b>(&self, t: Tgetxattr<'_>, cx: Cx<'b>) -> Result<Rgetxattr<'b>> {
        let fid = self.fids.get(t.fid)?;
        let name = self.named(&fid, &t.name)?;
        self.backend(&fid.place).getxattr(&fid.place.node, name, cx.scratch)?;
        within(cx.scratch.len(), t.size)?;
        Ok(Rgetxattr { value: Str::new(cx.scratch).ok_or(Errno::ERANGE)? })
    }

    pub(super) fn setxattr(&self, t: Tsetxattr<'_>, _: Cx<'_>) -> Result<Rsetxattr> {
        let fid = self.fids.get(t.fid)?;
        let name = self.named(&fid, &t.name)?;
        self.backend(&fid.place).setxattr(&fid.place.node, name, t.value.as_bytes(), flags(t.flags)?)?;
        Ok(Rsetxattr)
    }

    pub(super) fn listxattr<'b>(&self, t: Tlistxattr, cx: Cx<'b>) -> Result<Rlistxattr<'b>> {
        let fid = self.fids.get(t.fid)?;
        if self.is_removed(&fid.place)? {
            return Err(Errno::EINVAL);
        }
        let (backend, policy) = (self.backend(&fid.place), self.policy(&fid.place).xattr);
        let names = list(backend, &fid.place.node, policy, t.size, cx.scratch)?;
        Ok(Rlistxattr { names })
    }

    pub(super) fn removexattr(&self, t: Tremovexattr<'_>, _: Cx<'_>) -> Result<Rremovexattr> {
        let fid = self.fids.get(t.fid)?;
        let name = self.named(&fid, &t.name)?;
        self.backend(&fid.place).removexattr(&fid.place.node, name)?;
        Ok(Rremovexattr)
    }
}
