//! Step 4: limits that cannot be raised again, and no core dump, which would hold what clients read.
//!
//! The size of files is not limited: a client's large file would end the server. The number of processes stays what
//! the operator made it: the kernel counts the threads of all processes of a user together, and not those of root at
//! all, so that a number which is right for this server would end it when its user does something else.

use gofer_sys::process;

use crate::{Error, Layer};

pub(crate) fn freeze() -> Result<Option<u64>, Error> {
    let refused = |errno| Error::new(Layer::Limits, "freezing limits", errno, "allow setrlimit(2)");
    process::freeze_limits().map_err(refused)?;
    process::raise_nofile().map(Some).map_err(refused)
}
