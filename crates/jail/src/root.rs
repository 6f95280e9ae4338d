//! Step 3: the exports become mounts that no path leads to, read-only where they are so, without set-id programs and
//! devices; and the root becomes an empty directory. A process that is taken over has nothing to open by path, and
//! `..` from an export ends at its root. The same holds for the kept descriptor of `/proc/self/fd`.
//!
//! Where files are donated to clients, which map them and may run them, the mounts are not `noexec`.

use std::os::fd::AsFd;

use gofer_sys::open::ProcFd;
use gofer_sys::{attr, mount, walk};
use gofer_vfs::Errno;

use crate::{Error, Layer, Layers, Sealed, Strength, Tasks, Tree};

pub(crate) fn enter(trees: &[Tree], tasks: Tasks, layers: Layers) -> Result<Sealed, Error> {
    if !layers.namespaces {
        let procfd = ProcFd::open().map_err(no_proc)?;
        let roots =
            trees.iter().map(|tree| walk::dup(tree.place.as_fd()).map_err(|errno| no_more(tree, errno)));
        return Ok(Sealed { procfd, roots: roots.collect::<Result<_, _>>()? });
    }
    let roots = trees.iter().map(|tree| detach(tree, tasks)).collect::<Result<_, _>>()?;
    let procfd = ProcFd::detached().map_err(no_proc)?;
    mount::empty_root().map_err(|errno| {
        Error::new(
            Layer::Root,
            "leaving the root directory (pivot_root)",
            errno,
            "allow it (the container's seccomp profile; the root must not be an initial RAM disk)",
        )
        .or(Strength::Landlock)
    })?;
    Ok(Sealed { procfd, roots })
}

/// A mount of the tree's own. The path leads through the new namespace now: it must still be the same file.
fn detach(tree: &Tree, tasks: Tasks) -> Result<std::os::fd::OwnedFd, Error> {
    let refused = |what: &str, errno, fix: &str| {
        Error::new(Layer::Root, format!("{what} {:?}", tree.path), errno, fix.to_owned())
    };
    let again = match walk::open_root(&tree.path) {
        Ok(again) => again,
        Err(errno) => {
            return Err(refused("finding again", errno, "give this user the right to search its path"));
        }
    };
    let id = |place| attr::stat(place).map(|attr| attr.id);
    if id(again.as_fd()) != id(tree.place.as_fd()) {
        let fix = "do not move it while the server starts; try again";
        return Err(refused("finding again", Errno::ESTALE, fix));
    }
    let detached = mount::detach(again.as_fd())
        .map_err(|errno| refused("copying the mount of", errno, "allow mounting").or(Strength::Landlock))?;
    let restrictions = mount::Restrictions { read_only: !tree.writable, no_exec: !tasks.donate };
    mount::restrict(detached.as_fd(), restrictions).map_err(|errno| {
        let fix = if errno == Errno::ENOSYS { "use Linux 5.12 or later" } else { "allow mount_setattr(2)" };
        refused("restricting the mount of", errno, fix).or(Strength::Landlock)
    })?;
    Ok(detached)
}

fn no_more(tree: &Tree, errno: Errno) -> Error {
    Error::new(
        Layer::Root,
        format!("keeping {:?}", tree.path),
        errno,
        "raise the limit of open files (ulimit -Hn)",
    )
}

pub(crate) fn no_proc(errno: Errno) -> Error {
    Error::new(Layer::Root, "keeping /proc/self/fd", errno, "mount procfs at /proc")
}
