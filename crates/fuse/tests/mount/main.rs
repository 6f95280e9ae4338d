//! Mounts, used as programs use them. Where the machine has no FUSE for this user they are skipped, and say so; with
//! `GOFER_NEEDS_FUSE` set that is a failure.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod ends;
mod mortal;
mod tree;

use std::path::{Path, PathBuf};

use gofer_fuse::{Cache, Error, Mounted, Options, mount};
use gofer_localfs::LocalFs;
use gofer_vfs::{Backend, MemFs, XattrPolicy};

/// A mount and what is below it, in a directory of their own.
pub(crate) struct Place {
    /// Unmounted before the directory is removed.
    pub(crate) mounted: Mounted,
    pub(crate) at: PathBuf,
    /// The directory that is served, where it is one.
    pub(crate) host: PathBuf,
    _dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }
}

/// Mounts what `backend` makes of an empty directory; `None` where that cannot be on this machine.
pub(crate) fn place<B: Backend>(backend: impl FnOnce(&Path) -> B, options: &Options) -> Option<Place> {
    let dir = tempfile::tempdir().unwrap();
    let (host, at) = (dir.path().join("host"), dir.path().join("mnt"));
    std::fs::create_dir(&host).unwrap();
    std::fs::create_dir(&at).unwrap();
    match mount(backend(&host), &at, options) {
        Ok(mounted) => Some(Place { mounted, at, host, _dir: dir }),
        Err(error @ (Error::Device(_) | Error::NoHelper(_) | Error::Refused(..)))
            if std::env::var_os("GOFER_NEEDS_FUSE").is_none() =>
        {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn local(host: &Path) -> LocalFs {
    LocalFs::open(host).unwrap()
}

/// Runs a check on every kind of backend and cache, with files handed to the kernel and without.
pub(crate) fn everywhere(check: impl Fn(&Place, &Options)) {
    for cache in [Cache::None, Cache::Revalidate, Cache::Exclusive] {
        for passthrough in [true, false] {
            let options = Options { cache, passthrough, xattr: XattrPolicy::User, ..Options::default() };
            let Some(place) = place(local, &options) else { return };
            eprintln!("host files, {cache:?}, passthrough {passthrough}");
            check(&place, &options);
        }
        let options = Options { cache, ..Options::default() };
        let Some(place) = place(|_| MemFs::new(64 << 20), &options) else { return };
        eprintln!("memory, {cache:?}");
        check(&place, &options);
    }
}
