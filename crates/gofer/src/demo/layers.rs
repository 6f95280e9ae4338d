//! What the server has given up: its own report, and what `/proc` says of the process.

use serde_json::Value;

use super::page::{Ink, Page};
use super::sample::Sample;
use crate::bench::{Rights, Server, sandbox_report};
use crate::report::Failure;

/// Says of each layer whether it holds here, and of the whole what that comes to.
pub(super) fn show(page: &Page, sample: &Sample, server: &Server) -> Result<(), Failure> {
    let report = sandbox_report(sample.path(), Rights::ReadOnly)?;
    let report: Value = serde_json::from_slice(&report)
        .map_err(|error| Failure::running(format!("cannot read the report of the sandbox: {error}")))?;
    let all = [
        ("namespaces", namespaces(&report), "every path of the host can be named"),
        ("capabilities", capabilities(&report), "all rights of the user are kept"),
        ("Landlock", landlock(&report), "files outside could be opened"),
        ("system calls", calls(&report), "every call can be made"),
    ];
    for (layer, held, otherwise) in &all {
        page.fact(held.is_some(), layer, held.as_deref().unwrap_or(otherwise))?;
    }
    let holds = all.iter().filter(|(_, held, _)| held.is_some()).count();
    for why in report["weaker_because"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        page.text(&format!("Not here: {why}."))?;
    }
    page.text(match all.len() - holds {
        0 => "All layers hold: who takes the server over has what is exported, no more.",
        _ => "This user and kernel allow no more. With --sandbox full it would not have started.",
    })?;
    outside(page, server)
}

/// What anybody can see of the process that serves.
fn outside(page: &Page, server: &Server) -> Result<(), Failure> {
    let Some(process) = server.process else { return Ok(()) };
    let field = |name| process.field(name).unwrap_or_else(|| "?".to_owned());
    let said = format!(
        "/proc says of it: Seccomp {}, NoNewPrivs {}, CapEff {}",
        field("Seccomp:"),
        field("NoNewPrivs:"),
        field("CapEff:")
    );
    page.line(&page.ink(Ink::Faint, &said))
}

fn namespaces(report: &Value) -> Option<String> {
    let names: Vec<_> = report["namespaces"].as_array()?.iter().filter_map(Value::as_str).collect();
    (!names.is_empty()).then(|| format!("{}, and an empty root", names.join(" ")))
}

fn capabilities(report: &Value) -> Option<String> {
    let kept = report["capabilities"]["kept"].as_array()?;
    let names: Vec<_> = kept.iter().filter_map(|one| one["name"].as_str()).collect();
    Some(if names.is_empty() { "none".to_owned() } else { format!("none but {}", names.join(" ")) })
}

fn landlock(report: &Value) -> Option<String> {
    let version = report["landlock"]["abi"].as_u64()?;
    Some(format!("version {version}: files below the export are opened, to be read"))
}

fn calls(report: &Value) -> Option<String> {
    let modules = report["seccomp"].as_array()?;
    let calls = modules.iter().filter_map(|module| module["calls"].as_array()).flatten();
    let mut names: Vec<_> = calls.filter_map(|call| call["call"].as_str()).collect();
    names.sort_unstable();
    names.dedup();
    Some(format!("{} are left, and any other ends the process", names.len()))
}
