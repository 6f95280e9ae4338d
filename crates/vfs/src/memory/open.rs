//! Opening, and creating what is opened.

use super::io::Content;
use super::tree::{Body, Ino, Tree};
use crate::{CreateFlags, Errno, FileKind, Name, OpenFlags, Owner, Result};

impl Tree {
    /// Whether the inode can be opened so, and the truncation that belongs to it.
    pub(super) fn open(&mut self, ino: Ino, flags: &OpenFlags) -> Result<()> {
        match self.inodes[ino].kind() {
            FileKind::Directory if flags.changes() => Err(Errno::EISDIR),
            FileKind::Directory => Ok(()),
            _ if flags.directory => Err(Errno::ENOTDIR),
            FileKind::Regular if flags.truncate => self.truncate(ino, flags),
            FileKind::Regular => Ok(()),
            FileKind::Symlink => Err(Errno::ELOOP),
            // No driver, nobody at the other end.
            FileKind::Fifo | FileKind::Socket | FileKind::CharDevice | FileKind::BlockDevice => {
                Err(Errno::ENXIO)
            }
        }
    }

    /// Makes and opens a regular file, or opens the one that is there.
    pub(super) fn create(
        &mut self,
        dir: Ino,
        name: Name<'_>,
        flags: CreateFlags,
        perm: u32,
        owner: Owner,
    ) -> Result<Ino> {
        match self.find(dir, name) {
            Err(Errno::ENOENT) => self.make(dir, name, Body::Regular(Content::default()), perm, owner),
            Err(other) => Err(other),
            Ok(_) if flags.exclusive => Err(Errno::EEXIST),
            Ok(ino) => match self.inodes[ino].kind() {
                FileKind::Regular => self.open(ino, &flags.open).map(|()| ino),
                FileKind::Directory => Err(Errno::EISDIR),
                _ => Err(Errno::EEXIST),
            },
        }
    }

    fn truncate(&mut self, ino: Ino, flags: &OpenFlags) -> Result<()> {
        self.resize(ino, 0)?;
        if flags.clears_set_id {
            self.inodes[ino].drop_set_id();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use crate::{AccessMode, Backend, CreateFlags, Errno, OpenFlags, Owner, Special, Unlink};

    #[test]
    fn each_kind_opens_as_it_can() {
        let (fs, root) = tree();
        let owner = Owner::default();
        let read = OpenFlags::new(AccessMode::Read);
        fs.open(&root, read).unwrap();
        fs.open(&root, OpenFlags { directory: true, ..read }).unwrap();
        for flags in [OpenFlags::new(AccessMode::ReadWrite), OpenFlags { truncate: true, ..read }] {
            assert_eq!(fs.open(&root, flags).unwrap_err(), Errno::EISDIR);
        }
        let (regular, _) = file(&fs, &root, "f", AccessMode::Read);
        assert_eq!(fs.open(&regular, OpenFlags { directory: true, ..read }).unwrap_err(), Errno::ENOTDIR);
        let (link, _) = fs.symlink(&root, name("l"), b"f", owner).unwrap();
        assert_eq!(fs.open(&link, read).unwrap_err(), Errno::ELOOP);
        for (at, what) in [("p", Special::Fifo), ("s", Special::Socket), ("c", Special::CharDevice(1, 3))] {
            let (node, _) = fs.mknod(&root, name(at), what, 0o666, owner).unwrap();
            assert_eq!(fs.open(&node, read).unwrap_err(), Errno::ENXIO);
        }
    }

    #[test]
    fn truncation_empties_and_clears_set_id_where_asked() {
        let (fs, root) = tree();
        let (node, opened) = file(&fs, &root, "f", AccessMode::Write);
        write(&fs, &opened, 0, b"abc").unwrap();
        fs.setattr(&node, None, &crate::SetAttr { perm: Some(0o6755), ..Default::default() }).unwrap();
        let truncate = OpenFlags { truncate: true, ..OpenFlags::new(AccessMode::Read) };
        fs.open(&node, truncate).unwrap();
        let attr = fs.getattr(&node).unwrap();
        assert_eq!((attr.size, attr.blocks, attr.perm), (0, 0, 0o6755));
        fs.open(&node, OpenFlags { clears_set_id: true, ..truncate }).unwrap();
        assert_eq!(fs.getattr(&node).unwrap().perm, 0o755);
    }

    #[test]
    fn a_removed_file_opens_again() {
        let (fs, root) = tree();
        let (node, opened) = file(&fs, &root, "f", AccessMode::Write);
        write(&fs, &opened, 0, b"abc").unwrap();
        fs.unlink(&root, name("f"), Unlink::File).unwrap();
        let again = fs.open(&node, OpenFlags::new(AccessMode::Read)).unwrap();
        assert_eq!(read(&fs, &again, 0, 9).unwrap(), b"abc");
    }

    #[test]
    fn create_opens_what_is_there_unless_exclusive() {
        let (fs, root) = tree();
        let (old, opened) = file(&fs, &root, "f", AccessMode::Write);
        write(&fs, &opened, 0, b"abc").unwrap();
        let open = OpenFlags::new(AccessMode::ReadWrite);
        let create = |at, flags| fs.create(&root, name(at), flags, 0o7000, Owner::default());
        let shared = CreateFlags { open, exclusive: false };
        let (node, again, attr) = create("f", shared).unwrap();
        assert_eq!(attr, fs.getattr(&old).unwrap());
        assert_eq!(fs.getattr(&node), Ok(attr));
        assert_eq!((attr.perm, read(&fs, &again, 0, 9).unwrap()), (0o644, b"abc".to_vec()));
        let (.., attr) =
            create("f", CreateFlags { open: OpenFlags { truncate: true, ..open }, ..shared }).unwrap();
        assert_eq!(attr.size, 0);
        assert_eq!(create("f", CreateFlags { exclusive: true, ..shared }).unwrap_err(), Errno::EEXIST);
        dir(&fs, &root, "d");
        fs.symlink(&root, name("l"), b"f", Owner::default()).unwrap();
        assert_eq!(create("d", shared).unwrap_err(), Errno::EISDIR);
        assert_eq!(create("l", shared).unwrap_err(), Errno::EEXIST);
        assert_eq!(create("new", shared).unwrap().2.perm, 0o7000);
    }
}
