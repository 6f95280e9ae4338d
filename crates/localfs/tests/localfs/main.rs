//! Every operation of `LocalFs`, seen from outside too. Tests pass with and without the rights of root; what
//! needs one of them is checked at run time and said.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod attr;
mod dir;
mod entry;
mod io;
mod lock;
mod open;
mod socket;
mod walk;
mod xattr;

use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

use gofer_localfs::{File, LocalFs, Node};
use gofer_sys::io::{ReadInto, WriteFrom};
use gofer_vfs::{AccessMode, Attr, Backend, CreateFlags, Errno, Gid, Name, OpenFlags, Owner, Result, Uid};
use tempfile::TempDir;

/// A directory, exported.
struct Export {
    dir: TempDir,
    fs: LocalFs,
    root: Node,
}

impl Export {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fs = LocalFs::open(dir.path()).unwrap();
        let (root, _) = fs.attach().unwrap();
        Self { dir, fs, root }
    }

    /// The host's path of a file.
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file made by the host.
    fn host_file(&self, name: &str, content: &str) -> Node {
        std::fs::write(self.path(name), content).unwrap();
        self.node(name)
    }

    /// A directory made by the host.
    fn host_dir(&self, name: &str) -> Node {
        std::fs::create_dir(self.path(name)).unwrap();
        self.node(name)
    }

    fn node(&self, at: &str) -> Node {
        self.fs.walk(&self.root, name(at)).unwrap().0
    }

    fn attr(&self, node: &Node) -> Attr {
        self.fs.getattr(node).unwrap()
    }

    /// A new file with mode 0644 that is open for `access`.
    fn create(&self, at: &str, access: AccessMode) -> (Node, File) {
        let (node, file, _) = self.try_create(at, OpenFlags::new(access), 0o644, Owner::default()).unwrap();
        (node, file)
    }

    fn try_create(&self, at: &str, open: OpenFlags, perm: u32, owner: Owner) -> Result<(Node, File, Attr)> {
        self.fs.create(&self.root, name(at), CreateFlags { open, exclusive: true }, perm, owner)
    }

    fn read(&self, file: &File, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.fs.read(file, offset, len, &mut ReadInto::new(&mut bytes, len))?;
        Ok(bytes)
    }

    fn write(&self, file: &File, offset: u64, bytes: &[u8]) -> Result<usize> {
        self.fs.write(file, offset, &mut WriteFrom(bytes))
    }

    /// Whether the host's directory is empty.
    fn is_empty(&self) -> bool {
        std::fs::read_dir(self.dir.path()).unwrap().next().is_none()
    }
}

fn name(name: &str) -> Name<'_> {
    Name::new(name.as_bytes()).unwrap()
}

fn owner(uid: u32, gid: u32) -> Owner {
    Owner { uid: Some(Uid(uid)), gid: Some(Gid(gid)) }
}

/// The user and group of this process.
fn myself() -> Owner {
    owner(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// Whether this process may give files away; says so when it may not.
fn can_chown() -> bool {
    let can = gofer_sys::process::has_cap_chown();
    if !can {
        eprintln!("not tested: this needs the right to give files away (CAP_CHOWN)");
    }
    can
}

/// Whether permission bits hold this process off; says so when they do not.
fn is_held_off() -> bool {
    let file = tempfile::NamedTempFile::new().unwrap();
    rustix::fs::chmod(file.path(), rustix::fs::Mode::empty()).unwrap();
    let held_off = std::fs::read(file.path()).is_err();
    if !held_off {
        eprintln!("not tested: permission bits do not bind this user (CAP_DAC_OVERRIDE)");
    }
    held_off
}

/// A number that the kernel tells of a descriptor (`proc_pid_fdinfo(5)`).
fn fdinfo(fd: &impl AsFd, field: &str) -> u64 {
    let number = fd.as_fd().as_raw_fd();
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
    let value = info.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    value.trim().parse().unwrap()
}

/// The flags of an open file description, as `F_GETFL` tells them.
fn status_flags(fd: &impl AsFd) -> rustix::fs::OFlags {
    rustix::fs::fcntl_getfl(fd).unwrap()
}

/// The error of something that has to fail.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "what was not refused has no further use")]
fn refused<T>(result: Result<T>) -> Errno {
    match result {
        Ok(_) => panic!("was not refused"),
        Err(errno) => errno,
    }
}
