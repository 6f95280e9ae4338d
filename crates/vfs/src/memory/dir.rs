//! Directories and how they are listed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tree::{Body, Ino, Tree};
use crate::{Entry, EntryName, Errno, FileId, FileKind, Name, Result};

/// The cookies of `.` and `..`; entries have larger ones.
const ITSELF: u64 = 1;
const PARENT: u64 = 2;

/// What one entry counts in a budget besides the bytes of its name.
const ENTRY_LEN: usize = 24;

/// A directory: names, and the order in which they came.
///
/// The number of an entry is its cookie. It only grows, so that a listing which is continued after changes
/// neither loses nor repeats what was there all the time.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) parent: Ino,
    names: BTreeMap<Arc<[u8]>, Place>,
    order: BTreeMap<u64, Arc<[u8]>>,
    last: u64,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    number: u64,
    ino: Ino,
}

impl Directory {
    pub(super) fn new(parent: Ino) -> Self {
        Self { parent, names: BTreeMap::new(), order: BTreeMap::new(), last: PARENT }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// What the name stands for.
    pub(super) fn get(&self, name: Name<'_>) -> Option<Ino> {
        self.names.get(name.as_bytes()).map(|place| place.ino)
    }

    /// Makes the name stand for `ino`. A name that is there keeps its place in the order.
    pub(super) fn set(&mut self, name: Name<'_>, ino: Ino) {
        if let Some(place) = self.names.get_mut(name.as_bytes()) {
            place.ino = ino;
            return;
        }
        self.last += 1;
        let bytes: Arc<[u8]> = name.as_bytes().into();
        self.order.insert(self.last, bytes.clone());
        self.names.insert(bytes, Place { number: self.last, ino });
    }

    pub(super) fn remove(&mut self, name: Name<'_>) {
        if let Some(place) = self.names.remove(name.as_bytes()) {
            self.order.remove(&place.number);
        }
    }

    /// The entries behind a cookie, in order.
    fn behind(&self, cookie: u64) -> impl Iterator<Item = (u64, &Arc<[u8]>, Ino)> {
        let entries = cookie.checked_add(1).map(|first| self.order.range(first..));
        entries.into_iter().flatten().map(|(number, name)| (*number, name, self.names[name].ino))
    }
}

/// An entry as it was when the directory was looked at.
#[derive(Debug)]
pub(super) struct Listed {
    /// `None` for `.` and `..`.
    name: Option<Arc<[u8]>>,
    id: FileId,
    kind: FileKind,
    cookie: u64,
}

impl Listed {
    pub(super) fn cookie(&self) -> u64 {
        self.cookie
    }

    pub(super) fn entry(&self) -> Result<Entry<'_>> {
        let name = match &self.name {
            Some(bytes) => EntryName::Child(Name::new(bytes)?),
            None if self.cookie == ITSELF => EntryName::Itself,
            None => EntryName::Parent,
        };
        Ok(Entry { name, id: self.id, kind: self.kind, cookie: self.cookie })
    }
}

impl Tree {
    /// The directory that the inode is.
    pub(super) fn directory(&self, ino: Ino) -> Result<&Directory> {
        match &self.inodes[ino].body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// What a name in a directory stands for.
    pub(super) fn find(&self, dir: Ino, name: Name<'_>) -> Result<Ino> {
        self.directory(dir)?.get(name).ok_or(Errno::ENOENT)
    }

    /// The entries behind a cookie: as many as the budget takes, and one in any case. A removed directory has
    /// not even `.` (`getdents(2)`).
    pub(super) fn list(&mut self, ino: Ino, cookie: u64, budget: usize) -> Result<Vec<Listed>> {
        let directory = self.directory(ino)?;
        if self.inodes[ino].links == 0 {
            return Err(Errno::ENOENT);
        }
        let dots = [(ITSELF, None, ino), (PARENT, None, directory.parent)];
        let dots = dots.into_iter().filter(|(number, ..)| *number > cookie);
        let others = directory.behind(cookie).map(|(number, name, ino)| (number, Some(name), ino));
        let mut left = budget;
        let mut listed = Vec::new();
        for (cookie, name, ino) in dots.chain(others) {
            let len = ENTRY_LEN + name.map_or(if cookie == ITSELF { 1 } else { 2 }, |name| name.len());
            if len > left && !listed.is_empty() {
                break;
            }
            left = left.saturating_sub(len);
            let (name, kind) = (name.cloned(), self.inodes[ino].kind());
            listed.push(Listed { name, id: self.id(ino), kind, cookie });
        }
        self.inodes[ino].atime = self.clock.tick();
        Ok(listed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::super::{File, MemFs};
    use super::*;
    use crate::{AccessMode, Backend, OpenFlags, RenameFlags, Unlink};

    /// Up to `count` entries behind `cookie`, as name and cookie.
    fn some(fs: &MemFs, file: &File, cookie: u64, count: usize) -> Vec<(String, u64)> {
        let mut taken = Vec::new();
        let mut each = |entry: Entry<'_>| {
            let room = taken.len() < count;
            if room {
                taken.push((String::from_utf8_lossy(entry.name.as_bytes()).into_owned(), entry.cookie));
            }
            room
        };
        fs.readdir(file, cookie, 30, &mut each).unwrap();
        taken
    }

    #[test]
    fn every_entry_is_listed_once_with_what_it_is() {
        let (fs, root) = tree();
        let below = dir(&fs, &root, "d");
        let (leaf, _) = file(&fs, &below, "f", AccessMode::Read);
        let opened = fs.open(&below, OpenFlags::new(AccessMode::Read)).unwrap();
        let mut seen = Vec::new();
        let mut each = |entry: Entry<'_>| {
            seen.push((entry.name.as_bytes().to_vec(), entry.id, entry.kind));
            true
        };
        fs.readdir(&opened, 0, 0, &mut each).unwrap();
        let id = |node| fs.getattr(node).unwrap().id;
        assert_eq!(
            seen,
            [
                (b".".to_vec(), id(&below), FileKind::Directory),
                (b"..".to_vec(), id(&root), FileKind::Directory),
                (b"f".to_vec(), id(&leaf), FileKind::Regular),
            ]
        );
    }

    #[test]
    fn a_listing_goes_on_where_it_stopped_whatever_changes() {
        let (fs, root) = tree();
        for at in ["a", "b", "c", "d", "e"] {
            file(&fs, &root, at, AccessMode::Read);
        }
        let opened = fs.open(&root, OpenFlags::new(AccessMode::Read)).unwrap();
        let first = some(&fs, &opened, 0, 4);
        assert_eq!(first.iter().map(|(at, _)| &at[..]).collect::<Vec<_>>(), [".", "..", "a", "b"]);
        for gone in ["a", "b", "c"] {
            fs.unlink(&root, name(gone), Unlink::File).unwrap();
        }
        file(&fs, &root, "a", AccessMode::Read);
        fs.rename(&root, name("a"), &root, name("e"), RenameFlags::Replace).unwrap();
        let rest = some(&fs, &opened, first[3].1, 9);
        assert_eq!(rest.iter().map(|(at, _)| &at[..]).collect::<Vec<_>>(), ["d", "e"]);
        assert_eq!(some(&fs, &opened, rest[1].1, 9), []);
        assert_eq!(some(&fs, &opened, u64::MAX, 9), []);
        assert_eq!(some(&fs, &opened, rest[0].1, 9), rest[1..]);
    }

    #[test]
    fn the_callback_may_use_the_tree() {
        let (fs, root) = tree();
        file(&fs, &root, "f", AccessMode::Read);
        let opened = fs.open(&root, OpenFlags::new(AccessMode::Read)).unwrap();
        let mut each = |entry: Entry<'_>| match entry.name {
            EntryName::Child(name) => fs.unlink(&root, name, Unlink::File).is_ok(),
            EntryName::Itself | EntryName::Parent => true,
        };
        fs.readdir(&opened, 0, 4096, &mut each).unwrap();
        assert_eq!(names(&fs, &root), [".", ".."]);
    }

    #[test]
    fn only_a_live_directory_is_listed() {
        let (fs, root) = tree();
        let (_, leaf) = file(&fs, &root, "f", AccessMode::Read);
        assert_eq!(fs.readdir(&leaf, 0, 99, &mut |_| true), Err(Errno::ENOTDIR));
        let below = dir(&fs, &root, "d");
        let opened = fs.open(&below, OpenFlags::new(AccessMode::Read)).unwrap();
        fs.unlink(&root, name("d"), Unlink::Directory).unwrap();
        assert_eq!(fs.readdir(&opened, 0, 99, &mut |_| true), Err(Errno::ENOENT));
    }
}
