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

/// The newest version of the interface that is asked for. Of an older kernel's, everything is used.
const NEWEST: ABI = ABI::V10;

/// Lets this thread, and all that it starts, reach only what is below `places`, for good, and no TCP port,
/// abstract unix socket or process outside. Says which version of the interface the kernel has.
///
/// What is open already stays open, and calls that look at attributes or change them are not restricted.
///
/// # Errors
/// `EOPNOTSUPP` when the kernel has no Landlock, has it turned off, or cannot allow moving files between
/// directories (before Linux 5.19) although a place may be changed.
pub fn restrict(places: &[(BorrowedFd<'_>, Below)]) -> Result<u32> {
    let unsupported = |_| Errno::EOPNOTSUPP;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(unsupported)?;
    for (place, below) in places {
        let rights = rights(*below);
        ruleset = ruleset.add_rule(PathBeneath::new(place, rights)).map_err(unsupported)?;
    }
    let status = ruleset.restrict_self().map_err(unsupported)?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => Err(Errno::EOPNOTSUPP),
        (_, LandlockStatus::Available { effective_abi, kernel_abi }) => {
            Ok(kernel_abi.and_then(|abi| u32::try_from(abi).ok()).unwrap_or(effective_abi as u32))
        }
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
