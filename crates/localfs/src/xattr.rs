//! getxattr, setxattr, listxattr, removexattr.

use std::os::fd::AsFd;

use gofer_sys::xattr;
use gofer_vfs::{Result, XattrFlags, XattrName};

use crate::{LocalFs, Node};

impl LocalFs {
    pub(crate) fn getxattr(&self, node: &Node, name: XattrName<'_>, into: &mut Vec<u8>) -> Result<()> {
        xattr::get(&self.procfd, node.hold()?.as_fd(), name, into)
    }

    pub(crate) fn setxattr(
        &self,
        node: &Node,
        name: XattrName<'_>,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        xattr::set(&self.procfd, node.hold()?.as_fd(), name, value, flags)
    }

    pub(crate) fn listxattr(&self, node: &Node, into: &mut Vec<u8>) -> Result<()> {
        xattr::list(&self.procfd, node.hold()?.as_fd(), into)
    }

    pub(crate) fn removexattr(&self, node: &Node, name: XattrName<'_>) -> Result<()> {
        xattr::remove(&self.procfd, node.hold()?.as_fd(), name)
    }
}
