//! The hand-over under every interleaving and every reordering that the memory model allows.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p gofer-transport --release --lib model`
//!
//! The ends are the ones that serve; the word and the kernel under them are the model's. A sleep in the model
//! has no time limit unless a test says so: a lost wake is a deadlock, which is reported.
//!
//! What each part is for is shown by taking it away, one [`Fault`] at a time; the tests in `without` expect
//! that to be noticed. Three more changes, of the source, make a test fail too: in `wait`, looking at the flag
//! before the word (`what_was_shut_down_stays_so`) and returning after the first sleep without another look
//! (`a_sleep_that_ends_early_is_no_answer`); in `shut_down`, setting the flag after the word
//! (`what_was_shut_down_stays_so`).

use loom::sync::atomic::AtomicU32;
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gofer_sys::futex::Woken;
use gofer_vfs::Errno;

use super::End;
use super::handover::{Atomic, Ground, Handover, Side};
use super::patience::Patience;

/// What is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The release of `pass`.
    PassRelaxed,
    /// The acquire of `wait`.
    WaitRelaxed,
    /// That `pass` exchanges in one step.
    PassInTwo,
    /// The wake of `pass`.
    PassSilently,
    /// The kernel's look at the word before it sleeps.
    SleepBlindly,
    /// The release of `shut_down`.
    ShutRelaxed,
    /// The wake of `shut_down`.
    ShutSilently,
    /// That it wakes everyone.
    ShutWakesOne,
    /// The private flag.
    DeadUnseen,
}

/// A word whose accesses can be weaker than asked for.
struct Word {
    value: AtomicU32,
    fault: Fault,
    private: bool,
}

impl Word {
    fn new(fault: Fault, private: bool) -> Self {
        Self { value: AtomicU32::new(0), fault, private }
    }

    fn weaker(&self, fault: Fault, order: Ordering) -> Ordering {
        if self.fault == fault { Ordering::Relaxed } else { order }
    }
}

impl Atomic for Word {
    fn load(&self, order: Ordering) -> u32 {
        if self.private && self.fault == Fault::DeadUnseen {
            return 0;
        }
        self.value.load(self.weaker(Fault::WaitRelaxed, order))
    }

    fn store(&self, value: u32, order: Ordering) {
        self.value.store(value, order);
    }

    fn swap(&self, value: u32, order: Ordering) -> u32 {
        self.value.swap(value, self.weaker(Fault::ShutRelaxed, order))
    }

    fn compare_exchange(&self, old: u32, new: u32, done: Ordering, failed: Ordering) -> Result<u32, u32> {
        if self.fault == Fault::PassInTwo {
            let now = self.value.load(Ordering::Acquire);
            if now != old {
                return Err(now);
            }
            self.value.store(new, done);
            return Ok(old);
        }
        self.value.compare_exchange(old, new, self.weaker(Fault::PassRelaxed, done), failed)
    }
}

/// The window, and the kernel's list of who sleeps on its word.
struct Window {
    state: Word,
    /// A datagram. As in the window its accesses order nothing.
    data: AtomicU32,
    list: Mutex<()>,
    sleepers: Condvar,
    /// Sleeps end on their own.
    restless: bool,
    fault: Fault,
}

/// One end's view of it.
#[derive(Clone)]
struct Model(Arc<Window>);

impl Model {
    fn new(fault: Fault, restless: bool) -> Self {
        let (list, sleepers) = (Mutex::new(()), Condvar::new());
        let (state, data) = (Word::new(fault, false), AtomicU32::new(0));
        Self(Arc::new(Window { state, data, list, sleepers, restless, fault }))
    }

    fn end(&self, side: Side) -> Arc<Handover<Self>> {
        Arc::new(Handover::new(self.clone(), side))
    }

    fn write(&self, datagram: u32) {
        self.0.data.store(datagram, Ordering::Relaxed);
    }

    fn read(&self) -> u32 {
        self.0.data.load(Ordering::Relaxed)
    }
}

impl Ground for Model {
    type Atomic = Word;

    fn state(&self) -> &Word {
        &self.0.state
    }

    fn private(&self) -> Word {
        Word::new(self.0.fault, true)
    }

    fn wait(&self, expected: u32, _: Duration) -> Result<Woken, Errno> {
        let list = self.0.list.lock().unwrap();
        let looks = self.0.fault != Fault::SleepBlindly;
        if looks && self.0.state.value.load(Ordering::Relaxed) != expected {
            return Ok(Woken::Changed);
        }
        if self.0.restless {
            drop(list);
            thread::yield_now();
        } else {
            drop(self.0.sleepers.wait(list).unwrap());
        }
        Ok(Woken::Perhaps)
    }

    fn wake(&self, waiters: u32) {
        let silent = if waiters == 1 { Fault::PassSilently } else { Fault::ShutSilently };
        if self.0.fault == silent {
            return;
        }
        let _list = self.0.list.lock().unwrap();
        if waiters == 1 || self.0.fault == Fault::ShutWakesOne {
            self.0.sleepers.notify_one();
        } else {
            self.0.sleepers.notify_all();
        }
    }

    /// No time is enough for every order of events.
    fn linger(&self) {}
}

/// Every interleaving with at most `preemptions` switches away from a thread that could go on.
fn model(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(run);
}

fn wait(end: &Handover<Model>) -> Result<(), End> {
    end.wait(&mut Patience::none())
}

/// Asks 1 and expects 2.
fn ask(client: &Handover<Model>) -> Result<(), End> {
    client.ground().write(1);
    client.pass()?;
    wait(client)?;
    assert_eq!(client.ground().read(), 2, "the reply");
    Ok(())
}

/// Expects 1 and answers 2.
fn answer(server: &Handover<Model>) -> Result<(), End> {
    wait(server)?;
    assert_eq!(server.ground().read(), 1, "the request");
    server.ground().write(2);
    server.pass()
}

fn a_request_and_its_reply(fault: Fault) {
    loom::model(move || {
        let window = Model::new(fault, false);
        let (client, server) = (window.end(Side::Client), window.end(Side::Server));
        let serving = thread::spawn(move || answer(&server));
        assert_eq!(ask(&client), Ok(()));
        assert_eq!(serving.join().unwrap(), Ok(()));
    });
}

fn shut_down_ends_a_wait(fault: Fault) {
    loom::model(move || {
        let server = Model::new(fault, false).end(Side::Server);
        let closer = Arc::clone(&server);
        let closing = thread::spawn(move || closer.shut_down());
        assert_eq!(wait(&server), Err(End::Closed));
        closing.join().unwrap();
    });
}

/// Nobody is left asleep, a reply is whole or missing, and the last word is that it is shut down.
fn shut_down_meets_a_hand_over(fault: Fault) {
    model(3, move || {
        let window = Model::new(fault, false);
        let (client, server) = (window.end(Side::Client), window.end(Side::Server));
        let closer = Arc::clone(&server);
        let closing = thread::spawn(move || closer.shut_down());
        let serving = thread::spawn(move || answer(&server).and_then(|()| wait(&server)));
        assert!(matches!(ask(&client), Ok(()) | Err(End::Closed)));
        closing.join().unwrap();
        assert_eq!(serving.join().unwrap(), Err(End::Closed));
        assert_eq!(client.pass(), Err(End::Closed));
        assert_eq!(window.0.state.value.load(Ordering::Relaxed), 2);
    });
}

/// A peer parks a thread on the word to swallow a wake.
fn shut_down_wakes_past_a_parked_thread(fault: Fault) {
    loom::model(move || {
        let window = Model::new(fault, false);
        let server = window.end(Side::Server);
        let closer = Arc::clone(&server);
        let parked = thread::spawn(move || window.wait(0, Duration::MAX));
        let closing = thread::spawn(move || closer.shut_down());
        assert_eq!(wait(&server), Err(End::Closed));
        closing.join().unwrap();
        parked.join().unwrap().unwrap();
    });
}

/// A peer that sees the 2 writes a request over it.
fn what_was_shut_down_stays_so(fault: Fault) {
    loom::model(move || {
        let window = Model::new(fault, false);
        let server = window.end(Side::Server);
        let closer = Arc::clone(&server);
        let reviving = thread::spawn(move || {
            // One step, which the model tries in more places than a look and a store that depends on it.
            let _ = window.0.state.value.compare_exchange(2, 1, Ordering::AcqRel, Ordering::Relaxed);
        });
        let closing = thread::spawn(move || closer.shut_down());
        assert_eq!(wait(&server), Err(End::Closed));
        closing.join().unwrap();
        reviving.join().unwrap();
    });
}

#[test]
fn a_request_and_its_reply_pass() {
    a_request_and_its_reply(Fault::None);
}

#[test]
fn a_sleep_that_ends_early_is_no_answer() {
    loom::model(|| {
        let window = Model::new(Fault::None, true);
        let (client, server) = (window.end(Side::Client), window.end(Side::Server));
        let serving = thread::spawn(move || answer(&server));
        assert_eq!(ask(&client), Ok(()));
        assert_eq!(serving.join().unwrap(), Ok(()));
    });
}

#[test]
fn a_shut_down_ends_a_wait() {
    shut_down_ends_a_wait(Fault::None);
}

#[test]
fn a_shut_down_may_meet_a_hand_over() {
    shut_down_meets_a_hand_over(Fault::None);
}

#[test]
fn a_shut_down_wakes_past_a_parked_thread() {
    shut_down_wakes_past_a_parked_thread(Fault::None);
}

#[test]
fn a_peer_cannot_revive_what_was_shut_down() {
    what_was_shut_down_stays_so(Fault::None);
}

#[test]
fn both_may_shut_down_at_once() {
    model(4, || {
        let window = Model::new(Fault::None, false);
        let (client, server) = (window.end(Side::Client), window.end(Side::Server));
        let closer = Arc::clone(&server);
        let threads = [thread::spawn(move || closer.shut_down()), thread::spawn(move || client.shut_down())];
        assert_eq!(wait(&server), Err(End::Closed));
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// What was taken is answered, even if the end comes before that is seen; what was not is refused, and nobody is left
/// asleep.
#[test]
fn a_channel_that_retires_answers_what_it_took() {
    model(3, || {
        let window = Model::new(Fault::None, false);
        let (client, server) = (window.end(Side::Client), window.end(Side::Server));
        let closer = Arc::clone(&server);
        let closing = thread::spawn(move || closer.retire());
        let serving = thread::spawn(move || {
            let took = wait(&server).and_then(|()| server.take()).is_ok();
            if took {
                server.ground().write(2);
                assert_eq!(server.pass(), Ok(()), "nobody shuts it down meanwhile");
                server.answered();
                assert_eq!(wait(&server), Err(End::Closed));
            }
            took
        });
        let asked = ask(&client);
        closing.join().unwrap();
        let took = serving.join().unwrap();
        assert!(took || asked == Err(End::Closed));
        assert_eq!(client.pass(), Err(End::Closed));
    });
}

/// Each of these fails when the fault is noticed nowhere.
mod without {
    use super::*;

    /// The test, the fault it notices, and with what words.
    macro_rules! noticed {
        ($($name:ident: $fault:ident by $test:ident, $words:literal;)*) => {$(
            #[test]
            #[should_panic(expected = $words)]
            fn $name() {
                $test(Fault::$fault);
            }
        )*};
    }

    noticed! {
        release_in_pass: PassRelaxed by a_request_and_its_reply, "the re";
        acquire_in_wait: WaitRelaxed by a_request_and_its_reply, "the re";
        exchange_in_pass: PassInTwo by shut_down_meets_a_hand_over, "";
        wake_in_pass: PassSilently by a_request_and_its_reply, "deadlock";
        look_before_sleep: SleepBlindly by a_request_and_its_reply, "deadlock";
        release_in_shut_down: ShutRelaxed by what_was_shut_down_stays_so, "Ok(())";
        wake_in_shut_down: ShutSilently by shut_down_ends_a_wait, "deadlock";
        wake_of_all_in_shut_down: ShutWakesOne by shut_down_wakes_past_a_parked_thread, "deadlock";
        flag: DeadUnseen by what_was_shut_down_stays_so, "Ok(())";
    }
}
