//! The sandbox: from a configuration to a sealed process, and what is said of it.

use std::fmt::Write;

use gofer_jail::{Abi, Ended, Plan, Report, Sealed, Tasks, Tree};
use gofer_transport::listener::SocketFile;
use gofer_vfs::XattrPolicy;
use serde_json::{Value, json};

use crate::args::ReportFormat;
use crate::config::{Config, Listen};
use crate::report::Failure;

/// Seals the process. The files are those of sockets that listen, to be removed when all is over.
pub(crate) fn enter(
    config: &Config,
    trees: Vec<Tree>,
    files: Vec<SocketFile>,
) -> Result<(Sealed, Report), Failure> {
    let plan = Plan {
        trees,
        tasks: Tasks {
            listen: config.listen.iter().any(|listen| !matches!(listen, Listen::Connection(_))),
            xattrs: config.xattr != XattrPolicy::None,
            host_sockets: config.sockets.may_connect(),
            // 9P has no messages for these.
            new_sockets: false,
            credentials: false,
            rename_flags: false,
            channels: config.limits.channels > 0,
            donate: config.listen.iter().any(Listen::may_be_unix),
            own_rights: config.own_rights,
        },
        users: config.users,
        violation: config.violation,
        landlock: Abi::NEWEST,
        at_end: Box::new(move |ended| {
            files.iter().for_each(SocketFile::remove);
            if let Some(Ended::Signal(signal)) = ended {
                tracing::error!("{}", ended_by(signal));
            }
        }),
    };
    let sealed = plan.enter(config.sandbox).map_err(Failure::start)?;
    quiet_panics();
    Ok(sealed)
}

/// What the keeper says of a server that did not end by itself.
fn ended_by(signal: i32) -> String {
    /// `SIGSYS` of `signal(7)`.
    const SIGSYS: i32 = 31;
    match signal {
        SIGSYS => {
            "the server was ended: it made a system call that no operation makes; it may have been taken \
                   over. The kernel's log names the call; please report it"
                .to_owned()
        }
        other => format!("the server was ended by signal {other}"),
    }
}

/// Panics are caught and told in one line. The usual way to tell of one looks for the program's file, if the
/// environment asks for it, and nothing can be looked for any more.
pub(crate) fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
}

/// In one line.
pub(crate) fn summary(report: &Report) -> String {
    let mut parts = Vec::new();
    if !report.namespaces.is_empty() {
        parts.push(format!("namespaces ({}), an empty root", report.namespaces.join(" ")));
    }
    if let Some((abi, _)) = &report.landlock {
        parts.push(format!("Landlock {abi}"));
    }
    if let Some(calls) = &report.seccomp {
        parts.push(format!("{} system calls", names(calls)));
    }
    match &report.capabilities {
        Some(held) if held.kept.is_empty() => parts.push("no capabilities".to_owned()),
        Some(held) => parts.push(held.kept.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ")),
        None => {}
    }
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

/// What somebody should know who relies on it.
pub(crate) fn warnings(report: &Report) -> Vec<String> {
    if report.limits.is_none() {
        return vec![
            "no sandbox: a client that takes the server over has all the rights of its user".to_owned(),
        ];
    }
    report
        .weaker
        .iter()
        .map(|why| format!("the sandbox is weaker than it could be: {}", missing(why)))
        .collect()
}

/// What is missing of the sandbox, why, and what to do. Without it the process is sealed all the same.
fn missing(why: &gofer_jail::Error) -> String {
    let gofer_jail::Error { layer, what, errno, fix, .. } = why;
    format!("{layer}: {what}: {errno}; {fix}")
}

/// How many different calls there are.
fn names(modules: &[gofer_jail::Operations]) -> usize {
    let mut names: Vec<_> = modules.iter().flat_map(|module| &module.calls).map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    names.len()
}

/// All of it.
pub(crate) fn print(report: &Report, format: ReportFormat) -> Result<String, Failure> {
    match format {
        ReportFormat::Text => Ok(text(report)),
        ReportFormat::Json => serde_json::to_string_pretty(&value(report))
            .map(|json| json + "\n")
            .map_err(|error| Failure::running(format!("cannot write JSON: {error}; print text"))),
    }
}

/// In lines for people.
pub(crate) fn text(report: &Report) -> String {
    let mut text = format!("sandbox       {}\n", summary(report));
    // Writing to a string cannot fail.
    let mut line = |label: &str, fact: String| {
        let _ = writeln!(text, "{label:<13} {fact}");
    };
    for why in &report.weaker {
        line("weaker", missing(why));
    }
    line("namespaces", or_none(report.namespaces.join(" ")));
    line("descriptors", format!("{} inherited ones closed", report.closed));
    if let Some(most) = report.limits {
        line("limits", format!("{most} open files; no core dump"));
        line("privileges", "none are gained; memory is hidden, data is no code; no keys".to_owned());
    }
    if let Some(held) = &report.capabilities {
        for (name, reason) in &held.kept {
            line("capability", format!("{name:<20} {reason}"));
        }
        let bounds = if held.bounded { "empty" } else { "as it was: no new rights come by it" };
        line("capabilities", format!("{} kept; bounding set {bounds}", held.kept.len()));
    }
    if let Some((abi, rules)) = &report.landlock {
        line("landlock", format!("version {abi} of the interface"));
        for rule in rules {
            line("landlock", format!("{}: {}", rule.path, rule.rights));
        }
    }
    match report.families {
        None => {}
        Some([]) => line("sockets", "none are made".to_owned()),
        Some(families) => line("sockets", format!("made of these families only: {}", families.join(" "))),
    }
    for module in report.seccomp.iter().flatten() {
        let calls = module.calls.iter().map(|(name, forms)| match forms {
            0 => (*name).to_owned(),
            n => format!("{name}[{n}]"),
        });
        line("calls", format!("{:<10} {}", module.module, calls.collect::<Vec<_>>().join(" ")));
    }
    text
}

fn or_none(words: String) -> String {
    if words.is_empty() { "none".to_owned() } else { words }
}

fn value(report: &Report) -> Value {
    let capabilities = report.capabilities.as_ref().map(|held| {
        let kept: Vec<_> =
            held.kept.iter().map(|(name, why)| json!({ "name": name, "reason": why })).collect();
        json!({ "kept": kept, "bounding_set_emptied": held.bounded })
    });
    let landlock = report.landlock.as_ref().map(|(abi, rules)| {
        let rules: Vec<_> =
            rules.iter().map(|rule| json!({ "path": rule.path, "rights": rule.rights })).collect();
        json!({ "abi": abi, "rules": rules })
    });
    let seccomp = report.seccomp.as_ref().map(|modules| {
        let calls = |module: &gofer_jail::Operations| {
            module
                .calls
                .iter()
                .map(|(name, forms)| json!({ "call": name, "forms": forms }))
                .collect::<Vec<_>>()
        };
        modules
            .iter()
            .map(|module| json!({ "module": module.module, "calls": calls(module) }))
            .collect::<Vec<_>>()
    });
    json!({
        "namespaces": report.namespaces,
        "descriptors_closed": report.closed,
        "open_files": report.limits,
        "capabilities": capabilities,
        "landlock": landlock,
        "socket_families": report.families,
        "seccomp": seccomp,
        "weaker_because": report.weaker.iter().map(missing).collect::<Vec<_>>(),
    })
}
