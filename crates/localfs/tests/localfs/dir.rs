use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};

use gofer_localfs::File;
use gofer_vfs::{Backend, EntryName, Errno, FileId, FileKind, OpenFlags, Owner, Result, Special};

use crate::{AccessMode, Export, fdinfo, is_held_off, name};

/// An entry that outlives its listing.
#[derive(Clone, Debug)]
struct Seen {
    name: String,
    id: FileId,
    kind: FileKind,
    cookie: u64,
}

impl Export {
    fn open_dir(&self, at: &str) -> File {
        self.fs.open(&self.node(at), OpenFlags::new(AccessMode::Read)).unwrap()
    }

    fn open_root(&self) -> File {
        self.fs.open(&self.root, OpenFlags::new(AccessMode::Read)).unwrap()
    }

    /// One call, which takes what fits the budget and at most `count` entries.
    fn list(&self, dir: &File, cookie: u64, budget: usize, count: usize) -> Result<Vec<Seen>> {
        let mut seen = Vec::new();
        let mut left = budget;
        self.fs.readdir(dir, cookie, budget, &mut |entry| {
            let bytes = entry.name.as_bytes();
            let len = 24 + bytes.len();
            if seen.len() == count || len > left {
                return false;
            }
            left -= len;
            let name = String::from_utf8(bytes.to_vec()).unwrap();
            seen.push(Seen { name, id: entry.id, kind: entry.kind, cookie: entry.cookie });
            true
        })?;
        Ok(seen)
    }

    /// All calls from a position on.
    fn list_all(&self, dir: &File, mut cookie: u64, budget: usize, count: usize) -> Vec<Seen> {
        let mut all = Vec::new();
        loop {
            let seen = self.list(dir, cookie, budget, count).unwrap();
            let Some(last) = seen.last() else { return all };
            cookie = last.cookie;
            all.extend(seen);
        }
    }
}

fn names(seen: &[Seen]) -> BTreeSet<&str> {
    seen.iter().map(|seen| seen.name.as_str()).collect()
}

#[test]
fn every_entry_is_listed_once_with_its_kind_and_identity() {
    let export = Export::new();
    export.host_file("file", "");
    export.host_dir("dir");
    symlink("x", export.path("link")).unwrap();
    for (at, what) in [("fifo", Special::Fifo), ("socket", Special::Socket)] {
        export.fs.mknod(&export.root, name(at), what, 0o600, Owner::default()).unwrap();
    }
    let seen = export.list_all(&export.open_root(), 0, 4096, usize::MAX);
    assert_eq!(seen.len(), 7);
    assert_eq!(names(&seen), [".", "..", "dir", "fifo", "file", "link", "socket"].into());
    for entry in &seen {
        assert_ne!(entry.cookie, 0);
        let attr = match entry.name.as_str() {
            ".." => continue,
            "." => export.attr(&export.root),
            child => export.fs.lookup(&export.root, name(child)).unwrap(),
        };
        assert_eq!((entry.id, entry.kind), (attr.id, attr.kind), "{}", entry.name);
    }
}

#[test]
fn a_mount_point_is_what_is_mounted_there() {
    let root = gofer_localfs::LocalFs::open("/".as_ref()).unwrap();
    let (node, attr) = root.attach().unwrap();
    let proc = root.lookup(&node, name("proc")).unwrap();
    assert_ne!(proc.id.dev, attr.id.dev);
    let dir = root.open(&node, OpenFlags::new(AccessMode::Read)).unwrap();
    let (mut cookie, mut found) = (0, None);
    loop {
        let before = cookie;
        root.readdir(&dir, cookie, 4096, &mut |entry| {
            cookie = entry.cookie;
            if let EntryName::Child(child) = entry.name
                && child == name("proc")
            {
                found = Some(entry.id);
            }
            true
        })
        .unwrap();
        if cookie == before {
            break;
        }
    }
    assert_eq!(found, Some(proc.id));
}

#[test]
fn any_position_can_be_returned_to() {
    let export = Export::new();
    for number in 0..300 {
        export.host_file(&format!("some-name-{number}"), "");
    }
    let dir = export.open_root();
    let all = export.list_all(&dir, 0, 1 << 16, usize::MAX);
    assert_eq!(all.len(), 302);
    for step in [0, 1, 150, 299, 301] {
        let rest = export.list_all(&dir, all[step].cookie, 700, usize::MAX);
        let expected: Vec<_> = all[step + 1..].iter().map(|seen| &seen.name).collect();
        assert_eq!(rest.iter().map(|seen| &seen.name).collect::<Vec<_>>(), expected, "{step}");
    }
    // One by one, the entry that is refused comes again.
    assert_eq!(export.list_all(&dir, 0, 4096, 1).len(), 302);
    assert_eq!(names(&export.list_all(&dir, 0, 4096, 7)), names(&all));
}

#[test]
fn listing_again_from_the_start_sees_what_is_new() {
    let export = Export::new();
    let dir = export.open_root();
    assert_eq!(names(&export.list_all(&dir, 0, 4096, usize::MAX)), [".", ".."].into());
    export.host_file("new", "");
    assert_eq!(names(&export.list_all(&dir, 0, 4096, usize::MAX)), [".", "..", "new"].into());
    std::fs::remove_file(export.path("new")).unwrap();
    assert_eq!(names(&export.list_all(&dir, 0, 4096, usize::MAX)), [".", ".."].into());
}

#[test]
fn open_directories_have_their_own_positions() {
    let export = Export::new();
    for number in 0..9 {
        export.host_file(&number.to_string(), "");
    }
    let (one, other) = (export.open_root(), export.open_root());
    let first = export.list(&one, 0, 4096, 3).unwrap();
    assert_eq!(export.list_all(&other, 0, 4096, usize::MAX).len(), 11);
    assert_eq!(export.list_all(&one, first[2].cookie, 4096, usize::MAX).len(), 8);
}

#[test]
fn the_end_is_no_error_and_what_is_no_directory_is_one() {
    let export = Export::new();
    let dir = export.open_root();
    let all = export.list_all(&dir, 0, 4096, usize::MAX);
    assert!(export.list(&dir, all[1].cookie, 4096, usize::MAX).unwrap().is_empty());
    let (_, file) = export.create("f", AccessMode::Read);
    assert_eq!(export.list(&file, 0, 4096, 1).unwrap_err(), Errno::ENOTDIR);
    export.host_dir("d");
    let gone = export.open_dir("d");
    std::fs::remove_dir(export.path("d")).unwrap();
    assert_eq!(export.list(&gone, 0, 4096, 1).unwrap_err(), Errno::ENOENT);
}

#[test]
fn a_budget_too_small_for_an_entry_takes_none_and_loses_none() {
    let export = Export::new();
    let long = "n".repeat(255);
    export.host_file(&long, "");
    let dir = export.open_root();
    for budget in [0, 1, 24] {
        assert!(export.list(&dir, 0, budget, usize::MAX).unwrap().is_empty());
    }
    assert_eq!(names(&export.list_all(&dir, 0, 279, usize::MAX)), [".", "..", &long].into());
}

#[test]
fn names_are_listed_where_files_may_not_be_looked_at() {
    let export = Export::new();
    std::fs::create_dir_all(export.path("d/sub")).unwrap();
    std::fs::write(export.path("d/f"), "").unwrap();
    std::fs::set_permissions(export.path("d"), PermissionsExt::from_mode(0o400)).unwrap();
    let seen = export.list_all(&export.open_dir("d"), 0, 4096, usize::MAX);
    std::fs::set_permissions(export.path("d"), PermissionsExt::from_mode(0o700)).unwrap();
    is_held_off();
    assert_eq!(names(&seen), [".", "..", "f", "sub"].into());
}

#[test]
fn a_hundred_thousand_entries_are_read_once() {
    const COUNT: usize = 100_000;
    const BUDGET: usize = 64 * 1024;
    let export = Export::new();
    let (fs, root) = (&export.fs, &export.root);
    let (first, _) = fs.mknod(root, name("file-0"), Special::Fifo, 0o600, Owner::default()).unwrap();
    // Hard links: an inode for each would be most of the work.
    let mut holder = first;
    for number in 1..COUNT {
        let at = format!("file-{number}");
        match fs.link(&holder, root, name(&at)) {
            Ok(()) => {}
            Err(Errno::EMLINK) => {
                holder = fs.mknod(root, name(&at), Special::Fifo, 0o600, Owner::default()).unwrap().0;
            }
            Err(error) => panic!("{error}"),
        }
    }
    let dir = export.open_root();
    let (mut cookie, mut calls, mut all) = (0, 0, BTreeSet::new());
    loop {
        let seen = export.list(&dir, cookie, BUDGET, usize::MAX).unwrap();
        calls += 1;
        let Some(last) = seen.last() else { break };
        cookie = last.cookie;
        // The host stands right behind what was taken: nothing was read in vain, nothing is sought.
        assert_eq!(fdinfo(&dir, "pos:"), cookie);
        all.extend(seen.into_iter().map(|seen| seen.name));
    }
    assert_eq!(all.len(), COUNT + 2);
    let bytes: usize = all.iter().map(|name| 24 + name.len()).sum();
    // Every call but the last two is nearly full.
    assert!(calls <= bytes / (BUDGET * 6 / 7) + 2, "{calls} calls for {bytes} bytes");
}
