//! Numbers from many numbers: percentiles, and ratios with their spread.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// How long each of many operations took.
pub(super) struct Latencies(Histogram<u32>);

impl Latencies {
    /// None yet. Three digits of everything from a nanosecond to a minute are kept.
    pub(super) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3);
        Self(histogram.expect("the bounds are in order and the digits below six"))
    }

    pub(super) fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Microseconds that this part of all operations did not exceed.
    pub(super) fn quantile(&self, part: f64) -> f64 {
        self.0.value_at_quantile(part) as f64 / 1e3
    }
}

/// One turn of a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slice {
    pub(super) operations: u64,
    pub(super) took: Duration,
    /// CPU time that the server used.
    pub(super) cpu: Option<Duration>,
}

impl Slice {
    fn rate(&self) -> f64 {
        self.operations as f64 / self.took.as_secs_f64()
    }
}

/// Operations a second, over all slices.
pub(super) fn rate(slices: &[Slice]) -> f64 {
    let operations: u64 = slices.iter().map(|slice| slice.operations).sum();
    operations as f64 / slices.iter().map(|slice| slice.took).sum::<Duration>().as_secs_f64()
}

/// Microseconds of the server's CPU time for an operation; `None` when it was not to be seen.
pub(super) fn cpu(slices: &[Slice]) -> Option<f64> {
    let operations: u64 = slices.iter().map(|slice| slice.operations).sum();
    let cpu = slices.iter().map(|slice| slice.cpu).sum::<Option<Duration>>()?;
    Some(cpu.as_secs_f64() * 1e6 / operations as f64)
}

/// A ratio that was measured several times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
}

impl Spread {
    /// The spread of these; `None` of none.
    pub(super) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { min, median, max })
    }

    /// The first's rate for one of the second's, slice by slice: those that ran one after the other.
    pub(super) fn of_rates(first: &[Slice], second: &[Slice]) -> Option<Self> {
        Self::of(first.iter().zip(second).map(|(first, second)| first.rate() / second.rate()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(operations: u64, millis: u64, cpu: Option<u64>) -> Slice {
        Slice { operations, took: Duration::from_millis(millis), cpu: cpu.map(Duration::from_micros) }
    }

    #[test]
    fn percentiles_are_those_of_the_recorded() {
        let mut latencies = Latencies::new();
        (1..=1000).for_each(|n| latencies.record(Duration::from_micros(n)));
        for (part, micros) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0)] {
            let got = latencies.quantile(part);
            assert!((got / micros - 1.0).abs() < 0.002, "{part}: {got}");
        }
        latencies.record(Duration::from_secs(3600));
        assert!(latencies.quantile(1.0) >= 6e7, "what is too long counts as the longest");
    }

    #[test]
    fn a_spread_has_its_median_in_the_middle() {
        let spread = |values: &[f64]| Spread::of(values.to_vec());
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Some(Spread { min: 1.0, median: 2.5, max: 4.0 }));
    }

    #[test]
    fn rates_are_paired_slice_by_slice() {
        let fast = [slice(200, 100, None), slice(300, 100, None)];
        let slow = [slice(100, 100, Some(50)), slice(100, 200, Some(150))];
        let spread = Spread::of_rates(&fast, &slow).unwrap();
        assert!((spread.min - 2.0).abs() < 1e-9 && (spread.max - 6.0).abs() < 1e-9, "{spread:?}");
        assert!((rate(&fast) - 2500.0).abs() < 1e-6);
        assert!((cpu(&slow).unwrap() - 1.0).abs() < 1e-9);
        assert_eq!(cpu(&[slow[0], fast[0]]), None, "unknown in one slice is unknown");
    }
}
