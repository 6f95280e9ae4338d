//! Step 6: of root's rights those are left that an operation needs here. What remains cannot be added to.

use gofer_sys::capability::{self, Capability};
use gofer_sys::namespace::Users;

use crate::report::Held;
use crate::{Error, Layer, Plan};

/// Each with the operations that need it.
const REASONS: [(Capability, &str); 8] = [
    (
        Capability::DacReadSearch,
        "reading and listing whatever the modes say: who may is the client's business",
    ),
    (Capability::DacOverride, "writing and making files whatever the modes say"),
    (Capability::Chown, "giving files to the users that a client names"),
    (Capability::Fowner, "mode, times and extended attributes of files of any owner"),
    (Capability::Fsetid, "a set-group-id bit on files of any group"),
    (Capability::Mknod, "device files in an export with the option devices"),
    (Capability::Setuid, "connecting to sockets as the user that a client names"),
    (Capability::Setgid, "connecting to sockets as the group that a client names"),
];

/// What is to be kept: what is needed, as far as it is there. For the files of subordinate users it will be, in the
/// namespace of users that they are mapped into.
pub(crate) fn kept(plan: &Plan) -> Vec<(Capability, &'static str)> {
    let writable = plan.trees.iter().any(|tree| tree.writable);
    let devices = plan.trees.iter().any(|tree| tree.devices);
    let needed = |capability| match capability {
        Capability::DacReadSearch => true,
        Capability::Mknod => devices,
        Capability::Setuid | Capability::Setgid => plan.tasks.credentials,
        _ => writable,
    };
    let subordinate = matches!(plan.users, Users::Range(..));
    let all = REASONS.into_iter().filter(|_| !plan.tasks.own_rights);
    all.filter(|(one, _)| needed(*one) && (subordinate || capability::has(*one))).collect()
}

pub(crate) fn reduce(kept: &[(Capability, &'static str)]) -> Result<Held, Error> {
    let which: Vec<_> = kept.iter().map(|(capability, _)| *capability).collect();
    let bounded = capability::keep(&which)
        .map_err(|errno| Error::new(Layer::Capabilities, "capset(2)", errno, "allow it"))?;
    Ok(Held { kept: kept.iter().map(|(capability, reason)| (capability.name(), *reason)).collect(), bounded })
}
