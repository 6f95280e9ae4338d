//! `gofer check`: the contract, demanded of any server.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::ValueHint;
use gofer_check::at::{At, Options, Rights};
use gofer_check::run::{self, Counts, Line, Plan};
use gofer_check::{Demand, Outcome, verdict};
use gofer_sys::process;
use gofer_transport::Address;
use serde::Serialize;

use crate::report::{EXIT_CODES, Failure, errno, print};
use crate::signals;

/// What is said below the options.
const NOTES: &str = "\
What is done:
Each line is a case: PASS, FAIL with the message and its answer, or SKIP with what it would need. A case demands what \
9P2000.L demands of any server; which errno it answers is the server's choice, and where the protocol leaves a choice \
there is a note and no FAIL. --exact demands what gofer promises beyond that. Cases are run in each way that the server \
can be spoken to: 9P2000.L, its Google extensions, shared memory.

What is touched:
Without --rw nothing is sent that changes a file. With it, a directory of our own is made in what is attached, and \
removed at the end, when it is told to end by INT or TERM too. With --export-dir, which is what the server exports on \
this host, files are also put there and looked at by the host: only so can it be seen whether a link of the host leads a \
client out. What lies outside is a directory of our own in TMPDIR.

Do not check a server that others rely on: some cases are floods, and some servers do not survive.";

/// The options of `gofer check`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{NOTES}\n\n{EXIT_CODES}"))]
pub(crate) struct Check {
    /// The server: unix:PATH, tcp:HOST:PORT or vsock:CID:PORT.
    #[arg(value_name = "ADDR", required_unless_present = "list", value_parser = address)]
    addr: Option<Address>,

    /// What to attach.
    #[arg(long, value_name = "NAME", default_value = "/")]
    aname: String,

    /// The directory of this host that is exported as what is attached.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    export_dir: Option<PathBuf>,

    /// Make, change and remove files, in a directory for it.
    #[arg(long)]
    rw: bool,

    /// The export is read-only: demand that every change is refused.
    #[arg(long, conflicts_with = "rw", requires = "export_dir")]
    ro: bool,

    /// Demand what gofer promises too, to the errno.
    #[arg(long)]
    exact: bool,

    /// Run only these.
    #[arg(long, value_name = "GROUP[/CASE]", value_delimiter = ',')]
    only: Vec<String>,

    /// Print the cases and who has to pass them, and do nothing.
    #[arg(long)]
    list: bool,

    /// Print JSON, an object a line.
    #[arg(long)]
    json: bool,

    /// Print the notes too: freedoms that the server takes.
    #[arg(short, long)]
    verbose: bool,

    /// A server that has not answered for this long is stuck.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,

    /// The user to attach as [default: the one who runs this].
    #[arg(long, value_name = "UID")]
    user: Option<u32>,
}

fn address(text: &str) -> Result<Address, String> {
    match text.parse().map_err(|error: gofer_transport::Error| error.to_string())? {
        Address::Inherited(_) => Err("more than one connection is needed".to_owned()),
        address => Ok(address),
    }
}

/// How long a case may take, whatever the server answers meanwhile.
const CASE: Duration = Duration::from_secs(120);

/// Checks a server, and prints what came of it.
pub(crate) fn run(check: &Check) -> Result<(), Failure> {
    let patience = Duration::from_secs(check.timeout);
    let demand = if check.exact { Demand::Exact } else { Demand::Protocol };
    let plan = Plan { only: check.only.clone(), demand, limit: CASE.max(patience * 3) };
    if let Some(unknown) = plan.unknown() {
        return Err(Failure::usage(format!("there is no case {unknown:?}; see gofer check --list")));
    }
    let Some(address) = check.addr.clone().filter(|_| !check.list) else { return list(&plan) };
    process::raise_nofile().map_err(|errno| {
        Failure::start(format!("cannot raise the limit of open files: {errno}; see ulimit -Hn"))
    })?;
    process::clear_umask();
    let stop = Arc::new(AtomicBool::new(false));
    let signals = signals::take().and_then(|signals| {
        let stop = Arc::clone(&stop);
        signals::watch(signals, move || stop.store(true, Ordering::Relaxed))
    });
    signals.map_err(|error| Failure::start(format!("cannot take signals: {}; try again", errno(&error))))?;
    // What a case says when it fails is a part of its line.
    std::panic::set_hook(Box::new(verdict::remember_panic));
    let rights = match (check.rw, check.ro) {
        (true, _) => Rights::Change,
        (_, true) => Rights::BeRefused,
        _ => Rights::Look,
    };
    let options = Options {
        address,
        aname: check.aname.clone(),
        export_dir: check.export_dir.clone(),
        rights,
        user: check.user.unwrap_or_else(|| process::user().0.0),
        patience,
    };
    let at = At::reach(options).map_err(Failure::start)?;
    let mut printed = Ok(());
    let counts = run::run(&at, &plan, &stop, |line| {
        if printed.is_ok() {
            printed = print(if check.json { json(line) } else { text(line, check.verbose) }.as_bytes());
        }
    });
    let left = at.remove();
    gofer_check::remove_outside();
    printed?;
    print(sum(&at, counts, check.json).as_bytes())?;
    if let Some((path, errno)) = left {
        return Err(Failure::running(format!(
            "cannot remove {path:?} in the export: {errno}; remove it yourself"
        )));
    }
    if stop.load(Ordering::Relaxed) {
        return Err(Failure::running("told to end; what was made is removed"));
    }
    if counts.failed > 0 { Err(Failure::check()) } else { Ok(()) }
}

/// The cases of a plan and who has to pass them.
fn list(plan: &Plan) -> Result<(), Failure> {
    let wanted = run::cases().filter(|(family, case)| plan.wants(family, case));
    let line = |(family, case): (&gofer_check::Family, &gofer_check::Case)| {
        format!("{:<72} {}\n", format!("{}/{}", family.name, case.name), who(case.demand))
    };
    print(wanted.map(line).collect::<String>().as_bytes())
}

fn who(demand: Demand) -> &'static str {
    match demand {
        Demand::Protocol => "9P2000.L",
        Demand::Exact => "gofer",
    }
}

fn text(line: &Line, verbose: bool) -> String {
    let name = format!("{}/{} ({})", line.group, line.case, line.lane);
    let mut text = match &line.outcome {
        Outcome::Pass { .. } => format!("{} {name}\n", coloured("PASS", 32)),
        Outcome::Skip { why } => format!("{} {name}: {why}\n", coloured("SKIP", 33)),
        Outcome::Fail { why, last } => {
            let mut text = format!("{} {name}\n     {why}\n", coloured("FAIL", 31));
            for (what, message) in [("sent", &last.sent), ("answer", &last.answer)] {
                let message = if message.is_empty() { "nothing" } else { message };
                text += &format!("     {what:<7} {message}\n");
            }
            text
        }
    };
    if let (Outcome::Pass { notes }, true) = (&line.outcome, verbose) {
        notes.iter().for_each(|note| text += &format!("     note    {note}\n"));
    }
    text
}

fn coloured(word: &str, colour: u8) -> String {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if std::io::stdout().is_terminal() && !forbidden {
        format!("\x1b[{colour}m{word}\x1b[m")
    } else {
        word.to_owned()
    }
}

/// A line, for programs.
#[derive(Serialize)]
struct Report<'a> {
    group: &'a str,
    case: &'a str,
    lane: String,
    demanded_of: &'a str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
    seconds: f64,
}

fn json(line: &Line) -> String {
    let mut report = Report {
        group: line.group,
        case: line.case,
        lane: line.lane.to_string(),
        demanded_of: match line.demand {
            Demand::Protocol => "all",
            Demand::Exact => "gofer",
        },
        outcome: "pass",
        why: None,
        sent: None,
        answer: None,
        notes: &[],
        seconds: line.took.as_secs_f64(),
    };
    match &line.outcome {
        Outcome::Pass { notes } => report.notes = notes,
        Outcome::Skip { why } => (report.outcome, report.why) = ("skip", Some(why.as_str())),
        Outcome::Fail { why, last } => {
            (report.outcome, report.why) = ("fail", Some(why.as_str()));
            (report.sent, report.answer) = (Some(last.sent.as_str()), Some(last.answer.as_str()));
        }
    }
    encoded(&report)
}

/// The last line.
fn sum(at: &At, counts: Counts, json: bool) -> String {
    let Counts { passed, failed, skipped } = counts;
    if json {
        #[derive(Serialize)]
        struct Sum {
            server: String,
            passed: usize,
            failed: usize,
            skipped: usize,
        }
        return encoded(&Sum { server: at.facts(), passed, failed, skipped });
    }
    format!("the server: {}\n{passed} passed, {failed} failed, {skipped} skipped\n", at.facts())
}

fn encoded(report: &impl Serialize) -> String {
    // Strings and numbers can always be written.
    serde_json::to_string(report).unwrap_or_default() + "\n"
}
