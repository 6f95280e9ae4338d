//! What the system says of a server's process (`proc(5)`).

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// A process of this host, by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(super) u32);

/// The CPU time of each thread, in nanoseconds.
pub(super) struct Cpu(HashMap<String, u64>);

impl Process {
    /// The process that serves: where this one only keeps a sealed server, the server.
    pub(super) fn serving(self) -> Self {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.0)).unwrap_or_default();
        let name = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).ok();
        match children.split_ascii_whitespace().map(str::parse).collect::<Vec<_>>()[..] {
            [Ok(child)] if name(child) == name(self.0) => Self(child),
            _ => self,
        }
    }

    /// Whether it exists and may be looked at.
    pub(super) fn is_known(&self) -> bool {
        self.rss().is_some()
    }

    /// Resident memory, in bytes.
    pub(super) fn rss(&self) -> Option<u64> {
        self.status("VmRSS:").map(|kib| kib * 1024)
    }

    /// Resident memory that is the process's own and not that of a file, in bytes.
    pub(super) fn anonymous(&self) -> Option<u64> {
        self.status("RssAnon:").map(|kib| kib * 1024)
    }

    /// How many threads it has.
    pub(super) fn threads(&self) -> Option<u64> {
        self.status("Threads:")
    }

    /// How many descriptors it holds.
    pub(super) fn descriptors(&self) -> Option<u64> {
        fs::read_dir(format!("/proc/{}/fd", self.0)).ok().map(|entries| entries.count() as u64)
    }

    fn status(&self, field: &str) -> Option<u64> {
        self.field(field)?.split_ascii_whitespace().next()?.parse().ok()
    }

    /// A field of its status, with the ':' behind its name.
    pub(crate) fn field(&self, field: &str) -> Option<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).ok()?;
        status.lines().find_map(|line| line.strip_prefix(field)).map(|value| value.trim().to_owned())
    }

    /// The CPU time that its threads have used until now; `None` where the kernel does not keep account.
    pub(super) fn cpu(&self) -> Option<Cpu> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0)).ok()?;
        let time = |task: fs::DirEntry| {
            let schedstat = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let nanos = schedstat.split_ascii_whitespace().next()?.parse().ok()?;
            Some((task.file_name().into_string().ok()?, nanos))
        };
        // A thread that ends meanwhile is left out.
        let times: HashMap<_, _> = tasks.flatten().filter_map(time).collect();
        (!times.is_empty()).then_some(Cpu(times))
    }
}

impl Cpu {
    /// What was used since, but for threads that ended.
    pub(super) fn since(&self, before: &Self) -> Duration {
        let used = self.0.iter().map(|(task, now)| now.saturating_sub(*before.0.get(task).unwrap_or(&0)));
        Duration::from_nanos(used.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_known() {
        let this = Process(std::process::id());
        assert!(this.is_known() && this.threads() >= Some(1) && this.descriptors() >= Some(3));
        assert!(!Process(u32::MAX).is_known());
    }

    #[test]
    fn cpu_time_is_the_sum_over_threads_that_are_left() {
        let cpu = |times: &[(&str, u64)]| {
            Cpu(times.iter().map(|(task, time)| ((*task).to_owned(), *time)).collect())
        };
        let (before, after) = (cpu(&[("1", 10), ("2", 20)]), cpu(&[("1", 15), ("3", 7)]));
        assert_eq!(after.since(&before), Duration::from_nanos(12));
    }
}
