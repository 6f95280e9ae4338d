//! The directories that there are nodes of, so that there is one of each: what fids keep of the way they were walked is
//! not more than there are directories. Not across trees: one's directory may be above another's root.

use std::sync::{Arc, Mutex, Weak};

use foldhash::HashMap;
use gofer_vfs::{FileId, FileKind};

use super::{Inner, Node, RINGS, address, lock};

/// A tree and a file in it.
pub(super) type Key = (u8, FileId);

type Dirs = Option<HashMap<Key, Weak<Inner>>>;

static DIRS: [Mutex<Dirs>; RINGS] = [const { Mutex::new(None) }; RINGS];

fn dirs_of((_, id): Key) -> &'static Mutex<Dirs> {
    let spread = usize::try_from(id.ino % 8).unwrap_or_default();
    &DIRS[spread % RINGS]
}

/// What a directory that is shared is found by.
pub(super) fn key(inner: &Inner) -> Option<Key> {
    inner.tree().filter(|_| inner.kind == FileKind::Directory).map(|tree| (tree, inner.id()))
}

/// Lets a place be found, if it is a directory.
pub(super) fn note(arc: &Arc<Inner>) {
    if let Some(key) = key(arc) {
        lock(dirs_of(key)).get_or_insert_default().insert(key, Arc::downgrade(arc));
    }
}

/// The node that there is of a directory, which was born then.
pub(super) fn find(key: Key, birth: u32) -> Option<Node> {
    let known = lock(dirs_of(key)).as_ref()?.get(&key).and_then(Weak::upgrade);
    let known = Node(Some(known?));
    (known.arc().birth == birth).then_some(known)
}

/// Whether this is the only holder of a place. From then on nobody finds a directory any more.
pub(super) fn forget_last(arc: &Arc<Inner>) -> bool {
    let Some(key) = key(arc) else { return Arc::strong_count(arc) == 1 };
    let mut dirs = lock(dirs_of(key));
    let is_last = Arc::strong_count(arc) == 1;
    if is_last {
        remove(&mut dirs, key, address(arc));
    }
    is_last
}

/// Lets a place at this address be found no more.
pub(super) fn forget(inner: &Inner, address: usize) {
    if let Some(key) = key(inner) {
        remove(&mut lock(dirs_of(key)), key, address);
    }
}

/// Takes a directory out of its table, if it is in there.
fn remove(dirs: &mut Dirs, key: Key, address: usize) {
    let Some(dirs) = dirs else { return };
    if dirs.get(&key).is_some_and(|known| known.as_ptr().addr() == address) {
        dirs.remove(&key);
        if dirs.capacity() > 64 && dirs.len() < dirs.capacity() / 8 {
            let room = dirs.len() * 2;
            dirs.shrink_to(room);
        }
    }
}
