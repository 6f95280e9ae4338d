//! The tree that every case begins with.
//!
//! ```text
//! file            "hello, 9p", 0644      link     -> file      fifo
//! dir/inner       "inner"                dirlink  -> dir       socket
//! dir/sub/deep    "deep"                 empty/
//! ```

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use gofer_sys::entry;
use gofer_sys::io::WriteFrom;
use gofer_vfs::{
    AccessMode, Backend, CreateFlags, FileKind, Name, OpenFlags, Owner, PeerGid, Result, SetAttr, Special,
};
use gofer_wire::p9::{Fid, OpenBits, Tsymlink};

use crate::client::{Client, name, text};

/// The content of `file`.
pub const HELLO: &[u8] = b"hello, 9p";

/// The names in the root, sorted.
pub const NAMES: [&str; 7] = ["dir", "dirlink", "empty", "fifo", "file", "link", "socket"];

/// What each of the names is.
pub const KINDS: [FileKind; 7] = [
    FileKind::Directory,
    FileKind::Symlink,
    FileKind::Directory,
    FileKind::Fifo,
    FileKind::Regular,
    FileKind::Symlink,
    FileKind::Socket,
];

/// Makes the tree in a root that is empty.
///
/// # Errors
/// The backend's.
pub fn lay<B: Backend>(backend: &B) -> Result<()> {
    let owner = Owner::default();
    let (root, _) = backend.attach()?;
    backend.setattr(&root, None, &SetAttr { perm: Some(0o755), ..SetAttr::default() })?;
    let file = |dir: &B::Node, name: &str, content: &[u8]| -> Result<()> {
        let flags = CreateFlags { open: OpenFlags::new(AccessMode::Write), exclusive: true };
        let (_, file, _) = backend.create(dir, Name::new(name.as_bytes())?, flags, 0o644, owner)?;
        backend.write(&file, 0, &mut WriteFrom(content)).map(drop)
    };
    let dir = |dir: &B::Node, name: &str| -> Result<B::Node> {
        Ok(backend.mkdir(dir, Name::new(name.as_bytes())?, 0o755, owner)?.0)
    };
    file(&root, "file", HELLO)?;
    let below = dir(&root, "dir")?;
    file(&below, "inner", b"inner")?;
    file(&dir(&below, "sub")?, "deep", b"deep")?;
    dir(&root, "empty")?;
    for (link, target) in [("link", "file"), ("dirlink", "dir")] {
        backend.symlink(&root, Name::new(link.as_bytes())?, target.as_bytes(), owner)?;
    }
    for (name, what) in [("fifo", Special::Fifo), ("socket", Special::Socket)] {
        backend.mknod(&root, Name::new(name.as_bytes())?, what, 0o644, owner)?;
    }
    Ok(())
}

/// What of a tree could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Laid {
    /// The links.
    pub links: bool,
    /// FIFO and socket.
    pub special: bool,
}

/// Makes the tree in an empty directory at a server, by messages that any server has.
///
/// # Errors
/// The server's; that it makes no links, FIFOs or sockets is none.
pub fn lay_at(c: &mut Client, root: Fid) -> Result<Laid> {
    let file = |c: &mut Client, dir: Fid, name: &str, content: &[u8]| -> Result<()> {
        let fid = c.fid();
        c.walk(dir, fid, &[""; 0])?;
        c.create(fid, name, OpenBits::RDWR, 0o644)?;
        c.write(fid, 0, content)?;
        c.clunk(fid)
    };
    let dir = |c: &mut Client, dir: Fid, name: &str| -> Result<Fid> {
        c.mkdir(dir, name)?;
        let fid = c.fid();
        c.walk(dir, fid, &[name]).map(|_| fid)
    };
    file(c, root, "file", HELLO)?;
    let below = dir(c, root, "dir")?;
    file(c, below, "inner", b"inner")?;
    let sub = dir(c, below, "sub")?;
    file(c, sub, "deep", b"deep")?;
    let empty = dir(c, root, "empty")?;
    for fid in [below, sub, empty] {
        c.clunk(fid)?;
    }
    let mut link = |at, target| {
        c.call(Tsymlink { dfid: root, name: name(at), target: text(target), gid: PeerGid::NONE }).is_ok()
    };
    let links = LINKS.iter().all(|(at, target)| link(at, target));
    let mut special = |name, kind: u32| c.mknod(root, name, kind | 0o644).is_ok();
    let fifo = special("fifo", 0o010_000);
    let special = fifo && special("socket", 0o140_000);
    if fifo && !special {
        c.unlink(root, "fifo")?;
    }
    Ok(Laid { links, special })
}

/// The links, and where they lead.
const LINKS: [(&str, &str); 2] = [("link", "file"), ("dirlink", "dir")];

/// Makes the tree in an empty directory of the host.
///
/// # Errors
/// The host's.
pub fn lay_on_host(root: &Path) -> io::Result<()> {
    for dir in ["dir", "dir/sub", "empty"] {
        fs::create_dir(root.join(dir))?;
        fs::set_permissions(root.join(dir), Permissions::from_mode(0o755))?;
    }
    for (file, content) in [("file", HELLO), ("dir/inner", b"inner"), ("dir/sub/deep", b"deep")] {
        fs::write(root.join(file), content)?;
        fs::set_permissions(root.join(file), Permissions::from_mode(0o644))?;
    }
    complete_on_host(root, Laid { links: false, special: false })
}

/// Makes what is missing of a tree in a directory of the host.
///
/// # Errors
/// The host's.
pub fn complete_on_host(root: &Path, laid: Laid) -> io::Result<()> {
    for (link, target) in LINKS.iter().filter(|_| !laid.links) {
        symlink(target, root.join(link))?;
    }
    if laid.special {
        return Ok(());
    }
    let dir = File::open(root)?;
    for (name, what) in [("fifo", Special::Fifo), ("socket", Special::Socket)] {
        let made = Name::new(name.as_bytes()).and_then(|name| entry::mknod(dir.as_fd(), name, what, 0o644));
        made.map_err(|errno| io::Error::from_raw_os_error(errno.number().into()))?;
    }
    Ok(())
}
