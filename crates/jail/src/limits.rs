//! Step 4: limits that cannot be raised again, and no core dump, which would hold what clients read.
//!
//! The size of files is not limited: a client's large file would end the server. Nor is the number of threads, beyond
//! what the operator did: the kernel counts those of all processes of a user together, so that a number which is right
//! for this server would fail it when its user does something else, and those of root not at all. Since Linux 5.14 it
//! counts those in a namespace of users apart; but what the server may need by default, 16 threads and 4 channels for
//! each of 4096 connections, is more than users are given.

use gofer_sys::process;

use crate::{Error, Layer};

pub(crate) fn freeze() -> Result<Option<u64>, Error> {
    let refused = |errno| Error::new(Layer::Limits, "freezing limits", errno, "allow setrlimit(2)");
    process::freeze_limits().map_err(refused)?;
    process::raise_nofile().map(Some).map_err(refused)
}
