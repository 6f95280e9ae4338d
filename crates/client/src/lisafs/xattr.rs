//! FGetXattr, FSetXattr, FListXattr, FRemoveXattr.

use gofer_vfs::{Errno, Result, XattrFlags, XattrName, XattrPolicy};
use gofer_wire::Str;
use gofer_wire::lisafs::{
    FGetXattrReq, FGetXattrResp, FListXattrReq, FListXattrResp, FRemoveXattrReq, FSetXattrReq,
};

use super::{Client, Node};
use crate::emulated::xattr_flags;

impl Client {
    pub(crate) fn getxattr(&self, node: &Node, name: XattrName<'_>, into: &mut Vec<u8>) -> Result<()> {
        let answer = self.rpc.call(&FGetXattrReq { fd: node.fd(), size: 0, name: str(name)? })?;
        let FGetXattrResp { value } = answer.body()?;
        into.extend_from_slice(value.as_bytes());
        Ok(())
    }

    /// `E2BIG` also for a value of 65,536 bytes, which is one more than a string can have.
    pub(crate) fn setxattr(
        &self,
        node: &Node,
        name: XattrName<'_>,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        let value = Str::new(value).ok_or(Errno::E2BIG)?;
        let flags = xattr_flags(flags);
        self.rpc.call(&FSetXattrReq { fd: node.fd(), flags, name: str(name)?, value }).map(drop)
    }

    pub(crate) fn listxattr(&self, node: &Node, into: &mut Vec<u8>) -> Result<()> {
        let answer = self.rpc.call(&FListXattrReq { fd: node.fd(), size: 0 })?;
        let FListXattrResp { names } = answer.body()?;
        let start = into.len();
        for name in names.iter().map(|name| name.as_bytes()) {
            if name.is_empty()
                || name.contains(&0)
                || into.len() - start + name.len() >= XattrPolicy::SIZE_MAX
            {
                into.truncate(start);
                return Err(self.rpc.violated());
            }
            into.extend_from_slice(name);
            into.push(0);
        }
        Ok(())
    }

    pub(crate) fn removexattr(&self, node: &Node, name: XattrName<'_>) -> Result<()> {
        self.rpc.call(&FRemoveXattrReq { fd: node.fd(), name: str(name)? }).map(drop)
    }
}

fn str(name: XattrName<'_>) -> Result<Str<'_>> {
    Str::new(name.as_bytes()).ok_or(Errno::ERANGE)
}
