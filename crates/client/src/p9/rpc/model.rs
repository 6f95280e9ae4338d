//! Callers on one connection under every interleaving: who reads, who sleeps, who wakes whom.
//!
//! The stream is the model's, and so is the server behind it. A wait in the model has no end of its own: a lost wake is
//! a deadlock, which is reported. Each model says what makes it fail when it is taken away from the source.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use gofer_transport::{Descriptors, Stream};
use gofer_wire::p9::{Operation, Tfsync};
use loom::thread as threads;

use super::*;

/// When the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    AsTheyCome,
    /// The second request before the first.
    Reversed,
    Never,
}

/// A stream with a server at its other end, which answers every request with an empty reply.
#[derive(Clone)]
struct Line(Arc<Ends>);

struct Ends {
    answers: Answers,
    state: Mutex<Bytes>,
    came: Condvar,
}

#[derive(Default)]
struct Bytes {
    given: VecDeque<u8>,
    /// The reply that waits for a second.
    kept: Option<[u8; HEADER]>,
    is_over: bool,
}

impl Line {
    fn new(answers: Answers) -> Self {
        Self(Arc::new(Ends { answers, state: Mutex::default(), came: Condvar::new() }))
    }

    fn rpc(&self) -> Arc<Rpc> {
        Arc::new(Greeting::new(Box::new(self.clone()), None).agreed(8192))
    }
}

impl Stream for Line {
    fn recv(&self, into: &mut Vec<u8>, limit: usize) -> Result<usize> {
        let mut state = self.0.state.lock().unwrap();
        while state.given.is_empty() && !state.is_over {
            state = self.0.came.wait(state).unwrap();
        }
        let received = state.given.len().min(limit);
        into.extend(state.given.drain(..received));
        Ok(received)
    }

    fn send(&self, head: &[u8], _: &[u8], _: &[BorrowedFd<'_>]) -> Result<()> {
        let reply = [7, 0, 0, 0, head[4] + 1, head[5], head[6]];
        let mut state = self.0.state.lock().unwrap();
        match self.0.answers {
            Answers::AsTheyCome => state.given.extend(reply),
            Answers::Reversed => match state.kept.take() {
                Some(kept) => {
                    state.given.extend(reply);
                    state.given.extend(kept);
                }
                None => state.kept = Some(reply),
            },
            Answers::Never => {}
        }
        self.0.came.notify_all();
        Ok(())
    }

    fn passes_descriptors(&self) -> bool {
        false
    }

    fn close_input(&self) {}

    fn tell_quiet(&self, _: Option<Duration>) {}

    fn close(&self) {
        self.0.state.lock().unwrap().is_over = true;
        self.0.came.notify_all();
    }
}

impl ClientStream for Line {
    fn recv_with_descriptors(&self, into: &mut Vec<u8>, limit: usize) -> Result<(usize, Descriptors)> {
        self.recv(into, limit).map(|received| (received, Descriptors::default()))
    }

    fn tell_stuck(&self, _: Option<Duration>) {}
}

/// Every interleaving with at most `preemptions` switches away from a thread that could go on.
fn model(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(run);
}

fn call(rpc: &Rpc) -> Result<()> {
    rpc.call(Tfsync { fid: Fid(1), datasync: 0 }).map(drop)
}

fn calling(rpc: &Arc<Rpc>) -> threads::JoinHandle<Result<()>> {
    let rpc = Arc::clone(rpc);
    threads::spawn(move || call(&rpc))
}

/// States of a caller: about to send, reading, asleep, answered by the other, woken to read on, done.
///
/// Fails (deadlock) where who has its reply does not wake another to read on, where a reply is given to a sleeper that is
/// not woken, where a caller goes to sleep, or says that it reads, after it has let go of the state.
#[test]
fn each_of_two_gets_its_reply() {
    for answers in [Answers::AsTheyCome, Answers::Reversed] {
        model(3, move || {
            let rpc = Line::new(answers).rpc();
            let other = calling(&rpc);
            assert_eq!(call(&rpc), Ok(()));
            assert_eq!(other.join().unwrap(), Ok(()));
        });
    }
}

/// States: one reads and one sleeps, or neither does yet; the stream ends.
///
/// Fails (deadlock) where neither the end nor who leaves wakes another.
#[test]
fn the_end_is_for_all_who_wait() {
    model(3, || {
        let line = Line::new(Answers::Never);
        let rpc = line.rpc();
        // Not on this thread: one that joins is not to be woken in vain, says loom.
        let callers = [calling(&rpc), calling(&rpc)];
        line.close();
        for caller in callers {
            assert_eq!(caller.join().unwrap(), Err(Errno::ECONNRESET));
        }
    });
}

/// States: a tag is left, none is left and one waits for it, one is free again.
///
/// Fails (deadlock) where a call that is done tells nobody that there is room.
#[test]
fn a_tag_that_is_free_again_is_taken() {
    model(3, || {
        let rpc = Line::new(Answers::AsTheyCome).rpc();
        let all = std::iter::from_fn(|| rpc.state().slots.claim_call(Tfsync::NUMBER, None)).count();
        assert!(all > 1);
        rpc.state().slots.withdraw(Tag(0));
        let other = calling(&rpc);
        assert_eq!(call(&rpc), Ok(()));
        assert_eq!(other.join().unwrap(), Ok(()));
    });
}
