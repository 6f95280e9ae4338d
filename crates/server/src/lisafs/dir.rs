//! Getdents64.

use std::sync::PoisonError;

use gofer_vfs::{Backend, EntryName, Errno, FileKind, Result};
use gofer_wire::codec::{ListBuf, Str};
use gofer_wire::lisafs::{Dirent, Dirents, Getdents64Req, Getdents64Resp, PAYLOAD_MAX};

use super::attr::{major, minor};
use super::{Cx, Session};

impl<B: Backend> Session<B> {
    /// Lists what follows in an open directory, whose position is all its users'. `EINVAL` where not even the first
    /// entry fits: an empty list would be the end.
    pub(super) fn getdents64<'b>(&self, t: Getdents64Req, cx: Cx<'b>) -> Result<Getdents64Resp<'b>> {
        let open = self.fds.open(t.fd)?;
        if open.place.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let room = t.count.unsigned_abs() as usize;
        let mut position = open.position.lock().unwrap_or_else(PoisonError::into_inner);
        let start = if t.count < 0 { 0 } else { *position };
        let (mut next, mut records, mut bytes, mut fits) = (start, 0, 2, true);
        let mut list = ListBuf::new(cx.scratch);
        self.backend().readdir(&open.file, start, room, &mut |entry| {
            if let EntryName::Child(name) = entry.name {
                let len = name.as_bytes().len();
                let (record, more) = (Dirent::record_len(len), Dirent::encoded_len(len));
                fits = records + record <= room && bytes + more <= PAYLOAD_MAX as usize;
                let dirent = Dirent {
                    ino: entry.id.ino,
                    dev_minor: minor(entry.id.dev),
                    dev_major: major(entry.id.dev),
                    offset: entry.cookie,
                    kind: entry.kind.dirent_type(),
                    name: Str::from(name),
                };
                if !fits || !list.push_dirent(&dirent) {
                    return false;
                }
                (records, bytes) = (records + record, bytes + more);
            }
            next = entry.cookie;
            true
        })?;
        if list.is_empty() && !fits {
            return Err(Errno::EINVAL);
        }
        *position = next;
        Ok(Getdents64Resp { entries: Dirents(list.finish()) })
    }
}
