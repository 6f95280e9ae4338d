//! The tree that every case begins with.
//!
//! ```text
//! file            "hello, 9p", 0644      link     -> file      fifo
//! dir/inner       "inner"                dirlink  -> dir       socket
//! dir/sub/deep    "deep"                 empty/
//! ```

use gofer_sys::io::WriteFrom;
use gofer_vfs::{
    AccessMode, Backend, CreateFlags, FileKind, Name, OpenFlags, Owner, Result, SetAttr, Special,
};

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
