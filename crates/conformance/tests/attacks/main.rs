//! What a hostile client, or a hostile hand on the host, reaches beyond an export: nothing.
//!
//! Each row of this table is a test, over both dialects. Beside the export lies the [`Outside`], which nobody
//! may as much as open; every row ends with a look at it.

mod attach;
mod frames;
mod links;
mod moves;
mod names;
mod readonly;
mod special;

use std::fs::{self, Metadata};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use gofer_conformance::{Dialect, Ground, Setup, Site, Transport};
use gofer_localfs::LocalFs;
use gofer_vfs::{Backend, Errno, Name, XattrFlags, XattrPolicy};
use gofer_wire::p9::Qid;
use rustix::fs::inotify::{self, ReadFlags, WatchFlags};
use tempfile::TempDir;

/// What lies in the files that nobody may read.
const SECRET: &[u8] = b"what lies outside";

/// How many places of the process have a descriptor: as many as there are, or hardly any, so that nearly every
/// fid is found again by its name when it is used.
const PLACES: [usize; 2] = [usize::MAX, 8];

/// What one row of the table does.
fn attack(setup: Setup, row: impl Fn(&Arena)) {
    /// The limit is the process's.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for (places, dialect) in PLACES.into_iter().flat_map(|n| [(n, Dialect::Base), (n, Dialect::Google)]) {
        LocalFs::limit_places(places);
        let outside = Outside::new();
        let site = Site::new(Ground::Host, Transport::Pair, dialect, setup);
        let arena = Arena { site, outside, forgets: places != usize::MAX };
        row(&arena);
        arena.outside.check();
    }
}

/// An export, and what is not in it.
struct Arena {
    site: Site,
    outside: Outside,
    /// Whether a fid whose file has another name by now may be stale.
    forgets: bool,
}

impl Arena {
    /// The exported directory.
    fn export(&self) -> &Path {
        self.site.host().expect("a directory of the host")
    }

    /// What it answers to go on from what is no directory.
    fn no_way_on(&self) -> Errno {
        self.site.google_or(Errno::EINVAL, Errno::ENOTDIR)
    }

    /// A file of the export by the number that a client knows it by.
    fn check_inside(&self, qids: &[Qid]) {
        let export = self.export();
        let parent = export.parent().expect("a directory above");
        let own = fs::symlink_metadata(export).expect("the export");
        let beyond =
            self.outside.paths().into_iter().chain([parent.into(), "/".into(), "/etc/passwd".into()]);
        for path in beyond {
            let found = fs::symlink_metadata(&path).expect("a file outside");
            // The first device has the number 0, and is the export's.
            let seen = found.dev() == own.dev() && qids.iter().any(|qid| qid.path == found.ino());
            assert!(!seen, "{} was seen: {qids:?}", path.display());
        }
    }

    /// All that is in the export.
    fn tree(&self) -> Vec<Found> {
        let mut found = Vec::new();
        look(self.export(), &mut found);
        found
    }
}

/// A file as the host shows it: everything but the time of its last reading.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    path: PathBuf,
    attr: [i64; 11],
    content: Vec<u8>,
}

impl Found {
    fn attr(m: &Metadata) -> [i64; 11] {
        let unsigned = [m.ino(), m.nlink(), m.rdev(), m.size()].map(u64::cast_signed);
        let [ino, nlink, rdev, size] = unsigned;
        let [mode, uid, gid] = [m.mode(), m.uid(), m.gid()].map(i64::from);
        [ino, nlink, rdev, size, mode, uid, gid, m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()]
    }
}

/// All that is at a path, sorted, and without opening what is no file.
fn look(path: &Path, into: &mut Vec<Found>) {
    let attr = fs::symlink_metadata(path).expect("a file");
    let content = match attr.file_type() {
        kind if kind.is_file() => fs::read(path).expect("a file that can be read"),
        kind if kind.is_symlink() => {
            fs::read_link(path).expect("a link").into_os_string().into_encoded_bytes()
        }
        _ => Vec::new(),
    };
    into.push(Found { path: path.to_owned(), attr: Found::attr(&attr), content });
    if attr.is_dir() {
        let entries = fs::read_dir(path).expect("a directory that can be read");
        let mut below: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        below.sort();
        below.iter().for_each(|path| look(path, into));
    }
}

/// A tree beside the export, watched.
///
/// ```text
/// secret        [`SECRET`], with an attribute user.secret where there can be one
/// dir/secret    the same without
/// ```
struct Outside {
    dir: TempDir,
    before: Vec<Found>,
    watch: Watch,
}

impl Outside {
    fn new() -> Self {
        let dir = TempDir::new().expect("a directory for temporary files");
        fs::create_dir(dir.path().join("dir")).expect("a directory");
        for file in ["secret", "dir/secret"] {
            fs::write(dir.path().join(file), SECRET).expect("a file");
        }
        let host = LocalFs::open(dir.path()).expect("a tree");
        let name = Name::new(b"secret").expect("a name");
        let attribute = XattrPolicy::All.admit(b"user.secret").expect("a name");
        let secret = host.attach().and_then(|(root, _)| host.walk(&root, name)).expect("the file").0;
        let set = host.setxattr(&secret, attribute, SECRET, XattrFlags::Any);
        assert!(matches!(set, Ok(()) | Err(Errno::EOPNOTSUPP)), "{set:?}");
        let mut before = Vec::new();
        look(dir.path(), &mut before);
        let watch = Watch::new(&[dir.path(), &dir.path().join("dir")], WatchFlags::ALL_EVENTS);
        Self { dir, before, watch }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.before.iter().map(|found| found.path.clone()).collect()
    }

    /// That nobody was here.
    fn check(&self) {
        assert_eq!(self.watch.events(), []);
        let mut now = Vec::new();
        look(self.path(), &mut now);
        assert_eq!(now, self.before);
    }
}

/// Directories, and what happens to what is in them.
struct Watch(OwnedFd);

impl Watch {
    fn new(dirs: &[&Path], what: WatchFlags) -> Self {
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let watch = inotify::init(flags).expect("inotify(7), of which every user has some");
        for dir in dirs {
            inotify::add_watch(&watch, *dir, what).expect("a directory to watch");
        }
        Self(watch)
    }

    /// What happened since it was asked last, and the names it happened to.
    fn events(&self) -> Vec<(ReadFlags, String)> {
        let mut room = [const { MaybeUninit::uninit() }; 4096];
        let mut reader = inotify::Reader::new(&self.0, &mut room);
        let mut events = Vec::new();
        while let Ok(event) = reader.next() {
            let name = event.file_name().map(|name| name.to_string_lossy().into_owned());
            events.push((event.events(), name.unwrap_or_default()));
        }
        events
    }
}
