//! Gives memory back that the process holds and does not use, after something large went away.
//!
//! glibc returns what is freed at the end of a heap only; what lies between pieces in use stays resident
//! until it is asked for. What the process uses is not this module's affair.
use std::time::Duration;

use crate::system_calls;

/// How often it is looked.
const INTERVAL: Duration = Duration::from_secs(10);
/// Growth that is worth a look through the heaps, in bytes.
const GROWTH_BYTES: u64 = 64 << 20;

/// Decides when the heaps are looked through: when so much has come since the last time.
struct Watermark {
    /// What was resident after the last time, or the least since.
    least_bytes: u64,
}

impl Watermark {
    fn is_due(&mut self, resident_bytes: u64) -> bool {
        self.least_bytes = self.least_bytes.min(resident_bytes);
        resident_bytes - self.least_bytes >= GROWTH_BYTES
    }
}

/// Looks for ever. Without /proc there is nothing to go by, and it ends.
pub(crate) async fn keep_small() {
    let mut watermark = Watermark { least_bytes: 0 };
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        interval.tick().await;
        let Some(resident_bytes) = resident_bytes() else {
            return;
        };
        if watermark.is_due(resident_bytes) {
            // It holds one heap after the other for a moment.
            let _ = tokio::task::spawn_blocking(system_calls::return_freed_memory).await;
            watermark.least_bytes = self::resident_bytes().unwrap_or(resident_bytes);
        }
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heaps_are_looked_through_when_much_has_come_since() {
        let mut watermark = Watermark {
            least_bytes: 100 << 20,
        };
        assert!(!watermark.is_due(163 << 20));
        assert!(watermark.is_due(164 << 20));
        // What went away by itself does not count twice.
        assert!(!watermark.is_due(20 << 20));
        assert!(watermark.is_due(84 << 20));
    }

    #[test]
    fn this_process_has_memory() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 0));
    }
}
