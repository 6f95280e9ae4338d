//! What the tests of fids begin with: a table, and a tree in memory.

use gofer_vfs::{MemFs, OpenFlags};

use super::*;

pub(super) const FID: p9::Fid = p9::Fid(1);
/// In another table than [`FID`].
pub(super) const OTHER: p9::Fid = p9::Fid(2);

/// A table, and a tree for it.
pub(super) struct Held {
    pub(super) fids: Fids<MemFs>,
    tree: MemFs,
}

impl Held {
    /// Room for one open file.
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { fids: Fids::new(limit, Quota::new(1)), tree: MemFs::new(1 << 20) })
    }

    /// The root, found through an export.
    pub(super) fn place(&self, export: u16) -> Place<MemFs> {
        let (node, attr) = self.tree.attach().unwrap();
        Place { node, user: PeerUid::NONE, export, kind: attr.kind, is_root: true }
    }

    pub(super) fn open(&self, place: &Place<MemFs>) -> Open<MemFs> {
        let room = self.fids.room(1).unwrap();
        let file = self.tree.open(&place.node, OpenFlags::new(AccessMode::Read)).unwrap();
        Open::new(room, file, AccessMode::Read)
    }

    /// With [`FID`] for a place that is open.
    pub(super) fn with_open() -> Arc<Self> {
        let held = Self::new(10);
        held.fids.insert(FID, held.place(0)).unwrap();
        let claim = held.fids.claim(FID).unwrap();
        let open = held.open(claim.place());
        claim.set_open(open);
        held
    }
}
