//! [`Replies`]: the sending side of a connection.

use gofer_transport::{Pages, Stream};
use gofer_vfs::Errno;

use crate::protocol::Extra;

/// How many bytes of replies wait for others.
const TOGETHER: usize = 16 * 1024;

/// Replies on their way. Small ones to requests that came together leave together: a system call for each would
/// take longer than most requests.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    waiting: Vec<u8>,
}

impl Replies {
    /// Sends a reply in two parts and what waits, or lets it wait where `more` says that another follows at once.
    ///
    /// # Errors
    /// Those of the stream.
    pub(crate) fn send(
        &mut self,
        stream: &impl Stream,
        (head, payload): (&[u8], &[u8]),
        extra: Extra,
        more: bool,
    ) -> Result<(), Errno> {
        match extra {
            Extra::None => {}
            Extra::Pages(pages) => return self.send_pages(stream, (head, pages, payload)),
            descriptors => {
                // They travel with the first byte of their own reply.
                self.flush(stream)?;
                return match descriptors.with_descriptors(|all| stream.send(head, payload, all)) {
                    // Clients that do not take their descriptors have used up what the system lets be under way: the
                    // reply is as good without, or its client sees that there is none. Nothing was sent yet.
                    Err(Errno::ETOOMANYREFS) => stream.send(head, payload, &[]),
                    sent => sent,
                };
            }
        }
        if self.waiting.is_empty() && !more {
            return stream.send(head, payload, &[]);
        }
        self.waiting.extend_from_slice(head);
        if self.waiting.len() + payload.len() > TOGETHER {
            return self.flush_with(stream, payload);
        }
        self.waiting.extend_from_slice(payload);
        if more { Ok(()) } else { self.flush(stream) }
    }

    /// Sends what waits and a reply in three parts.
    ///
    /// # Errors
    /// Those of the stream.
    fn send_pages(
        &mut self,
        stream: &impl Stream,
        (head, pages, payload): (&[u8], Pages, &[u8]),
    ) -> Result<(), Errno> {
        // They are made for those only.
        let socket = stream.unix_socket().ok_or(Errno::EOPNOTSUPP)?;
        self.waiting.extend_from_slice(head);
        let sent = pages.send(socket, &self.waiting, payload);
        self.waiting.clear();
        sent
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// Those of the stream.
    pub(crate) fn flush(&mut self, stream: &impl Stream) -> Result<(), Errno> {
        if self.waiting.is_empty() { Ok(()) } else { self.flush_with(stream, &[]) }
    }

    fn flush_with(&mut self, stream: &impl Stream, payload: &[u8]) -> Result<(), Errno> {
        let sent = stream.send(&self.waiting, payload, &[]);
        self.waiting.clear();
        sent
    }
}

#[cfg(test)]
mod tests {
    use gofer_transport::memory;

    use super::*;

    fn received(stream: &impl Stream) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 << 20);
        stream.recv(&mut bytes, 1 << 20).unwrap();
        bytes
    }

    #[test]
    fn replies_leave_together_and_in_order() {
        let (ours, theirs) = memory::pair();
        let mut replies = Replies::default();
        replies.send(&ours, (b"1", b""), Extra::None, false).unwrap();
        assert_eq!(received(&theirs), b"1", "alone");
        replies.send(&ours, (b"2", b"a"), Extra::None, true).unwrap();
        replies.send(&ours, (b"3", b""), Extra::None, true).unwrap();
        replies.send(&ours, (b"4", b"b"), Extra::None, false).unwrap();
        assert_eq!(received(&theirs), b"2a34b");
        replies.send(&ours, (b"5", b""), Extra::None, true).unwrap();
        replies.flush(&ours).unwrap();
        assert_eq!(received(&theirs), b"5");
        replies.flush(&ours).unwrap();
        replies.send(&ours, (b"6", b""), Extra::None, true).unwrap();
        replies.send(&ours, (b"7", &[b'c'; TOGETHER]), Extra::None, true).unwrap();
        assert_eq!(received(&theirs), [b"67", &[b'c'; TOGETHER][..]].concat(), "enough is there");
    }
}
