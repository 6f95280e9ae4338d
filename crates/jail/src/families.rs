//! Step 8: sockets are made of those families only that serving needs, of none as a rule. What was bound before goes on
//! listening, and accepting makes no socket in this sense.
//!
//! The list of system calls says so, too, and no other layer does for all families: there is one namespace of vsocks,
//! and Landlock has no rights for them. So this is a filter of its own, made before the list and in another way. The
//! kernel's mechanism is the same.

use gofer_sys::families::{self, Families};
use gofer_sys::seccomp::Violation;

use crate::{Error, Layer, Tasks, error};

/// The families that serving needs.
pub(crate) fn needed(tasks: Tasks) -> Families {
    if tasks.host_sockets || tasks.new_sockets || tasks.channels { Families::Unix } else { Families::None }
}

pub(crate) fn restrict(families: Families, violation: Violation) -> Result<(), Error> {
    families::restrict(families, violation)
        .map_err(|errno| error::no_filter(Layer::Families, "filtering the families of sockets", errno))
}
