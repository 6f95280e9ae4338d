//! From a backend to a mount point, and back.

use std::fs;
use std::io;
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use gofer_vfs::{Backend, Errno, FileKind};

use crate::filesystem::Front;
use crate::{Options, Served};

/// Why there is no mount: what, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The backend has no root that could be mounted.
    #[error("cannot mount the tree: {0}; only a directory that can be reached is mounted")]
    Tree(Errno),
    /// The mount point is not there, or cannot be reached.
    #[error("cannot mount at {0:?}: {1}; make the directory first")]
    Missing(PathBuf, Errno),
    /// The mount point is no directory.
    #[error("cannot mount at {0:?}: not a directory (ENOTDIR); choose a directory")]
    NotDirectory(PathBuf),
    /// Something is in the mount point.
    #[error("cannot mount at {0:?}: it is not empty (ENOTEMPTY); choose an empty directory")]
    NotEmpty(PathBuf),
    /// Something is mounted there.
    #[error(
        "cannot mount at {0:?}: something is mounted there (EBUSY); unmount it first: fusermount3 -u {0:?}"
    )]
    Busy(PathBuf),
    /// A mount there lost its server.
    #[error(
        "cannot mount at {0:?}: a mount there lost its server (ENOTCONN); remove it first: fusermount3 -u {0:?}"
    )]
    Remains(PathBuf),
    /// The kernel's device cannot be had.
    #[error("cannot open /dev/fuse: {0}; {hint}", hint = device_hint(*.0))]
    Device(Errno),
    /// An ordinary user needs a program that is not installed.
    #[error(
        "cannot mount at {0:?} as an ordinary user: there is no fusermount3 (ENOENT); install fuse3, or run this as root"
    )]
    NoHelper(PathBuf),
    /// The kernel or the program that mounts for ordinary users refused.
    #[error("cannot mount at {0:?}: {1}; choose a directory of your own, or run this as root")]
    Refused(PathBuf, String),
    /// The kernel does not let go.
    #[error("cannot unmount {0:?}: {1}; try fusermount3 -uz {0:?}")]
    Unmount(PathBuf, Errno),
}

fn device_hint(error: Errno) -> &'static str {
    match error {
        Errno::EACCES | Errno::EPERM => "let this user open it: chmod a+rw /dev/fuse",
        _ => "load the kernel's module (modprobe fuse), or give the container the device",
    }
}

/// A tree that is mounted. Dropping it unmounts.
pub struct Mounted {
    at: PathBuf,
    /// The device of the mounted file system, which tells it from another at the same place.
    dev: u64,
    session: Mutex<Option<BackgroundSession>>,
    ended: Mutex<Receiver<()>>,
}

/// Mounts a backend on an empty directory and serves it by threads of its own.
///
/// # Errors
/// See [`Error`].
pub fn mount<B: Backend>(backend: B, at: &Path, options: &Options) -> Result<Mounted, Error> {
    let at = mount_point(at)?;
    let is_read_only = options.read_only || backend.is_read_only();
    let (surplus, too_many) = mpsc::sync_channel(1);
    let served = Served::new(backend, options.clone(), surplus).map_err(Error::Tree)?;
    if served.inodes.named(fuser::INodeNo::ROOT).is_ok_and(|root| root.kind != FileKind::Directory) {
        return Err(Error::Tree(Errno::ENOTDIR));
    }
    let (sender, ended) = mpsc::channel();
    let front = Front { served: served.clone(), ended: sender };
    let session =
        Session::new(front, &at, &config(options, is_read_only)).map_err(|error| refused(&at, &error))?;
    // It is set here only.
    let _ = served.notifier.set(session.notifier());
    let shed = Arc::downgrade(&served);
    drop(served);
    let shed = move || {
        // The other end is what is served, and gone with it.
        while let (Ok(()), Some(served)) = (too_many.recv(), shed.upgrade()) {
            served.shed();
        }
    };
    let spawned = thread::Builder::new().name("shed".into()).spawn(shed).and_then(|_| session.spawn());
    let session = spawned.map_err(|error| refused(&at, &error))?;
    let found = fs::symlink_metadata(&at).map_err(|error| Error::Refused(at.clone(), error.to_string()))?;
    Ok(Mounted { at, dev: found.dev(), session: Mutex::new(Some(session)), ended: Mutex::new(ended) })
}

fn config(options: &Options, is_read_only: bool) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        // Commas would begin another option of the program that mounts for ordinary users.
        MountOption::FSName(options.source.replace([',', '\\'], "_")),
        MountOption::Subtype("gofer".to_owned()),
        MountOption::DefaultPermissions,
        MountOption::NoDev,
        MountOption::NoSuid,
        if is_read_only { MountOption::RO } else { MountOption::RW },
    ];
    config.acl = if options.others { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(options.threads.max(1));
    config.clone_fd = true;
    config
}

/// The directory to mount on, without symbolic links.
fn mount_point(at: &Path) -> Result<PathBuf, Error> {
    let missing = |error: &io::Error| match errno(error) {
        Errno::ENOTCONN => Error::Remains(at.to_owned()),
        error => Error::Missing(at.to_owned(), error),
    };
    let whole = at.canonicalize().map_err(|error| missing(&error))?;
    let found = fs::metadata(&whole).map_err(|error| missing(&error))?;
    if !found.is_dir() {
        return Err(Error::NotDirectory(whole));
    }
    let is_mount_point = whole
        .parent()
        .and_then(|parent| fs::metadata(parent).ok())
        .is_some_and(|parent| parent.dev() != found.dev());
    if is_mount_point {
        return Err(Error::Busy(whole));
    }
    match fs::read_dir(&whole).map(|mut entries| entries.next()) {
        Ok(None) => Ok(whole),
        Ok(Some(_)) => Err(Error::NotEmpty(whole)),
        Err(error) => Err(missing(&error)),
    }
}

/// Why fuser did not mount. It tells the kernel's errors in words alone.
fn refused(at: &Path, error: &io::Error) -> Error {
    let device = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    match (device, error.kind()) {
        (Err(error), _) => Error::Device(errno(&error)),
        (Ok(_), io::ErrorKind::NotFound) => Error::NoHelper(at.to_owned()),
        (Ok(_), _) => {
            let said = error.to_string();
            let said = said.lines().map(|line| line.strip_prefix("fusermount3: ").unwrap_or(line).trim());
            Error::Refused(at.to_owned(), said.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; "))
        }
    }
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_host)
}

impl Mounted {
    /// Where it is mounted, without symbolic links.
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// Waits until it is mounted no more, whoever unmounted it, and the last file in it is closed.
    pub fn wait(&self) {
        // The other end is gone when the threads have ended, which is the same.
        let _ = self.ended.lock().unwrap_or_else(PoisonError::into_inner).recv();
        self.forget_session();
    }

    /// Unmounts. `true` says that programs still use it: it has left the tree of files and ends when the last of
    /// them is done.
    ///
    /// # Errors
    /// [`Error::Unmount`].
    pub fn unmount(&self) -> Result<bool, Error> {
        // Something else may have been mounted since somebody unmounted this. That it cannot be told means that
        // the backend does not answer, so it is there.
        if fs::symlink_metadata(&self.at).is_ok_and(|found| found.dev() != self.dev) {
            return Ok(false);
        }
        let failed = |error| Error::Unmount(self.at.clone(), error);
        match gofer_sys::mount::unmount(&self.at, false) {
            Ok(()) => Ok(false),
            Err(Errno::EBUSY) => gofer_sys::mount::unmount(&self.at, true).map(|()| true).map_err(failed),
            Err(Errno::EPERM) if self.helper(&["-u", "-q"]) => Ok(false),
            Err(Errno::EPERM) if self.helper(&["-u", "-q", "-z"]) => Ok(true),
            Err(error) => Err(failed(error)),
        }
    }

    /// The program that unmounts for ordinary users.
    fn helper(&self, options: &[&str]) -> bool {
        let mut command = Command::new("fusermount3");
        command.args(options).arg("--").arg(&self.at).stdin(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// fuser would unmount whatever is mounted there by now.
    fn forget_session(&self) {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).take();
        mem::forget(session);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.session.lock().unwrap_or_else(PoisonError::into_inner).is_some()
            && let Err(error) = self.unmount()
        {
            tracing::warn!("{error}");
        }
        self.forget_session();
    }
}
