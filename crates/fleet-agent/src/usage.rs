//! What this machine uses of what it has, read from `proc(5)`.
//!
//! It is of the whole machine: what units reserve, and what they have, is the scheduler's affair.

use fleet_api::usage::{Usage, UsageReport};
use machine_facts::system_root::SystemRoot;

const PROCESSOR_TIME: &str = "/proc/stat";
const MEMORY: &str = "/proc/meminfo";
const LOAD: &str = "/proc/loadavg";
const UPTIME: &str = "/proc/uptime";

/// What this machine uses now.
pub fn usage(root: &SystemRoot) -> UsageReport {
    match read(root) {
        Ok(usage) => UsageReport::Usage(usage),
        Err(message) => UsageReport::Unreachable { message },
    }
}

fn read(root: &SystemRoot) -> Result<Usage, String> {
    let ticks = rustix::param::clock_ticks_per_second();
    let busy = value(root, PROCESSOR_TIME, busy_ticks)?;
    Ok(Usage {
        cpu_milliseconds: busy.saturating_mul(1000) / ticks,
        uptime_milliseconds: value(root, UPTIME, milliseconds)?,
        memory_bytes: value(root, MEMORY, memory_in_use)?,
        tasks: value(root, LOAD, tasks)?,
    })
}

fn value(root: &SystemRoot, path: &str, of: fn(&str) -> Option<u64>) -> Result<u64, String> {
    let text = root.read_text(path).map_err(|error| error.to_string())?;
    of(&text).ok_or_else(|| format!("{path} is not as proc(5) says"))
}

/// user, nice, system, irq, softirq and steal of the line for all processors: what is left is idle, or waits for
/// disks. Guests' time is in user's.
fn busy_ticks(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Option<Vec<u64>> = line.split_whitespace().map(number).collect();
    let ticks = ticks?;
    [0, 1, 2, 5, 6, 7]
        .into_iter()
        .map(|field: usize| ticks.get(field).copied())
        .sum()
}

fn memory_in_use(text: &str) -> Option<u64> {
    let available = kibibytes(text, "MemAvailable:")?;
    let used = kibibytes(text, "MemTotal:")?.saturating_sub(available);
    used.checked_mul(1024)
}

fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    number(line.trim().strip_suffix("kB")?.trim())
}

/// The fourth word is how many can run, and how many there are.
fn tasks(text: &str) -> Option<u64> {
    let (_, all) = text.split_whitespace().nth(3)?.split_once('/')?;
    number(all)
}

/// Seconds, with hundredths.
fn milliseconds(text: &str) -> Option<u64> {
    let (seconds, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    Some(number(seconds)?.checked_mul(1000)? + number(hundredths)? * 10)
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn usage_is_read_from_the_kernels_files() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = SystemRoot::new(folder.path());
        fs::create_dir(folder.path().join("proc")).expect("made");
        let write =
            |path: &str, text: &str| fs::write(folder.path().join(path), text).expect("written");
        write(
            "proc/stat",
            "cpu  100 20 30 4000 500 6 7 8 50 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n",
        );
        write("proc/uptime", "12.34 40.00\n");
        write(
            "proc/meminfo",
            "MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable:  1024 kB\n",
        );
        assert!(
            matches!(usage(&root), UsageReport::Unreachable { message } if message.contains("loadavg"))
        );
        write("proc/loadavg", "0.1 0.2 0.3 1/234 5678\n");
        let expected = Usage {
            // 171 ticks, whatever a tick is here
            cpu_milliseconds: 171_000 / rustix::param::clock_ticks_per_second(),
            uptime_milliseconds: 12_340,
            memory_bytes: 1024 * 1024,
            tasks: 234,
        };
        assert_eq!(usage(&root), UsageReport::Usage(expected));
    }

    #[test]
    fn what_is_not_understood_is_not_guessed() {
        assert_eq!(busy_ticks("cpu  1 2 3\n"), None);
        assert_eq!(busy_ticks("cpu0 1 2 3 4 5 6 7 8\n"), None);
        assert_eq!(memory_in_use("MemTotal: 1 kB\n"), None);
        assert_eq!(tasks("0.1 0.2 0.3 1 5\n"), None);
        assert_eq!(milliseconds("12"), None);
    }

    #[test]
    fn this_machine_tells_its_own() {
        let report = usage(&SystemRoot::new("/"));
        assert!(
            matches!(report, UsageReport::Usage(usage) if usage.tasks > 0 && usage.memory_bytes > 0),
            "{report:?}"
        );
    }
}
