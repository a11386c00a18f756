//! The agents' simulated systemd, which tells when it is asked for a start.
//!
//! What it does then is `fleet-agent`'s affair.

use std::path::PathBuf;

use fleet_agent::{SimulatedSystemd, Systemd, SystemdError, SystemdEvent, UnitStatus};
use machine_facts::system_root::SystemRoot;
use systemd_unit::UnitName;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

/// That a start was called, and when.
pub(crate) type Started = (UnitName, Instant);

/// systemd.
#[derive(Debug, Clone)]
pub(crate) struct TimedSystemd {
    inner: SimulatedSystemd,
    started: UnboundedSender<Started>,
}

impl TimedSystemd {
    /// On a machine with this file system; the first event has been told.
    pub(crate) fn new(root: SystemRoot, started: UnboundedSender<Started>) -> Self {
        let inner = SimulatedSystemd::new(root);
        inner.renew();
        Self { inner, started }
    }
}

impl Systemd for TimedSystemd {
    async fn statuses(&self, units: &[UnitName]) -> Result<Vec<UnitStatus>, SystemdError> {
        self.inner.statuses(units).await
    }

    async fn reload(&self) -> Result<(), SystemdError> {
        self.inner.reload().await
    }

    async fn start(&self, unit: &UnitName) -> Result<(), SystemdError> {
        // Nobody waits for it any more at the end of the measurement.
        let _told = self.started.send((unit.clone(), Instant::now()));
        self.inner.start(unit).await
    }

    async fn stop(&self, unit: &UnitName) -> Result<(), SystemdError> {
        self.inner.stop(unit).await
    }

    async fn kill(&self, unit: &UnitName) -> Result<(), SystemdError> {
        self.inner.kill(unit).await
    }

    async fn reset_failed(&self, unit: &UnitName) -> Result<(), SystemdError> {
        self.inner.reset_failed(unit).await
    }

    async fn enable(&self, unit: &UnitName) -> Result<(), SystemdError> {
        self.inner.enable(unit).await
    }

    async fn disable(&self, unit: &UnitName) -> Result<(), SystemdError> {
        self.inner.disable(unit).await
    }

    async fn search_path(&self) -> Result<Vec<PathBuf>, SystemdError> {
        self.inner.search_path().await
    }

    fn watch(&self, units: &[UnitName]) {
        self.inner.watch(units);
    }

    fn forget(&self, unit: &UnitName) {
        self.inner.forget(unit);
    }

    async fn next_event(&self) -> SystemdEvent {
        self.inner.next_event().await
    }
}
