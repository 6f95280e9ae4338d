//! getxattr, setxattr, listxattr, removexattr.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuser::INodeNo;
use gofer_vfs::{Backend, Errno, Result, XattrFlags, XattrName, XattrPolicy};

use crate::Served;

/// The access control list of a file.
const ACL: &[u8] = b"system.posix_acl_access";
/// The access control list that a directory hands down.
pub(crate) const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";

/// `XATTR_CREATE` and `XATTR_REPLACE` of `setxattr(2)`.
const CREATE: i32 = 1;
const REPLACE: i32 = 2;

impl<B: Backend> Served<B> {
    /// The lists that the kernel obeys can always be read.
    pub(crate) fn getxattr(&self, nodeid: INodeNo, name: &OsStr, into: &mut Vec<u8>) -> Result<()> {
        let inode = self.inodes.named(nodeid)?;
        let is_list = [ACL, DEFAULT_ACL].contains(&name.as_bytes());
        let policy = if is_list { XattrPolicy::All } else { self.options.xattr };
        self.backend.getxattr(&inode.node(), policy.admit(name.as_bytes())?, into)
    }

    pub(crate) fn listxattr(&self, nodeid: INodeNo, into: &mut Vec<u8>) -> Result<()> {
        if self.options.xattr == XattrPolicy::None {
            return Ok(());
        }
        let inode = self.inodes.named(nodeid)?;
        self.backend.listxattr(&inode.node(), into)?;
        self.options.xattr.filter(into);
        Ok(())
    }

    pub(crate) fn setxattr(&self, nodeid: INodeNo, name: &OsStr, value: &[u8], flags: i32) -> Result<()> {
        let flags = match flags {
            0 => XattrFlags::Any,
            CREATE => XattrFlags::Create,
            REPLACE => XattrFlags::Replace,
            _ => return Err(Errno::EINVAL),
        };
        let inode = self.inodes.named(nodeid)?;
        self.backend.setxattr(&inode.node(), self.settable(name)?, value, flags)
    }

    pub(crate) fn removexattr(&self, nodeid: INodeNo, name: &OsStr) -> Result<()> {
        let inode = self.inodes.named(nodeid)?;
        self.backend.removexattr(&inode.node(), self.settable(name)?)
    }

    fn settable<'a>(&self, name: &'a OsStr) -> Result<XattrName<'a>> {
        self.options.xattr.admit(name.as_bytes())
    }
}
