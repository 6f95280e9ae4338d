//! The load: one thread that keeps a number of requests outstanding on one connection.

use std::ops::Range;
use std::time::{Duration, Instant};

use gofer_wire::p9::Tag;

use super::client::{Client, Failed};
use super::operation::{Operation, Slot};
use super::stats::Latencies;

/// An operation, done again and again by so many at once.
pub(super) struct Load {
    client: Client,
    operation: Operation,
    slots: Vec<Slot>,
    /// When each slot's operation began.
    since: Vec<Instant>,
    /// The most bytes in a read or write.
    most: u32,
}

impl Load {
    /// A load on a connection on which the tree was walked to, with the files of the tree that have these numbers.
    pub(super) fn new(mut client: Client, operation: Operation, files: Range<u16>) -> Result<Self, Failed> {
        let mut slots: Vec<_> = files.map(|number| Slot::new(number, operation)).collect();
        for slot in &mut slots {
            slot.prepare(operation, &mut client)?;
        }
        Ok(Self::on(client, operation, slots))
    }

    /// A load on a connection where nothing needs to be prepared, with messages as large as another's.
    pub(super) fn like(&self, client: Client) -> Self {
        let slots = self.slots.clone();
        Self { most: self.most, ..Self::on(client, self.operation, slots) }
    }

    fn on(client: Client, operation: Operation, slots: Vec<Slot>) -> Self {
        let since = vec![Instant::now(); slots.len()];
        let most = client.payload_max();
        Self { client, operation, slots, since, most }
    }

    /// Does the operation for as long, and then lets those in flight come to their end. Says how often.
    pub(super) fn run(&mut self, length: Duration, into: &mut Latencies) -> Result<u64, Failed> {
        let start = Instant::now();
        for number in 0..self.slots.len() {
            self.begin(number, start);
        }
        let (mut done, mut busy) = (0, self.slots.len());
        while busy > 0 {
            self.client.send()?;
            // All replies that came together, and then all requests that they lead to.
            loop {
                let number = self.take()?;
                if !self.ask(number) {
                    let now = Instant::now();
                    into.record(now - self.since[number]);
                    done += 1;
                    if now - start < length {
                        self.begin(number, now);
                    } else {
                        busy -= 1;
                    }
                }
                if !self.client.has_reply() {
                    break;
                }
            }
        }
        Ok(done)
    }

    /// The replies to one operation, made once.
    pub(super) fn script(&mut self) -> Result<Vec<Vec<u8>>, Failed> {
        let mut replies = Vec::new();
        self.begin(0, Instant::now());
        loop {
            self.client.send()?;
            let number = self.take()?;
            replies.push(self.client.frame().to_vec());
            if !self.ask(number) {
                return Ok(replies);
            }
        }
    }

    fn begin(&mut self, number: usize, now: Instant) {
        let in_flight = self.slots.len() as u64;
        self.slots[number].begin(self.operation, in_flight);
        self.since[number] = now;
        self.ask(number);
    }

    /// Queues the next request of a slot; `false` when its operation is done.
    fn ask(&mut self, number: usize) -> bool {
        let Some(request) = self.slots[number].request(self.operation, self.most) else { return false };
        let tag = u16::try_from(number).unwrap_or(u16::MAX);
        self.client.queue(Tag(tag), &request);
        true
    }

    /// Takes the next reply, and says whose it was.
    fn take(&mut self) -> Result<usize, Failed> {
        let (tag, reply) = self.client.receive()?;
        let number = usize::from(tag.0);
        let slot = self.slots.get_mut(number).ok_or(Failed::Lost("a reply to no request".to_owned()))?;
        slot.take(self.operation, self.most, reply).map(|()| number)
    }
}
