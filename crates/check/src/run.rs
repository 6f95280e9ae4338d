//! Running cases at an address, one by one, each within a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use gofer_vfs::Errno;

use crate::at::{At, Lane, Rights};
use crate::record::Exchange;
use crate::verdict::{Demand, Outcome, caught, judge};
use crate::{Case, FAMILIES, Family};

/// How often it is looked whether to stop.
const TICK: Duration = Duration::from_millis(50);

/// Which cases, and how they are run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `GROUP` or `GROUP/CASE`; all, where there are none.
    pub only: Vec<String>,
    /// How much is demanded.
    pub demand: Demand,
    /// How long a case may take.
    pub limit: Duration,
}

impl Plan {
    /// Whether a case is wanted.
    pub fn wants(&self, family: &Family, case: &Case) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| matches(only, family, case))
    }

    /// The first wish that no case fulfils.
    pub fn unknown(&self) -> Option<&str> {
        let is_known = |only: &String| cases().any(|(family, case)| matches(only, family, case));
        self.only.iter().find(|only| !is_known(only)).map(String::as_str)
    }
}

fn matches(only: &str, family: &Family, case: &Case) -> bool {
    match only.split_once('/') {
        Some((group, name)) => group == family.name && name == case.name,
        None => only == family.name,
    }
}

/// All cases there are.
pub fn cases() -> impl Iterator<Item = (&'static Family, &'static Case)> {
    FAMILIES.iter().flat_map(|family| family.cases.iter().map(move |case| (family, case)))
}

/// What a case came to.
#[derive(Debug)]
pub struct Line {
    /// Its group.
    pub group: &'static str,
    /// Its name.
    pub case: &'static str,
    /// How the server was spoken to.
    pub lane: Lane,
    /// Who has to pass it.
    pub demand: Demand,
    /// What it came to.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// How many cases came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// They are so.
    pub passed: usize,
    /// They are not.
    pub failed: usize,
    /// They could not be tried.
    pub skipped: usize,
}

/// Runs the cases of a plan and tells what each came to, until `stop` is set.
pub fn run(at: &Arc<At>, plan: &Plan, stop: &AtomicBool, mut tell: impl FnMut(&Line)) -> Counts {
    let mut counts = Counts::default();
    let mut is_dead = false;
    for family in &FAMILIES {
        for (case, lane) in
            family.cases.iter().flat_map(|case| at.lanes().iter().map(move |lane| (case, *lane)))
        {
            if !plan.wants(family, case) {
                continue;
            }
            if stop.load(Ordering::Relaxed) {
                return counts;
            }
            let begin = Instant::now();
            let mut outcome = match obstacle(at, plan, family, case) {
                Some(why) => Outcome::Skip { why: why.to_owned() },
                None if is_dead => Outcome::Skip { why: "the server is gone".to_owned() },
                None => match attempt(at, plan, family, case, lane, stop) {
                    Some(outcome) => outcome,
                    None => return counts,
                },
            };
            if let Outcome::Fail { why, .. } = &mut outcome
                && !at.is_alive()
            {
                is_dead = true;
                why.push_str("; the server does not answer any more");
            }
            let count = match &outcome {
                Outcome::Pass { .. } => &mut counts.passed,
                Outcome::Fail { .. } => &mut counts.failed,
                Outcome::Skip { .. } => &mut counts.skipped,
            };
            *count += 1;
            let (group, case, demand, took) = (family.name, case.name, case.demand, begin.elapsed());
            tell(&Line { group, case, lane, demand, outcome, took });
        }
    }
    counts
}

/// Why a case is not tried.
fn obstacle(at: &At, plan: &Plan, family: &Family, case: &Case) -> Option<&'static str> {
    if plan.demand == Demand::Protocol && case.demand == Demand::Exact {
        return Some("promised by gofer alone (--exact)");
    }
    if family.read_only && at.rights() != Rights::BeRefused {
        return Some("needs an export that is read-only (--ro, --export-dir)");
    }
    if !at.has_trees() && !case.is_bare {
        return Some("needs files of its own (--rw or --export-dir)");
    }
    None
}

/// Runs a case on a thread of its own; `None` when it was told to stop. A thread that hangs is left behind.
fn attempt(
    at: &Arc<At>,
    plan: &Plan,
    family: &Family,
    case: &Case,
    lane: Lane,
    stop: &AtomicBool,
) -> Option<Outcome> {
    let (tell, told) = mpsc::channel();
    let (at, case, demand, read_only) = (Arc::clone(at), *case, plan.demand, family.read_only);
    let work = move || {
        let site = match caught(|| at.site(lane, read_only, demand)).unwrap_or(Err(Errno::EPROTO)) {
            Ok(site) => site,
            Err(errno) if at.is_alive() => {
                return Outcome::Skip { why: format!("no tree could be made for it: {errno}") };
            }
            Err(errno) => return failed(format!("no tree could be made for it: {errno}")),
        };
        judge(&case, demand, || site)
    };
    let spawned = thread::Builder::new().name(case.name.chars().take(15).collect()).spawn(move || {
        // Nobody listens any more where it took too long.
        let _ = tell.send(work());
    });
    if let Err(error) = spawned {
        return Some(failed(format!("no thread could be started: {error}")));
    }
    let end = Instant::now() + plan.limit;
    loop {
        match told.recv_timeout(TICK) {
            Ok(outcome) => return Some(outcome),
            Err(RecvTimeoutError::Disconnected) => return Some(failed("it ended without a word".to_owned())),
            Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => return None,
            Err(RecvTimeoutError::Timeout) if Instant::now() >= end => {
                return Some(failed(format!("it took more than {:?}", plan.limit)));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn failed(why: String) -> Outcome {
    Outcome::Fail { why, last: Exchange::default() }
}
