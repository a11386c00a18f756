//! This process as the kernel sees it: memory, processor time, open files.
//!
//! Read when somebody looks; on a kernel without `/proc` everything is 0.
use std::fs;

/// The kernel's unit of processor time towards user space; the same on every architecture we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Figures of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct ProcessFigures {
    pub(super) resident_bytes: u64,
    pub(super) processor_seconds: f64,
    pub(super) open_files: u64,
}

impl ProcessFigures {
    /// The figures now.
    pub(super) fn now() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            resident_bytes: resident_bytes(&read("/proc/self/status")),
            processor_seconds: processor_seconds(&read("/proc/self/stat")),
            open_files: fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64),
        }
    }
}

/// From `proc_pid_status(5)`.
fn resident_bytes(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes = kibibytes.and_then(|number| number.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// From `proc_pid_stat(5)`: fields 14 and 15. The name before them may contain anything.
fn processor_seconds(stat: &str) -> f64 {
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = times.filter_map(|time| time.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        let status = "Name:\tkvd\nVmPeak:\t   99 kB\nVmRSS:\t    1234 kB\nThreads:\t3\n";
        assert_eq!(resident_bytes(status), 1234 * 1024);
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 9 9 20 0 3 0 12 1 2\n";
        assert!((processor_seconds(stat) - 2.0).abs() < 1e-9);
        assert_eq!(resident_bytes(""), 0);
        assert!(processor_seconds("").abs() < 1e-9);
    }

    #[test]
    fn this_process_has_memory_and_files() {
        let figures = ProcessFigures::now();
        assert!(figures.resident_bytes > 0 && figures.open_files > 0);
    }
}
