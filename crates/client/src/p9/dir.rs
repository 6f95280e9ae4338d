//! readdir.

use gofer_vfs::{Entry, EntryName, Errno, FileKind, Name, Result};
use gofer_wire::Data;
use gofer_wire::p9::{Dirent, Dirents, QidKind, Rreaddir, Treaddir};

use crate::emulated::{ITSELF, list_dots};
use crate::p9::IO_HEAD;
use crate::p9::attr::agrees;
use crate::{Client, File, Node};

/// Room for `.`, `..` and an entry with the longest name.
const LEAST: usize = 3 * Dirent::encoded_len(0) + 3 + Name::MAX;
/// Entries that are no children in one listing: `.` and `..`, and some for servers that list them oddly.
const ASIDE: u32 = 16;

impl Client {
    pub(crate) fn readdir(
        &self,
        file: &File,
        cookie: u64,
        budget: usize,
        each: &mut dyn FnMut(Entry<'_>) -> bool,
    ) -> Result<()> {
        if file.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let mut from = cookie;
        if self.features.is_google() {
            let Some(next) = list_dots(self.id(file.qid), cookie, each) else { return Ok(()) };
            from = next;
        }
        let count = budget.clamp(LEAST, self.rpc.msize() - IO_HEAD);
        let count = u32::try_from(count).map_err(|_| Errno::EIO)?;
        let mut aside = 0;
        loop {
            let answer = self.rpc.call(Treaddir { fid: file.fid(), offset: from, count });
            let answer = match answer {
                Err(Errno::EINVAL) if self.features.is_google() => return Err(self.no_listing(file)),
                other => other?,
            };
            let Rreaddir { data: Data(bytes) } = answer.body()?;
            if usize::try_from(count).is_ok_and(|count| bytes.len() > count) {
                return Err(self.rpc.violated());
            }
            let mut has_child = false;
            let before = from;
            for dirent in Dirents::new(bytes) {
                let dirent = dirent.map_err(|_| self.rpc.violated())?;
                from = dirent.offset;
                let entry = self.entry(file, &dirent)?;
                match entry.map(|entry| entry.name) {
                    Some(EntryName::Child(_)) => has_child = true,
                    _ if aside == ASIDE => return Err(self.rpc.violated()),
                    _ => aside += 1,
                }
                if entry.is_some_and(|entry| !each(entry)) {
                    return Ok(());
                }
            }
            if bytes.is_empty() && from == 0 && self.no_listing(file) == Errno::ENOENT {
                return Err(Errno::ENOENT);
            }
            // After entries that are not the end there is something to go on from.
            if bytes.is_empty() || has_child {
                return Ok(());
            }
            if from == before {
                return Err(self.rpc.violated());
            }
        }
    }

    /// Why a directory has no entries at all: the host finds nothing in one that was removed, but servers list it as
    /// empty, or refuse (`EINVAL`).
    fn no_listing(&self, file: &File) -> Errno {
        match self.getattr_fid(file.fid(), file.qid) {
            Ok(attr) if attr.is_removed() => Errno::ENOENT,
            _ => Errno::EINVAL,
        }
    }

    /// An entry as it came, checked; `None` for those that were made up already.
    ///
    /// # Errors
    /// `EIO` for a name that is none and a cookie that cannot be.
    fn entry<'d>(&self, file: &File, dirent: &Dirent<'d>) -> Result<Option<Entry<'d>>> {
        if dirent.offset == 0 || (self.features.is_google() && dirent.offset >= ITSELF) {
            return Err(self.rpc.violated());
        }
        let name = match dirent.name.as_bytes() {
            b"." | b".." if self.features.is_google() => return Ok(None),
            b"." => EntryName::Itself,
            b".." => EntryName::Parent,
            name => EntryName::Child(Name::new(name).map_err(|_| self.rpc.violated())?),
        };
        let kind = self.entry_kind(file, name, dirent);
        Ok(Some(Entry { name, id: self.id(dirent.qid), kind, cookie: dirent.offset }))
    }

    /// The kind of an entry: that of its type byte where it can be true, else what the qid says, and for what has
    /// no bit there the file's own word.
    fn entry_kind(&self, file: &File, name: EntryName<'_>, dirent: &Dirent<'_>) -> FileKind {
        let qid = dirent.qid;
        let told = FileKind::of_dirent_type(dirent.kind).filter(|_| !self.features.is_google());
        match told.filter(|kind| agrees(qid, *kind)) {
            Some(kind) => kind,
            None if qid.kind.contains(QidKind::DIR) => FileKind::Directory,
            None if qid.kind.contains(QidKind::SYMLINK) => FileKind::Symlink,
            // Google's servers mark sockets, FIFOs and character devices alike.
            None if self.features.is_google() && !qid.kind.contains(QidKind::APPEND) => FileKind::Regular,
            None => {
                let EntryName::Child(name) = name else { return FileKind::Directory };
                let dir = Node::new(std::sync::Arc::clone(&file.place), file.qid, file.kind);
                self.lookup(&dir, name).map_or(FileKind::Regular, |attr| attr.kind)
            }
        }
    }
}
