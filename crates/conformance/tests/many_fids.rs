//! Many more fids than descriptors: a client walks 100,000 where the process may hold 2,000, and each stays what it
//! is. The limit and the counts of memory are of a whole process: this test has one of its own.

use std::fs;
use std::os::unix::fs::MetadataExt;

use gofer_conformance::{Dialect, ROOT, Setup, site_in};
use gofer_localfs::LocalFs;
use gofer_sys::alloc::Counting;
use gofer_wire::p9::Fid;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const FIDS: u32 = 100_000;
const DESCRIPTORS: u64 = 2_000;
/// What is not for places.
const OTHERS: u64 = 500;
/// The most bytes that a walked fid takes.
const BYTES: usize = 150;
/// Directories, and files in each.
const DIRS: u32 = 20;
const FILES: u32 = 100;

/// Which of the directories a fid is walked from, and to which file.
fn place(fid: u32) -> (u32, String) {
    (fid % DIRS, format!("file-{}.txt", fid / DIRS % FILES))
}

#[test]
fn a_hundred_thousand_fids_of_two_thousand_descriptors() {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(DESCRIPTORS), maximum: hard }).expect("a limit");
    LocalFs::limit_places(usize::try_from(DESCRIPTORS - OTHERS).expect("a small number"));
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let site = site_in(dir.path(), Dialect::Base, Setup::default());
    let mut client = site.client();
    let mut inodes = Vec::new();
    for at in 0..DIRS {
        let path = dir.path().join(format!("dir{at}"));
        fs::create_dir(&path).expect("a directory");
        for fid in (0..FILES).map(|file| file * DIRS + at) {
            fs::write(path.join(place(fid).1), "").expect("a file");
        }
        client.walk(ROOT, Fid(1 + at), &[format!("dir{at}")]).expect("a directory");
    }
    let before = ALLOCATOR.held();
    let first = 1000;
    for fid in 0..FIDS {
        let (at, name) = place(fid);
        client.walk(Fid(1 + at), Fid(first + fid), &[&name]).expect("a file");
        if fid < DIRS * FILES {
            let file = fs::metadata(dir.path().join(format!("dir{at}")).join(name)).expect("a file");
            inodes.push(file.ino());
        }
    }
    let each = (ALLOCATOR.held() - before) / FIDS as usize;
    eprintln!("{each} bytes for each of {FIDS} fids");
    assert!(each <= BYTES, "{each} bytes");
    let descriptors = fs::read_dir("/proc/self/fd").expect("a directory of procfs").count();
    assert!(descriptors as u64 <= DESCRIPTORS - OTHERS / 2, "{descriptors}");
    let mut random = 1_u32;
    for _ in 0..20_000 {
        // Numerical Recipes' quick generator.
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let fid = (random >> 8) % FIDS;
        let found = client.getattr(Fid(first + fid)).expect("the file, found again");
        assert_eq!(found.qid.path, inodes[(fid % (DIRS * FILES)) as usize], "fid {fid}");
    }
    for fid in 0..FIDS {
        client.clunk(Fid(first + fid)).expect("a fid");
    }
    let kept = ALLOCATOR.held().saturating_sub(before) / FIDS as usize;
    assert!(kept <= 2, "{kept} bytes for each are kept");
}
