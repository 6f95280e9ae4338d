//! What a hostile client, or a hostile hand on the host, reaches beyond an export: nothing.
//!
//! Beside the export lies the [`Outside`], which nobody may as much as open; every case ends with a look at it. Where
//! the cases may put files into the exported directory themselves they do so as the host; else the client makes them.

mod attach;
mod links;
mod moves;
mod names;
mod special;

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use gofer_sys::watch::Watch;
use gofer_vfs::{Errno, Result};
use gofer_wire::p9::Qid;

use crate::client::{Client, ROOT};
use crate::verdict::{Failure, skip_now};
use crate::{Checked, Site, family};

use attach::*;
use links::*;
use moves::*;
use names::*;
use special::*;

/// What lies in the files that nobody may read.
const SECRET: &[u8] = b"what lies outside";

/// What one case does.
fn attack(site: &Site, row: impl FnOnce(&Arena<'_>)) -> Checked {
    let arena = Arena { site, outside: Outside::new()? };
    row(&arena);
    arena.outside.check();
    Ok(())
}

/// An export, and what is not in it.
struct Arena<'s> {
    site: &'s Site,
    outside: Outside,
}

impl Arena<'_> {
    /// What it answers to go on from what is no directory.
    fn no_way_on(&self) -> Errno {
        self.site.google_or(Errno::EINVAL, Errno::ENOTDIR)
    }

    /// Makes a link in the export, by the host where that can be.
    fn link(&self, target: &str, at: &str) -> Result<()> {
        if let Some(host) = self.site.host() {
            return symlink(target, host.join(at))
                .map_err(|e| Errno::from_host(e.raw_os_error().unwrap_or(0)));
        }
        let (dir, name) = at.rsplit_once('/').unwrap_or(("", at));
        let mut c = self.site.changed().client();
        let dir = c.at(dir)?;
        c.symlink(dir, name, target).map(drop)
    }

    /// None is a file beyond the export, by the number that a client knows it by.
    fn check_inside(&self, qids: &[Qid]) {
        // Elsewhere numbers say nothing.
        let Some(export) = self.site.host().filter(|_| self.site.is_here()) else { return };
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

    /// All that is in the export: as the host shows it, else by name.
    fn tree(&self) -> Vec<Found> {
        let mut found = Vec::new();
        match self.site.host() {
            Some(host) => look(host, &mut found),
            None => {
                let mut c = self.site.client();
                for dir in ["", "dir", "dir/sub"] {
                    let names = c.names(dir).unwrap_or_default();
                    found.extend(names.into_iter().map(|name| Found::named(Path::new(dir).join(name))));
                }
            }
        }
        found
    }

    /// The absolute path of what lies outside.
    fn outside(&self) -> &str {
        self.outside.path.to_str().unwrap_or_else(|| skip_now("needs a TMPDIR in UTF-8"))
    }
}

/// A file as the host shows it: everything but the time of its last reading.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    path: PathBuf,
    attr: [i64; 11],
    content: Vec<u8>,
}

impl Found {
    fn named(path: PathBuf) -> Self {
        Self { path, ..Self::default() }
    }

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
/// secret        [`SECRET`]
/// dir/secret    the same
/// ```
struct Outside {
    path: PathBuf,
    before: Vec<Found>,
    watch: Watch,
}

impl Outside {
    fn new() -> std::result::Result<Self, Failure> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("{}{number}", prefix()));
        let unmade =
            |error: std::io::Error| Failure::Skip(format!("cannot write to {path:?}: {error}; set TMPDIR"));
        fs::create_dir_all(path.join("dir")).map_err(unmade)?;
        for file in ["secret", "dir/secret"] {
            fs::write(path.join(file), SECRET).map_err(unmade)?;
        }
        let mut before = Vec::new();
        look(&path, &mut before);
        let watch = Watch::new(&[&path, &path.join("dir")])?;
        Ok(Self { path, before, watch })
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.before.iter().map(|found| found.path.clone()).collect()
    }

    /// A fresh directory beside it, which is not watched.
    fn beside(&self) -> PathBuf {
        let path = self.beside_path();
        fs::create_dir_all(&path).expect("a directory for temporary files");
        path
    }

    fn beside_path(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".beside");
        path.into()
    }

    /// That nobody was here.
    fn check(&self) {
        let seen: BTreeSet<String> = self
            .watch
            .events()
            .into_iter()
            .map(|event| format!("{} of {:?}", event.what, event.name))
            .collect();
        assert!(seen.is_empty(), "outside the export there was {seen:?}");
        let mut now = Vec::new();
        look(&self.path, &mut now);
        assert!(now == self.before, "outside the export something changed: {now:?}");
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        // What a server did there may keep it from going.
        let _ = fs::remove_dir_all(&self.path);
        let _ = fs::remove_dir_all(self.beside_path());
    }
}

/// How the names begin of what this process has outside.
fn prefix() -> String {
    format!("gofer-outside.{}.", process::id())
}

/// Removes what cases that were left behind have in `TMPDIR`.
pub fn remove_outside() {
    let prefix = prefix();
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)) {
        // As a rule there is none, and what cannot go stays.
        let _ = fs::remove_dir_all(entry.path());
    }
}

/// A client with all of the export attached as [`ROOT`], and that's qid.
fn export_root(site: &Site) -> Result<(Client, Qid)> {
    let mut c = site.connect();
    let (version, msize) = site.dialect().version();
    c.version(msize, version)?;
    let root = c.attach_top(ROOT)?;
    Ok((c, root))
}

family! {
    "containment";
    cases:
        dots_are_no_names
        slashes_are_no_names
        paths_are_no_names
        nuls_are_no_names
        names_that_are_too_long_are_no_names
        nothing_is_above_the_root(bare)
        attach_names_lead_nowhere_else
        paths_of_the_host_mean_nothing
        attach_does_not_follow_links
        a_walk_ends_at_a_link
        nothing_is_behind_a_link
        attributes_behind_a_link_are_not_told
        a_fid_of_a_link_is_no_way_to_what_it_points_to
        extended_attributes_behind_a_link_are_out_of_reach
        what_is_made_does_not_follow_a_link
        what_moves_and_removes_does_not_follow_a_link
        links_of_a_clients_own_lead_nowhere
        a_link_in_the_place_of_a_directory_step_by_step
        a_link_swapped_for_a_directory_by_the_host
        a_link_swapped_for_a_directory_by_another_client
        a_link_swapped_for_a_file
        what_was_moved_out_is_no_way_out
        a_fifo_holds_up_nobody
        a_socket_beyond_a_link_is_not_connected_to;
    ours:
        what_is_no_file_is_never_opened
        attach_ends_at_a_link
        an_exports_name_is_no_place_to_walk_from
        devices_are_not_made_unless_the_operator_says_so
        a_set_id_file_loses_its_bits_when_it_is_written;
    promises:
}
