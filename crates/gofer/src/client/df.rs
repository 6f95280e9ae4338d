//! `gofer df`.

use std::ffi::OsString;
use std::fmt::Write as _;

use gofer_vfs::{Backend, StatFs};
use serde_json::{Value, json};

use super::ls::{places, print_json};
use super::{Complaints, PLACE_NOTES, Reach, Servers, show};
use crate::report::{self, EXIT_CODES, Failure};

/// The options of `gofer df`.
#[derive(clap::Args, Debug)]
#[command(disable_help_flag = true, after_help = EXIT_CODES, after_long_help = format!("{PLACE_NOTES}\n\n{EXIT_CODES}"))]
pub(crate) struct Df {
    /// Files, whose file systems are shown.
    #[arg(value_name = "ADDR[/EXPORT]:PATH", required = true)]
    places: Vec<OsString>,

    /// Sizes in units of 1024, with a letter; without it in KiB.
    #[arg(short = 'h', long = "human-readable")]
    human: bool,

    /// Print help.
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,

    /// Show files instead of space.
    #[arg(short, long)]
    inodes: bool,

    /// Print JSON: a list of file systems.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    reach: Reach,
}

pub(crate) fn run(df: &Df) -> Result<(), Failure> {
    let mut servers = Servers::new(&df.reach);
    let complaints = Complaints::default();
    let mut rows = Vec::new();
    for remote in &places(&df.places)? {
        let client = servers.client(remote)?;
        match client.find(&remote.path).and_then(|(node, _)| Backend::statfs(&*client, &node)) {
            Ok(fs) => {
                complaints.done();
                rows.push((remote.to_string(), fs));
            }
            Err(errno) => complaints.add(format_args!("cannot look at {remote}"), errno),
        }
    }
    if df.json {
        print_json(&rows.iter().map(|(name, fs)| value(name, fs)).collect())?;
    } else {
        report::print(table(&rows, df).as_bytes())?;
    }
    complaints.outcome()
}

/// Sizes in bytes, whatever the server's blocks are.
fn in_bytes(blocks: u64, fs: &StatFs) -> u64 {
    blocks.saturating_mul(fs.block_size.into())
}

fn value(name: &str, fs: &StatFs) -> Value {
    json!({
        "place": name,
        "size": in_bytes(fs.blocks, fs),
        "used": in_bytes(fs.blocks.saturating_sub(fs.blocks_free), fs),
        "available": in_bytes(fs.blocks_available, fs),
        "files": fs.files,
        "files_free": fs.files_free,
        "name_max": fs.name_max,
    })
}

fn table(rows: &[(String, StatFs)], df: &Df) -> String {
    let size =
        |count: u64| if df.human { show::bytes(count, true) } else { count.div_ceil(1024).to_string() };
    let number = |count: u64| if df.human { show::bytes(count, true) } else { count.to_string() };
    let mut lines = vec![if df.inodes {
        ["Place", "Inodes", "IUsed", "IFree", "IUse%"].map(str::to_owned)
    } else {
        let unit = if df.human { "Size" } else { "1K-blocks" };
        ["Place", unit, "Used", "Available", "Use%"].map(str::to_owned)
    }];
    for (name, fs) in rows {
        let (all, used, free) = if df.inodes {
            (fs.files, fs.files.saturating_sub(fs.files_free), fs.files_free)
        } else {
            let used = fs.blocks.saturating_sub(fs.blocks_free);
            (in_bytes(fs.blocks, fs), in_bytes(used, fs), in_bytes(fs.blocks_available, fs))
        };
        // Of what ordinary users can have, as df(1) does it.
        let whole = u128::from(used) + u128::from(free);
        let percent = if whole == 0 {
            "-".to_owned()
        } else {
            format!("{}%", (u128::from(used) * 100).div_ceil(whole))
        };
        let cell = |count| if df.inodes { number(count) } else { size(count) };
        lines.push([name.clone(), cell(all), cell(used), cell(free), percent]);
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3, 4].map(width);
    let mut text = String::new();
    for [place, rest @ ..] in &lines {
        // Writing to a string cannot fail.
        let _ = write!(text, "{place:<w$}", w = widths[0]);
        for (cell, width) in rest.iter().zip(&widths[1..]) {
            let _ = write!(text, " {cell:>width$}");
        }
        text.push('\n');
    }
    text
}
