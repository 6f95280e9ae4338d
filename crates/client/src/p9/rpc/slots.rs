//! Tags and fids: what each stands for, and when it can stand for something else.

use std::collections::VecDeque;

use gofer_wire::p9::{Fid, Header, Rlerror, Tag};

use crate::rpc::Frame;
use crate::sync::thread::Thread;

/// Requests that callers may have in flight; more wait. Flushes and clunks come on top.
const CALLS: usize = 512;
/// Tags there are.
const TAGS: usize = 2 * CALLS;
/// Clunks whose replies nobody has read yet, beyond which a clunk is waited for.
const CLUNKS: usize = 64;
/// Fids that rest before one is used again, so that nothing which is late can be meant for its successor.
const RESTING: usize = 1024;

const CLUNK: u8 = 120;
const FLUSH: u8 = 108;

/// What a tag stands for.
///
/// ```text
///         claim             reply              take
///  Free ---------> Waiting -------> Answered -------> Free
///   ^                 | give up
///   |                 v     reply
///   |   Rflush       Late ---------> Spent
///   +-----------------+----------------+
/// ```
///
/// A flush and a clunk that nobody waits for are free again with their replies.
#[derive(Debug)]
enum Slot {
    Free,
    /// Somebody waits, perhaps asleep.
    Waiting {
        number: u8,
        newfid: Option<Fid>,
        asleep: Option<Thread>,
    },
    Answered {
        frame: Frame,
        newfid: Option<Fid>,
    },
    /// Nobody waits any more, but the reply may still come.
    Late {
        number: u8,
        newfid: Option<Fid>,
    },
    /// The reply came late; the flush is not answered yet.
    Spent {
        newfid: Option<Fid>,
    },
    Flush {
        of: Tag,
    },
    Clunk {
        fid: Fid,
    },
}

/// The server sent what no request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unasked;

/// The tags and the fids of a connection.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// By tag.
    slots: Vec<Slot>,
    free: Vec<u16>,
    clunks: usize,
    fids: u32,
    resting: VecDeque<Fid>,
}

impl Slots {
    fn used(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn claim(&mut self, slot: Slot, most: usize) -> Option<Tag> {
        if self.used() >= most {
            return None;
        }
        if let Some(tag) = self.free.pop() {
            self.slots[usize::from(tag)] = slot;
            return Some(Tag(tag));
        }
        let tag = u16::try_from(self.slots.len()).ok()?;
        self.slots.push(slot);
        Some(Tag(tag))
    }

    fn release(&mut self, tag: Tag) {
        self.slots[usize::from(tag.0)] = Slot::Free;
        self.free.push(tag.0);
    }

    /// A tag for a request that somebody waits for; `None` while there are too many.
    pub(super) fn claim_call(&mut self, number: u8, newfid: Option<Fid>) -> Option<Tag> {
        self.claim(Slot::Waiting { number, newfid, asleep: None }, CALLS)
    }

    /// A tag for a clunk that nobody waits for; `None` where it has to be waited for.
    pub(super) fn claim_clunk(&mut self, fid: Fid) -> Option<Tag> {
        if self.clunks >= CLUNKS {
            return None;
        }
        let tag = self.claim(Slot::Clunk { fid }, TAGS)?;
        self.clunks += 1;
        Some(tag)
    }

    /// Clunks whose replies have not been read.
    pub(super) fn clunks(&self) -> usize {
        self.clunks
    }

    /// Nobody waits for a reply any more: the tag of the flush to send. A tag that cannot be flushed, because
    /// there is none left for that, is lost.
    pub(super) fn give_up(&mut self, tag: Tag) -> Option<Tag> {
        let slot = &mut self.slots[usize::from(tag.0)];
        match slot {
            Slot::Waiting { number, newfid, .. } => *slot = Slot::Late { number: *number, newfid: *newfid },
            Slot::Answered { newfid, .. } => *slot = Slot::Spent { newfid: *newfid },
            _ => return None,
        }
        self.claim(Slot::Flush { of: tag }, TAGS)
    }

    /// The tag of a request that was not sent is free again.
    pub(super) fn withdraw(&mut self, tag: Tag) {
        if let Slot::Waiting { newfid: Some(fid), .. } = self.slots[usize::from(tag.0)] {
            self.rest(fid);
        }
        self.release(tag);
    }

    /// The reply to a request, if it has come.
    pub(super) fn take(&mut self, tag: Tag) -> Option<Frame> {
        let slot = &mut self.slots[usize::from(tag.0)];
        if !matches!(slot, Slot::Answered { .. }) {
            return None;
        }
        let Slot::Answered { frame, newfid } = std::mem::replace(slot, Slot::Free) else { return None };
        self.free.push(tag.0);
        if let (Some(fid), true) = (newfid, number(&frame) == Rlerror::NUMBER) {
            // It was not made.
            self.rest(fid);
        }
        Some(frame)
    }

    /// Notes whom to wake when the reply comes, or when somebody has to read.
    pub(super) fn sleep(&mut self, tag: Tag, thread: Thread) {
        if let Slot::Waiting { asleep, .. } = &mut self.slots[usize::from(tag.0)] {
            *asleep = Some(thread);
        }
    }

    /// Somebody who sleeps, to be the next who reads.
    pub(super) fn any_asleep(&self) -> Option<&Thread> {
        self.asleep().next()
    }

    /// All who sleep.
    pub(super) fn asleep(&self) -> impl Iterator<Item = &Thread> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Waiting { asleep, .. } => asleep.as_ref(),
            _ => None,
        })
    }

    /// Gives a frame to whoever waits for it. Answers a fid that turns out to be left over.
    ///
    /// # Errors
    /// [`Unasked`] when nobody asked for this.
    pub(super) fn deliver(&mut self, frame: Frame) -> Result<Option<Fid>, Unasked> {
        let Some(header) = frame.bytes.first_chunk().map(Header::decode) else { return Err(Unasked) };
        let answers = |number: u8| header.number == number + 1 || header.number == Rlerror::NUMBER;
        let tag = header.tag;
        let slot = self.slots.get_mut(usize::from(tag.0)).ok_or(Unasked)?;
        match slot {
            Slot::Waiting { number, newfid, asleep } if answers(*number) => {
                let (newfid, asleep) = (*newfid, asleep.take());
                *slot = Slot::Answered { frame, newfid };
                if let Some(thread) = asleep {
                    thread.unpark();
                }
                Ok(None)
            }
            Slot::Late { number, newfid } if answers(*number) => {
                *slot = Slot::Spent { newfid: *newfid };
                Ok(None)
            }
            Slot::Flush { of } if answers(FLUSH) => {
                let of = *of;
                self.release(tag);
                // Whether the request made its fid is not known.
                let (Slot::Late { newfid, .. } | Slot::Spent { newfid }) = self.slots[usize::from(of.0)]
                else {
                    return Err(Unasked);
                };
                self.release(of);
                Ok(newfid)
            }
            Slot::Clunk { fid } if answers(CLUNK) => {
                let fid = *fid;
                self.clunks -= 1;
                self.release(tag);
                self.rest(fid);
                Ok(None)
            }
            _ => Err(Unasked),
        }
    }

    /// A fid that stands for nothing; `None` when all four thousand million do.
    pub(super) fn new_fid(&mut self) -> Option<Fid> {
        if self.resting.len() > RESTING {
            return self.resting.pop_front();
        }
        let fid = Fid(self.fids);
        self.fids = self.fids.checked_add(1)?;
        (fid != Fid::NONE).then_some(fid)
    }

    /// A fid that stands for nothing any more.
    pub(super) fn rest(&mut self, fid: Fid) {
        self.resting.push_back(fid);
    }
}

fn number(frame: &Frame) -> u8 {
    frame.bytes.first_chunk().map_or(Rlerror::NUMBER, |header| Header::decode(header).number)
}

#[cfg(test)]
mod tests {
    use gofer_transport::Descriptors;
    use gofer_wire::List;
    use gofer_wire::p9::{Rclunk, Reply, Rflush, Rwalk};

    use super::*;

    const WALK: u8 = 110;

    fn frame<'a>(tag: Tag, reply: impl Into<Reply<'a>>) -> Frame {
        let mut bytes = Vec::new();
        reply.into().encode(tag, &mut bytes);
        Frame { bytes, descriptors: Descriptors::default() }
    }

    #[test]
    fn a_reply_that_nobody_asked_for_is_refused() {
        let mut slots = Slots::default();
        assert_eq!(slots.deliver(frame(Tag(0), Rclunk)), Err(Unasked), "no such tag");
        let tag = slots.claim_call(WALK, None).unwrap();
        assert_eq!(slots.deliver(frame(tag, Rclunk)), Err(Unasked), "another operation's");
        assert_eq!(slots.deliver(frame(tag, Rwalk { qids: List::EMPTY })), Ok(None));
        assert_eq!(slots.deliver(frame(tag, Rwalk { qids: List::EMPTY })), Err(Unasked), "a second one");
        assert!(slots.take(tag).is_some());
        assert!(slots.take(tag).is_none());
    }

    #[test]
    fn a_tag_is_not_used_again_before_its_flush_is_answered() {
        let mut slots = Slots::default();
        let tag = slots.claim_call(WALK, Some(Fid(7))).unwrap();
        let flush = slots.give_up(tag).unwrap();
        assert_ne!(slots.claim_call(WALK, None), Some(tag));
        assert_eq!(slots.deliver(frame(tag, Rwalk { qids: List::EMPTY })), Ok(None), "late");
        assert_ne!(slots.claim_call(WALK, None), Some(tag));
        assert_eq!(slots.deliver(frame(flush, Rflush)), Ok(Some(Fid(7))), "the fid has to be clunked");
        assert_eq!(slots.claim_call(WALK, None), Some(tag));
    }

    #[test]
    fn what_is_in_flight_is_bounded() {
        let mut slots = Slots::default();
        let tags: Vec<_> = std::iter::from_fn(|| slots.claim_call(WALK, None)).collect();
        assert_eq!(tags.len(), CALLS);
        assert!(slots.give_up(tags[0]).is_some(), "there is always room for a flush");
        let clunks = std::iter::from_fn(|| slots.claim_clunk(Fid(1))).count();
        assert_eq!(clunks, CLUNKS);
    }

    #[test]
    fn a_fid_rests_before_it_is_used_again() {
        let mut slots = Slots::default();
        let first = slots.new_fid().unwrap();
        slots.rest(first);
        for _ in 0..RESTING {
            let fid = slots.new_fid().unwrap();
            assert_ne!(fid, first);
            slots.rest(fid);
        }
        assert_eq!(slots.new_fid(), Some(first));
    }
}
