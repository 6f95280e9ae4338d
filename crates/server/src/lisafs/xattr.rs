//! FGetXattr, FSetXattr, FListXattr, FRemoveXattr.

use gofer_vfs::{Backend, Errno, Result, XattrName};
use gofer_wire::codec::Str;
use gofer_wire::lisafs::{
    Done, FGetXattrReq, FGetXattrResp, FListXattrReq, FListXattrResp, FRemoveXattrReq, FSetXattrReq, FdId,
};

use super::fds::Place;
use super::{Cx, Session};
use crate::xattr::{flags, list, within};

impl<B: Backend> Session<B> {
    /// A place that has a name, and the name of an attribute that the client may use.
    fn named<'n>(&self, fd: FdId, name: &'n Str<'_>) -> Result<(Place<B>, XattrName<'n>)> {
        let place = self.fds.place(fd)?;
        if self.is_removed(&place)? {
            return Err(Errno::EINVAL);
        }
        Ok((place, self.policy().xattr.admit(name.as_bytes())?))
    }

    pub(super) fn fget_xattr<'b>(&self, t: FGetXattrReq<'_>, cx: Cx<'b>) -> Result<FGetXattrResp<'b>> {
        let (place, name) = self.named(t.fd, &t.name)?;
        self.backend().getxattr(&place.node, name, cx.scratch)?;
        within(cx.scratch.len(), t.size.into())?;
        // A value of 65,536 bytes, which the host may have, is one too long for a string.
        Ok(FGetXattrResp { value: Str::new(cx.scratch).ok_or(Errno::E2BIG)? })
    }

    pub(super) fn fset_xattr(&self, t: FSetXattrReq<'_>, _: Cx<'_>) -> Result<Done> {
        let (place, name) = self.named(t.fd, &t.name)?;
        self.backend().setxattr(&place.node, name, t.value.as_bytes(), flags(t.flags)?)?;
        Ok(Done)
    }

    pub(super) fn flist_xattr<'b>(&self, t: FListXattrReq, cx: Cx<'b>) -> Result<FListXattrResp<'b>> {
        let place = self.fds.place(t.fd)?;
        if self.is_removed(&place)? {
            return Err(Errno::EINVAL);
        }
        let names = list(self.backend(), &place.node, self.policy().xattr, t.size, cx.scratch)?;
        Ok(FListXattrResp { names })
    }

    pub(super) fn fremove_xattr(&self, t: FRemoveXattrReq<'_>, _: Cx<'_>) -> Result<Done> {
        let (place, name) = self.named(t.fd, &t.name)?;
        self.backend().removexattr(&place.node, name)?;
        Ok(Done)
    }
}
