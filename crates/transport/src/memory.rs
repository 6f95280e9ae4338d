//! Two ends of a stream in one process, without a system call.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gofer_vfs::Errno;

use crate::{ClientStream, Descriptors, Stream};

/// How many bytes may be on their way in one direction; a sender waits beyond that.
const CAPACITY: usize = 256 * 1024;

#[derive(Debug, Default)]
struct Pipe {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: VecDeque<u8>,
    closed: bool,
    /// How long to wait for bytes, and for room.
    patience: Option<Duration>,
    stuck: Option<Duration>,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, into: &mut Vec<u8>, limit: usize) -> Result<usize, Errno> {
        let mut state = self.lock();
        while state.bytes.is_empty() && !state.closed {
            state = match state.patience {
                None => self.wait(state),
                Some(limit) => {
                    let (state, waited) =
                        self.changed.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out() && state.bytes.is_empty() && !state.closed {
                        return Err(Errno::EAGAIN);
                    }
                    state
                }
            };
        }
        let n = state.bytes.len().min(limit).min(into.capacity() - into.len());
        into.extend(state.bytes.drain(..n));
        self.changed.notify_all();
        Ok(n)
    }

    fn write(&self, mut bytes: &[u8]) -> Result<(), Errno> {
        let mut state = self.lock();
        while !bytes.is_empty() {
            if state.closed {
                return Err(Errno::EPIPE);
            }
            let n = bytes.len().min(CAPACITY - state.bytes.len());
            state.bytes.extend(&bytes[..n]);
            bytes = &bytes[n..];
            self.changed.notify_all();
            if !bytes.is_empty() {
                state = match state.stuck {
                    None => self.wait(state),
                    Some(limit) => {
                        let full = |state: &mut State| state.bytes.len() == CAPACITY && !state.closed;
                        let waited = self.changed.wait_timeout_while(state, limit, full);
                        let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
                        if waited.timed_out() {
                            return Err(Errno::EAGAIN);
                        }
                        state
                    }
                };
            }
        }
        Ok(())
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

/// One end of a stream in memory. Dropping it ends the stream.
#[derive(Debug)]
pub struct End {
    input: Arc<Pipe>,
    output: Arc<Pipe>,
}

/// Two connected ends. Descriptors cannot travel between them.
pub fn pair() -> (End, End) {
    let (one, other) = (Arc::new(Pipe::default()), Arc::new(Pipe::default()));
    (End { input: Arc::clone(&one), output: Arc::clone(&other) }, End { input: other, output: one })
}

impl Stream for End {
    fn recv(&self, into: &mut Vec<u8>, limit: usize) -> Result<usize, Errno> {
        self.input.read(into, limit)
    }

    fn send(&self, head: &[u8], payload: &[u8], _: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        self.output.write(head)?;
        self.output.write(payload)
    }

    fn passes_descriptors(&self) -> bool {
        false
    }

    fn close_input(&self) {
        self.input.close();
    }

    fn tell_quiet(&self, limit: Option<Duration>) {
        self.input.lock().patience = limit;
    }

    fn close(&self) {
        self.input.close();
        self.output.close();
    }
}

impl ClientStream for End {
    fn recv_with_descriptors(&self, into: &mut Vec<u8>, limit: usize) -> Result<(usize, Descriptors), Errno> {
        self.recv(into, limit).map(|received| (received, Descriptors::default()))
    }

    fn tell_stuck(&self, limit: Option<Duration>) {
        self.output.lock().stuck = limit;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_fits_arrives_in_order() {
        let (a, b) = pair();
        let sent: Vec<u8> = (0..=250).cycle().take(CAPACITY * 3).collect();
        let expected = sent.clone();
        let sender = std::thread::spawn(move || a.send(&sent[..7], &sent[7..], &[]));
        let mut got = Vec::with_capacity(expected.len());
        while got.len() < expected.len() {
            assert_ne!(b.recv(&mut got, usize::MAX), Ok(0));
        }
        assert_eq!(sender.join().unwrap(), Ok(()));
        assert!(got == expected);
        assert_eq!(b.recv(&mut Vec::with_capacity(1), 1), Ok(0), "the other end is gone");
        assert_eq!(b.send(b"x", b"", &[]), Err(Errno::EPIPE));
    }
}
