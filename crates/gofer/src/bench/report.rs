//! The results: as a table for people, and as JSON.

use std::fmt::Write;
use std::fs;

use serde::Serialize;

use super::figures::Figure;
use super::operation::Operation;
use super::stats::{self, Latencies, Slice, Spread};

/// All that was measured, and where.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: &'static str,
    kernel: String,
    processor: String,
    cores: usize,
    /// How long each was measured.
    seconds: f64,
    pub(super) measurements: Vec<Measurement>,
    pub(super) figures: Vec<Figure>,
}

/// An operation, with so many in flight.
#[derive(Debug, Serialize)]
pub(super) struct Measurement {
    pub(super) operation: Operation,
    pub(super) in_flight: u16,
    /// The first is the one that the others are compared with.
    pub(super) lanes: Vec<Lane>,
}

/// One of those that took turns.
#[derive(Debug, Serialize)]
pub(crate) struct Lane {
    /// A server's label, or `"direct"`, `"null"` or `"null shm"` for the floors.
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// What became of a lane.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Outcome {
    Measured(Measured),
    /// The server does not have it.
    Refused {
        refused: String,
    },
}

/// What was measured of a lane.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(super) operations_per_second: f64,
    pub(crate) bytes_per_second: Option<f64>,
    pub(crate) p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    server_cpu_us: Option<f64>,
    /// The first lane's rate for one of this lane's.
    first_by_this: Option<Spread>,
}

impl Measured {
    pub(super) fn new(
        operation: Operation,
        latencies: &Latencies,
        slices: &[Slice],
        first: &[Slice],
    ) -> Self {
        let rate = stats::rate(slices);
        let bytes = Some(operation.bytes()).filter(|bytes| *bytes > 0);
        Self {
            operations_per_second: rate,
            bytes_per_second: bytes.map(|bytes| f64::from(bytes) * rate),
            p50_us: latencies.quantile(0.5),
            p99_us: latencies.quantile(0.99),
            p999_us: latencies.quantile(0.999),
            server_cpu_us: stats::cpu(slices),
            first_by_this: Spread::of_rates(first, slices),
        }
    }
}

impl Report {
    /// An empty report of this machine.
    pub(super) fn new(seconds: f64) -> Self {
        let line = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let info = line("/proc/cpuinfo");
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            version: env!("CARGO_PKG_VERSION"),
            kernel: line("/proc/sys/kernel/osrelease"),
            processor: model.map_or_else(|| std::env::consts::ARCH, |(_, model)| model).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            seconds,
            measurements: Vec::new(),
            figures: Vec::new(),
        }
    }

    /// As a table.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "gofer {}, Linux {}, {} cores of {}; {} s for each, in turns\n",
            self.version, self.kernel, self.cores, self.processor, self.seconds
        );
        if let Some(first) = self.measurements.iter().find_map(|measurement| measurement.lanes.first()) {
            let first = &first.name;
            let names = self.measurements.iter().flat_map(|measurement| &measurement.lanes);
            let width = names.map(|lane| lane.name.chars().count()).max().unwrap_or(0).max(6);
            let head = format!("{first} / this (min .. max)");
            let _ = writeln!(
                text,
                "\n{:<18}{:<width$} {:>10} {:>8} {:>9} {:>9} {:>9} {:>9}  {head}",
                "operation", "", "op/s", "MB/s", "p50 us", "p99 us", "p99.9 us", "CPU us"
            );
            for measurement in &self.measurements {
                measurement.write(&mut text, width);
            }
        }
        if !self.figures.is_empty() {
            text.push('\n');
        }
        let widest = |of: fn(&Figure) -> &str, least: usize| {
            self.figures.iter().map(|figure| of(figure).chars().count()).fold(least, usize::max)
        };
        let (width, servers) = (widest(|f| &f.figure, 30), widest(|f| &f.server, 12));
        for Figure { figure, server, value, unit } in &self.figures {
            let line = format!("{figure:<width$}  {server:<servers$}  {:>12} {unit}", short(*value));
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }
}

impl Measurement {
    fn write(&self, text: &mut String, width: usize) {
        let mut title = format!("{} x{}", self.operation.name(), self.in_flight);
        for Lane { name, outcome } in &self.lanes {
            let _ = match outcome {
                Outcome::Refused { refused } => writeln!(text, "{title:<18}{name:<width$}  {refused}"),
                Outcome::Measured(measured) => {
                    let Measured { operations_per_second, p50_us, p99_us, p999_us, .. } = measured;
                    let optional = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), short);
                    let _ = write!(
                        text,
                        "{title:<18}{name:<width$} {:>10} {:>8} {:>9} {:>9} {:>9} {:>9}",
                        short(*operations_per_second),
                        optional(measured.bytes_per_second.map(|bytes| bytes / 1e6)),
                        short(*p50_us),
                        short(*p99_us),
                        short(*p999_us),
                        optional(measured.server_cpu_us),
                    );
                    match measured.first_by_this {
                        Some(Spread { min, median, max }) => {
                            writeln!(text, "  {} ({} .. {})", ratio(median), ratio(min), ratio(max))
                        }
                        None => writeln!(text),
                    }
                }
            };
            title.clear();
        }
    }
}

/// A ratio, with what can be trusted of it.
fn ratio(value: f64) -> String {
    if value < 0.1 { format!("{value:.3}") } else { format!("{value:.2}") }
}

/// A number, with three digits or all before the point.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name that was as wide as its column ran into the next.
    #[test]
    fn figures_stand_in_columns_however_long_their_names_are() {
        let mut report = Report::new(1.0);
        for (figure, server) in
            [("a figure whose name is rather long", "gofer"), ("short", "unix:/run/some.sock")]
        {
            let (figure, server) = (figure.to_owned(), server.to_owned());
            report.figures.push(Figure { figure, server, value: 1.0, unit: "" });
        }
        let text = report.text();
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with("a figure whose name is rather long  gofer  "), "{text}");
        assert_eq!(lines[0].len(), lines[1].len(), "{text}");
    }

    #[test]
    fn numbers_keep_three_digits() {
        assert_eq!(
            [0.0, 0.004, 1.234, 12.34, 123.4, 1_234_567.8].map(short),
            ["0", "0.00", "1.23", "12.3", "123", "1234568"]
        );
        assert_eq!([0.0123, 0.456, 2.0].map(ratio), ["0.012", "0.46", "2.00"]);
    }
}
