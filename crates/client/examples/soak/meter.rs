//! How long a modest client waits.

use std::thread;
use std::time::{Duration, Instant};

use gofer_transport::Address;
use gofer_vfs::Backend;

use crate::{Result, connect};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(2);

/// Asks for attributes now and then and prints percentiles of the time it took, in microseconds. Through restarts of
/// the server it connects again; that time does not count.
pub(crate) fn run(address: &Address, export: &str, length: Duration) -> Result<()> {
    let end = Instant::now() + length;
    let mut took = Vec::new();
    while Instant::now() < end {
        let Ok(client) = connect(address, export) else {
            thread::sleep(PAUSE);
            continue;
        };
        let Ok((root, _)) = client.attach() else { continue };
        while Instant::now() < end {
            let start = Instant::now();
            if client.getattr(&root).is_err() && client.ended().is_some() {
                break;
            }
            took.push(start.elapsed());
            thread::sleep(PAUSE);
        }
    }
    took.sort();
    let at = |part: usize| took.get(took.len() * part / 1000).map_or(0, Duration::as_micros);
    let longest = took.last().map_or(0, Duration::as_micros);
    println!("{} p50 {} p99 {} p99.9 {longest} longest, in us", at(500), at(990), at(999));
    Ok(())
}
