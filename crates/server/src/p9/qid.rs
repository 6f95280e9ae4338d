//! Qids: which file is which, in the 64 bits that 9P has for it.

use gofer_vfs::{FileId, FileKind, Numbers, Result};
use gofer_wire::p9::{Qid, QidKind};

/// The qids of a server's exports. The device numbers of one mean nothing in another, so the same device in two
/// exports is two devices here.
#[derive(Debug)]
pub(crate) struct Qids(Numbers<Device>);

/// A device of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Device {
    export: usize,
    dev: u64,
}

impl Default for Qids {
    fn default() -> Self {
        Self(Numbers::new(0))
    }
}

impl Qids {
    /// The qid of a file in an export.
    ///
    /// # Errors
    /// `EOVERFLOW` when there is no number left for it.
    pub(crate) fn qid(&self, export: usize, id: FileId, kind: FileKind) -> Result<Qid> {
        let path = self.0.number(Device { export, dev: id.dev }, id.ino)?;
        Ok(Qid { kind: qid_kind(kind), version: 0, path })
    }
}

/// The qid type of a kind of file. Sockets, FIFOs and character devices have the append bit, as in gVisor's
/// server; no client reads it.
fn qid_kind(kind: FileKind) -> QidKind {
    match kind {
        FileKind::Directory => QidKind::DIR,
        FileKind::Symlink => QidKind::SYMLINK,
        FileKind::Socket | FileKind::Fifo | FileKind::CharDevice => QidKind::APPEND,
        FileKind::Regular | FileKind::BlockDevice => QidKind::FILE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_of_another_export_is_another() {
        let qids = Qids::default();
        let path = |export| qids.qid(export, FileId { dev: 9, ino: 7 }, FileKind::Regular).unwrap().path;
        assert_eq!((path(0), path(1), path(0)), (7, 1 << 56 | 7, 7));
    }
}
