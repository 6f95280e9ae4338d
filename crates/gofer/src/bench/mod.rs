//! `gofer bench`: what a 9P server can do, beside other servers and beside what the machine allows.
//!
//! All that are compared take turns, a slice each, so that what happens on the machine happens to all of them.
//! Among them are two floors: the system calls of the operation without a server (`direct`), and messages of the
//! same sizes exchanged with somebody who does nothing for them (`null`, and `null shm` through shared memory).
//!
//! | module | holds |
//! |---|---|
//! | `operation` | the operations, as chains of requests |
//! | `tree` | the files they work on |
//! | `client` `load` | the connection, and what keeps it busy |
//! | `direct` `null` | the floors |
//! | `server` `process` | what is measured, and what the system says of it |
//! | `figures` | memory, descriptors, start |
//! | `stats` `report` `plot` | numbers, table and JSON, picture |

mod client;
mod direct;
mod figures;
mod load;
mod null;
mod operation;
mod plot;
mod process;
mod report;
mod server;
mod stats;
mod tree;

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{ValueEnum, ValueHint};
use gofer_vfs::Errno;
use gofer_wire::p9::{Fid, Version};

use crate::report::{EXIT_CODES, Failure, errno};
pub(crate) use client::{Client, Failed, Names, ROOT};
pub(crate) use direct::fill;
use direct::{Direct, Reading};
use load::Load;
pub(crate) use operation::Operation;
pub(crate) use report::{Lane, Outcome};
use report::{Measured, Measurement, Report};
pub(crate) use server::{Own, Place, Rights, Scratch, Sealed, Server, sandbox_report};
use stats::{Latencies, Slice};
use tree::Tree;

/// What is said below the options.
const NOTES: &str = "\
Servers:
ADDR is unix:PATH or tcp:HOST:PORT. Behind it may stand ,aname=NAME (what to attach, instead of --aname), \
,name=LABEL (for the table) and ,pid=N (whose CPU time and memory count; on a unix socket it is found out). A \
directory of our own is made in what is attached, and removed at the end: the user must be able to write there.

What is printed:
Everybody takes turns in short slices. 'direct' makes the system calls of an operation without a server. 'null' \
exchanges messages of the same sizes with a thread that does nothing for them, 'null shm' through shared memory. On \
one core no server can be faster; on several it can, where the kernel wakes its peer on a nearer one. With one in flight, 'shm' behind a name is that server through a shared-memory channel of a Google \
session, where it has such. The last column divides the first server's rate by that of the row, slice by slice, and is the \
median of that with the least and the most.";

/// The options of `gofer bench`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{NOTES}\n\n{EXIT_CODES}"))]
pub(crate) struct Bench {
    /// The server to measure; without it, one of our own is started on a directory made for it.
    #[arg(value_name = "ADDR[,OPTION=VALUE..]")]
    addr: Option<Place>,

    /// Another server to compare it with; may be repeated.
    #[arg(long, value_name = "ADDR[,OPTION=VALUE..]")]
    vs: Vec<Place>,

    /// Compare with a server of our own that gives up nothing (--sandbox none), too.
    #[arg(long)]
    vs_unsealed: bool,

    /// What to attach at servers whose address does not say it.
    #[arg(long, value_name = "NAME", default_value = "/")]
    aname: String,

    /// Measure only these.
    #[arg(long, value_name = "OPERATION", value_delimiter = ',')]
    only: Option<Vec<Operation>>,

    /// How many operations to have in flight, one measurement for each number.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,4,16")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=64))]
    in_flight: Vec<u16>,

    /// How long to measure each.
    #[arg(long, value_name = "N", default_value = "1", value_parser = seconds)]
    seconds: f64,

    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,

    /// Draw the rates into this file, too.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    svg: Option<PathBuf>,
}

/// A time that is neither too short for a slice nor forgotten.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("write a number of seconds from 0.01 to 600".to_owned()),
    }
}

/// How often everybody gets a turn.
const TURNS: u32 = 9;

/// The names of the floors.
const FLOORS: [&str; 3] = ["direct", "null", "null shm"];

/// A server, and what was made at it.
struct Site {
    server: Server,
    client: Client,
    tree: Tree,
}

/// Measures, and prints what came of it.
pub(crate) fn run(bench: &Bench) -> Result<(), Failure> {
    gofer_sys::process::raise_nofile().map_err(|errno| {
        Failure::start(format!("cannot raise the limit of open files: {errno}; see ulimit -Hn"))
    })?;
    let all = || Operation::value_variants().iter().filter(|one| **one != Operation::MillionFids);
    let wanted = &bench.only.clone().unwrap_or_else(|| all().copied().collect());
    let scratch = Scratch::new("bench-local")?;
    fill(&scratch.tree(), wanted).map_err(|error| {
        let place = scratch.tree();
        Failure::start(format!(
            "cannot write to {place:?}: {}; set TMPDIR to another directory",
            errno(&error)
        ))
    })?;
    let mut own = Vec::new();
    if bench.addr.is_none() {
        own.push((Scratch::new("bench-served")?, Sealed::Yes));
    }
    if bench.vs_unsealed {
        own.push((Scratch::new("bench-unsealed")?, Sealed::No));
    }
    let mut sites = Vec::new();
    let done = open_sites(bench, wanted, &own, &mut sites)
        .and_then(|()| measure_all(bench, wanted, &scratch.tree(), &sites));
    let removed = sites
        .iter_mut()
        .map(|site| site.tree.remove(&mut site.client).map_err(|failed| site.server.failure(&failed)));
    let removed: Vec<_> = removed.collect();
    let report = done?;
    removed.into_iter().collect::<Result<(), _>>()?;
    publish(bench, &report)
}

/// Starts or finds the servers, and makes what is needed at each.
fn open_sites(
    bench: &Bench,
    wanted: &[Operation],
    own: &[(Scratch, Sealed)],
    sites: &mut Vec<Site>,
) -> Result<(), Failure> {
    let ours = own
        .iter()
        .map(|(dir, sealed)| Server::start(dir.path(), Rights::ReadWrite, *sealed).map(|(server, _)| server));
    let ours = ours.collect::<Result<Vec<_>, _>>()?;
    let found = bench.addr.iter().chain(&bench.vs).map(|place| Server::at(place, &bench.aname));
    let slots = bench.in_flight.iter().copied().max().unwrap_or(1);
    for mut server in ours.into_iter().chain(found) {
        let mut client = server.attach(Version::BASE).map_err(|failed| server.unusable(&failed))?;
        server.find_process(&client);
        match Tree::make(&mut client, wanted, slots) {
            Ok(tree) => sites.push(Site { server, client, tree }),
            Err((mut tree, failed)) => {
                // The first failure is the one to tell.
                let _ = tree.remove(&mut client);
                return Err(server.unusable(&failed));
            }
        }
    }
    Ok(())
}

fn measure_all(bench: &Bench, wanted: &[Operation], local: &Path, sites: &[Site]) -> Result<Report, Failure> {
    let slice = Duration::from_secs_f64(bench.seconds / f64::from(TURNS));
    let mut report = Report::new(bench.seconds);
    for &operation in wanted {
        let in_flight = if operation == Operation::Donated { &[1][..] } else { &bench.in_flight };
        match operation {
            Operation::Start if bench.addr.is_none() => figures::start(&mut report.figures)?,
            Operation::Start => {}
            Operation::Fids | Operation::MillionFids | Operation::Connections | Operation::Neighbours => {
                progress(&operation.name());
                for Site { server, tree, .. } in sites {
                    figures::hold(operation, server, tree, &mut report.figures)
                        .map_err(|failed| server.failure(&failed))?;
                }
            }
            _ => {
                for &in_flight in in_flight {
                    progress(&format!("{} x{in_flight}", operation.name()));
                    report.measurements.push(measure(operation, in_flight, slice, local, sites)?);
                }
            }
        }
    }
    Ok(report)
}

/// What is being measured, for somebody who waits at a terminal.
fn progress(what: &str) {
    if io::stderr().is_terminal() {
        // Nobody waits where it cannot be written.
        let _ = writeln!(io::stderr(), "{what}");
    }
}

/// Somebody who takes turns.
struct Runner<'a> {
    name: String,
    server: Option<&'a Server>,
    /// Or why there is none.
    turn: Result<Turn, String>,
    latencies: Latencies,
    slices: Vec<Slice>,
}

/// One slice of work; says how often the operation was done.
type Turn = Box<dyn FnMut(Duration, &mut Latencies) -> Result<u64, Failed>>;

impl<'a> Runner<'a> {
    fn new(name: &str, server: Option<&'a Server>, turn: Result<Turn, Failed>) -> Result<Self, Failure> {
        let turn = match turn {
            Ok(turn) => Ok(turn),
            Err(failed @ Failed::Refused(..)) => Err(failed.to_string()),
            Err(failed) => return Err(lost(name, server, &failed)),
        };
        Ok(Self { name: name.to_owned(), server, turn, latencies: Latencies::new(), slices: Vec::new() })
    }

    /// Takes a turn of this length. One that is refused is the last.
    fn run(&mut self, length: Duration) -> Result<(), Failure> {
        let Ok(turn) = &mut self.turn else { return Ok(()) };
        let process = self.server.and_then(|server| server.process);
        let before = process.and_then(|process| process.cpu());
        let start = Instant::now();
        match turn(length, &mut self.latencies) {
            Ok(operations) => {
                let took = start.elapsed();
                let after = process.and_then(|process| process.cpu());
                let cpu = before.zip(after).map(|(before, after)| after.since(&before));
                self.slices.push(Slice { operations, took, cpu });
                Ok(())
            }
            Err(failed @ Failed::Refused(..)) => {
                self.turn = Err(failed.to_string());
                Ok(())
            }
            Err(failed) => Err(lost(&self.name, self.server, &failed)),
        }
    }

    /// A turn that does not count.
    fn warm_up(&mut self, length: Duration) -> Result<(), Failure> {
        self.run(length)?;
        (self.latencies, self.slices) = (Latencies::new(), Vec::new());
        Ok(())
    }
}

fn lost(name: &str, server: Option<&Server>, failed: &Failed) -> Failure {
    match server {
        Some(server) => server.failure(failed),
        None => Failure::running(format!("the floor \"{name}\" cannot be measured: {failed}; try again")),
    }
}

/// Measures an operation, everybody in turns.
fn measure(
    operation: Operation,
    in_flight: u16,
    slice: Duration,
    local: &Path,
    sites: &[Site],
) -> Result<Measurement, Failure> {
    let mut runners = Vec::new();
    let (mut null, mut null_channel) = (None, None);
    for Site { server, tree, .. } in sites {
        let turn = if operation == Operation::Donated {
            donated(operation, server, tree)
        } else {
            load(operation, in_flight, server, tree)
                .and_then(|load| with_floor(load, &mut null, |script| null::serve(&script, in_flight)))
        };
        runners.push(Runner::new(&server.label, Some(server), turn)?);
    }
    if in_flight == 1 && operation != Operation::Donated {
        for Site { server, tree, .. } in sites {
            // Most servers have no channels, which is no failure of theirs.
            let turn = load_through_channel(operation, server, tree)
                .and_then(|load| with_floor(load, &mut null_channel, null::serve_channel));
            if let Ok(turn) = turn {
                runners.push(Runner::new(&format!("{} shm", server.label), Some(server), Ok(turn))?);
            }
        }
    }
    runners.push(Runner::new(FLOORS[0], None, direct(operation, local))?);
    for (name, floor) in FLOORS[1..].iter().zip([null, null_channel]) {
        if let Some(floor) = floor {
            runners.push(Runner::new(name, None, Ok(floor))?);
        }
    }
    let lanes = take_turns(runners, operation, slice)?;
    Ok(Measurement { operation, in_flight, lanes })
}

/// What became of those who took turns.
fn take_turns(
    mut runners: Vec<Runner<'_>>,
    operation: Operation,
    slice: Duration,
) -> Result<Vec<Lane>, Failure> {
    for runner in &mut runners {
        runner.warm_up(slice / 4)?;
    }
    for _ in 0..TURNS {
        for runner in &mut runners {
            runner.run(slice)?;
        }
    }
    let first: Vec<Slice> = runners.first().map(|runner| runner.slices.clone()).unwrap_or_default();
    let lanes = runners.into_iter().enumerate().map(|(number, runner)| {
        let first = if number == 0 { &[][..] } else { &first };
        let outcome = match runner.turn {
            Ok(_) => Outcome::Measured(Measured::new(operation, &runner.latencies, &runner.slices, first)),
            Err(refused) => Outcome::Refused { refused },
        };
        Lane { name: runner.name, outcome }
    });
    Ok(lanes.collect())
}

/// All the ways to the files in a directory of a server's tree, which is `local` here.
pub(crate) struct Ways<'a> {
    server: &'a Server,
    local: &'a Path,
    tree: Tree,
}

impl<'a> Ways<'a> {
    /// Those to a directory that was [filled](fill).
    pub(crate) fn new(server: &'a Server, name: &str, local: &'a Path) -> Self {
        Self { server, local, tree: Tree::named(name) }
    }

    /// Measures an operation that reads, one at a time, over all the ways to a file: the socket, shared memory, the
    /// descriptor that the server donates, and without a server.
    pub(crate) fn measure(&self, operation: Operation, seconds: f64) -> Result<Vec<Lane>, Failure> {
        let Self { server, local, tree } = self;
        let socket = load(operation, 1, server, tree).map(turn);
        let channel = load_through_channel(operation, server, tree).map(turn);
        let runners = vec![
            Runner::new("socket", Some(server), socket)?,
            Runner::new("shared memory", Some(server), channel)?,
            Runner::new("donated descriptor", Some(server), donated(operation, server, tree))?,
            Runner::new("no server", None, direct(operation, local))?,
        ];
        take_turns(runners, operation, Duration::from_secs_f64(seconds / f64::from(TURNS)))
    }
}

/// An operation at a server.
fn load(operation: Operation, in_flight: u16, server: &Server, tree: &Tree) -> Result<Load, Failed> {
    // Some servers end the connection for a message that they do not know.
    let version = if operation == Operation::Walkgetattr { Version::HIGHEST } else { Version::BASE };
    let mut client = server.attach(version)?;
    tree.walk(&mut client)?;
    Load::new(client, operation, 0..in_flight)
}

/// As [`load`], through shared memory.
fn load_through_channel(operation: Operation, server: &Server, tree: &Tree) -> Result<Load, Failed> {
    let mut client = server.attach(Version::HIGHEST)?;
    tree.walk(&mut client)?;
    client.use_channel()?;
    Load::new(client, operation, tree.spare())
}

fn turn(mut load: Load) -> Turn {
    Box::new(move |length, into| load.run(length, into))
}

/// An operation; and at nobody's, with the replies of the first that has it.
fn with_floor(
    mut load: Load,
    floor: &mut Option<Turn>,
    serve: impl FnOnce(Vec<Vec<u8>>) -> gofer_vfs::Result<Client>,
) -> Result<Turn, Failed> {
    if floor.is_none() {
        let client = serve(load.script()?).map_err(|errno| Failed::Lost(errno.to_string()))?;
        *floor = Some(turn(load.like(client)));
    }
    Ok(turn(load))
}

/// An operation without a server.
fn direct(operation: Operation, local: &Path) -> Result<Turn, Failed> {
    let lost = |errno: Errno| Failed::Lost(errno.to_string());
    if operation == Operation::Donated {
        let file = File::open(local.join(tree::small(0))).map_err(|error| lost(errno(&error)))?;
        return Ok(reading(file, operation));
    }
    let mut direct = Direct::new(local, operation).map_err(lost)?;
    Ok(Box::new(move |length, into| direct.run(length, into).map_err(lost)))
}

/// Reading by a descriptor that a server gave away.
fn donated(operation: Operation, server: &Server, tree: &Tree) -> Result<Turn, Failed> {
    const DONATED: Fid = Fid(2);
    let name = if operation == Operation::Donated { tree::small(0) } else { tree::LARGE.to_owned() };
    let mut client = server.attach(Version::HIGHEST)?;
    tree.walk(&mut client)?;
    client.walk(Tree::FID, DONATED, &Names::new(&[&name]))?;
    client.open_for_descriptor(DONATED).map(|descriptor| reading(File::from(descriptor), operation))
}

fn reading(file: File, operation: Operation) -> Turn {
    let lost = |error: io::Error| Failed::Lost(errno(&error).to_string());
    let mut reading = Reading::new(file, operation);
    Box::new(move |length, into| reading.run(length, into).map_err(lost))
}

/// Prints the report, and writes the picture.
fn publish(bench: &Bench, report: &Report) -> Result<(), Failure> {
    if let Some(path) = &bench.svg {
        fs::write(path, plot::svg(report)).map_err(|error| {
            Failure::running(format!("cannot write {path:?}: {}; choose another file", errno(&error)))
        })?;
    }
    let text = if bench.json {
        let json = serde_json::to_string_pretty(report);
        let json =
            json.map_err(|error| Failure::running(format!("cannot write JSON: {error}; leave --json out")))?;
        json + "\n"
    } else {
        report.text()
    };
    crate::report::print(text.as_bytes())
}
