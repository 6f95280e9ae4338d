//! Capabilities: the parts of root's rights (`capabilities(7)`).

use gofer_vfs::Result;
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

use crate::errno;
use crate::seccomp::{Call, Need, syscall};

/// The system calls of this module.
pub const SYSCALLS: &[Call] = &[
    syscall!(capget).with(Need::Start),
    syscall!(capset).with(Need::Start),
    syscall!(capset).with(Need::Credentials),
    syscall!(prctl).with(Need::Start),
];

/// A capability that a file server may have a use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Giving files away.
    Chown,
    /// Reading and writing what modes forbid.
    DacOverride,
    /// Reading and searching what modes forbid, and linking by descriptor.
    DacReadSearch,
    /// Changing attributes of files of others.
    Fowner,
    /// Leaving set-id bits in place.
    Fsetid,
    /// Making device files.
    Mknod,
    /// Acting as another user.
    Setuid,
    /// Acting as another group.
    Setgid,
}

impl Capability {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chown => "CAP_CHOWN",
            Self::DacOverride => "CAP_DAC_OVERRIDE",
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::Fowner => "CAP_FOWNER",
            Self::Fsetid => "CAP_FSETID",
            Self::Mknod => "CAP_MKNOD",
            Self::Setuid => "CAP_SETUID",
            Self::Setgid => "CAP_SETGID",
        }
    }

    fn set(self) -> CapabilitySet {
        match self {
            Self::Chown => CapabilitySet::CHOWN,
            Self::DacOverride => CapabilitySet::DAC_OVERRIDE,
            Self::DacReadSearch => CapabilitySet::DAC_READ_SEARCH,
            Self::Fowner => CapabilitySet::FOWNER,
            Self::Fsetid => CapabilitySet::FSETID,
            Self::Mknod => CapabilitySet::MKNOD,
            Self::Setuid => CapabilitySet::SETUID,
            Self::Setgid => CapabilitySet::SETGID,
        }
    }
}

/// Whether this thread has a capability.
pub fn has(capability: Capability) -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.permitted.contains(capability.set()))
}

/// Whether this thread may make namespaces and mounts (`CAP_SYS_ADMIN`).
pub fn may_mount() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// Gives up all capabilities but these, of which those that this thread does not have stay away. None can come back:
/// the ambient and the inheritable set are emptied, and where this thread may, so is the bounding set, and root is no
/// longer special. Says whether it might.
///
/// # Errors
/// Those of `capset(2)`.
pub fn keep(capabilities: &[Capability]) -> Result<bool> {
    let held = rustix::thread::capabilities(None).map_err(errno)?;
    let wanted = capabilities.iter().fold(CapabilitySet::empty(), |all, one| all | one.set());
    let kept = held.permitted & wanted;
    let bounds = held.effective.contains(CapabilitySet::SETPCAP);
    if bounds {
        let locked = CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_SETUID_FIXUP
            | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
            | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
        rustix::thread::set_capabilities_secure_bits(locked).map_err(errno)?;
        for number in 0..u64::BITS {
            let one = CapabilitySet::from_bits_retain(1 << number);
            match rustix::thread::remove_capability_from_bounding_set(one) {
                Ok(()) => {}
                // There are no more than this on this kernel.
                Err(rustix::io::Errno::INVAL) => break,
                Err(error) => return Err(errno(error)),
            }
        }
    }
    rustix::thread::clear_ambient_capability_set().map_err(errno)?;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).map_err(errno)?;
    Ok(bounds)
}

/// Gives up all capabilities of this thread.
///
/// # Errors
/// Those of `capset(2)`.
pub(crate) fn give_up() -> Result<()> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).map_err(errno)
}
