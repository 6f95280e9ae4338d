//! What clients used comes back when they are done with it: descriptors, threads and memory. The numbers are
//! those of a whole process: this test has one of its own.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use gofer_conformance::{Client, Dialect, Ground, ROOT, Setup, Site, Transport, site};
use gofer_sys::alloc::Counting;
use gofer_sys::process::raise_nofile;
use gofer_wire::List;
use gofer_wire::p9::{Fid, OpenBits, Request, Tag, Tclunk, Tlopen, Twalk};

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// What a process uses.
#[derive(Clone, Copy, Debug)]
struct Usage {
    descriptors: usize,
    threads: usize,
    /// Bytes that are allocated.
    held: usize,
    /// Bytes of memory that are in use, with what the allocator keeps for later.
    resident: usize,
}

impl Usage {
    /// Bytes that may stay allocated: tables that grew keep their room.
    const HELD_SLACK: usize = 256 << 10;
    /// Bytes that may stay resident: the allocator keeps some of what was freed.
    const RESIDENT_SLACK: usize = 32 << 20;

    fn now() -> Self {
        let count = |dir| fs::read_dir(dir).expect("a directory of procfs").count();
        let status = fs::read_to_string("/proc/self/status").expect("the status of this process");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
        let kib: usize = resident.and_then(|kib| kib.trim().parse().ok()).expect("a number of kB");
        Self {
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            held: ALLOCATOR.held(),
            resident: kib << 10,
        }
    }

    fn is_back(&self, now: &Self) -> bool {
        now.descriptors <= self.descriptors
            && now.threads <= self.threads
            && now.held <= self.held + Self::HELD_SLACK
            && now.resident <= self.resident + Self::RESIDENT_SLACK
    }

    /// Waits until no more is used than then. Threads without work stay for some seconds.
    fn await_return(&self, after: &str) {
        let begin = Instant::now();
        loop {
            let now = Self::now();
            if self.is_back(&now) {
                eprintln!("{after}: {self:?} {now:?} {:?}", begin.elapsed());
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{after}: {now:?} where there was {self:?}");
            sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn what_was_used_comes_back() {
    let limit = raise_nofile().expect("the hard limit is allowed");
    let room = usize::try_from(limit).unwrap_or(usize::MAX).min(16_384) - 128;
    let site = site(Ground::Host, Transport::Unix, Dialect::Base, Setup::default());
    let before = Usage::now();
    drop(site.client());
    before.await_return("a first connection");
    connections(&site, room);
    before.await_return("1,000 connections");
    silent_connections(&site, room);
    before.await_return("3,000 connections without a request");
    fids(&site, room);
    before.await_return("200,000 fids");
}

/// 1,000 connections, as many at once as there are descriptors for.
fn connections(site: &Site, room: usize) {
    // Both ends, and a fid or two.
    let at_once = (room / 6).min(1000);
    let mut left = 1000;
    while left > 0 {
        let n = left.min(at_once);
        let clients: Vec<Client> = (0..n)
            .map(|_| {
                let mut client = site.client();
                client.open_at("file", OpenBits::RDONLY).expect("an open file");
                client
            })
            .collect();
        drop(clients);
        left -= n;
    }
}

/// Connections that end before they said anything.
fn silent_connections(site: &Site, room: usize) {
    for _ in 0..30 {
        drop((0..100.min(room / 6)).map(|_| site.connect()).collect::<Vec<_>>());
    }
}

/// 200,000 fids, opened and clunked, as many at once as there are descriptors for.
fn fids(site: &Site, room: usize) {
    const ALL: usize = 200_000;
    let mut client = site.client();
    let file = client.at("file").expect("a file");
    let at_once = (room / 3).min(4000);
    let mut done = 0;
    while done < ALL {
        let n = at_once.min(ALL - done);
        let fids = || (0..n).map(|at| Fid(1000 + u32::try_from(at).expect("a few thousand")));
        let flags = OpenBits::RDONLY;
        all(&mut client, fids().map(|newfid| Twalk { fid: file, newfid, names: List::EMPTY }));
        all(&mut client, fids().map(|fid| Tlopen { fid, flags }));
        all(&mut client, fids().map(|fid| Tclunk { fid }));
        done += n;
    }
    client.getattr(ROOT).expect("the connection lives");
}

/// Sends requests, some at a time, and takes their replies, which are to be successes.
fn all<'a>(client: &mut Client, requests: impl Iterator<Item = impl Into<Request<'a>>>) {
    const AT_ONCE: u16 = 64;
    let mut requests = requests.map(Into::into).peekable();
    while requests.peek().is_some() {
        let (mut bytes, mut frame) = (Vec::new(), Vec::new());
        let mut sent = 0;
        for (tag, request) in (0..AT_ONCE).zip(requests.by_ref()) {
            request.encode(Tag(tag), &mut frame);
            bytes.extend_from_slice(&frame);
            sent += 1;
        }
        client.send_raw(&bytes).expect("a connection");
        for _ in 0..sent {
            assert_eq!(client.recv().expect("a reply").errno(), None);
        }
    }
}
