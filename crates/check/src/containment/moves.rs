//! Names that change while a client walks: links swapped for directories, and directories moved out.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use gofer_sys::entry;
use gofer_vfs::{Errno, RenameFlags, Result};
use gofer_wire::ListBuf;
use gofer_wire::p9::*;

use super::{Arena, SECRET, attack};
use crate::client::{Client, ROOT, name, text};
use crate::verdict::{is_exact, skip_now};
use crate::{Checked, Site, demand_eq};

/// What lies in the file of the directory that is swapped.
const INSIDE: &[u8] = b"what lies inside";

/// How often a client tries while names are swapped.
const TRIES: usize = 800;

/// Lays, in the export,
///
/// ```text
/// real/secret    [`INSIDE`]           way -> outside
/// real/leaf      [`INSIDE`]           real/trap -> outside/secret
/// ```
fn lay(arena: &Arena<'_>) {
    let mut c = arena.site.changed().client();
    c.mkdir(ROOT, "real").expect("a directory");
    for file in ["secret", "leaf"] {
        let fid = c.at("real").expect("a directory");
        c.create(fid, file, OpenBits::RDWR, 0o644).expect("a file");
        c.write(fid, 0, INSIDE).expect("a write");
    }
    arena.link(arena.outside(), "way").expect("a link");
    arena.link(&format!("{}/secret", arena.outside()), "real/trap").expect("a link");
}

/// Swaps two names in one step, as the host.
fn exchange(dir: &Path, one: &str, other: &str) {
    let dir = File::open(dir).expect("a directory");
    entry::rename(dir.as_fd(), name(one), dir.as_fd(), name(other), RenameFlags::Exchange)
        .expect("two names");
}

/// Runs `swap` over and over in one thread while `tries` runs in another.
fn race(mut swap: impl FnMut() + Send, mut tries: impl FnMut()) {
    let over = AtomicBool::new(false);
    // Tells the other thread when this one fails, too.
    struct Tell<'a>(&'a AtomicBool);
    impl Drop for Tell<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                swap();
            }
        });
        let tell = Tell(&over);
        tries();
        drop(tell);
        swapping.join().unwrap_or_else(|panic| resume_unwind(panic));
    });
}

/// What a try came to. That the way was closed is as well.
fn is_inside(tried: Result<Vec<u8>>, arena: &Arena<'_>) {
    match tried {
        Ok(content) => assert!(content == INSIDE, "\"{}\" was read", content.escape_ascii()),
        // The last is a link that was walked to and cannot be opened.
        // What was made may be left, where it could not be removed for that.
        Err(Errno::ESTALE | Errno::EEXIST) if arena.site.forgets() => {}
        Err(errno) => {
            let is_ours = [arena.no_way_on(), Errno::EINVAL, Errno::ENOENT].contains(&errno);
            assert!(is_ours || !is_exact() && errno != Errno::ECONNRESET, "{errno}");
        }
    }
}

/// Opens and reads what a fid stands for, through the descriptor too where one comes.
fn read_fid(c: &mut Client, fid: Fid) -> Result<Vec<u8>> {
    if let Some(descriptor) = c.open(fid, OpenBits::RDONLY)?.descriptor {
        let mut content = Vec::new();
        File::from(descriptor).read_to_end(&mut content).expect("a file to read");
        assert!(content == INSIDE, "\"{}\" was read", content.escape_ascii());
    }
    c.read(fid, 0, 1000)
}

/// Every way to a file in the directory that is swapped.
fn try_all(c: &mut Client, arena: &Arena<'_>) {
    let (dir, fid) = (c.fid(), c.fid());
    let walked = c.walk(ROOT, fid, &["real", "secret"]);
    arena.check_inside(walked.as_deref().unwrap_or(&[]));
    is_inside(walked.and_then(|_| read_fid(c, fid)), arena);
    let stepped = c.walk(ROOT, dir, &["real"]);
    arena.check_inside(stepped.as_deref().unwrap_or(&[]));
    if stepped.is_ok() {
        is_inside(c.walk(dir, fid, &["secret"]).and_then(|_| read_fid(c, fid)), arena);
        // A name made and removed again where the directory is now.
        let made = c.mkdir(dir, "made").and_then(|qid| c.rmdir(dir, "made").map(|()| qid));
        is_inside(made.map(|_| INSIDE.to_vec()), arena);
    }
    if c.attaches_below() {
        let attached = c.attach(fid, "real/secret");
        is_inside(attached.and_then(|_| read_fid(c, fid)), arena);
    }
    if !arena.site.knows_google() {
        clunk_all(c, [dir, fid]);
        return;
    }
    let mut room = Vec::new();
    let mut names = ListBuf::new(&mut room);
    ["real", "secret"].iter().for_each(|name| assert!(names.push_str(text(name))));
    if let Ok(answer) = c.call(Tmultigetattr { fid: ROOT, names: names.finish() }) {
        let stats: Vec<FullStat> = answer.multigetattr().stats.iter().collect();
        arena.check_inside(&stats.iter().map(|stat| stat.qid).collect::<Vec<_>>());
        assert!(stats.len() != 2 || stats[0].qid.kind == QidKind::DIR, "{stats:?}");
    }
    clunk_all(c, [dir, fid]);
}

/// Some of them may not be in use.
fn clunk_all(c: &mut Client, fids: [Fid; 2]) {
    for fid in fids {
        let _ = c.clunk(fid);
    }
}

pub(super) fn a_link_in_the_place_of_a_directory_step_by_step(site: &Site) -> Checked {
    attack(site, |arena| {
        lay(arena);
        let mut c = arena.site.client();
        let dir = c.at("real").expect("a directory");
        for is_link in [true, false].repeat(20) {
            exchange(arena.site.hosted(), "real", "way");
            demand_eq!(c.content("real/secret").is_err(), is_link);
            try_all(&mut c, arena);
            // A fid stays with its directory.
            let fid = c.fid();
            match c.walk(dir, fid, &["secret"]) {
                Err(Errno::ESTALE) if arena.site.forgets() => continue,
                walked => walked.expect("the file inside"),
            };
            demand_eq!(read_fid(&mut c, fid), Ok(INSIDE.to_vec()));
            c.clunk(fid).expect("a fid");
        }
    })
}

pub(super) fn a_link_swapped_for_a_directory_by_the_host(site: &Site) -> Checked {
    attack(site, |arena| {
        lay(arena);
        let mut c = arena.site.client();
        let swap = || exchange(arena.site.hosted(), "real", "way");
        race(swap, || (0..TRIES).for_each(|_| try_all(&mut c, arena)));
    })
}

pub(super) fn a_link_swapped_for_a_directory_by_another_client(site: &Site) -> Checked {
    attack(site, |arena| {
        lay(arena);
        let (mut c, mut other) = (arena.site.client(), arena.site.client());
        let swap = || {
            for (old, new) in [("real", "parked"), ("way", "real"), ("real", "way"), ("parked", "real")] {
                other.rename(ROOT, old, ROOT, new).expect("a name");
            }
        };
        race(swap, || (0..TRIES).for_each(|_| try_all(&mut c, arena)));
    })
}

pub(super) fn a_link_swapped_for_a_file(site: &Site) -> Checked {
    attack(site, |arena| {
        lay(arena);
        let mut c = arena.site.client();
        let dir = c.at("real").expect("a directory");
        let inside = arena.site.hosted().join("real");
        let tries = |c: &mut Client| {
            let (fid, made) = (c.fid(), c.fid());
            is_inside(c.walk(dir, fid, &["leaf"]).and_then(|_| read_fid(c, fid)), arena);
            // Of which some open what is there.
            c.walk(dir, made, &[""; 0]).expect("a clone");
            match c.create(made, "leaf", OpenBits::RDWR, 0o644) {
                Ok(_) => is_inside(c.read(made, 0, 1000), arena),
                Err(errno) => demand_eq!(errno, Errno::EEXIST),
            }
            clunk_all(c, [fid, made]);
        };
        race(|| exchange(&inside, "leaf", "trap"), || (0..TRIES).for_each(|_| tries(&mut c)));
    })
}

pub(super) fn what_was_moved_out_is_no_way_out(site: &Site) -> Checked {
    attack(site, |arena| {
        lay(arena);
        let mut c = arena.site.client();
        let root = c.getattr(ROOT).expect("attributes").qid;
        let real = c.at("real").expect("a directory");
        let open = c.open_at("real", OpenBits::RDONLY).expect("an open directory");
        let leaf = c.at("real/leaf").expect("a file");
        let dirs = if c.attaches_below() {
            c.attach(Fid(900), "real").expect("a directory");
            &[real, Fid(900)][..]
        } else {
            &[real]
        };
        // Beside it lies what nobody may see.
        let elsewhere = arena.outside.beside();
        fs::write(elsewhere.join("beside"), SECRET).expect("a file");
        if fs::rename(arena.site.hosted().join("real"), elsewhere.join("real")).is_err() {
            skip_now("needs a TMPDIR on the file system of the export");
        }
        let above = fs::metadata(&elsewhere).expect("a directory").ino();
        demand_eq!(c.at("real"), Err(Errno::ENOENT));
        if c.attaches_below() {
            demand_eq!(c.attach(Fid(901), "real"), Err(Errno::ENOENT));
        }
        for dir in dirs {
            for names in [&["..", "beside"][..], &["..", ".."], &["leaf", ".."], &["../beside"]] {
                demand_eq!(c.walk(*dir, Fid(902), names), Err(Errno::EINVAL), "{names:?}");
            }
            demand_eq!(c.walk(*dir, Fid(902), &["beside"]), Err(Errno::ENOENT));
            match c.walk(*dir, Fid(902), &[".."]) {
                Ok(qids) if !is_exact() => {
                    assert!(qids.iter().all(|qid| qid.path != above), "it leads out: {qids:?}");
                }
                walked => demand_eq!(walked, Err(Errno::EINVAL)),
            }
        }
        if !is_exact() {
            return;
        }
        // It can be neither moved nor removed by a name that it has no longer.
        let rename = Trename { fid: leaf, dfid: ROOT, name: name("back") };
        match c.call(rename) {
            // The mounts of a sealed server end where the export did.
            Err(Errno::EXDEV) if !arena.site.is_here() => return,
            renamed => drop(renamed.expect("the file's own directory still has it")),
        }
        demand_eq!(c.remove(real), Err(Errno::ENOENT));
        c.open(Fid(900), OpenBits::RDONLY).expect("an open directory");
        for (dir, parent) in [(open, root), (Fid(900), c.getattr(Fid(900)).expect("attributes").qid)] {
            let listed = c.list(dir).expect("a listing");
            assert!(listed.iter().all(|entry| entry.name != b"beside" && entry.qid.path != above));
            let up = listed.iter().find(|entry| entry.name == b"..").map(|entry| entry.qid);
            demand_eq!(up, arena.site.google_or(None, Some(parent)));
        }
        assert!(elsewhere.join("beside").exists() && elsewhere.join("real").exists());
    })
}
