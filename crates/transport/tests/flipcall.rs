//! Channels between honest ends, and against a peer that has the window and keeps to no rule.

#![expect(clippy::unwrap_used, reason = "all of this is a test")]

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

#[test]
fn requests_and_replies_pass() {
    within(|| {
        for waiting in [Waiting::Adaptive, Waiting::Sleep] {
            let (channel, offer) = Channel::new(CAPACITY, ANNOUNCED, waiting).unwrap();
            let mut caller = Caller::new(offer, waiting).unwrap();
            let echo = Echo::start(channel);
            for n in 0..2000u32 {
                let payload = vec![n.to_le_bytes()[0]; n as usize * 17 % 3000];
                let mut reply = caller.call(&[7, 0], &payload).unwrap();
                let mut got = Vec::new();
                assert_eq!(reply.body().append_to(&mut got, usize::MAX), payload.len() + 2);
                assert_eq!(got[..2], [7, 0]);
                assert_eq!(got[2..], payload);
                assert!(reply.descriptor().unwrap().is_none());
            }
            drop(caller);
            assert_eq!(echo.end(), End::Closed);
        }
    });
}

#[test]
fn the_window_is_laid_out_as_on_the_wire() {
    within(|| {
        let (channel, offer) = channel();
        assert_eq!((offer.offset, offer.length), (0, 0x10_1000), "with pages of 4 KiB");
        assert_eq!(channel.capacity(), 0x10_1000 - 16);
        let raw = Raw::new(offer);
        let mut front = [1; 64];
        raw.window.copy_out(0, &mut front).unwrap();
        assert_eq!(front, [0; 64], "it is the client's turn first, and all is zero");
        let echo = Echo::start(channel);
        raw.window.copy_in(16, b"{}\n").unwrap();
        raw.window.copy_in(4, &3u32.to_ne_bytes()).unwrap();
        assert!(raw.word().compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok());
        futex::wake(raw.word(), 1);
        assert_eq!(raw.wait(), CLIENT);
        raw.window.copy_out(0, &mut front).unwrap();
        let mut expected = [0; 64];
        expected[4..8].copy_from_slice(&3u32.to_ne_bytes());
        expected[16..19].copy_from_slice(b"{}\n");
        assert_eq!(front, expected);

        assert_eq!(raw.ask(&[0x78, 0, 2, 0, 0, 0]), CLIENT);
        assert_eq!(raw.datagram(), [0x78, 0, 2, 0, 0, 0]);
        raw.set_state(SHUT);
        assert_eq!(echo.end(), End::Closed);
        assert_eq!(raw.state(), SHUT);
    });
}

#[test]
fn payloads_go_between_window_and_file() {
    within(|| {
        let (mut channel, offer) = channel();
        let mut caller = Caller::new(offer, Waiting::default()).unwrap();
        let bytes: Vec<u8> = (0..=254).cycle().take(1 << 20).collect();
        let (mut source, sunk) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        source.write_all(&bytes).unwrap();
        let file = sunk.try_clone().unwrap();
        let server = thread::spawn(move || {
            let mut request = channel.recv(2 + (1 << 20)).unwrap();
            assert_eq!(request.body().take(&mut [0; 2]), 2);
            assert_eq!(request.body().push(file.as_fd(), 0), Ok(1 << 20));
            request.reply(&mut [1, 9], Payload::Bytes(&[])).unwrap();
            let mut request = channel.recv(LIMIT).unwrap();
            let len = request.sink(6).pull(source.as_fd(), 0, 1 << 20).unwrap();
            request.reply(&mut [2, 9, 0, 0, 16, 0], Payload::InPlace(len)).unwrap();
            channel.recv(LIMIT).err()
        });
        let mut reply = caller.call(&[0, 0], &bytes).unwrap();
        let mut got = Vec::new();
        reply.body().append_to(&mut got, usize::MAX);
        assert_eq!(got, [1, 0], "the byte for descriptors tells the truth");
        assert_eq!(sunk.metadata().unwrap().len(), 1 << 20);
        let mut reply = caller.call(&[0, 0], &[]).unwrap();
        let (mut head, mut got) = ([0; 6], vec![0; 1 << 20]);
        assert_eq!(reply.body().take(&mut head), 6);
        assert_eq!(head, [2, 0, 0, 0, 16, 0]);
        assert_eq!(reply.body().take(&mut got), 1 << 20);
        assert!(got == bytes);
        assert_eq!(reply.body().left(), 0);
        drop(caller);
        assert_eq!(server.join().unwrap(), Some(End::Closed));
    });
}

#[test]
fn a_channel_begins_with_a_greeting() {
    let long = |len: usize| [b"{}".as_slice(), &vec![b' '; len - 2]].concat();
    let good: [&[u8]; 7] =
        [b"{}\n", b"{}", b"null", b" \t\r\n{}", b"{\"a\": {}}x", b"null and void", &long(4096)];
    let bad: [&[u8]; 8] = [b"[]", b"{", b"nul", b"\0{}", b" ", b"x{}", b"}{", &long(4097)];
    for (text, is_good) in good.map(|text| (text, true)).into_iter().chain(bad.map(|text| (text, false))) {
        let (channel, offer) = channel();
        let (raw, echo) = (Raw::new(offer), Echo::start(channel));
        let text = text.to_vec();
        let (answer, raw) = within(move || (raw.ask(&text), raw));
        if is_good {
            assert_eq!((answer, raw.datagram()), (CLIENT, b"{}\n".to_vec()));
            assert_eq!(echo.close(), End::Closed);
        } else {
            assert_eq!(answer, SHUT, "it is told, and does not wait in vain");
            assert!(matches!(echo.end(), End::Violation(_)));
        }
    }
}

#[test]
fn a_lie_about_the_length_ends_the_channel() {
    let capacity = channel().0.capacity().try_into().unwrap();
    let limit: u32 = LIMIT.try_into().unwrap();
    for len in [limit + 1, capacity, capacity + 1, u32::MAX - 15, u32::MAX] {
        let (raw, echo) = Raw::greeted();
        raw.length().store(len, Ordering::Relaxed);
        assert_eq!(within(move || raw.pass()), SHUT, "{len}");
        assert!(matches!(echo.end(), End::Violation(_)), "{len}");
    }
    // Every length that fits is a datagram; what is in it is not for the channel to say.
    let (raw, echo) = Raw::greeted();
    for len in [1, 2, 17, 4096, limit] {
        raw.length().store(len, Ordering::Relaxed);
        assert_eq!(raw.pass(), CLIENT);
        assert_eq!(raw.length().load(Ordering::Relaxed), len);
    }
    assert_eq!(echo.close(), End::Closed);
}

#[test]
fn an_empty_request_ends_the_service_quietly() {
    let (raw, echo) = Raw::greeted();
    let closer = echo.closer.clone();
    raw.length().store(0, Ordering::Relaxed);
    raw.set_state(SERVER);
    assert_eq!(echo.end(), End::Finished);
    assert_eq!(raw.state(), SERVER);
    closer.close();
    assert_eq!(raw.state(), SHUT, "as every channel of a connection that ends");
}

#[test]
fn a_state_that_cannot_be_ends_the_channel() {
    for state in [3, 4, 0x100, u32::MAX] {
        let (raw, echo) = Raw::greeted();
        raw.set_state(state);
        assert!(matches!(echo.end(), End::Violation(_)), "{state}");
        assert_eq!(raw.state(), SHUT);
    }
}

/// The state changes while the server has the window: to the client's, to nonsense, to the end.
#[test]
fn a_state_that_changes_during_a_request_ends_the_channel() {
    for (state, closed) in [(CLIENT, false), (3, false), (u32::MAX, false), (SHUT, true)] {
        within(move || {
            let (mut channel, offer) = channel();
            let raw = Raw::new(offer);
            raw.put(b"{}\n");
            raw.set_state(SERVER);
            let (raw, mut channel) = {
                let server = thread::spawn(move || {
                    let request = channel.recv(LIMIT).unwrap();
                    request.reply(&mut [1, 0], Payload::Bytes(&[])).unwrap();
                    channel
                });
                raw.wait();
                raw.ask(&[0, 0]);
                (raw, server.join().unwrap())
            };
            raw.word().store(SERVER, Ordering::Release);
            let request = channel.recv(LIMIT).unwrap();
            raw.set_state(state);
            let end = request.reply(&mut [1, 0], Payload::Bytes(&[])).unwrap_err();
            assert_eq!(end == End::Closed, closed, "{state}: {end:?}");
            assert_eq!(raw.state(), SHUT);
            raw.set_state(SERVER);
            assert_eq!(channel.recv(LIMIT).err(), Some(End::Closed), "it does not come back");
            assert_eq!(raw.state(), SERVER, "and nobody cares");
        });
    }
}

#[test]
fn a_channel_that_was_shut_down_is_not_revived() {
    within(|| {
        let (mut channel, offer) = channel();
        let closer = channel.closer();
        let raw = Raw::new(offer);
        closer.close();
        for state in [SERVER, CLIENT, SERVER] {
            raw.put(b"{}\n");
            raw.set_state(state);
            assert_eq!(channel.recv(LIMIT).err(), Some(End::Closed));
        }
        closer.close();
        assert_eq!(raw.state(), SHUT);
    });
}

/// What was read stays as it was read, and nothing is read again.
#[test]
fn a_request_that_changes_is_read_once() {
    within(|| {
        let (mut channel, offer) = channel();
        let raw = Raw::new(offer);
        let greeter = thread::spawn(move || {
            raw.ask(b"{}\n");
            raw.put(b"aaaa");
            raw.word().store(SERVER, Ordering::Release);
            futex::wake(raw.word(), 1);
            raw
        });
        let mut request = channel.recv(LIMIT).unwrap();
        let raw = greeter.join().unwrap();
        let mut got = Vec::new();
        assert_eq!(request.body().append_to(&mut got, 2), 2);
        raw.put(b"bbbbbbbb");
        assert_eq!(request.body().append_to(&mut got, usize::MAX), 2, "the length is that of before");
        assert_eq!(got, b"aabb");
        request.reply(&mut got, Payload::Bytes(&[])).unwrap();
        assert_eq!(raw.datagram(), b"a\0bb");
    });
}

/// A second thread of the client writes everywhere but to the state, for as long as there are requests.
#[test]
fn bytes_that_change_all_the_time_do_no_harm() {
    let (raw, echo) = Raw::greeted();
    let done = Done(AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in (0..=255).cycle() {
                raw.window.copy_in(8, &[n; 500]).unwrap();
                if n % 16 != 0 {
                    // Mostly what is allowed, and never nothing.
                    raw.length().store(u32::from(n) * 2 + 1, Ordering::Relaxed);
                } else if done.is_so() {
                    return;
                }
            }
        });
        let _after = done.after();
        for _ in 0..20_000 {
            assert_eq!(raw.pass(), CLIENT);
        }
    });
    assert_eq!(echo.close(), End::Closed);
}

/// Two threads of the client write to everything, the state included.
#[test]
fn a_window_of_noise_ends_in_time() {
    for seed in 1..=8u32 {
        let (raw, echo) = Raw::greeted();
        let done = Done(AtomicBool::new(false));
        thread::scope(|scope| {
            for thread in 0..2 {
                let (raw, done) = (&raw, &done);
                scope.spawn(move || {
                    let mut noise = seed * 2 + thread;
                    while !done.is_so() {
                        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        let word = noise.to_ne_bytes();
                        raw.window.copy_in((noise >> 20) as usize * 4, &word).unwrap();
                        raw.length().store(noise >> 8 & 0x3fff, Ordering::Relaxed);
                        raw.word().store(noise >> 24 & 3, Ordering::Relaxed);
                        futex::wake(raw.word(), 1);
                    }
                });
            }
            let _after = done.after();
            let end = echo.close();
            assert!(matches!(end, End::Closed | End::Violation(_) | End::Finished), "{end:?}");
        });
    }
}

/// The state goes to and fro as fast as can be, and nobody waits for an answer.
#[test]
fn a_state_that_flickers_keeps_nobody_from_ending() {
    let (raw, echo) = Raw::greeted();
    let closer = echo.closer.clone();
    let done = Done(AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.is_so() {
                raw.word().store(SERVER, Ordering::Relaxed);
                raw.word().store(CLIENT, Ordering::Relaxed);
            }
        });
        let _after = done.after();
        closer.close();
        assert!(matches!(echo.end(), End::Closed | End::Violation(_)));
    });
}

/// Threads of the client sleep on the word, so that wakes meant for the server go to them.
#[test]
fn parked_threads_do_not_keep_the_server() {
    let (channel, offer) = channel();
    let raw = Raw::new(offer);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| futex::wait(raw.word(), CLIENT, Duration::from_secs(60)));
        }
        let echo = Echo::start(channel);
        assert_eq!(echo.close(), End::Closed);
    });
}

/// The client goes as far as a step of the hand-over and is never seen again; the connection notices.
#[test]
fn a_client_that_dies_at_any_step_keeps_no_thread() {
    let steps: [&(dyn Fn(&Raw) + Sync); 7] = [
        &|_| (),
        &|raw| raw.window.copy_in(16, b"{}").unwrap(),
        &|raw| raw.put(b"{}\n"),
        &|raw| {
            raw.put(b"{}\n");
            raw.word().store(SERVER, Ordering::Release);
        },
        &|raw| {
            raw.put(b"{}\n");
            raw.set_state(SERVER);
        },
        &|raw| assert_eq!(raw.ask(b"{}\n"), CLIENT),
        &|raw| {
            raw.ask(b"{}\n");
            raw.put(&[1, 0]);
            raw.word().store(SERVER, Ordering::Release);
        },
    ];
    for (n, step) in steps.iter().enumerate() {
        let (channel, offer) = channel();
        let echo = Echo::start(channel);
        let raw = Raw::new(offer);
        step(&raw);
        drop(raw);
        assert_eq!(echo.close(), End::Closed, "step {n}");
    }
}

#[test]
fn either_end_notices_that_the_other_is_gone() {
    within(|| {
        let (channel, offer) = channel();
        let echo = Echo::start(channel);
        drop(Caller::new(offer, Waiting::default()).unwrap());
        assert_eq!(echo.end(), End::Closed, "the caller was dropped");

        let (server, offer) = channel_of_one_request(|request| drop(request));
        let mut caller = Caller::new(offer, Waiting::default()).unwrap();
        assert_eq!(caller.call(&[1, 0], &[]).err(), Some(End::Closed), "no reply");
        assert_eq!(caller.call(&[1, 0], &[]).err(), Some(End::Closed));
        server.join().unwrap();

        let (server, offer) = channel_of_one_request(|_| panic!("on purpose"));
        let mut caller = Caller::new(offer, Waiting::default()).unwrap();
        assert_eq!(caller.call(&[1, 0], &[]).err(), Some(End::Closed), "a panic");
        assert!(server.join().is_err());

        let (dropped, offer) = self::channel();
        let mut caller = Caller::new(offer, Waiting::default()).unwrap();
        drop(dropped);
        assert_eq!(caller.call(&[1, 0], &[]).err(), Some(End::Closed), "the channel was dropped");
    });
}

/// A server that is killed leaves the word as it is. Its callers slept for ever.
#[test]
fn a_caller_waits_for_nobody_who_is_gone_or_late() {
    within(|| {
        let (mut channel, offer) = channel();
        let (file, length) = (offer.file.try_clone().unwrap(), offer.length);
        // The word of a channel whose socket is closed: nobody changes it.
        let (other, forlorn) = self::channel();
        drop(other);
        let mut caller =
            Caller::new(Offer { file, length, side: forlorn.side, ..offer }, Waiting::Sleep).unwrap();
        assert_eq!(caller.call(&[1, 0], &[]).err(), Some(End::Closed), "its socket says so");
        drop(caller);
        assert_eq!(channel.recv(LIMIT).err(), Some(End::Closed));

        let (channel, offer) = self::channel();
        let mut caller = Caller::new(offer, Waiting::default()).unwrap();
        let deadline = Some(Instant::now() + Duration::from_millis(50));
        assert_eq!(caller.call_before(deadline, &[1, 0], &[]).err(), Some(End::Late), "nobody serves");
        assert_eq!(caller.call(&[1, 0], &[]).err(), Some(End::Closed), "a late reply is nobody's");
        drop(channel);
    });
}

fn channel_of_one_request(
    serve: impl FnOnce(gofer_transport::flipcall::Request<'_>) + Send + 'static,
) -> (thread::JoinHandle<()>, Offer) {
    let (mut channel, offer) = channel();
    let server = thread::spawn(move || serve(channel.recv(LIMIT).unwrap()));
    (server, offer)
}

#[test]
fn many_may_close_at_once_and_more_than_once() {
    for _ in 0..50 {
        let (raw, echo) = Raw::greeted();
        let closer = echo.closer.clone();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    closer.close();
                    closer.close();
                });
            }
            scope.spawn(|| {
                raw.put(&[1, 0]);
                // As an honest client passes it.
                if raw.word().compare_exchange(CLIENT, SERVER, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                    futex::wake(raw.word(), 1);
                    raw.wait();
                }
            });
        });
        assert_eq!(echo.end(), End::Closed);
        assert_eq!(raw.state(), SHUT);
    }
}

/// A server that takes the request and does not answer.
#[test]
fn a_caller_that_waits_in_vain_can_be_told_to_stop() {
    let (channel, offer) = channel();
    let mut caller = Caller::new(offer, Waiting::default()).unwrap();
    let closer = caller.closer();
    let caller = thread::spawn(move || caller.call(&[1, 0], &[]).err());
    closer.close();
    assert_eq!(within(move || caller.join().unwrap()), Some(End::Closed));
    drop(channel);
}

/// How a caller's call ends.
#[derive(Debug, PartialEq)]
enum Called {
    Closed,
    Violated,
    /// With a reply of so many bytes.
    Replied(usize),
}

#[test]
fn a_hostile_server_costs_the_caller_nothing_but_the_channel() {
    use Called::{Closed, Replied, Violated};
    fn answer(window: &Window, text: &[u8], length: u32) {
        window.copy_in(16, text).unwrap();
        window.word::<4>().store(length, Ordering::Relaxed);
        window.word::<0>().store(CLIENT, Ordering::Release);
    }
    /// What the server does, how a call ends to which it is the greeting, and how one to which it is the reply.
    /// What a reply means is not for the channel to say.
    type Play = (fn(&Window), Called, Called);
    let plays: [Play; 6] = [
        (|window| answer(window, b"no!", 3), Violated, Replied(3)),
        (|window| answer(window, b"", 0), Violated, Replied(0)),
        (|window| answer(window, b"{}", 4097), Violated, Replied(4097)),
        (|window| answer(window, b"{}", 0x10_1000 - 15), Violated, Violated),
        (|window| window.word::<0>().store(3, Ordering::Release), Violated, Violated),
        (|window| window.word::<0>().store(SHUT, Ordering::Release), Closed, Closed),
    ];
    for (at, (play, as_greeting, as_reply)) in plays.into_iter().enumerate() {
        for (fair, expected) in [(0, as_greeting), (1, as_reply)] {
            within(move || {
                let (channel, offer) = channel();
                let file = offer.file.try_clone().unwrap();
                let window = Window::map(file.as_fd(), 0, offer.length).unwrap();
                let mut caller = Caller::new(offer, Waiting::default()).unwrap();
                let server = thread::spawn(move || {
                    for n in 0..=fair {
                        while window.word::<0>().load(Ordering::Acquire) == CLIENT {
                            futex::wait(window.word::<0>(), CLIENT, Duration::from_secs(60)).unwrap();
                        }
                        if n < fair {
                            answer(&window, b"{}\n", 3);
                        } else {
                            play(&window);
                        }
                        futex::wake(window.word::<0>(), 1);
                    }
                });
                let called = match caller.call(&[1, 0], &[]) {
                    Ok(mut reply) => Replied(reply.body().left()),
                    Err(End::Closed) => Closed,
                    Err(End::Violation(_)) => Violated,
                    Err(other) => panic!("{at} {fair}: {other}"),
                };
                assert_eq!(called, expected, "{at} {fair}");
                if !matches!(called, Replied(_)) {
                    assert_eq!(caller.call(&[1, 0], &[]).err(), Some(End::Closed), "{at} {fair}");
                }
                server.join().unwrap();
                drop(channel);
            });
        }
    }
}

#[test]
fn a_message_that_does_not_fit_is_not_sent() {
    within(|| {
        let (channel, offer) = channel();
        let mut caller = Caller::new(offer, Waiting::default()).unwrap();
        let capacity = channel.capacity();
        let echo = Echo::start(channel);
        let long = vec![0; capacity];
        assert_eq!(caller.call(&[1], &long).err(), Some(End::Unfit));
        assert_eq!(caller.call(&[], &long[..3]).err(), Some(End::Unfit), "it would end the service");
        assert!(caller.call(&[1, 0], &long[..3]).is_ok(), "the channel is as before");
        drop(caller);
        assert_eq!(echo.end(), End::Closed);

        for payload in [Payload::Bytes(&long), Payload::InPlace(capacity), Payload::InPlace(usize::MAX)] {
            let (mut channel, offer) = Channel::new(CAPACITY, ANNOUNCED, Waiting::Sleep).unwrap();
            let caller = thread::spawn(|| {
                let mut caller = Caller::new(offer, Waiting::Sleep).unwrap();
                caller.call(&[1, 0], &[]).err()
            });
            let request = channel.recv(LIMIT).unwrap();
            assert_eq!(request.reply(&mut [1, 0], payload), Err(End::Unfit));
            assert_eq!(channel.recv(LIMIT).err(), Some(End::Closed));
            assert_eq!(caller.join().unwrap(), Some(End::Closed));
        }
    });
}

#[test]
fn the_sink_ends_with_the_window() {
    let (mut channel, offer) = channel();
    let capacity = channel.capacity();
    let raw = Raw::new(offer);
    let client = thread::spawn(move || (raw.ask(b"{}\n"), raw.ask(&[1, 0])));
    let mut request = channel.recv(LIMIT).unwrap();
    assert_eq!(request.sink(capacity - 3).put(b"abcd"), 3);
    assert_eq!(request.sink(capacity).room(), 0);
    assert_eq!(request.sink(usize::MAX).put(b"a"), 0);
    request.reply(&mut [1, 0], Payload::Bytes(&[])).unwrap();
    assert_eq!(client.join().unwrap(), (CLIENT, CLIENT));
}

fn inode(file: &File) -> u64 {
    file.metadata().unwrap().ino()
}

/// Every request gets another file, and each descriptor that comes is the one of its reply.
#[test]
fn descriptors_stay_with_their_replies() {
    within(|| {
        let (mut channel, offer) = channel();
        let mut caller = Caller::new(offer, Waiting::default()).unwrap();
        let server = thread::spawn(move || {
            loop {
                let mut request = match channel.recv(LIMIT) {
                    Ok(request) => request,
                    Err(end) => return end,
                };
                let mut asked = [0; 2];
                request.body().take(&mut asked);
                let file = tempfile::tempfile().unwrap();
                if asked[0] == 1 {
                    assert_eq!(request.donate(file.as_fd()), Ok(()));
                    assert_eq!(
                        request.donate(file.as_fd()),
                        Err(Errno::EINVAL),
                        "one is what can be announced"
                    );
                }
                request.reply(&mut [asked[0], 77], Payload::Bytes(&inode(&file).to_le_bytes())).unwrap();
            }
        });
        for n in 0..300u32 {
            let donates = n % 3 != 0;
            let mut reply = caller.call(&[donates.into(), 0], &[]).unwrap();
            let (mut head, mut expected) = ([0; 2], [0; 8]);
            reply.body().take(&mut head);
            reply.body().take(&mut expected);
            assert_eq!(head, [donates.into(); 2], "the transport says whether there is one");
            let got = reply.descriptor().unwrap();
            assert_eq!(got.is_some(), donates);
            if let Some(fd) = got {
                assert_eq!(inode(&fd.into()), u64::from_le_bytes(expected));
            }
            assert!(reply.descriptor().unwrap().is_none());
        }
        drop(caller);
        assert_eq!(server.join().unwrap(), End::Closed);
    });
}

/// A client that never takes its descriptors: nobody waits for it, replies go on without, and what was sent
/// is still right when it is taken in the end.
#[test]
fn descriptors_that_are_not_taken_keep_nobody() {
    within(|| {
        let (mut channel, offer) = channel();
        let raw = Raw::new(offer);
        let server = thread::spawn(move || {
            let file = File::open("/dev/null").unwrap();
            let mut outcomes = Vec::new();
            while let Ok(mut request) = channel.recv(LIMIT) {
                let donated = request.donate(file.as_fd());
                outcomes.push(donated);
                request.reply(&mut [1, 0], Payload::Bytes(&[])).unwrap();
            }
            outcomes
        });
        raw.ask(b"{}\n");
        let mut announced = 0;
        for _ in 0..2000 {
            assert_eq!(raw.ask(&[1, 0]), CLIENT);
            announced += usize::from(raw.datagram()[1]);
        }
        let mut taken = 0;
        while let Some(fd) = net::recv_descriptor(raw.side.as_fd()).unwrap() {
            assert_eq!(File::from(fd).metadata().unwrap().rdev(), 0x103, "/dev/null");
            taken += 1;
        }
        assert!(taken == announced && (1..2000).contains(&taken), "{taken} of {announced}");
        assert_eq!(raw.ask(&[1, 0]), CLIENT);
        assert_eq!(raw.datagram(), [1, 1], "there is room again");
        assert_eq!(net::send_descriptor(raw.side.as_fd(), raw.side.as_fd()), Err(Errno::EPIPE));
        let side = raw.side;
        drop(side);
        raw_ask_without_side(&raw.window);
        raw.window.word::<0>().store(SHUT, Ordering::Release);
        futex::wake(raw.window.word::<0>(), 1);
        let outcomes = server.join().unwrap();
        let count = |outcome| outcomes.iter().filter(|one| **one == outcome).count();
        assert_eq!(count(Ok(())), taken + 1);
        assert_eq!(count(Err(Errno::EAGAIN)), 2000 - taken);
        assert_eq!(count(Err(Errno::EPIPE)), 1, "the client has closed its end");
        assert_eq!(outcomes.len(), 2002);
    });
}

fn raw_ask_without_side(window: &Window) {
    let word = window.word::<0>();
    word.store(SERVER, Ordering::Release);
    futex::wake(word, 1);
    while word.load(Ordering::Acquire) == SERVER {
        futex::wait(word, SERVER, Duration::from_secs(60)).unwrap();
    }
    let mut head = [0; 2];
    window.copy_out(16, &mut head).unwrap();
    assert_eq!((word.load(Ordering::Acquire), head), (CLIENT, [1, 0]));
}

/// A descriptor is queued, and the reply that announces it does not go out: the next reply must not either.
#[test]
fn a_descriptor_without_its_reply_ends_the_channel() {
    for fails in 0..4 {
        within(move || {
            let (mut channel, offer) = channel();
            let raw = Raw::new(offer);
            let client = thread::spawn(move || {
                raw.ask(b"{}\n");
                raw.put(&[1, 0]);
                raw.set_state(SERVER);
                raw
            });
            let mut request = channel.recv(LIMIT).unwrap();
            let raw = client.join().unwrap();
            request.donate(raw.side.as_fd()).unwrap();
            match fails {
                0 => drop(request),
                1 => assert!(request.reply(&mut [1, 0], Payload::InPlace(usize::MAX)).is_err()),
                2 => assert!(request.reply(&mut [1], Payload::Bytes(&[])).is_err(), "no byte announces it"),
                _ => {
                    raw.set_state(CLIENT);
                    assert!(request.reply(&mut [1, 0], Payload::Bytes(&[])).is_err());
                }
            }
            assert_eq!(raw.state(), SHUT);
            raw.set_state(SERVER);
            assert_eq!(channel.recv(LIMIT).err(), Some(End::Closed));
        });
    }
}

#[test]
fn several_descriptors_are_counted_where_a_protocol_counts_them() {
    within(|| {
        let announced = Announced { at: 2, most: 3 };
        let (mut channel, offer) = Channel::new(100, announced, Waiting::default()).unwrap();
        let mut caller = Caller::new(offer, Waiting::default()).unwrap();
        let server = thread::spawn(move || {
            let mut request = channel.recv(100).unwrap();
            let files = [(); 4].map(|()| tempfile::tempfile().unwrap());
            let donated = files.each_ref().map(|file| request.donate(file.as_fd()));
            assert_eq!(donated, [Ok(()), Ok(()), Ok(()), Err(Errno::EINVAL)]);
            request.reply(&mut [1, 0, 0, 0], Payload::Bytes(&[])).unwrap();
            // It must not go before the reply is read.
            drop(channel.recv(100));
            files.map(|file| inode(&file))
        });
        let mut reply = caller.call(&[1, 0, 0, 0], &[]).unwrap();
        let mut head = [0; 4];
        reply.body().take(&mut head);
        assert_eq!(head, [1, 0, 3, 0]);
        let got = [(); 4].map(|()| reply.descriptor().unwrap().map(|fd| inode(&fd.into())));
        drop(caller);
        let [a, b, c, _] = server.join().unwrap();
        assert_eq!(got, [Some(a), Some(b), Some(c), None]);
    });
}

#[test]
fn the_client_cannot_take_the_memory_away() {
    let (_channel, offer) = channel();
    let file = File::from(offer.file);
    for len in [0, 4096, offer.length - 1, offer.length + 1] {
        assert_eq!(file.set_len(len).unwrap_err().raw_os_error(), Some(1), "EPERM: {len}");
    }
}

#[test]
fn the_caller_takes_no_memory_that_can_be_taken_away() {
    let refused = |file: OwnedFd, length| {
        let side = net::packet_pair().unwrap().1;
        Caller::new(Offer { file, offset: 0, length, side }, Waiting::default()).err()
    };
    let plain = tempfile::tempfile().unwrap();
    plain.set_len(1 << 20).unwrap();
    assert_eq!(refused(plain.into(), 1 << 20), Some(Errno::EINVAL));
    let memory = || shm::create("peer", 1 << 16).unwrap();
    for length in [0, 1, 4095, (1 << 16) + 1, 1 << 32, u64::MAX] {
        assert_eq!(refused(memory(), length), Some(Errno::EINVAL), "{length}");
    }
    assert_eq!(refused(memory(), 1 << 16), None);
}

#[test]
fn a_capacity_is_rounded_up_to_pages_and_has_a_limit() {
    let new = |capacity| Channel::new(capacity, ANNOUNCED, Waiting::Sleep);
    assert_eq!(new(0).unwrap().1.length, shm::page_size() as u64);
    for capacity in [u64::from(u32::MAX) - 14, u64::MAX - 16, u64::MAX] {
        assert_eq!(new(capacity).err(), Some(Errno::EINVAL), "{capacity}");
    }
}
