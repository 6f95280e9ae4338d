//! [`Liar`]: a stream whose other end is an honest server, until the input has it lie.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use gofer_sys::shm;
use gofer_transport::{ClientStream, Descriptors, Stream};
use gofer_vfs::Errno;

/// What is left of the input.
#[derive(Debug)]
pub struct Left(VecDeque<u8>);

impl From<Vec<u8>> for Left {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl Left {
    /// A byte.
    pub fn u8(&mut self) -> u8 {
        self.0.pop_front().unwrap_or(0)
    }

    /// A small number, or one at the edges.
    pub fn number(&mut self) -> u64 {
        let bits = self.u8();
        let number = u64::from(self.u8());
        match bits >> 6 {
            0 => number,
            1 => number << (bits & 63),
            2 => u64::MAX - number,
            _ => (1 << (bits & 31)) - 1 + number,
        }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Some bytes.
    fn bytes(&mut self) -> Vec<u8> {
        let len = usize::from(self.u8()).min(self.0.len());
        self.0.drain(..len).collect()
    }
}

/// A server that does not lie, and how its protocol's frames are.
pub trait Honest: Send + 'static {
    /// The bytes of a frame's header. The fifth and sixth tell what the frame is about.
    const HEADER: usize;

    /// How long the frame is that begins so, once that is known.
    fn size(begun: &[u8]) -> Option<usize>;

    /// Gives a frame the size that it has.
    fn fix(frame: &mut [u8]);

    /// Answers a request. `None` when the connection is over.
    fn ask(&mut self, frame: &[u8]) -> Option<Vec<u8>>;

    /// The answer to a request that failed, in the place of another answer to it.
    fn fail(answer: &mut Vec<u8>, errno: u32);
}

/// The server behind the stream.
struct Server<H> {
    honest: H,
    input: Arc<Mutex<Left>>,
    /// What came of a request.
    asked: Vec<u8>,
    given: VecDeque<Given>,
    /// A reply that comes behind the next.
    held: Option<Given>,
    is_over: bool,
}

/// Bytes on their way to the client, and what comes with the first.
type Given = (VecDeque<u8>, Descriptors);

impl<H: Honest> Server<H> {
    /// Answers whole requests.
    fn answer(&mut self) {
        while let Some(size) = H::size(&self.asked) {
            if size > self.asked.len() || self.is_over {
                return;
            }
            let rest = self.asked.split_off(size);
            let frame = std::mem::replace(&mut self.asked, rest);
            match self.honest.ask(&frame) {
                Some(answer) => self.give(answer),
                None => self.is_over = true,
            }
        }
    }

    /// Sends a reply, or a lie.
    fn give(&mut self, mut frame: Vec<u8>) {
        let mut input = self.input.lock().expect("nobody panics");
        let lie = input.u8();
        let mut descriptors = Descriptors::default();
        if lie >> 5 != 0 {
            descriptors = [descriptor(lie >> 5), descriptor(lie >> 5 ^ 1)];
        }
        let held = self.held.take();
        match lie & 0x1f {
            1 | 2 => {
                let at = usize::from(input.u8()) % frame.len();
                frame[at] ^= input.u8();
            }
            3 => {
                let at = frame.len() - 1 - usize::from(input.u8()) % frame.len();
                frame[at] ^= input.u8();
            }
            4 | 5 => {
                frame.truncate(H::HEADER);
                frame.extend(input.bytes());
                H::fix(&mut frame);
            }
            6 => {
                frame.truncate(H::HEADER + usize::from(input.u8()));
                H::fix(&mut frame);
            }
            7 => {
                frame.extend(input.bytes());
                H::fix(&mut frame);
            }
            8 => H::fail(&mut frame, u32::try_from(input.number()).unwrap_or(u32::MAX)),
            9 => {
                frame[4] = input.u8();
                let given = input.bytes();
                frame.truncate(H::HEADER);
                frame.extend(given);
                H::fix(&mut frame);
            }
            10 => frame[5] = frame[5].wrapping_add(input.u8()),
            11 => self.given.push_back((frame.clone().into(), Descriptors::default())),
            12 => frame.clear(),
            13 => self.held = Some((std::mem::take(&mut frame).into(), Descriptors::default())),
            14 => frame = input.bytes(),
            15 => self.is_over = true,
            _ => {}
        }
        if !frame.is_empty() {
            self.given.push_back((frame.into(), descriptors));
        }
        self.given.extend(held);
    }
}

/// Descriptors that a server might give away.
fn descriptor(which: u8) -> Option<OwnedFd> {
    match which {
        1 => File::open("/proc/self/exe").ok().map(OwnedFd::from),
        2 => File::open("/").ok().map(OwnedFd::from),
        3 => File::open("/dev/zero").ok().map(OwnedFd::from),
        4 => shm::create("given", 8192).ok(),
        5 => std::io::pipe().ok().map(|(reader, _)| reader.into()),
        _ => None,
    }
}

/// The stream.
pub struct Liar<H> {
    server: Mutex<Server<H>>,
    passes_descriptors: bool,
    waits: bool,
}

impl<H: Honest> Liar<H> {
    /// A stream to a server, whose lies are in `input`. Where it `waits`, a client that is told nothing waits as long
    /// as it likes to; else the stream ends then.
    pub fn new(honest: H, input: Arc<Mutex<Left>>, passes_descriptors: bool, waits: bool) -> Self {
        let server =
            Server { honest, input, asked: Vec::new(), given: VecDeque::new(), held: None, is_over: false };
        Self { server: Mutex::new(server), passes_descriptors, waits }
    }

    fn server(&self) -> MutexGuard<'_, Server<H>> {
        self.server.lock().expect("nobody panics")
    }
}

impl<H: Honest> Stream for Liar<H> {
    fn recv(&self, into: &mut Vec<u8>, limit: usize) -> Result<usize, Errno> {
        self.recv_with_descriptors(into, limit).map(|(received, _)| received)
    }

    fn send(&self, head: &[u8], payload: &[u8], _: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        let mut server = self.server();
        if server.is_over {
            return Err(Errno::EPIPE);
        }
        server.asked.extend_from_slice(head);
        server.asked.extend_from_slice(payload);
        server.answer();
        Ok(())
    }

    fn passes_descriptors(&self) -> bool {
        self.passes_descriptors
    }

    fn close_input(&self) {}

    fn tell_quiet(&self, _: Option<Duration>) {}

    fn close(&self) {
        self.server().is_over = true;
    }
}

impl<H: Honest> ClientStream for Liar<H> {
    fn recv_with_descriptors(&self, into: &mut Vec<u8>, limit: usize) -> Result<(usize, Descriptors), Errno> {
        let mut guard = self.server();
        let server = &mut *guard;
        let limit = limit.min(into.capacity() - into.len());
        assert!(limit > 0, "there is always room");
        match server.given.front_mut() {
            Some((bytes, descriptors)) => {
                let received = limit.min(bytes.len());
                into.extend(bytes.drain(..received));
                let descriptors = std::mem::take(descriptors);
                if bytes.is_empty() {
                    server.given.pop_front();
                }
                Ok((received, descriptors))
            }
            // Nothing comes by itself: whoever waits without a limit would wait for ever.
            None if self.waits && !server.is_over => Err(Errno::EAGAIN),
            None => Ok((0, Descriptors::default())),
        }
    }

    fn tell_stuck(&self, _: Option<Duration>) {}
}
