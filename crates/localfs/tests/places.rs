//! Places that have hardly any descriptors, used by many threads while others move and replace what they stand
//! for: each is its file or stale, and never another. The limit is the process's: this test has one of its own.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use gofer_localfs::{LocalFs, Node};
use gofer_vfs::{AccessMode, Backend, CreateFlags, Errno, FileId, Name, OpenFlags, RenameFlags};

const PLACES: usize = 8;

/// The limit on descriptors and their number are the process's.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn name(name: &str) -> Name<'_> {
    Name::new(name.as_bytes()).unwrap()
}

/// Makes places go cold: by walking to many others.
fn cool(fs: &LocalFs, root: &Node) {
    let walked: Vec<_> = (0..20 * PLACES).map(|_| fs.walk(root, name("other")).unwrap()).collect();
    drop(walked);
}

fn export(dir: &Path) -> (LocalFs, Node) {
    LocalFs::limit_places(PLACES);
    fs::write(dir.join("other"), "").unwrap();
    let fs = LocalFs::open(dir).unwrap();
    let (root, _) = fs.attach().unwrap();
    (fs, root)
}

#[test]
fn a_cold_place_is_its_file_or_stale() {
    let _turn = one_at_a_time();
    let dir = tempfile::tempdir().unwrap();
    let (fs, root) = export(dir.path());
    let (outside, at) = (tempfile::tempdir().unwrap(), |name: &str| dir.path().join(name));
    fs::write(outside.path().join("f"), "secret").unwrap();
    fs::create_dir_all(at("a/b/c")).unwrap();
    fs::write(at("a/b/c/f"), "inside").unwrap();
    let step = |node: &Node, at: &str| fs.walk(node, name(at)).unwrap().0;
    let (a, b) = (step(&root, "a"), step(&step(&root, "a"), "b"));
    let c = step(&b, "c");
    let (file, id) = fs.walk(&c, name("f")).map(|(node, attr)| (node, attr.id)).unwrap();
    let is = |node: &Node| fs.getattr(node).map(|attr| attr.id);
    cool(&fs, &root);
    assert_eq!(is(&file), Ok(id), "four steps down");

    // A directory on the way is a link, then another directory with the same names, then itself.
    cool(&fs, &root);
    fs::rename(at("a/b"), at("kept")).unwrap();
    symlink(outside.path(), at("a/b")).unwrap();
    assert_eq!(is(&file), Err(Errno::ESTALE));
    assert_eq!(is(&b), Err(Errno::ESTALE));
    assert_eq!(fs.open(&file, OpenFlags::new(AccessMode::Read)).err(), Some(Errno::ESTALE));
    assert_eq!(fs.walk(&c, name("f")).err(), Some(Errno::ESTALE));
    assert!(is(&a).is_ok());
    fs::remove_file(at("a/b")).unwrap();
    fs::create_dir_all(at("a/b/c")).unwrap();
    fs::write(at("a/b/c/f"), "another").unwrap();
    cool(&fs, &root);
    assert_eq!(is(&file), Err(Errno::ESTALE));
    fs::remove_dir_all(at("a/b")).unwrap();
    assert_eq!(is(&file), Err(Errno::ESTALE), "nothing is there");
    fs::rename(at("kept"), at("a/b")).unwrap();
    assert_eq!(is(&file), Ok(id), "it is back");

    // What is open stays what it is.
    let open = fs.open(&file, OpenFlags::new(AccessMode::Read)).unwrap();
    fs::remove_file(at("a/b/c/f")).unwrap();
    cool(&fs, &root);
    assert_eq!(is(&file), Ok(id));
    drop(open);
    cool(&fs, &root);
    assert_eq!(is(&file), Err(Errno::ESTALE));
}

#[test]
fn what_was_moved_by_this_process_is_found() {
    let _turn = one_at_a_time();
    let dir = tempfile::tempdir().unwrap();
    let (fs, root) = export(dir.path());
    fs::create_dir_all(dir.path().join("from/dir")).unwrap();
    fs::create_dir(dir.path().join("to")).unwrap();
    fs::write(dir.path().join("from/dir/f"), "").unwrap();
    let step = |node: &Node, at: &str| fs.walk(node, name(at)).unwrap().0;
    let (from, to) = (step(&root, "from"), step(&root, "to"));
    let moved = step(&from, "dir");
    let file = step(&moved, "f");
    cool(&fs, &root);
    fs.rename(&from, name("dir"), &to, name("new"), RenameFlags::Replace).unwrap();
    cool(&fs, &root);
    assert_eq!(fs.getattr(&file).map(|attr| attr.id), Ok(fs.id(&file)));
    let (parent, at) = fs.found_at(&moved).unwrap();
    assert_eq!((fs.id(&parent), at.as_name()), (fs.id(&to), name("new")));

    // Told by who moved it, as Trename is. A directory does not come to lie below itself, whatever is told.
    fs.moved(&to, &moved, name("x"));
    assert_eq!(fs.found_at(&to).unwrap().1.as_name(), name("to"));
    fs.rename(&to, name("new"), &root, name("again"), RenameFlags::Replace).unwrap();
    fs.moved(&moved, &root, name("again"));
    cool(&fs, &root);
    assert_eq!(fs.getattr(&file).map(|attr| attr.id), Ok(fs.id(&file)));
}

#[test]
fn a_deep_place_is_warmed_and_dropped_without_recursion() {
    let _turn = one_at_a_time();
    let dir = tempfile::tempdir().unwrap();
    let (fs, root) = export(dir.path());
    let (mut at, mut ids) = (root.clone(), Vec::new());
    for _ in 0..1000 {
        at = fs.mkdir(&at, name("d"), 0o755, gofer_vfs::Owner::default()).unwrap().0;
        ids.push(fs.id(&at));
    }
    let small = thread::Builder::new().stack_size(64 * 1024);
    let (fs, ids) = (&fs, &ids);
    thread::scope(|scope| {
        let deep = small.spawn_scoped(scope, move || {
            cool(fs, &root);
            assert_eq!(fs.getattr(&at).map(|attr| attr.id).as_ref(), Ok(&ids[999]));
            drop(at);
            assert_eq!(fs::read_dir("/proc/self/fd").unwrap().count() / 100, 0, "descriptors");
        });
        deep.unwrap().join().unwrap();
    });
}

/// A client may make directories below directories, and hold the last: what that keeps has an end.
#[test]
fn below_the_deepest_there_is_no_directory() {
    const DEEPEST: usize = 4096;
    let _turn = one_at_a_time();
    let dir = tempfile::tempdir().unwrap();
    let (fs, root) = export(dir.path());
    let mkdir = |at: &Node, as_: &str| fs.mkdir(at, name(as_), 0o755, gofer_vfs::Owner::default());
    let mut deepest = root.clone();
    for _ in 0..DEEPEST {
        deepest = mkdir(&deepest, "d").unwrap().0;
    }
    assert_eq!(mkdir(&deepest, "d").err(), Some(Errno::ENAMETOOLONG));
    assert_eq!(fs.walk(&deepest, name("d")).err(), Some(Errno::ENOENT), "nothing was made");
    let flags = CreateFlags { open: OpenFlags::new(AccessMode::Write), exclusive: true };
    let (file, _, _) = fs.create(&deepest, name("f"), flags, 0o644, gofer_vfs::Owner::default()).unwrap();

    // A directory that comes to lie deeper is there, and cannot be walked to.
    let (moved, _) = mkdir(&root, "moved").unwrap();
    mkdir(&moved, "below").unwrap();
    fs.rename(&root, name("moved"), &deepest, name("m"), RenameFlags::Replace).unwrap();
    fs.moved(&moved, &deepest, name("m"));
    assert_eq!(fs.found_at(&moved).unwrap().1.as_name(), name("moved"), "that would be too deep");
    drop(moved);
    assert_eq!(fs.walk(&deepest, name("m")).err(), Some(Errno::ENAMETOOLONG));

    cool(&fs, &root);
    assert!(fs.getattr(&file).is_ok(), "the way up is long, and not too long");
    drop((file, deepest));
    // From the top, for whoever removes the rest goes down by recursion.
    let at = |name: &str| dir.path().join(name);
    while at("d/d").exists() {
        fs::rename(at("d/d"), at("rest")).unwrap();
        fs::remove_dir(at("d")).unwrap();
        fs::rename(at("rest"), at("d")).unwrap();
    }
}

#[test]
fn threads_that_share_places() {
    let _turn = one_at_a_time();
    const THREADS: u32 = 8;
    let dir = tempfile::tempdir().unwrap();
    let (fs, root) = export(dir.path());
    let at = |name: String| dir.path().join(name);
    for d in 0..4 {
        fs::create_dir(at(format!("d{d}"))).unwrap();
        (0..8).for_each(|f| fs::write(at(format!("d{d}/f{f}")), "").unwrap());
    }
    let places: Vec<(Node, FileId)> = (0..32)
        .map(|n| {
            let (dir, _) = fs.walk(&root, name(&format!("d{}", n % 4))).unwrap();
            let (node, attr) = fs.walk(&dir, name(&format!("f{}", n / 4))).unwrap();
            (node, attr.id)
        })
        .collect();
    let (over, right) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        let (fs, places, over, right) = (&fs, &places, &over, &right);
        for mut random in 1..=THREADS {
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let (node, id) = &places[(random >> 8) as usize % places.len()];
                    let clone = node.clone();
                    let found = match random >> 28 {
                        0 => fs.open(node, OpenFlags::new(AccessMode::Read)).and_then(|_| fs.getattr(&clone)),
                        1 => {
                            let (dir, at) = fs.found_at(node).unwrap();
                            fs.walk(&dir, at.as_name()).map(|(_, attr)| attr)
                        }
                        _ => fs.getattr(&clone),
                    };
                    match found {
                        Ok(found) if found.id == *id => drop(right.fetch_add(1, Ordering::Relaxed)),
                        // A walk to the directory's other contents, or to nothing, is as right.
                        Ok(_) if random >> 28 == 1 => {}
                        Err(Errno::ESTALE | Errno::ENOENT) => {}
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
        // Two directories take turns under one name, the host's hand at work.
        for _ in 0..300 {
            for (from, to) in [("d0", "x"), ("d1", "d0"), ("x", "d1")] {
                fs::rename(at(from.into()), at(to.into())).unwrap();
            }
            thread::yield_now();
        }
        while right.load(Ordering::Relaxed) < 20_000 {
            thread::yield_now();
        }
        over.store(true, Ordering::Relaxed);
    });
    for (node, id) in &places {
        assert_eq!(fs.getattr(node).map(|attr| attr.id), Ok(*id), "300 is even: all is where it was");
    }
    drop(places);
    assert!(fs::read_dir("/proc/self/fd").unwrap().count() < 100);
}
