//! [`Record`]: what was asked and answered, to see that nothing was forgotten.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use gofer_vfs::Errno;

/// The answers that requests got, by the number of the request; and what was sent, if that is to be kept.
#[derive(Debug, Default)]
pub struct Record {
    answers: Mutex<BTreeSet<(u8, Option<Errno>)>>,
    sent: Option<Mutex<Vec<u8>>>,
}

impl Record {
    /// A record that keeps every byte that clients send on their streams, in the order in which they do.
    pub fn of_bytes() -> Self {
        Self { sent: Some(Mutex::default()), ..Self::default() }
    }

    /// Notes what was sent.
    pub(crate) fn sent(&self, parts: [&[u8]; 2]) {
        if let Some(sent) = &self.sent {
            let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
            parts.into_iter().for_each(|part| sent.extend_from_slice(part));
        }
    }

    /// What was sent.
    pub fn bytes(&self) -> Vec<u8> {
        let sent = self.sent.as_ref().map(|sent| sent.lock().unwrap_or_else(PoisonError::into_inner).clone());
        sent.unwrap_or_default()
    }

    /// Notes an answer: an errno, or that there was none.
    pub fn add(&self, number: u8, errno: Option<Errno>) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert((number, errno));
    }

    /// Whether there was such an answer.
    pub fn has(&self, number: u8, errno: Option<Errno>) -> bool {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).contains(&(number, errno))
    }
}
