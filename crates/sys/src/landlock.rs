//! What Landlock lets a process reach (`landlock(7)`).

use std::os::fd::BorrowedFd;

use gofer_vfs::{Errno, Result};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};

use crate::seccomp::{Call, Need, syscall};

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[
    syscall!(landlock_create_ruleset).with(Need::Start),
    syscall!(landlock_add_rule).with(Need::Start),
    syscall!(landlock_restrict_self).with(Need::Start),
];

/// What may be done below a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Below {
    /// Files may be changed, made, moved and removed; devices excepted.
    pub write: bool,
    /// Device files may be made.
    pub devices: bool,
    /// Sockets may be connected to.
    pub sockets: bool,
}

/// A version of the interface. Of an older kernel's, everything is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Abi(pub u32);

impl Abi {
    /// The newest that is known here.
    pub const NEWEST: Self = Self(10);
    /// The first that has all that is promised (Linux 6.12). What came later is used where it is there.
    pub const COMPLETE: Self = Self(6);

    /// What is reached in spite of this version, which is older than [`COMPLETE`](Self::COMPLETE).
    pub fn open_ends(self) -> impl Iterator<Item = &'static str> {
        const SINCE: [(Abi, &str); 4] = [
            (Abi(3), "shortening files"),
            (Abi(4), "TCP ports"),
            (Abi(5), "requests to devices"),
            (Abi::COMPLETE, "abstract sockets and signals"),
        ];
        SINCE.into_iter().filter(move |(abi, _)| self < *abi).map(|(_, what)| what)
    }

    fn known(self) -> ABI {
        i32::try_from(self.0).unwrap_or(i32::MAX).into()
    }
}

/// Lets this thread, and all that it starts, reach only what is below `places`, for good, and no TCP port,
/// abstract unix socket or process outside; as far as the kernel's version of the interface goes, and `newest`. Says
/// which that is.
///
/// What is open already stays open, and calls that look at attributes or change them are not restricted.
///
/// # Errors
/// `EOPNOTSUPP` when the kernel has no Landlock, has it turned off, or cannot allow moving files between
/// directories (before Linux 5.19) although a place may be changed.
pub fn restrict(places: &[(BorrowedFd<'_>, Below)], newest: Abi) -> Result<Abi> {
    let unsupported = |_| Errno::EOPNOTSUPP;
    let known = newest.known();
    let (files, ports, scopes) =
        (AccessFs::from_all(known), AccessNet::from_all(known), Scope::from_all(known));
    if !files.contains(AccessFs::Refer) && places.iter().any(|(_, below)| below.write) {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(files)
        // Of these the first versions have none, and none cannot be asked for.
        .and_then(|ruleset| if ports.is_empty() { Ok(ruleset) } else { ruleset.handle_access(ports) })
        .and_then(|ruleset| if scopes.is_empty() { Ok(ruleset) } else { ruleset.scope(scopes) })
        .and_then(Ruleset::create)
        .map_err(unsupported)?;
    for (place, below) in places {
        let rights = rights(*below) & files;
        ruleset = ruleset.add_rule(PathBeneath::new(place, rights)).map_err(unsupported)?;
    }
    let status = ruleset.restrict_self().map_err(unsupported)?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => Err(Errno::EOPNOTSUPP),
        (_, LandlockStatus::Available { effective_abi, .. }) => Ok(newest.min(Abi(effective_abi as u32))),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

fn rights(below: Below) -> BitFlags<AccessFs> {
    let mut rights = AccessFs::ReadFile | AccessFs::ReadDir;
    if below.write {
        rights |= AccessFs::WriteFile
            | AccessFs::Truncate
            | AccessFs::MakeReg
            | AccessFs::MakeDir
            | AccessFs::MakeSym
            | AccessFs::MakeFifo
            | AccessFs::MakeSock
            | AccessFs::RemoveFile
            | AccessFs::RemoveDir
            | AccessFs::Refer;
    }
    if below.devices {
        rights |= AccessFs::MakeChar | AccessFs::MakeBlock;
    }
    if below.sockets {
        rights |= AccessFs::ResolveUnix;
    }
    rights
}
