//! Where this process moved files to, lately and since places first gave up their descriptors: cold places of them, and
//! of what is below them, are found again.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use foldhash::HashMap;
use gofer_sys::attr;
use gofer_vfs::Name;

use super::dirs::Key;
use super::{ANY_COLD, Held, Link, Node, lock};

static MOVES: Mutex<Moves> = Mutex::new(Moves::new());

struct Moves {
    to: Option<HashMap<Key, (Link, usize)>>,
    order: VecDeque<Key>,
    /// How many directories are kept for them at most: of each the one it is in, and those above that.
    kept: usize,
}

impl Moves {
    /// How many are remembered, and how many directories are kept for them, which nobody else may have any more.
    const MAX: usize = 4096;
    const KEPT: usize = 16 * Self::MAX;

    const fn new() -> Self {
        Self { to: None, order: VecDeque::new(), kept: 0 }
    }

    /// Remembers one. What is forgotten for it may close descriptors when it is dropped: not under the lock.
    fn note(&mut self, file: Key, link: Link, steps: usize) -> Vec<Link> {
        let moves = self.to.get_or_insert_default();
        let mut forgotten = Vec::new();
        match moves.insert(file, (link, steps)) {
            Some((link, steps)) => {
                self.kept -= steps;
                forgotten.push(link);
            }
            None => self.order.push_back(file),
        }
        self.kept += steps;
        while self.order.len() > Self::MAX || self.kept > Self::KEPT {
            let Some((link, steps)) = self.order.pop_front().and_then(|file| moves.remove(&file)) else {
                break;
            };
            self.kept -= steps;
            forgotten.push(link);
        }
        forgotten
    }
}

/// Notes that a name was moved, whatever it stands for.
pub(crate) fn note(dir: &Node, held: &Held<'_>, name: Name<'_>) {
    if !ANY_COLD.load(Ordering::Relaxed) {
        return;
    }
    // What cannot be looked at is not found again either.
    let Ok(attr) = attr::stat_child(held.as_fd(), name) else { return };
    let Some(file) = dir.arc().tree().map(|tree| (tree, attr.id)) else { return };
    let link = Link { dir: dir.clone(), name: name.into() };
    let steps = dir.steps();
    let forgotten = lock(&MOVES).note(file, link, steps);
    drop(forgotten);
}

/// Where a file was moved to.
pub(super) fn of(file: Key) -> Option<Link> {
    lock(&MOVES).to.as_ref()?.get(&file).map(|(link, _)| link.clone())
}

#[cfg(test)]
mod tests {
    use gofer_vfs::FileId;

    use super::*;
    use crate::LocalFs;

    #[test]
    fn what_is_kept_for_moves_has_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let (root, _) = LocalFs::open(dir.path()).unwrap().attach().unwrap();
        let mut moves = Moves::new();
        let mut note = |ino, steps| {
            let link = Link { dir: root.clone(), name: Name::new(b"x").unwrap().into() };
            drop(moves.note((0, FileId { dev: 1, ino }), link, steps));
            let known = moves.to.as_ref().unwrap();
            assert_eq!(known.len(), moves.order.len());
            assert_eq!(moves.kept, known.values().map(|(_, steps)| steps).sum::<usize>());
            (moves.order.len(), known.contains_key(&(0, FileId { dev: 1, ino })))
        };
        for ino in 0..5000 {
            note(ino, 2);
        }
        assert_eq!(note(4999, 3), (Moves::MAX, true), "moved again");
        for ino in 5000..5100 {
            note(ino, super::super::DEPTH);
        }
        assert_eq!(note(6000, super::super::DEPTH), (16, true), "deep ones count for more");
        assert_eq!(note(7000, 1), (16, true));
    }
}
