//! How fast a client reads, over all the ways to a file.

use std::path::Path;

use super::Stop;
use super::page::{Ink, Page};
use super::sample::{DATA, Sample};
use crate::bench::{self, Lane, Operation, Outcome, Server, Ways};
use crate::report::Failure;

/// What is measured, what it is, and for how long all of it together.
const MEASURED: [(Operation, &str); 2] = [
    (Operation::RandomRead, "4 KiB somewhere in a file of 16 MiB: the median time"),
    (Operation::Read1m, "The same file from end to end, 1 MiB at a time"),
];
const SECONDS: f64 = 0.4;

/// The columns of the longest bar.
const BAR: usize = 44;

/// Makes the files that are read, in an empty directory.
pub(super) fn fill(dir: &Path) -> std::io::Result<()> {
    bench::fill(dir, &MEASURED.map(|(operation, _)| operation))
}

/// Measures, and draws a bar for each way.
pub(super) fn show(page: &Page, sample: &Sample, server: &Server, stop: &Stop) -> Result<(), Failure> {
    let data = sample.tree().join(DATA);
    let ways = Ways::new(server, DATA, &data);
    for (operation, what) in MEASURED {
        page.line(what)?;
        let lanes = ways.measure(operation, SECONDS)?;
        stop.go_on()?;
        let most = lanes.iter().filter_map(|lane| figure(operation, lane)).map(|(value, _)| value);
        let most = most.fold(f64::MIN_POSITIVE, f64::max);
        for lane in &lanes {
            let line = match (figure(operation, lane), &lane.outcome) {
                (Some((value, said)), _) => {
                    format!("{said:>9}  {}", page.ink(Ink::Bar, &bar(value / most)))
                }
                (None, Outcome::Refused { refused }) => format!("        -  {refused}"),
                (None, Outcome::Measured(_)) => "        -".to_owned(),
            };
            page.line(&format!("  {:<20}{line}", lane.name))?;
        }
    }
    if cfg!(debug_assertions) {
        page.text("This is a debug build: cargo build --release makes one that is several times as fast.")?;
    }
    Ok(())
}

/// What is compared, and how it is said.
fn figure(operation: Operation, lane: &Lane) -> Option<(f64, String)> {
    let Outcome::Measured(measured) = &lane.outcome else { return None };
    if operation == Operation::RandomRead {
        return Some((measured.p50_us, format!("{:.1} µs", measured.p50_us)));
    }
    measured.bytes_per_second.map(|rate| (rate, format!("{:.1} GB/s", rate / 1e9)))
}

/// A bar in eighths of a column; of what was measured there is always something.
fn bar(part: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (1..=BAR * 8).take_while(|n| *n as f64 <= part * (BAR * 8) as f64).count().max(1);
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_part() {
        assert_eq!(bar(1.0).chars().count(), BAR);
        assert_eq!(bar(0.5).chars().count(), BAR / 2);
        assert_eq!(bar(0.0), "▏");
    }
}
