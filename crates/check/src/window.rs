//! Clients that do with the memory of a channel what they like. Cases of the channel family.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gofer_sys::futex;
use gofer_sys::shm::Window;
use gofer_transport::flipcall::Offer;
use gofer_vfs::Result;
use gofer_wire::p9::*;

use crate::channel::streaming;
use crate::client::{Client, ROOT, text};
use crate::{Checked, Site, body};

const CLIENT: u32 = 0;
const SERVER: u32 = 1;
const SHUT: u32 = 2;

/// Where the datagram is.
const DATA: usize = 16;

/// How long a server may keep the window.
const LIMIT: Duration = Duration::from_secs(15);

/// A channel of a client that keeps to no rule.
struct Raw {
    window: Window,
    /// What descriptors come by, which is kept open.
    _side: OwnedFd,
}

impl Raw {
    /// One that has greeted.
    fn new(c: &mut Client, id: u32) -> Result<Self> {
        let Offer { file, offset, length, side } = c.channel(id)?;
        let raw = Self { window: Window::map(file.as_fd(), offset, length)?, _side: side };
        assert!(raw.ask(b"{}\n") == CLIENT, "the greeting is not answered");
        Ok(raw)
    }

    fn word(&self) -> &AtomicU32 {
        self.window.word::<0>()
    }

    fn length(&self) -> &AtomicU32 {
        self.window.word::<4>()
    }

    fn put(&self, datagram: &[u8]) {
        self.window.copy_in(DATA, datagram).expect("it fits");
        self.length().store(datagram.len().try_into().unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    fn set_state(&self, state: u32) {
        self.word().store(state, Ordering::Release);
        futex::wake(self.word(), u32::MAX);
    }

    /// Passes the window, waits until the server has passed it back, and says what the state is then.
    fn pass(&self) -> u32 {
        self.set_state(SERVER);
        let end = Instant::now() + LIMIT;
        loop {
            match self.word().load(Ordering::Acquire) {
                SERVER => {
                    assert!(Instant::now() < end, "the server keeps the window for more than {LIMIT:?}");
                    // It comes back at the latest when it is looked at again.
                    let _ = futex::wait(self.word(), SERVER, Duration::from_millis(100));
                }
                state => return state,
            }
        }
    }

    fn ask(&self, datagram: &[u8]) -> u32 {
        self.put(datagram);
        self.pass()
    }

    /// The first bytes of the answer.
    fn answer<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.window.copy_out(DATA, &mut bytes).expect("they are in the window");
        bytes
    }
}

/// Somebody else goes on, and the stream of the same client.
fn others_go_on(site: &Site, c: &mut Client, other: &mut Client) -> Result<()> {
    c.getattr(ROOT)?;
    other.getattr(ROOT)?;
    site.client().getattr(ROOT).map(drop)
}

/// What a thread does beside a client, until that is done.
fn beside(noise: impl Fn(u32) + Sync, work: impl FnOnce()) {
    struct Tell<'a>(&'a AtomicBool);
    impl Drop for Tell<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 1u32;
            while !done.load(Ordering::Relaxed) {
                number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                noise(number);
            }
        });
        let _tell = Tell(&done);
        work();
    });
}

/// A request as it goes through a channel.
fn datagram(number: u8, body: &[u8]) -> Vec<u8> {
    [&[number, 0], body].concat()
}

pub(crate) fn a_lie_about_the_length_ends_the_channel_alone(site: &Site) -> Checked {
    let (mut c, mut other) = (streaming(site), site.client());
    let raw = Raw::new(&mut c, 0)?;
    raw.put(&datagram(120, &body!(Fid(77))));
    raw.length().store(u32::MAX, Ordering::Relaxed);
    assert!(raw.pass() == SHUT, "a length of 4 GiB is answered");
    Ok(others_go_on(site, &mut c, &mut other)?)
}

pub(crate) fn a_state_that_cannot_be_ends_the_channel_alone(site: &Site) -> Checked {
    for state in [3, 0x100, u32::MAX] {
        let (mut c, mut other) = (streaming(site), site.client());
        let raw = Raw::new(&mut c, 0)?;
        raw.set_state(state);
        let end = Instant::now() + LIMIT;
        while raw.word().load(Ordering::Acquire) != SHUT {
            assert!(Instant::now() < end, "state {state} does not end the channel");
            thread::sleep(Duration::from_millis(1));
        }
        others_go_on(site, &mut c, &mut other)?;
    }
    Ok(())
}

/// The name in a request changes all the time between one that is there and one that would lead out.
pub(crate) fn a_request_that_changes_is_read_once(site: &Site) -> Checked {
    let (mut c, mut other) = (streaming(site), site.client());
    let raw = Raw::new(&mut c, 0)?;
    let walk = |name: &str| datagram(110, &body!(ROOT, Fid(50), 1u16, text(name)));
    let (good, bad) = (walk("dir"), walk("..\0"));
    let mut walked = 0;
    beside(
        |number| {
            let changed = if number >> 20 & 1 == 0 { &good } else { &bad };
            // The bytes of the name.
            raw.window.copy_in(DATA + 14, &changed[14..]).expect("they fit");
        },
        || {
            for _ in 0..2000 {
                raw.put(&good);
                assert!(raw.pass() == CLIENT, "the channel ended");
                // Rwalk, or why not: what was checked is what was walked.
                match raw.answer::<2>()[0] {
                    111 => {
                        walked += 1;
                        let qid = raw.answer::<17>();
                        assert!(qid[4] == QidKind::DIR.0, "another file was walked to: {qid:02x?}");
                    }
                    7 => {}
                    number => panic!("message {number} came"),
                }
            }
        },
    );
    assert!(walked > 0, "nothing was walked to");
    Ok(others_go_on(site, &mut c, &mut other)?)
}

/// Data of a write that change while it is written are somebody's bytes, and nothing else is written.
pub(crate) fn data_that_change_during_a_write_do_no_harm(site: &Site) -> Checked {
    let mut other = site.changed().client();
    let mut c = streaming(site);
    let fid = c.create_at("new")?;
    let raw = Raw::new(&mut c, 0)?;
    let write = datagram(118, &[body!(fid, 0u64, 1000u32), vec![b'a'; 1000]].concat());
    beside(
        |number| raw.window.copy_in(DATA + 18, &[number.to_le_bytes()[3] | 1; 600]).expect("they fit"),
        || {
            for _ in 0..1000 {
                raw.put(&write);
                assert!(raw.pass() == CLIENT, "the channel ended");
            }
        },
    );
    assert!(c.getattr(fid)?.attr.size <= 1000, "more was written than there was");
    Ok(others_go_on(site, &mut c, &mut other)?)
}

/// Header and datagram are noise, written by two threads, and the word is woken for nothing.
pub(crate) fn a_window_of_noise_ends_the_channel_alone(site: &Site) -> Checked {
    let (mut c, mut other) = (streaming(site), site.client());
    let raw = Raw::new(&mut c, 0)?;
    let end = Instant::now() + Duration::from_millis(300);
    beside(
        |number| {
            raw.window.copy_in((number >> 20) as usize * 4 % 4096, &number.to_le_bytes()).expect("they fit");
            raw.word().store(number >> 24 & 1, Ordering::Relaxed);
            futex::wake(raw.word(), u32::MAX);
        },
        || {
            while Instant::now() < end {
                other.getattr(ROOT).expect("others go on");
            }
        },
    );
    others_go_on(site, &mut c, &mut other)?;
    drop((raw, c));
    Ok(other.getattr(ROOT).map(drop)?)
}

/// Threads of the client that sleep on the word take the wakes that are meant for the server.
pub(crate) fn parked_threads_keep_nobody(site: &Site) -> Checked {
    let (mut c, mut other) = (streaming(site), site.client());
    let raw = Raw::new(&mut c, 0)?;
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    // Woken or not, it sleeps again.
                    let _ = futex::wait(raw.word(), CLIENT, Duration::from_millis(20));
                }
            });
        }
        for _ in 0..20 {
            assert!(raw.ask(&datagram(120, &body!(Fid(77)))) == CLIENT, "the channel ended");
        }
    });
    Ok(others_go_on(site, &mut c, &mut other)?)
}

/// Descriptors that nobody fetches, of channels that nobody ends.
pub(crate) fn a_flood_of_descriptors_is_bounded(site: &Site) -> Checked {
    let (mut c, mut other) = (streaming(site), site.client());
    let raw = Raw::new(&mut c, 0)?;
    for n in 0..2000 {
        let fid = Fid(1000 + n);
        c.walk(ROOT, fid, &["file"])?;
        assert!(raw.ask(&datagram(12, &body!(fid, OpenBits::RDONLY))) == CLIENT, "the channel ended");
        assert!(raw.answer::<1>() == [13], "an open is refused");
        c.clunk(fid)?;
    }
    others_go_on(site, &mut c, &mut other)?;
    for _ in 0..30 {
        let mut c = streaming(site);
        let raw = Raw::new(&mut c, 0)?;
        // It goes in the middle of a request.
        raw.put(&datagram(120, &body!(Fid(77))));
        raw.word().store(SERVER, Ordering::Release);
    }
    Ok(other.getattr(ROOT).map(drop)?)
}
