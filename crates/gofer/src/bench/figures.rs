//! What a server takes when it does nothing: memory, descriptors and threads; how soon it is there; and how much its
//! clients notice of each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gofer_wire::p9::{Fid, GetattrMask, Request, Tclunk, Tgetattr, Twalk, Version};
use serde::Serialize;

use super::client::{Failed, Names, ROOT};
use super::load::Load;
use super::operation::Operation;
use super::server::{Rights, Scratch, Sealed, Server};
use super::stats::{Latencies, Spread};
use super::tree::{self, Tree};
use crate::report::Failure;

/// Fids to walk.
const FIDS: u32 = 20_000;
const MILLION: u32 = 1_000_000;
/// And to ask for their attributes, here and there among them.
const ASKED: u32 = 20_000;
/// Connections to open.
const CONNECTIONS: u32 = 1_000;
/// Servers to start.
const STARTS: u32 = 21;

/// A number that is not a rate.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    pub(super) figure: String,
    pub(super) server: String,
    pub(super) value: f64,
    pub(super) unit: &'static str,
}

/// Figures of one server.
struct Figures<'a> {
    server: &'a Server,
    all: Vec<Figure>,
}

impl Figures<'_> {
    fn push(&mut self, figure: &str, value: Option<f64>, unit: &'static str) {
        let (figure, server) = (figure.to_owned(), self.server.label.clone());
        self.all.extend(value.map(|value| Figure { figure, server, value, unit }));
    }

    /// A difference for one of `count`.
    fn each(
        &mut self,
        figure: &str,
        before: Option<u64>,
        after: Option<u64>,
        count: u32,
        unit: &'static str,
    ) {
        let each = |(before, after): (u64, u64)| (after as f64 - before as f64) / f64::from(count);
        self.push(figure, before.zip(after).map(each), unit);
    }
}

/// Starts our server a few times, sealed and not, in turns. The median of the time to the first attach, and the
/// memory after it.
pub(super) fn start(figures: &mut Vec<Figure>) -> Result<(), Failure> {
    const NAMES: [(&str, &str); 3] =
        [("start to first attach", "ms"), ("memory at start", "KiB"), ("of which is no file's", "KiB")];
    let kib = |bytes: u64| bytes as f64 / 1024.0;
    let mut all = [Sealed::Yes, Sealed::No].map(|sealed| (sealed, [const { Vec::new() }; 3]));
    for _ in 0..STARTS {
        for (sealed, [times, sizes, own]) in &mut all {
            let scratch = Scratch::new("bench-start")?;
            let (server, took) = Server::start(scratch.path(), Rights::ReadWrite, *sealed)?;
            times.push(took.as_secs_f64() * 1e3);
            sizes.extend(server.process.and_then(|process| process.rss()).map(kib));
            own.extend(server.process.and_then(|process| process.anonymous()).map(kib));
        }
    }
    for (sealed, values) in all {
        for ((figure, unit), values) in NAMES.into_iter().zip(values) {
            if let Some(spread) = Spread::of(values) {
                let (figure, server) = (figure.to_owned(), sealed.label().to_owned());
                figures.push(Figure { figure, server, value: spread.median, unit });
            }
        }
    }
    Ok(())
}

/// Holds many of one kind at a server and looks at it before, meanwhile and after. Where it gives fewer, the
/// figures are for those, and their number is one of them.
pub(super) fn hold(
    what: Operation,
    server: &Server,
    tree: &Tree,
    into: &mut Vec<Figure>,
) -> Result<(), Failed> {
    let mut figures = Figures { server, all: Vec::new() };
    match what {
        Operation::Fids => fids(&mut figures, tree, FIDS)?,
        Operation::MillionFids => fids(&mut figures, tree, MILLION)?,
        Operation::Connections => connections(&mut figures)?,
        Operation::Neighbours => neighbours(&mut figures, tree)?,
        _ => {}
    }
    into.extend(figures.all);
    Ok(())
}

fn fids(figures: &mut Figures<'_>, tree: &Tree, all: u32) -> Result<(), Failed> {
    const FIRST: u32 = 100;
    let server = figures.server;
    let mut client = server.attach(Version::BASE)?;
    tree.walk(&mut client)?;
    // What the server's code takes grows as it is used, whatever it is used for.
    let own = || server.process.and_then(|process| process.anonymous());
    let descriptors = || server.process.and_then(|process| process.descriptors());
    let (memory, held) = (own(), descriptors());
    let names = Names::new(&[&tree::small(0)]);
    let mut count = 0;
    let start = Instant::now();
    while count < all {
        let walk = Twalk { fid: Tree::FID, newfid: Fid(FIRST + count), names: names.list() };
        match client.ask(Request::Walk(walk)) {
            Ok(_) => count += 1,
            Err(Failed::Refused(..)) if count > 0 => break,
            Err(failed) => return Err(failed),
        }
    }
    let each = |start: Instant, count: u32| Some(start.elapsed().as_secs_f64() * 1e6 / f64::from(count));
    figures.push("fids walked", Some(count.into()), "");
    figures.push("walk of each", each(start, count), "us");
    figures.each("memory of a walked fid", memory, own(), count, "B");
    figures.each("descriptors of a walked fid", held, descriptors(), count, "");
    let start = Instant::now();
    // A prime, so that it is each time another and far from the last.
    for fid in
        (0..ASKED).map(|at| FIRST + u32::try_from(u64::from(at) * 7_368_787 % u64::from(count)).unwrap_or(0))
    {
        client.ask(Tgetattr { fid: Fid(fid), mask: GetattrMask::BASIC }.into())?;
    }
    figures.push("getattr of some", each(start, ASKED), "us");
    for fid in FIRST..FIRST + count {
        client.ask(Tclunk { fid: Fid(fid) }.into())?;
    }
    figures.each("memory kept of a clunked fid", memory, own(), count, "B");
    client.ask(Tclunk { fid: ROOT }.into()).map(drop)
}

fn connections(figures: &mut Figures<'_>) -> Result<(), Failed> {
    /// A server's threads may still be on their way.
    const SETTLE: Duration = Duration::from_millis(100);
    let server = figures.server;
    let rss = || server.process.and_then(|process| process.rss());
    let threads = || server.process.and_then(|process| process.threads());
    let (memory, before) = (rss(), threads());
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        match server.attach(Version::BASE) {
            Ok(client) => clients.push(client),
            Err(_) if !clients.is_empty() => break,
            Err(failed) => return Err(failed),
        }
    }
    thread::sleep(SETTLE);
    let count = u32::try_from(clients.len()).unwrap_or(u32::MAX);
    figures.push("idle connections", Some(count.into()), "");
    let kib = |bytes: Option<u64>| bytes.map(|bytes| bytes / 1024);
    figures.each("memory of an idle connection", kib(memory), kib(rss()), count, "KiB");
    figures.each("threads of an idle connection", before, threads(), count, "");
    Ok(())
}

/// Latencies of a client that asks for one thing at a time: alone, and beside another connection that is as busy as
/// it can be.
fn neighbours(figures: &mut Figures<'_>, tree: &Tree) -> Result<(), Failed> {
    const SPAN: Duration = Duration::from_secs(1);
    const BUSY: [(Operation, u16, &str); 2] =
        [(Operation::Stat1, 64, "beside 64 stats"), (Operation::Read1m, 16, "beside 16 large reads")];
    let server = figures.server;
    let load = |operation, in_flight| {
        let mut client = server.attach(Version::BASE)?;
        tree.walk(&mut client)?;
        Load::new(client, operation, 0..in_flight)
    };
    let mut modest = load(Operation::Getattr, 1)?;
    let mut measure = |beside: &str| {
        let mut latencies = Latencies::new();
        modest.run(SPAN, &mut latencies)?;
        for (part, name) in [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")] {
            figures.push(&format!("getattr {beside}, {name}"), Some(latencies.quantile(part)), "us");
        }
        Ok(())
    };
    measure("alone")?;
    for (operation, in_flight, beside) in BUSY {
        let mut greedy = load(operation, in_flight)?;
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut untold = Latencies::new();
                while !stop.load(Ordering::Relaxed) {
                    // When the server is gone the other client says so.
                    if greedy.run(SPAN / 100, &mut untold).is_err() {
                        break;
                    }
                }
            });
            let measured = measure(beside);
            stop.store(true, Ordering::Relaxed);
            measured
        })?;
    }
    Ok(())
}
