//! Channels between honest ends, and against a peer that has the window and keeps to no rule.

#![expect(clippy::unwrap_used, reason = "all of this is a test")]

mod descriptors;
mod honest;
mod hostile;

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use gofer_sys::shm::{self, Window};
use gofer_sys::{futex, net};
use gofer_transport::flipcall::{Announced, Caller, Channel, Closer, End, Offer, Payload, Waiting};
use gofer_vfs::{Errno, Sink, Source};

/// A type, then how many descriptors.
const ANNOUNCED: Announced = Announced { at: 1, most: 1 };
/// What the largest messages of 9P take.
const CAPACITY: u64 = (1 << 20) + 4;
const LIMIT: usize = 1 << 20;

const CLIENT: u32 = 0;
const SERVER: u32 = 1;
const SHUT: u32 = 2;

fn channel() -> (Channel, Offer) {
    Channel::new(CAPACITY, ANNOUNCED, Waiting::Adaptive).unwrap()
}

/// What `work` gives, which must not take for ever.
fn within<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    let worker = thread::spawn(move || drop(send.send(work())));
    match receive.recv_timeout(Duration::from_secs(60)) {
        Ok(done) => done,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(worker.join().expect_err("it said nothing"))
        }
    }
}

/// A server that sends every request back, the first two bytes apart, until there are no more; and how many
/// there were.
struct Echo {
    thread: thread::JoinHandle<(End, u32)>,
    closer: Closer,
}

impl Echo {
    fn start(mut channel: Channel) -> Self {
        let closer = channel.closer();
        let thread = thread::spawn(move || {
            let mut served = 0;
            loop {
                match echo(&mut channel) {
                    Ok(()) => served += 1,
                    Err(end) => return (end, served),
                }
            }
        });
        Self { thread, closer }
    }

    fn end(self) -> End {
        within(move || self.thread.join().unwrap().0)
    }

    fn close(self) -> End {
        self.closer.close();
        self.end()
    }
}

fn echo(channel: &mut Channel) -> Result<(), End> {
    let mut request = channel.recv(LIMIT)?;
    let (mut head, mut rest) = (Vec::new(), Vec::new());
    request.body().append_to(&mut head, 2);
    request.body().append_to(&mut rest, usize::MAX);
    request.reply(&mut head, Payload::Bytes(&rest))
}

/// Tells threads of a scope to end, also when the test fails.
struct Done(AtomicBool);

impl Done {
    fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Is so when what is returned is dropped.
    fn after(&self) -> impl Drop + '_ {
        struct After<'a>(&'a Done);
        impl Drop for After<'_> {
            fn drop(&mut self) {
                self.0.0.store(true, Ordering::Relaxed);
            }
        }
        After(self)
    }
}

/// A client that does with the window what it likes.
struct Raw {
    window: Window,
    side: OwnedFd,
}

impl Raw {
    fn new(offer: Offer) -> Self {
        let window = Window::map(offer.file.as_fd(), offer.offset, offer.length).unwrap();
        Self { window, side: offer.side }
    }

    /// One that has greeted, and an echo at the other end.
    fn greeted() -> (Self, Echo) {
        let (channel, offer) = channel();
        let (raw, echo) = (Self::new(offer), Echo::start(channel));
        assert_eq!(raw.ask(b"{}\n"), CLIENT);
        (raw, echo)
    }

    fn word(&self) -> &AtomicU32 {
        self.window.word::<0>()
    }

    fn state(&self) -> u32 {
        self.word().load(Ordering::Acquire)
    }

    fn set_state(&self, state: u32) {
        self.word().store(state, Ordering::Release);
        futex::wake(self.word(), u32::MAX);
    }

    fn length(&self) -> &AtomicU32 {
        self.window.word::<4>()
    }

    fn put(&self, datagram: &[u8]) {
        self.window.copy_in(16, datagram).unwrap();
        self.length().store(datagram.len().try_into().unwrap(), Ordering::Relaxed);
    }

    /// Waits until the state is not the server's, and says what it is.
    fn wait(&self) -> u32 {
        loop {
            match self.state() {
                SERVER => drop(futex::wait(self.word(), SERVER, Duration::from_secs(60))),
                state => return state,
            }
        }
    }

    /// Sends a datagram and says what the state is after.
    fn ask(&self, datagram: &[u8]) -> u32 {
        self.put(datagram);
        self.pass()
    }

    fn pass(&self) -> u32 {
        self.set_state(SERVER);
        self.wait()
    }

    fn datagram(&self) -> Vec<u8> {
        let mut datagram = vec![0; self.length().load(Ordering::Relaxed) as usize];
        self.window.copy_out(16, &mut datagram).unwrap();
        datagram
    }
}
