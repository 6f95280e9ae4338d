//! Attributes of files and of the whole tree.

use super::io::PAGE;
use super::tree::{Body, INODE_COST, Ino, Tree};
use crate::{Errno, FileKind, Gid, Result, SetAttr, SetTime, StatFs, Time, Uid};

impl Tree {
    pub(super) fn setattr(&mut self, ino: Ino, set: &SetAttr) -> Result<()> {
        if set.is_empty() {
            return Ok(());
        }
        if set.uid.is_some() || set.gid.is_some() {
            self.set_owner(ino, set.uid, set.gid);
        }
        let size = set.size.map_or(Ok(()), |size| self.resize(ino, size));
        let perm = set.perm.map_or(Ok(()), |perm| self.set_perm(ino, perm));
        self.set_times(ino, set.atime, set.mtime);
        size.and(perm)
    }

    /// The ids that mean "none" change nothing but count as a change (`chown(2)`).
    fn set_owner(&mut self, ino: Ino, uid: Option<Uid>, gid: Option<Gid>) {
        let inode = &mut self.inodes[ino];
        inode.uid = uid.filter(|uid| uid.0 != u32::MAX).unwrap_or(inode.uid);
        inode.gid = gid.filter(|gid| gid.0 != u32::MAX).unwrap_or(inode.gid);
        if inode.kind() != FileKind::Directory {
            inode.drop_set_id();
        }
    }

    fn set_perm(&mut self, ino: Ino, perm: u32) -> Result<()> {
        let inode = &mut self.inodes[ino];
        if inode.kind() == FileKind::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        inode.perm = perm & 0o7777;
        Ok(())
    }

    fn set_times(&mut self, ino: Ino, atime: Option<SetTime>, mtime: Option<SetTime>) {
        let now = self.clock.tick();
        let time = |set: Option<SetTime>, old: Time| match set {
            None => old,
            Some(SetTime::Now) => now,
            Some(SetTime::At(time)) => time,
        };
        let inode = &mut self.inodes[ino];
        inode.atime = time(atime, inode.atime);
        inode.mtime = time(mtime, inode.mtime);
        inode.ctime = now;
    }

    pub(super) fn statfs(&self) -> StatFs {
        let free = self.space.free();
        StatFs {
            // That of tmpfs (`statfs(2)`), which this resembles most.
            magic: 0x0102_1994,
            block_size: 4096,
            blocks: self.space.capacity / PAGE,
            blocks_free: free / PAGE,
            blocks_available: free / PAGE,
            files: self.space.capacity / INODE_COST,
            files_free: free / INODE_COST,
            id: self.id(0).dev,
            name_max: 255,
        }
    }

    pub(super) fn readlink(&mut self, ino: Ino, into: &mut Vec<u8>) -> Result<()> {
        let inode = &mut self.inodes[ino];
        let Body::Symlink(target) = &inode.body else { return Err(Errno::EINVAL) };
        into.extend_from_slice(target);
        inode.atime = self.clock.tick();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;
    use crate::{AccessMode, Backend, OpenFlags, Owner};

    fn at(sec: i64) -> Option<SetTime> {
        Some(SetTime::At(Time::new(sec, 0).unwrap()))
    }

    #[test]
    fn a_mode_survives_the_owner_and_size_set_with_it() {
        let (fs, root) = tree();
        let (node, opened) = file(&fs, &root, "f", AccessMode::Write);
        write(&fs, &opened, 0, b"abc").unwrap();
        let set = SetAttr {
            perm: Some(0o6711),
            uid: Some(Uid(4)),
            size: Some(1),
            mtime: at(5),
            ..SetAttr::default()
        };
        fs.setattr(&node, Some(&opened), &set).unwrap();
        let attr = fs.getattr(&node).unwrap();
        assert_eq!((attr.perm, attr.uid, attr.gid, attr.size), (0o6711, Uid(4), Gid(0), 1));
        assert_eq!(attr.mtime, Time::new(5, 0).unwrap());
    }

    #[test]
    fn a_new_owner_clears_set_id_but_not_of_directories() {
        let (fs, root) = tree();
        let (node, _) = file(&fs, &root, "f", AccessMode::Read);
        let below = dir(&fs, &root, "d");
        for (node, before, after) in
            [(&node, 0o6755, 0o755), (&node, 0o6745, 0o2745), (&below, 0o6755, 0o6755)]
        {
            fs.setattr(node, None, &SetAttr { perm: Some(before), ..SetAttr::default() }).unwrap();
            fs.setattr(node, None, &SetAttr { gid: Some(Gid(u32::MAX)), ..SetAttr::default() }).unwrap();
            let attr = fs.getattr(node).unwrap();
            assert_eq!((attr.perm, attr.gid), (after, Gid(0)));
        }
    }

    #[test]
    fn the_first_error_is_the_answer_and_the_rest_is_done() {
        let (fs, root) = tree();
        let (link, _) = fs.symlink(&root, name("l"), b"t", Owner::default()).unwrap();
        let set =
            SetAttr { perm: Some(0), size: Some(0), gid: Some(Gid(3)), atime: at(-7), ..SetAttr::default() };
        assert_eq!(fs.setattr(&link, None, &set), Err(Errno::EINVAL));
        let without_size = SetAttr { size: None, ..set };
        assert_eq!(fs.setattr(&link, None, &without_size), Err(Errno::EOPNOTSUPP));
        let attr = fs.getattr(&link).unwrap();
        assert_eq!((attr.gid, attr.atime, attr.perm), (Gid(3), Time::new(-7, 0).unwrap(), 0o777));
    }

    #[test]
    fn times_move_with_what_they_tell_of() {
        let (fs, root) = tree();
        let (node, opened) = file(&fs, &root, "f", AccessMode::ReadWrite);
        let times = || fs.getattr(&node).map(|attr| (attr.atime, attr.mtime, attr.ctime)).unwrap();
        let moved = |act: &dyn Fn()| {
            let before = times();
            act();
            let after = times();
            (after.0 > before.0, after.1 > before.1, after.2 > before.2)
        };
        let set = |set: SetAttr| fs.setattr(&node, None, &set).unwrap();
        assert_eq!(moved(&|| set(SetAttr::default())), (false, false, false));
        assert_eq!(moved(&|| set(SetAttr { ctime: true, ..SetAttr::default() })), (false, false, true));
        assert_eq!(moved(&|| set(SetAttr { perm: Some(1), ..SetAttr::default() })), (false, false, true));
        assert_eq!(
            moved(&|| set(SetAttr { mtime: Some(SetTime::Now), ..SetAttr::default() })),
            (false, true, true)
        );
        assert_eq!(moved(&|| assert_eq!(write(&fs, &opened, 0, b"x"), Ok(1))), (false, true, true));
        assert_eq!(moved(&|| assert_eq!(read(&fs, &opened, 0, 1).unwrap(), b"x")), (true, false, false));
        assert_eq!(moved(&|| fs.link(&node, &root, name("g")).unwrap()), (false, false, true));
        let flags = OpenFlags { no_atime: true, ..OpenFlags::new(AccessMode::Read) };
        let quiet = fs.open(&node, flags).unwrap();
        assert_eq!(moved(&|| assert_eq!(read(&fs, &quiet, 0, 1).unwrap(), b"x")), (false, false, false));
    }

    #[test]
    fn a_directory_changes_with_its_entries() {
        let (fs, root) = tree();
        let mtime = || fs.getattr(&root).unwrap().mtime;
        let before = mtime();
        let below = dir(&fs, &root, "d");
        let made = mtime();
        assert!(made > before);
        dir(&fs, &below, "e");
        assert_eq!(mtime(), made);
        fs.unlink(&below, name("e"), crate::Unlink::Directory).unwrap();
        fs.unlink(&root, name("d"), crate::Unlink::Directory).unwrap();
        assert!(mtime() > made);
    }

    #[test]
    fn statfs_tells_the_capacity() {
        let (fs, root) = tree();
        let stat = fs.statfs(&root).unwrap();
        assert_eq!((stat.blocks, stat.blocks_free, stat.files), (256, 256, 2048));
        let (node, opened) = file(&fs, &root, "f", AccessMode::Write);
        write(&fs, &opened, 0, &[0; 8192]).unwrap();
        let stat = fs.statfs(&node).unwrap();
        assert_eq!((stat.blocks, stat.blocks_free, stat.name_max), (256, 253, 255));
    }
}
