//! Step 4: limits that cannot be raised again, and no core dump, which would hold what clients read.
//!
//! The size of files is not limited: a client's large file would end the server.

use gofer_sys::process;

use crate::{Error, Layer};

pub(crate) fn freeze() -> Result<Option<u64>, Error> {
    let refused = |errno| Error::new(Layer::Limits, "freezing limits", errno, "allow setrlimit(2)");
    process::freeze_limits().map_err(refused)?;
    process::raise_nofile().map(Some).map_err(refused)
}
