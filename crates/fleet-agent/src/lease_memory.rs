//! Which lease the machine holds, and until when it certainly lives: for an agent that starts anew.
//!
//! The lease stands in `/var/lib/fleet/lease.json`, its deadline in `/run/fleet/certain-until` as the time
//! since the boot: neither a clock that was set nor a boot makes it later than it is.

use std::fmt;
use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use fleet_store::LeaseId;
use machine_facts::system_root::SystemRoot;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

const LEASE: &str = "/var/lib/fleet/lease.json";
const DEADLINE: &str = "/run/fleet/certain-until";

/// Tells the time since the machine's boot, sleep included.
#[derive(Clone)]
pub struct Uptime(Arc<dyn Fn() -> Duration + Send + Sync>);

/// The lease that was held last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeldLease {
    /// Its number.
    pub(crate) id: i64,
    /// The boot it was held in.
    pub(crate) boot_id: String,
}

/// Until when a lease certainly lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline {
    /// Its end, at the earliest.
    pub(crate) at: Instant,
    /// How long before that units that stop on partitions have to begin to.
    pub(crate) margin: Duration,
}

/// The two files.
#[derive(Debug, Clone)]
pub(crate) struct LeaseMemory {
    root: SystemRoot,
    uptime: Uptime,
}

impl Uptime {
    /// Any source of time; tests simulate one.
    pub fn new(read: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The kernel's.
    pub fn of_machine() -> Self {
        Self::new(|| {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
            // It is never negative.
            let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
            let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
            Duration::new(seconds, nanoseconds)
        })
    }

    fn now(&self) -> Duration {
        (self.0)()
    }
}

impl fmt::Debug for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Uptime").field(&self.now()).finish()
    }
}

impl HeldLease {
    pub(crate) fn lease_id(&self) -> LeaseId {
        LeaseId(self.id)
    }
}

impl LeaseMemory {
    pub(crate) fn new(root: SystemRoot, uptime: Uptime) -> Self {
        Self { root, uptime }
    }

    /// The lease that was held last; a file that is missing or damaged is none.
    pub(crate) fn lease(&self) -> Option<HeldLease> {
        let text = fs::read(self.root.path(LEASE)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Durable when it returns.
    pub(crate) fn set_lease(&self, lease: &HeldLease) -> io::Result<()> {
        self.root
            .replace_durably(LEASE, &serde_json::to_string(lease)?)
    }

    /// Until when the lease certainly lives, as far as this boot knows.
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        let text = fs::read_to_string(self.root.path(DEADLINE)).ok()?;
        let (at, margin) = text.split_once(' ')?;
        let at = Duration::from_millis(at.parse().ok()?);
        let (uptime, now) = (self.uptime.now(), Instant::now());
        Some(Deadline {
            at: now + at.saturating_sub(uptime),
            margin: Duration::from_millis(margin.parse().ok()?),
        })
    }

    /// Remembers until when the lease certainly lives.
    pub(crate) fn set_deadline(&self, deadline: Deadline) -> io::Result<()> {
        let left = deadline.at.saturating_duration_since(Instant::now());
        let at = self.uptime.now() + left;
        let text = format!("{} {}", at.as_millis(), deadline.margin.as_millis());
        self.root.replace(DEADLINE, &text)
    }
}

impl Deadline {
    /// When units that stop on partitions are told to.
    pub(crate) fn stop_at(self) -> Instant {
        self.at - self.margin
    }

    /// When those that still run are killed.
    pub(crate) fn kill_at(self) -> Instant {
        self.at - self.margin / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_as_far_away_as_it_was() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let seconds = Arc::new(AtomicU64::new(100));
        let same = Arc::clone(&seconds);
        let uptime = Uptime::new(move || Duration::from_secs(same.load(Ordering::Relaxed)));
        let memory = LeaseMemory::new(SystemRoot::new(folder.path()), uptime);
        assert_eq!(memory.deadline(), None);
        let now = Instant::now();
        let margin = Duration::from_secs(3);
        let deadline = |seconds| Deadline {
            at: now + Duration::from_secs(seconds),
            margin,
        };
        memory.set_deadline(deadline(10)).expect("written");
        assert_eq!(memory.deadline(), Some(deadline(10)));
        // Time went on that this clock, which is stopped, knows nothing of: sleep.
        seconds.store(104, Ordering::Relaxed);
        assert_eq!(memory.deadline(), Some(deadline(6)));
        seconds.store(200, Ordering::Relaxed);
        assert_eq!(memory.deadline(), Some(deadline(0)));
    }

    #[test]
    fn a_lease_is_read_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let memory = LeaseMemory::new(SystemRoot::new(folder.path()), Uptime::of_machine());
        assert_eq!(memory.lease(), None);
        let lease = HeldLease {
            id: i64::MAX,
            boot_id: "b".to_owned(),
        };
        memory.set_lease(&lease).expect("written");
        assert_eq!(memory.lease(), Some(lease));
    }
}
