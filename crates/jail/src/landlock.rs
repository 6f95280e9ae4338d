//! Step 7: files can be opened, made and removed below the exports only, each as it allows; no TCP port, abstract unix
//! socket or process outside can be reached.

use std::os::fd::{AsFd, OwnedFd};

use gofer_sys::landlock::{self, Abi, Below};
use gofer_vfs::Errno;

use crate::report::Rule;
use crate::{Error, Layer, Strength, Tasks, Tree};

pub(crate) fn rule(tree: &Tree, tasks: Tasks) -> (Rule, Below) {
    let below = Below { write: tree.writable, devices: tree.devices, sockets: tasks.host_sockets };
    let rights = match (tree.writable, tree.devices) {
        (false, _) => "read",
        (true, false) => "read, write, make, remove, move; no devices",
        (true, true) => "read, write, make, remove, move; devices too",
    };
    (Rule { path: tree.path.display().to_string(), rights }, below)
}

pub(crate) fn restrict(
    roots: &[OwnedFd],
    rules: &[(Rule, Below)],
    newest: Abi,
) -> Result<(Abi, Vec<Rule>), Error> {
    let below = rules.iter().map(|(_, below)| *below);
    let places: Vec<_> = roots.iter().map(AsFd::as_fd).zip(below).collect();
    match landlock::restrict(&places, newest) {
        Ok(abi) => Ok((abi, rules.iter().map(|(rule, _)| rule.clone()).collect())),
        Err(errno @ Errno::EOPNOTSUPP) => Err(Error::new(
            Layer::Landlock,
            "restricting which files can be opened",
            errno,
            "use Linux 5.19 or later with Landlock (CONFIG_SECURITY_LANDLOCK, lsm=landlock,..)",
        )
        .or(Strength::Auto)),
        Err(errno) => {
            Err(Error::new(Layer::Landlock, "restricting which files can be opened", errno, "allow it"))
        }
    }
}

/// Whether all is restricted that is promised.
pub(crate) fn is_complete(abi: Abi) -> Result<(), Error> {
    let open: Vec<_> = abi.open_ends().collect();
    if open.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Layer::Landlock,
        format!("restricting {}, with version {} of its interface", open.join(", "), abi.0),
        Errno::EOPNOTSUPP,
        "use Linux 6.12 or later",
    )
    .or(Strength::Auto))
}
