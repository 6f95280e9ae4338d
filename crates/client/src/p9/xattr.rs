//! xattrwalk, xattrcreate; getxattr, setxattr, listxattr, removexattr.
//!
//! The first two are 9P2000.L's: an attribute becomes a fid that is read or written. The others are Google's, one
//! message each, for what fits a message and for files that were not removed.

use gofer_vfs::{Errno, Result, XattrFlags, XattrName, XattrPolicy};
use gofer_wire::p9::{
    Rgetxattr, Rlistxattr, Rread, Rwrite, Rxattrwalk, Tclunk, Tgetxattr, Tlistxattr, Tread, Tremovexattr,
    Tsetxattr, Twrite, Txattrcreate, Txattrwalk, XATTR_CREATE, XATTR_REPLACE,
};
use gofer_wire::{Data, Str};

use crate::emulated::xattr_flags;
use crate::p9::IO_HEAD;
use crate::p9::fids::Held;
use crate::{Client, Node};

impl Client {
    pub(crate) fn getxattr(&self, node: &Node, name: XattrName<'_>, into: &mut Vec<u8>) -> Result<()> {
        let attribute = Str::new(name.as_bytes()).ok_or(Errno::ERANGE)?;
        if self.features.has(10) {
            match self.rpc.call(Tgetxattr { fid: node.fid(), name: attribute, size: 0 }) {
                Ok(answer) => {
                    let Rgetxattr { value } = answer.body()?;
                    into.extend_from_slice(value.as_bytes());
                    return Ok(());
                }
                // It is longer than a string or a message, or the file was removed.
                Err(Errno::ERANGE | Errno::EINVAL) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.read_xattr(node, attribute, into)
    }

    pub(crate) fn listxattr(&self, node: &Node, into: &mut Vec<u8>) -> Result<()> {
        if self.features.has(11) {
            match self.rpc.call(Tlistxattr { fid: node.fid(), size: 0 }) {
                Ok(answer) => {
                    let Rlistxattr { names } = answer.body()?;
                    for name in names.iter().map(|name| name.as_bytes()) {
                        if name.is_empty() || name.contains(&0) {
                            return Err(self.rpc.violated());
                        }
                        into.extend_from_slice(name);
                        into.push(0);
                    }
                    return Ok(());
                }
                Err(Errno::ERANGE | Errno::EINVAL) => {}
                Err(errno) => return Err(errno),
            }
        }
        let start = into.len();
        self.read_xattr(node, Str::default(), into)?;
        let list = &into[start..];
        if list.is_empty()
            || (list.ends_with(&[0]) && !list.starts_with(&[0]) && !list.windows(2).any(|w| w == [0, 0]))
        {
            return Ok(());
        }
        into.truncate(start);
        Err(Errno::EIO)
    }

    /// Reads a value, or without a name the list of names.
    fn read_xattr(&self, node: &Node, name: Str<'_>, into: &mut Vec<u8>) -> Result<()> {
        let newfid = self.rpc.new_fid()?;
        let answer = self.rpc.call(Txattrwalk { fid: node.fid(), newfid, name })?;
        let held = Held::new(&self.rpc, newfid);
        let Rxattrwalk { size } = answer.body()?;
        let size =
            usize::try_from(size).ok().filter(|size| *size <= XattrPolicy::SIZE_MAX).ok_or(Errno::E2BIG)?;
        let start = into.len();
        let mut got = 0;
        while got < size {
            let count = (size - got).min(self.rpc.msize() - IO_HEAD);
            let wire_count = u32::try_from(count).map_err(|_| Errno::EIO)?;
            let read = Tread { fid: held.fid(), offset: got as u64, count: wire_count };
            let answer = self.rpc.call(read).inspect_err(|_| into.truncate(start))?;
            let Rread { data: Data(bytes) } = answer.body()?;
            if bytes.is_empty() || bytes.len() > count {
                into.truncate(start);
                return Err(Errno::EIO);
            }
            into.extend_from_slice(bytes);
            got += bytes.len();
        }
        Ok(())
    }

    pub(crate) fn setxattr(
        &self,
        node: &Node,
        name: XattrName<'_>,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        let attribute = Str::new(name.as_bytes()).ok_or(Errno::ERANGE)?;
        if value.len() > XattrPolicy::SIZE_MAX {
            return Err(Errno::E2BIG);
        }
        let bits = xattr_flags(flags);
        if let Some(value) = Str::new(value).filter(|_| self.features.has(10)) {
            match self.rpc.call(Tsetxattr { fid: node.fid(), name: attribute, value, flags: bits }) {
                // It is longer than a message, or the file was removed.
                Err(Errno::EMSGSIZE | Errno::EINVAL) => {}
                done => return done.map(drop),
            }
        }
        if value.is_empty() && flags != XattrFlags::Create {
            return self.set_empty(node, name, flags);
        }
        self.write_xattr(node, attribute, value, bits)
    }

    /// An empty value means removal, unless the attribute is new: what is there is removed first.
    fn set_empty(&self, node: &Node, name: XattrName<'_>, flags: XattrFlags) -> Result<()> {
        match self.removexattr(node, name) {
            Err(Errno::ENODATA) if flags == XattrFlags::Any => {}
            other => other?,
        }
        let attribute = Str::new(name.as_bytes()).ok_or(Errno::ERANGE)?;
        self.write_xattr(node, attribute, &[], XATTR_CREATE)
    }

    /// Writes a value; its clunk says how that went.
    fn write_xattr(&self, node: &Node, name: Str<'_>, value: &[u8], flags: u32) -> Result<()> {
        let held = self.clone_fid(&node.held)?;
        let fid = held.fid();
        self.rpc.call(Txattrcreate { fid, name, size: value.len() as u64, flags })?;
        let mut at = 0;
        while at < value.len() {
            let end = value.len().min(at + self.rpc.msize() - IO_HEAD);
            let part = &value[at..end];
            let answer = self.rpc.call(Twrite { fid, offset: at as u64, data: Data(part) })?;
            let Rwrite { count } = answer.body()?;
            at += usize::try_from(count).ok().filter(|n| (1..=part.len()).contains(n)).ok_or(Errno::EIO)?;
        }
        let fid = held.into_fid();
        let set = self.rpc.call(Tclunk { fid }).map(drop);
        self.rpc.released(fid, &set);
        set
    }

    pub(crate) fn removexattr(&self, node: &Node, name: XattrName<'_>) -> Result<()> {
        let attribute = Str::new(name.as_bytes()).ok_or(Errno::ERANGE)?;
        if self.features.has(11) {
            match self.rpc.call(Tremovexattr { fid: node.fid(), name: attribute }) {
                Err(Errno::EINVAL) => {}
                done => return done.map(drop),
            }
        }
        self.write_xattr(node, attribute, &[], XATTR_REPLACE)
    }
}
