//! Step 2: namespaces of the process's own, so that no other process, socket address or message queue of the host has
//! a name in here.
//!
//! They are below a namespace of users, which anybody may make where the host allows it. Root has one too: all users
//! exist in it, so that the capabilities that are kept work on their files, and on nothing else of the host. What asks
//! for a right to the host itself, as opening files by their numbers, modules, sockets of packets and raising limits
//! do, fails, and so does making device files: where an export may have those, root has no such namespace.
//!
//! In it no further namespace can be made, of users above all: whoever makes one is root in it.

use std::os::fd::BorrowedFd;

use gofer_sys::capability;
use gofer_sys::mount;
use gofer_sys::namespace::{self, Child, Namespaces, Quotas, Users};
use gofer_vfs::Errno;

use crate::{Error, GO, Layer, Layers, SEALED, Strength, Tree, error};

pub(crate) fn wanted(layers: Layers, trees: &[Tree]) -> Namespaces {
    let users = layers.users && !trees.iter().any(|tree| tree.devices);
    match layers.namespaces {
        false => Namespaces::None,
        true if !users && capability::may_mount() => Namespaces::Own,
        true => Namespaces::OwnWithUsers,
    }
}

pub(crate) fn refused(wanted: Namespaces, errno: Errno) -> Error {
    let error = |what, fix| Error::new(Layer::Namespaces, what, errno, fix);
    match (wanted, errno) {
        (_, Errno::ENOENT) => error("counting threads in /proc/self/task", "mount procfs at /proc"),
        (_, Errno::EBUSY) => {
            error("making the process that serves", "seal before the first thread is started")
        }
        (Namespaces::None, _) => {
            error("making the process that serves", "raise the limit on processes (ulimit -u)")
        }
        (Namespaces::Own, _) => {
            error("making namespaces", "allow clone(2) with CLONE_NEW*").or(Strength::Landlock)
        }
        (Namespaces::OwnWithUsers, Errno::ENOSPC) => {
            error("making namespaces", "raise user.max_user_namespaces and its like").or(Strength::Landlock)
        }
        (Namespaces::OwnWithUsers, _) => error(
            "making a namespace of users",
            "allow them to this user (kernel.unprivileged_userns_clone, the container's seccomp profile)",
        )
        .or(Strength::Landlock),
    }
}

/// What the keeper does for the second process: says which users exist, lets it go, and hears what became of it.
pub(crate) fn let_go(
    child: &Child,
    wanted: Namespaces,
    users: Users,
    socket: BorrowedFd<'_>,
) -> Result<(), Error> {
    if wanted == Namespaces::OwnWithUsers {
        child.map_ids(users).map_err(|errno| unmapped(users, errno))?;
    }
    namespace::say(socket, GO).map_err(error::impossible)?;
    let said = namespace::hear(socket, 4096);
    if said == SEALED {
        return Ok(());
    }
    // Without a word it was ended, by a filter as a rule.
    Err(Error::decode(&said).unwrap_or_else(|| {
        Error::new(
            Layer::Seccomp,
            "the process that was to serve ended before it was sealed",
            Errno::ECHILD,
            "see the kernel's log for the system call that was refused",
        )
        .or(Strength::None)
    }))
}

fn unmapped(users: Users, errno: Errno) -> Error {
    let error = |what: &str, fix| {
        Error::new(Layer::Ids, format!("mapping {what} into the namespace of users"), errno, fix)
    };
    match (users, errno) {
        (Users::All, _) if namespace::has_more_than_its_own() => {
            error("all users and groups", "allow it (CAP_SETUID, CAP_SETGID, CAP_SETFCAP)").or(Strength::Auto)
        }
        (Users::All | Users::Own, _) => {
            error("this user and group", "run as a user and group that exist in the surrounding namespace")
                .or(Strength::Landlock)
        }
        (Users::Range(first, count), Errno::ENOENT) => error(
            &format!("{count} users and groups from {first} on"),
            "install newuidmap and newgidmap (package uidmap), or leave --map-users out",
        ),
        (Users::Range(first, count), _) => error(
            &format!("{count} users and groups from {first} on"),
            "have them given to this user in /etc/subuid and /etc/subgid, and newuidmap and newgidmap not \
             kept from their rights (no_new_privs, nosuid), or leave --map-users out",
        ),
    }
}

/// What is left to do inside: nothing mounted here is to be seen outside.
pub(crate) fn enter(wanted: Namespaces) -> Result<&'static [&'static str], Error> {
    let made: &[_] = match wanted {
        Namespaces::None => return Ok(&[]),
        Namespaces::Own => &["mnt", "pid", "net", "ipc", "uts"],
        Namespaces::OwnWithUsers => &["user", "mnt", "pid", "net", "ipc", "uts"],
    };
    keep_to_itself().map(|()| made)
}

/// The same without a second process: whoever else is in the namespace of mounts that this one was started in must not
/// lose its root with it.
pub(crate) fn enter_here() -> Result<&'static [&'static str], Error> {
    namespace::leave_mounts().map_err(|errno| refused(Namespaces::Own, errno))?;
    keep_to_itself().map(|()| &["mnt"][..])
}

fn keep_to_itself() -> Result<(), Error> {
    mount::make_private().map_err(|errno| {
        Error::new(
            Layer::Namespaces,
            "making mounts private",
            errno,
            "allow mount(2) to this user (the container's seccomp or AppArmor profile)",
        )
        .or(Strength::Landlock)
    })
}

/// The limits on namespaces below this one's, to be found while there is a path to them.
pub(crate) fn quotas(wanted: Namespaces) -> Option<Result<Quotas, Errno>> {
    (wanted == Namespaces::OwnWithUsers).then(Quotas::find)
}

/// Lets no namespace be made any more. After the last that step 3 makes, for a mount that nothing leads to is in one.
pub(crate) fn exhaust(quotas: Option<Result<Quotas, Errno>>) -> Result<(), Error> {
    quotas.map_or(Ok(()), |quotas| quotas.and_then(Quotas::exhaust)).map_err(|errno| {
        Error::new(
            Layer::Namespaces,
            "letting no more namespaces be made (/proc/sys/user)",
            errno,
            "let /proc/sys be written to in the container",
        )
        .or(Strength::Auto)
    })
}
