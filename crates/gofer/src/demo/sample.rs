//! [`Sample`]: a directory to serve, and what nobody is to get.
//!
//! ```text
//! secret.txt             [`SECRET`]
//! tree/                  what is served
//!   README.txt
//!   data/                to be measured
//!   docs/notes.txt
//!   docs/up -> ../..
//!   null                 a device, where this user may make one
//!   pipe                 a FIFO
//!   service              a socket that somebody listens on
//!   stolen -> ../secret.txt
//!   swap/secret.txt      [`HARMLESS`]
//!   up -> ..
//! ```

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use gofer_sys::entry::mknod;
use gofer_vfs::{Name, Special};

use super::speed;
use crate::bench::Scratch;
use crate::report::{Failure, errno};

/// What must not reach a client.
pub(super) const SECRET: &str = "nobody outside is to read this\n";
/// What stands beside it in a file that a client may read.
const HARMLESS: &str = "this one is for everybody\n";

/// The directory that is measured.
pub(super) const DATA: &str = "data";

/// The directory; removed when dropped.
pub(super) struct Sample {
    scratch: Scratch,
    /// A device is among the files.
    pub(super) has_device: bool,
    _service: UnixListener,
}

impl Sample {
    pub(super) fn new() -> Result<Self, Failure> {
        let scratch = Scratch::new("demo")?;
        let tree = scratch.tree();
        let made =
            lay(&tree).and_then(|has_device| Ok((has_device, UnixListener::bind(tree.join("service"))?)));
        let (has_device, service) = made.map_err(|error| {
            Failure::start(format!(
                "cannot fill {tree:?}: {}; set TMPDIR to another directory",
                errno(&error)
            ))
        })?;
        Ok(Self { scratch, has_device, _service: service })
    }

    /// The directory that holds all of it.
    pub(super) fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// What is served.
    pub(super) fn tree(&self) -> PathBuf {
        self.scratch.tree()
    }

    /// The number of the secret's inode, which a client must not see either.
    pub(super) fn secret_inode(&self) -> Option<u64> {
        fs::metadata(self.path().join("secret.txt")).ok().map(|found| found.ino())
    }

    /// All that an attack could have changed.
    pub(super) fn state(&self) -> Vec<String> {
        let mut state = Vec::new();
        look(self.path(), &mut state);
        state
    }
}

/// Makes the files; says whether there is a device among them.
fn lay(tree: &Path) -> io::Result<bool> {
    let beside = tree.parent().unwrap_or(tree);
    fs::write(beside.join("secret.txt"), SECRET)?;
    for dir in [DATA, "docs", "swap"] {
        fs::create_dir(tree.join(dir))?;
    }
    speed::fill(&tree.join(DATA))?;
    fs::write(tree.join("README.txt"), "A client may read this.\n")?;
    fs::write(tree.join("docs/notes.txt"), "And this.\n")?;
    fs::write(tree.join("swap/secret.txt"), HARMLESS)?;
    for (link, target) in [("stolen", "../secret.txt"), ("up", ".."), ("docs/up", "../..")] {
        symlink(target, tree.join(link))?;
    }
    let dir = File::open(tree)?;
    let make = |name: &str, what| {
        let made = Name::new(name.as_bytes()).and_then(|name| mknod(dir.as_fd(), name, what, 0o600));
        made.map_err(|errno| io::Error::from_raw_os_error(errno.number().into()))
    };
    make("pipe", Special::Fifo)?;
    Ok(make("null", Special::CharDevice(1, 3)).is_ok())
}

/// Every file with its mode, and with the size and time of what is no directory.
fn look(path: &Path, into: &mut Vec<String>) {
    let Ok(found) = fs::symlink_metadata(path) else { return };
    let content = (!found.is_dir()).then(|| (found.ino(), found.size(), found.mtime(), found.mtime_nsec()));
    into.push(format!("{path:?} {:o} {content:?}", found.mode()));
    if found.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let mut below: Vec<_> = entries.map(|entry| entry.path()).collect();
        below.sort();
        below.iter().for_each(|path| look(path, into));
    }
}
