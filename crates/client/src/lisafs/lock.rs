//! Locks, which the protocol does not have: the sandbox keeps its own.

use gofer_vfs::{Errno, Lock, LockHolder, Result};

use super::{Client, File};

impl Client {
    /// `EOPNOTSUPP`: a lock that only this client knows of would keep nobody out.
    pub(crate) fn lock(&self, _: &File, _: Lock) -> Result<bool> {
        Err(Errno::EOPNOTSUPP)
    }

    /// `EOPNOTSUPP`, as for [`lock`](Self::lock).
    pub(crate) fn getlock(&self, _: &File, _: Lock) -> Result<Option<LockHolder>> {
        Err(Errno::EOPNOTSUPP)
    }
}
