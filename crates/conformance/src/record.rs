//! [`Record`]: what was asked and answered, to see that nothing was forgotten.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use gofer_vfs::Errno;

/// The answers that requests got, by the number of the request.
#[derive(Debug, Default)]
pub struct Record(Mutex<BTreeSet<(u8, Option<Errno>)>>);

impl Record {
    /// Notes an answer: an errno, or that there was none.
    pub fn add(&self, number: u8, errno: Option<Errno>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((number, errno));
    }

    /// Whether there was such an answer.
    pub fn has(&self, number: u8, errno: Option<Errno>) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&(number, errno))
    }
}
