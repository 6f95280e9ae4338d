//! Making, linking, moving and removing names.

use super::dir::Directory;
use super::tree::{Body, INODE_COST, Ino, Inode, ROOT, Tree, entry_cost};
use crate::{Errno, FileKind, Name, Owner, RenameFlags, Result, Unlink};

/// A name in a directory.
type At<'a> = (Ino, Name<'a>);

impl Tree {
    /// Makes a file of any kind. Below a set-group-id directory the group is the directory's unless `owner`
    /// names one, and a directory gets the bit too (`inode(7)`).
    pub(super) fn make(
        &mut self,
        dir: Ino,
        name: Name<'_>,
        body: Body,
        perm: u32,
        owner: Owner,
    ) -> Result<Ino> {
        self.check_free(dir, name)?;
        self.space.take(INODE_COST + body.cost() + entry_cost(name))?;
        let above = &self.inodes[dir];
        let inherits = above.perm & 0o2000 != 0;
        let owner = Owner { uid: owner.uid, gid: owner.gid.or(inherits.then_some(above.gid)) };
        let is_dir = matches!(body, Body::Directory(_));
        let perm = if inherits && is_dir { perm | 0o2000 } else { perm };
        let now = self.clock.tick();
        let ino = self.add(Inode::new(body, perm, owner, now));
        self.put((dir, name), ino);
        Ok(ino)
    }

    pub(super) fn link(&mut self, ino: Ino, dir: Ino, name: Name<'_>) -> Result<()> {
        if self.is_dir(ino) {
            return Err(Errno::EPERM);
        }
        self.check_free(dir, name)?;
        if self.inodes[ino].links == 0 {
            return Err(Errno::ENOENT);
        }
        self.space.take(entry_cost(name))?;
        self.inodes[ino].links += 1;
        self.touch(ino);
        self.put((dir, name), ino);
        Ok(())
    }

    pub(super) fn unlink(&mut self, dir: Ino, name: Name<'_>, what: Unlink) -> Result<()> {
        let ino = self.find(dir, name)?;
        match (what, self.is_dir(ino)) {
            (Unlink::File, true) => return Err(Errno::EISDIR),
            (Unlink::Directory, false) => return Err(Errno::ENOTDIR),
            (Unlink::Directory, true) => self.check_empty(ino)?,
            (Unlink::File, false) => {}
        }
        self.take_out((dir, name), ino);
        self.lose_name(ino);
        Ok(())
    }

    /// The checks come in the kernel's order (`do_renameat2`, `vfs_rename`).
    pub(super) fn rename(&mut self, old: At<'_>, new: At<'_>, flags: RenameFlags) -> Result<()> {
        self.directory(new.0)?;
        let moved = self.find(old.0, old.1)?;
        let target = match self.find(new.0, new.1) {
            Ok(_) if flags == RenameFlags::NoReplace => return Err(Errno::EEXIST),
            Err(Errno::ENOENT) if flags != RenameFlags::Exchange && self.inodes[new.0].links > 0 => None,
            found => Some(found?),
        };
        if self.is_within(new.0, moved) {
            return Err(Errno::EINVAL);
        }
        if target.is_some_and(|target| self.is_within(old.0, target)) {
            let exchange = flags == RenameFlags::Exchange;
            return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        match target {
            // Two names of one file: both stay.
            Some(target) if target == moved => return Ok(()),
            Some(target) if flags == RenameFlags::Exchange => {
                self.uncount(old.0, moved);
                self.uncount(new.0, target);
                self.put(old, target);
                self.touch(target);
            }
            Some(target) => {
                match (self.is_dir(moved), self.is_dir(target)) {
                    (true, false) => return Err(Errno::ENOTDIR),
                    (false, true) => return Err(Errno::EISDIR),
                    (true, true) => self.check_empty(target)?,
                    (false, false) => {}
                }
                self.take_out(old, moved);
                self.uncount(new.0, target);
                self.lose_name(target);
            }
            None => {
                self.space.take(entry_cost(new.1))?;
                self.take_out(old, moved);
            }
        }
        self.put(new, moved);
        self.touch(moved);
        Ok(())
    }

    /// Makes a name, new or not, stand for `ino`.
    fn put(&mut self, (dir, name): At<'_>, ino: Ino) {
        if let Body::Directory(directory) = &mut self.inodes[ino].body {
            directory.parent = dir;
            self.inodes[dir].links += 1;
        }
        self.change(dir, |directory| directory.set(name, ino));
    }

    /// Removes a name, which stood for `ino`.
    fn take_out(&mut self, (dir, name): At<'_>, ino: Ino) {
        self.uncount(dir, ino);
        self.change(dir, |directory| directory.remove(name));
        self.space.give(entry_cost(name));
    }

    /// Takes back the link that the `..` of a directory is to the one it was in.
    fn uncount(&mut self, dir: Ino, ino: Ino) {
        if self.is_dir(ino) {
            self.inodes[dir].links -= 1;
        }
    }

    /// Takes one name from the count; the inode goes with the last one unless somebody holds it.
    fn lose_name(&mut self, ino: Ino) {
        let inode = &mut self.inodes[ino];
        inode.links = if inode.kind() == FileKind::Directory { 0 } else { inode.links - 1 };
        self.touch(ino);
        self.forget_if_unused(ino);
    }

    fn touch(&mut self, ino: Ino) {
        self.inodes[ino].ctime = self.clock.tick();
    }

    fn change(&mut self, dir: Ino, how: impl FnOnce(&mut Directory)) {
        let inode = &mut self.inodes[dir];
        if let Body::Directory(directory) = &mut inode.body {
            how(directory);
            inode.modified(self.clock.tick());
        }
    }

    fn is_dir(&self, ino: Ino) -> bool {
        self.inodes[ino].kind() == FileKind::Directory
    }

    /// Whether a directory is `above` or somewhere below it.
    fn is_within(&self, mut dir: Ino, above: Ino) -> bool {
        while dir != above {
            match &self.inodes[dir].body {
                Body::Directory(directory) if dir != ROOT => dir = directory.parent,
                _ => return false,
            }
        }
        true
    }

    fn check_empty(&self, ino: Ino) -> Result<()> {
        if self.directory(ino)?.is_empty() { Ok(()) } else { Err(Errno::ENOTEMPTY) }
    }

    /// That a name can be made: `EEXIST` where it is taken, `ENOENT` in a directory that was removed.
    fn check_free(&self, dir: Ino, name: Name<'_>) -> Result<()> {
        match self.find(dir, name) {
            Ok(_) => Err(Errno::EEXIST),
            Err(Errno::ENOENT) if self.inodes[dir].links > 0 => Ok(()),
            Err(other) => Err(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::super::{MemFs, Node};
    use super::*;
    use crate::{AccessMode, Backend, Gid, OpenFlags, Special, Uid};
    use RenameFlags::{Exchange, NoReplace, Replace};

    fn nlink(fs: &MemFs, node: &Node) -> u64 {
        fs.getattr(node).unwrap().nlink
    }

    fn rename(fs: &MemFs, old: (&Node, &str), new: (&Node, &str), flags: RenameFlags) -> Result<()> {
        fs.rename(old.0, name(old.1), new.0, name(new.1), flags)
    }

    #[test]
    fn everything_is_made_with_the_mode_and_owner_asked_for() {
        let (fs, root) = tree();
        let owner = Owner { uid: Some(Uid(7)), gid: Some(Gid(8)) };
        let of = |attr: crate::Attr| (attr.kind, attr.perm, attr.uid.0, attr.gid.0, attr.nlink);
        let (_, attr) = fs.mkdir(&root, name("d"), 0o7755, owner).unwrap();
        assert_eq!(of(attr), (FileKind::Directory, 0o7755, 7, 8, 2));
        let (_, attr) = fs.symlink(&root, name("l"), b"/x/../y", owner).unwrap();
        assert_eq!((of(attr), attr.size), ((FileKind::Symlink, 0o777, 7, 8, 1), 7));
        for (at, what, rdev) in [
            ("r", Special::Regular, 0),
            ("p", Special::Fifo, 0),
            ("s", Special::Socket, 0),
            ("c", Special::CharDevice(1, 3), 0x103),
            ("b", Special::BlockDevice(0xfff, 0xf_ffff), 0xfff_fffff),
        ] {
            let (node, attr) = fs.mknod(&root, name(at), what, 0o6644, owner).unwrap();
            assert_eq!((of(attr), attr.rdev), ((what.kind(), 0o6644, 7, 8, 1), rdev));
            assert_eq!(fs.getattr(&node), Ok(attr));
            assert_eq!(fs.lookup(&root, name(at)), Ok(attr));
        }
        for what in [Special::CharDevice(1 << 12, 0), Special::BlockDevice(0, 1 << 20)] {
            assert_eq!(fs.mknod(&root, name("x"), what, 0, owner).unwrap_err(), Errno::EINVAL);
        }
    }

    #[test]
    fn a_name_is_made_once_and_in_a_live_directory_only() {
        let (fs, root) = tree();
        let gone = dir(&fs, &root, "gone");
        fs.unlink(&root, name("gone"), Unlink::Directory).unwrap();
        let (leaf, _) = file(&fs, &root, "f", AccessMode::Read);
        for (at, of, expected) in
            [(&root, "f", Errno::EEXIST), (&gone, "x", Errno::ENOENT), (&leaf, "x", Errno::ENOTDIR)]
        {
            let owner = Owner::default();
            assert_eq!(fs.mkdir(at, name(of), 0, owner).unwrap_err(), expected);
            assert_eq!(fs.mknod(at, name(of), Special::Regular, 0, owner).unwrap_err(), expected);
            assert_eq!(fs.symlink(at, name(of), b"t", owner).unwrap_err(), expected);
            assert_eq!(fs.link(&leaf, at, name(of)).unwrap_err(), expected);
            let flags = if of == "f" { NoReplace } else { Replace };
            assert_eq!(rename(&fs, (&root, "f"), (at, of), flags), Err(expected));
        }
    }

    #[test]
    fn a_set_group_id_directory_hands_its_group_down() {
        let (fs, root) = tree();
        let group = Owner { uid: None, gid: Some(Gid(9)) };
        let (shared, _) = fs.mkdir(&root, name("shared"), 0o2775, group).unwrap();
        let (_, below) = fs.mkdir(&shared, name("d"), 0o755, Owner::default()).unwrap();
        assert_eq!((below.perm, below.gid), (0o2755, Gid(9)));
        let (_, below) = fs.mknod(&shared, name("f"), Special::Regular, 0o644, Owner::default()).unwrap();
        assert_eq!((below.perm, below.gid), (0o644, Gid(9)));
        let other = Owner { uid: None, gid: Some(Gid(5)) };
        let (_, below) = fs.mkdir(&shared, name("e"), 0o755, other).unwrap();
        assert_eq!((below.perm, below.gid), (0o2755, Gid(5)));
    }

    #[test]
    fn symlink_targets_are_any_bytes_without_nul() {
        let (fs, root) = tree();
        let make = |target: &[u8]| fs.symlink(&root, name("l"), target, Owner::default());
        assert_eq!(make(b"").unwrap_err(), Errno::ENOENT);
        assert_eq!(make(b"a\0b").unwrap_err(), Errno::EINVAL);
        assert_eq!(make(&[b'x'; 4096]).unwrap_err(), Errno::ENAMETOOLONG);
        let (link, _) = make(&[0xff; 4095]).unwrap();
        let mut target = b"before:".to_vec();
        fs.readlink(&link, &mut target).unwrap();
        assert_eq!(target, [&b"before:"[..], &[0xff; 4095]].concat());
        assert_eq!(fs.readlink(&root, &mut target), Err(Errno::EINVAL));
    }

    #[test]
    fn hard_links_are_one_file() {
        let (fs, root) = tree();
        let below = dir(&fs, &root, "d");
        let (node, opened) = file(&fs, &root, "f", AccessMode::ReadWrite);
        fs.link(&node, &below, name("g")).unwrap();
        let (again, attr) = fs.walk(&below, name("g")).unwrap();
        assert_eq!((attr.id, attr.nlink), (fs.getattr(&node).unwrap().id, 2));
        write(&fs, &opened, 0, b"abc").unwrap();
        assert_eq!(fs.getattr(&again).unwrap().size, 3);
        fs.unlink(&root, name("f"), Unlink::File).unwrap();
        assert_eq!(nlink(&fs, &node), 1);
        fs.unlink(&below, name("g"), Unlink::File).unwrap();
        assert_eq!(nlink(&fs, &node), 0);
        assert_eq!(read(&fs, &opened, 0, 9).unwrap(), b"abc");
        assert_eq!(fs.link(&node, &root, name("f")), Err(Errno::ENOENT));
        assert_eq!(fs.link(&below, &root, name("e")), Err(Errno::EPERM));
    }

    #[test]
    fn unlink_removes_only_what_it_is_told_to() {
        let (fs, root) = tree();
        let above = dir(&fs, &root, "d");
        let below = dir(&fs, &above, "e");
        file(&fs, &root, "f", AccessMode::Read);
        assert_eq!(fs.unlink(&root, name("d"), Unlink::File), Err(Errno::EISDIR));
        assert_eq!(fs.unlink(&root, name("f"), Unlink::Directory), Err(Errno::ENOTDIR));
        assert_eq!(fs.unlink(&root, name("d"), Unlink::Directory), Err(Errno::ENOTEMPTY));
        assert_eq!(fs.unlink(&root, name("x"), Unlink::File), Err(Errno::ENOENT));
        assert_eq!((nlink(&fs, &root), nlink(&fs, &above)), (3, 3));
        fs.unlink(&above, name("e"), Unlink::Directory).unwrap();
        assert_eq!((nlink(&fs, &above), nlink(&fs, &below)), (2, 0));
        assert_eq!(fs.walk(&below, name("x")).unwrap_err(), Errno::ENOENT);
        fs.open(&below, OpenFlags::new(AccessMode::Read)).unwrap();
    }

    #[test]
    fn rename_replaces_like_with_like() {
        let (fs, root) = tree();
        let (d, e) = (dir(&fs, &root, "d"), dir(&fs, &root, "e"));
        let (f, _) = file(&fs, &root, "f", AccessMode::Read);
        let (g, _) = file(&fs, &e, "g", AccessMode::Read);
        assert_eq!(rename(&fs, (&root, "d"), (&root, "f"), Replace), Err(Errno::ENOTDIR));
        assert_eq!(rename(&fs, (&root, "f"), (&root, "d"), Replace), Err(Errno::EISDIR));
        assert_eq!(rename(&fs, (&root, "d"), (&root, "e"), Replace), Err(Errno::ENOTEMPTY));
        assert_eq!(rename(&fs, (&root, "x"), (&root, "f"), Replace), Err(Errno::ENOENT));
        assert_eq!(rename(&fs, (&f, "x"), (&root, "f"), Replace), Err(Errno::ENOTDIR));
        rename(&fs, (&root, "f"), (&e, "g"), Replace).unwrap();
        assert_eq!((nlink(&fs, &f), nlink(&fs, &g)), (1, 0));
        rename(&fs, (&root, "e"), (&root, "d"), Replace).unwrap();
        assert_eq!((nlink(&fs, &root), nlink(&fs, &d), nlink(&fs, &e)), (3, 0, 2));
        assert_eq!(names(&fs, &root), [".", "..", "d"]);
        assert_eq!(fs.lookup(&e, name("g")).unwrap().id, fs.getattr(&f).unwrap().id);
    }

    #[test]
    fn rename_onto_the_same_file_keeps_both_names() {
        let (fs, root) = tree();
        let (f, _) = file(&fs, &root, "f", AccessMode::Read);
        fs.link(&f, &root, name("g")).unwrap();
        rename(&fs, (&root, "f"), (&root, "g"), Replace).unwrap();
        rename(&fs, (&root, "f"), (&root, "f"), Replace).unwrap();
        rename(&fs, (&root, "f"), (&root, "g"), Exchange).unwrap();
        assert_eq!(rename(&fs, (&root, "f"), (&root, "f"), NoReplace), Err(Errno::EEXIST));
        assert_eq!((names(&fs, &root).len(), nlink(&fs, &f)), (4, 2));
    }

    #[test]
    fn no_directory_moves_into_itself() {
        let (fs, root) = tree();
        let a = dir(&fs, &root, "a");
        let b = dir(&fs, &a, "b");
        dir(&fs, &b, "c");
        assert_eq!(rename(&fs, (&root, "a"), (&a, "x"), Replace), Err(Errno::EINVAL));
        assert_eq!(rename(&fs, (&root, "a"), (&b, "c"), Replace), Err(Errno::EINVAL));
        assert_eq!(rename(&fs, (&root, "a"), (&b, "c"), Exchange), Err(Errno::EINVAL));
        assert_eq!(rename(&fs, (&b, "c"), (&root, "a"), Replace), Err(Errno::ENOTEMPTY));
        assert_eq!(rename(&fs, (&b, "c"), (&root, "a"), Exchange), Err(Errno::EINVAL));
        assert_eq!(rename(&fs, (&b, "c"), (&root, "a"), NoReplace), Err(Errno::EEXIST));
    }

    #[test]
    fn exchange_swaps_files_of_any_kind() {
        let (fs, root) = tree();
        let (d, e) = (dir(&fs, &root, "d"), dir(&fs, &root, "e"));
        dir(&fs, &d, "sub");
        file(&fs, &e, "f", AccessMode::Read);
        assert_eq!(rename(&fs, (&d, "sub"), (&e, "x"), Exchange), Err(Errno::ENOENT));
        rename(&fs, (&d, "sub"), (&e, "f"), Exchange).unwrap();
        assert_eq!(fs.lookup(&d, name("sub")).unwrap().kind, FileKind::Regular);
        assert_eq!(fs.lookup(&e, name("f")).unwrap().kind, FileKind::Directory);
        assert_eq!((nlink(&fs, &d), nlink(&fs, &e)), (2, 3));
        let moved = fs.walk(&e, name("f")).unwrap().0;
        assert_eq!(rename(&fs, (&root, "e"), (&moved, "x"), Replace), Err(Errno::EINVAL), "the parent moved");
    }

    #[test]
    fn names_take_space_too() {
        let fs = MemFs::new(10_000);
        let root = fs.attach().unwrap().0;
        let make = |n: u32| fs.mknod(&root, name(&n.to_string()), Special::Regular, 0, Owner::default());
        let made = (0..).find(|n| make(*n).is_err()).unwrap();
        assert!(0 < made && made < 20, "{made}");
        assert_eq!(make(made).unwrap_err(), Errno::ENOSPC);
        fs.unlink(&root, name("0"), Unlink::File).unwrap();
        make(made).unwrap();
    }
}
