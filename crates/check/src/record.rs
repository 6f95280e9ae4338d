//! [`Record`]: what was asked and answered, to see that nothing was forgotten and to show it where something is wrong.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gofer_vfs::Errno;
use gofer_wire::p9::{HEADER, Header, Reply, Request};

/// So many bytes of a message are kept.
const KEPT: usize = 2048;

/// The answers that requests got, and the last of both; and all that was sent, if that is to be kept.
#[derive(Debug, Default)]
pub struct Record {
    answers: Mutex<BTreeSet<(u8, Option<Errno>)>>,
    sent: Mutex<Vec<u8>>,
    received: Mutex<Vec<u8>>,
    all: Option<Mutex<Vec<u8>>>,
}

/// A message and its answer, as people read them. What was never sent or never came is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The message.
    pub sent: String,
    /// Its answer.
    pub answer: String,
}

impl Record {
    /// A record that keeps every byte that clients send, in the order in which they do.
    pub fn of_bytes() -> Self {
        Self { all: Some(Mutex::default()), ..Self::default() }
    }

    /// What was sent, where it is kept.
    pub fn bytes(&self) -> Vec<u8> {
        self.all.as_ref().map(|all| lock(all).clone()).unwrap_or_default()
    }

    /// Notes an answer: an errno, or that there was none.
    pub fn add(&self, number: u8, errno: Option<Errno>) {
        lock(&self.answers).insert((number, errno));
    }

    /// Whether there was such an answer.
    pub fn has(&self, number: u8, errno: Option<Errno>) -> bool {
        lock(&self.answers).contains(&(number, errno))
    }

    /// Notes what is sent, in two parts. No answer to it has come yet.
    pub(crate) fn sent(&self, head: &[u8], payload: &[u8]) {
        if let Some(all) = &self.all {
            lock(all).extend(head.iter().chain(payload));
        }
        let mut sent = lock(&self.sent);
        sent.clear();
        sent.extend(head.iter().chain(payload).take(KEPT));
        lock(&self.received).clear();
    }

    /// Notes a reply.
    pub(crate) fn received(&self, frame: &[u8]) {
        let mut received = lock(&self.received);
        received.clear();
        received.extend(frame.iter().take(KEPT));
    }

    /// The last message and its answer.
    pub fn last(&self) -> Exchange {
        let request = |number, body: &[u8]| Request::decode(number, body).ok().map(|r| format!("{r:?}"));
        let reply = |number, body: &[u8]| match Reply::decode(number, body).ok()? {
            Reply::Lerror(error) => {
                let errno = u16::try_from(error.ecode).ok().and_then(Errno::new);
                Some(errno.map_or_else(|| format!("{error:?}"), |errno| format!("Rlerror: {errno}")))
            }
            reply => Some(format!("{reply:?}")),
        };
        Exchange { sent: text(&lock(&self.sent), request), answer: text(&lock(&self.received), reply) }
    }
}

/// A frame as it is read; its bytes where it cannot be.
fn text(frame: &[u8], read: impl Fn(u8, &[u8]) -> Option<String>) -> String {
    const SHOWN: usize = 400;
    let message = frame.first_chunk::<HEADER>().and_then(|header| {
        let header = Header::decode(header);
        let whole = usize::try_from(header.size) == Ok(frame.len());
        let text = read(header.number, &frame[HEADER..]).filter(|_| whole)?;
        Some(format!("tag {}: {text}", header.tag.0))
    });
    let mut text = message.unwrap_or_else(|| {
        let mut bytes = String::new();
        for byte in frame.iter().take(64) {
            // Writing to a string does not fail.
            let _ = write!(bytes, "{byte:02x} ");
        }
        if frame.len() > 64 { bytes + ".." } else { bytes.trim_end().to_owned() }
    });
    if let Some((end, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(end);
        text.push_str("..");
    }
    text
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
