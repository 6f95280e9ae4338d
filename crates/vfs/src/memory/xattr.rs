//! Extended attributes.

use std::collections::BTreeMap;

use super::tree::{Ino, Tree};
use crate::{Errno, FileKind, Result, XattrFlags, XattrName, XattrPolicy};

/// The extended attributes of a file.
#[derive(Debug, Default)]
pub(super) struct Xattrs(BTreeMap<Box<[u8]>, Box<[u8]>>);

impl Xattrs {
    /// What they cost.
    pub(super) fn cost(&self) -> u64 {
        self.0.iter().map(|(name, value)| cost(name, value)).sum()
    }

    /// How long the list of their names is, in bytes.
    fn list_len(&self) -> usize {
        self.0.keys().map(|name| name.len() + 1).sum()
    }
}

fn cost(name: &[u8], value: &[u8]) -> u64 {
    128 + name.len() as u64 + value.len() as u64
}

/// What is asked of an attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Read,
    Change,
}

impl Tree {
    pub(super) fn getxattr(&self, ino: Ino, name: XattrName<'_>, into: &mut Vec<u8>) -> Result<()> {
        self.check_xattr(ino, name, To::Read)?;
        let value = self.inodes[ino].xattrs.0.get(name.as_bytes()).ok_or(Errno::ENODATA)?;
        into.extend_from_slice(value);
        Ok(())
    }

    pub(super) fn setxattr(
        &mut self,
        ino: Ino,
        name: XattrName<'_>,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        if value.len() > XattrPolicy::SIZE_MAX {
            return Err(Errno::E2BIG);
        }
        self.check_xattr(ino, name, To::Change)?;
        let inode = &mut self.inodes[ino];
        let bytes = name.as_bytes();
        let old = match (inode.xattrs.0.get(bytes), flags) {
            (Some(_), XattrFlags::Create) => return Err(Errno::EEXIST),
            (None, XattrFlags::Replace) => return Err(Errno::ENODATA),
            // A list that is too long could be set but never be read.
            (None, _) if inode.xattrs.list_len() + bytes.len() >= XattrPolicy::SIZE_MAX => {
                return Err(Errno::ENOSPC);
            }
            (old, _) => old.map_or(0, |old| cost(bytes, old)),
        };
        let new = cost(bytes, value);
        self.space.take(new.saturating_sub(old))?;
        self.space.give(old.saturating_sub(new));
        inode.xattrs.0.insert(bytes.into(), value.into());
        inode.ctime = self.clock.tick();
        Ok(())
    }

    pub(super) fn listxattr(&self, ino: Ino, into: &mut Vec<u8>) {
        for name in self.inodes[ino].xattrs.0.keys() {
            into.extend_from_slice(name);
            into.push(0);
        }
    }

    pub(super) fn removexattr(&mut self, ino: Ino, name: XattrName<'_>) -> Result<()> {
        self.check_xattr(ino, name, To::Change)?;
        let inode = &mut self.inodes[ino];
        let value = inode.xattrs.0.remove(name.as_bytes()).ok_or(Errno::ENODATA)?;
        self.space.give(cost(name.as_bytes(), &value));
        inode.ctime = self.clock.tick();
        Ok(())
    }

    /// Which names there can be (`xattr(7)`): those of the user are for regular files and directories;
    /// those of the system, access control lists among them, are not kept here.
    fn check_xattr(&self, ino: Ino, name: XattrName<'_>, to: To) -> Result<()> {
        let is_in = |space: &[u8]| name.as_bytes().starts_with(space);
        let has_content = matches!(self.inodes[ino].kind(), FileKind::Regular | FileKind::Directory);
        match name.as_bytes() {
            b"user." | b"trusted." | b"security." => Err(Errno::EINVAL),
            _ if is_in(b"trusted.") || is_in(b"security.") => Ok(()),
            _ if !is_in(b"user.") => Err(Errno::EOPNOTSUPP),
            _ if has_content => Ok(()),
            _ if to == To::Read => Err(Errno::ENODATA),
            _ => Err(Errno::EPERM),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::super::{MemFs, Node};
    use super::*;
    use crate::{AccessMode, Backend, Owner};
    use XattrFlags::{Any, Create, Replace};

    fn get(fs: &MemFs, node: &Node, at: &str) -> Result<Vec<u8>> {
        let mut value = Vec::new();
        fs.getxattr(node, xattr(at), &mut value).map(|()| value)
    }

    #[test]
    fn a_value_is_set_replaced_and_removed() {
        let (fs, root) = tree();
        let set = |value: &[u8], flags| fs.setxattr(&root, xattr("user.a"), value, flags);
        assert_eq!(get(&fs, &root, "user.a"), Err(Errno::ENODATA));
        assert_eq!(set(b"1", Replace), Err(Errno::ENODATA));
        set(b"1", Create).unwrap();
        assert_eq!(set(b"2", Create), Err(Errno::EEXIST));
        assert_eq!(get(&fs, &root, "user.a").unwrap(), b"1");
        set(b"22", Replace).unwrap();
        set(b"", Any).unwrap();
        assert_eq!(get(&fs, &root, "user.a").unwrap(), b"");
        fs.setxattr(&root, xattr("trusted.b"), b"x", Any).unwrap();
        let mut list = b"before".to_vec();
        fs.listxattr(&root, &mut list).unwrap();
        assert_eq!(list, b"beforetrusted.b\0user.a\0");
        fs.removexattr(&root, xattr("user.a")).unwrap();
        assert_eq!(fs.removexattr(&root, xattr("user.a")), Err(Errno::ENODATA));
        assert_eq!(get(&fs, &root, "user.a"), Err(Errno::ENODATA));
    }

    #[test]
    fn names_belong_to_their_kinds() {
        let (fs, root) = tree();
        let (link, _) = fs.symlink(&root, name("l"), b"t", Owner::default()).unwrap();
        let set = |node, at| fs.setxattr(node, xattr(at), b"x", Any);
        assert_eq!(set(&link, "user.a"), Err(Errno::EPERM));
        assert_eq!(get(&fs, &link, "user.a"), Err(Errno::ENODATA));
        assert_eq!(fs.removexattr(&link, xattr("user.a")), Err(Errno::EPERM));
        set(&link, "security.a").unwrap();
        assert_eq!(set(&root, "user."), Err(Errno::EINVAL));
        for at in ["system.posix_acl_access", "nospace", "users.a"] {
            assert_eq!(set(&root, at), Err(Errno::EOPNOTSUPP));
            assert_eq!(get(&fs, &root, at), Err(Errno::EOPNOTSUPP));
        }
    }

    #[test]
    fn values_names_and_space_have_limits() {
        let (fs, root) = tree();
        let (node, _) = file(&fs, &root, "f", AccessMode::Read);
        let set = |at: &str, len| fs.setxattr(&node, xattr(at), &vec![1; len], Any);
        assert_eq!(set("user.a", XattrPolicy::SIZE_MAX + 1), Err(Errno::E2BIG));
        set("user.a", XattrPolicy::SIZE_MAX).unwrap();
        let full = (0..99).map(|n| set(&format!("user.{n}"), XattrPolicy::SIZE_MAX)).find_map(Result::err);
        assert_eq!(full, Some(Errno::ENOSPC));
        set("user.a", 1).unwrap();

        let fs = MemFs::new(1 << 30);
        let root = fs.attach().unwrap().0;
        let long = |n: u32| format!("user.{n:0>200}");
        let full = (0..999).map(|n| fs.setxattr(&root, xattr(&long(n)), b"", Any)).find_map(Result::err);
        assert_eq!(full, Some(Errno::ENOSPC));
        let mut list = Vec::new();
        fs.listxattr(&root, &mut list).unwrap();
        assert!(list.len() <= XattrPolicy::SIZE_MAX);
        fs.setxattr(&root, xattr(&long(0)), b"again", Replace).unwrap();
    }
}
