//! readdir.

use gofer_vfs::{Backend, EntryName, Errno, FileKind, Result};
use gofer_wire::codec::{Data, Str, Wire};
use gofer_wire::p9::{Dirent, Rreaddir, Treaddir};

use super::{Cx, Session};

impl<B: Backend> Session<B> {
    /// Lists a directory from a position on, as much as fits.
    ///
    /// Google's clients make `.` and `..` up themselves and read the type byte as a qid type; all others get
    /// both names and the types of `readdir(3)`. The parent's identity is that of the place the directory was
    /// found in, and a root's is its own: what lies above an export is not shown.
    pub(super) fn readdir<'b>(&self, t: Treaddir, cx: Cx<'b>) -> Result<Rreaddir<'b>> {
        let fid = self.fids.get(t.fid)?;
        if fid.place.kind != FileKind::Directory {
            return Err(Errno::EINVAL);
        }
        let open = fid.open().ok_or(Errno::EINVAL)?;
        let google = cx.version.is_google();
        let room = cx.payload_max(t.count);
        let out = cx.scratch;
        let own = self.qid(&fid.place)?;
        let above = if google { own } else { self.above(&fid.place)? };
        let mut failed = Ok(());
        let listed = self.backend(&fid.place).readdir(&open.file, t.offset, room, &mut |entry| {
            let qid = match entry.name {
                EntryName::Itself | EntryName::Parent if google => return true,
                EntryName::Itself => own,
                EntryName::Parent => above,
                EntryName::Child(_) => match self.exports.qid(fid.place.export, entry.id, entry.kind) {
                    Ok(qid) => qid,
                    Err(errno) => {
                        failed = Err(errno);
                        return false;
                    }
                },
            };
            let Some(name) = Str::new(entry.name.as_bytes()) else { return true };
            if out.len() + Dirent::encoded_len(name.as_bytes().len()) > room {
                if out.is_empty() {
                    failed = Err(Errno::EINVAL);
                }
                return false;
            }
            let kind = if google { qid.kind.0 } else { entry.kind.dirent_type() };
            Dirent { qid, offset: entry.cookie, kind, name }.encode(out);
            true
        });
        failed?;
        match listed {
            Ok(()) => {}
            // The host lists nothing in a directory that was removed.
            Err(Errno::ENOENT) if google => return Err(Errno::EINVAL),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        Ok(Rreaddir { data: Data(out) })
    }
}
