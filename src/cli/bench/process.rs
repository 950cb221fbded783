//! What the operating system knows of a process and of this machine, read from `/proc`.
use std::fs::read_to_string;
use std::time::Duration;

/// Clock ticks a second in `/proc/<pid>/stat`: 100 on every Linux that exists.
const TICKS: u64 = 100;

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    /// CPU time of all its threads.
    pub(super) cpu: Duration,
    /// Resident memory now, MiB.
    pub(super) rss_mib: u64,
    /// Resident memory at its highest, MiB.
    pub(super) rss_peak_mib: u64,
}

/// What the process has used; `None` where there is no such process, or no `/proc`.
pub(super) fn used(pid: u32) -> Option<Used> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything; user and system time are the 12th and 13th field behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum::<u64>();
    let status = read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1_024)
    };
    Some(Used {
        cpu: Duration::from_millis(ticks.saturating_mul(1_000 / TICKS)),
        rss_mib: mib("VmRSS:")?,
        rss_peak_mib: mib("VmHWM:")?,
    })
}

/// Processor, cores, memory and kernel in one line.
pub(super) fn machine() -> String {
    let cpu = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let memory = read_to_string("/proc/meminfo").unwrap_or_default();
    let kib =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok());
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    format!(
        "{}, {cores} cores, {} GiB, Linux {}",
        model.unwrap_or("unknown processor"),
        kib.unwrap_or_default() >> 20,
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_has_used_something_and_nobody_has_process_zero() {
        let ours = used(std::process::id()).unwrap();
        assert!(ours.rss_mib > 0 && ours.rss_peak_mib >= ours.rss_mib, "{ours:?}");
        assert!(used(0).is_none());
        assert!(machine().contains("cores"), "{}", machine());
    }
}
