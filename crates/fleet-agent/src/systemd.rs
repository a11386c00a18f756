//! What the agent wants of systemd, whichever it is: the machine's own or a simulated one.
//!
//! Jobs are asked for and not waited for: how a unit is comes as events. Files are not written here.

mod bus;
mod object_path;
mod signal;
pub(crate) mod simulated;

pub use bus::Bus;

use std::future::Future;
use std::path::PathBuf;

use systemd_unit::UnitName;
use thiserror::Error;

/// How a unit is, in systemd's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitStatus {
    /// `loaded`, `not-found`, `bad-setting`, …
    pub load: String,
    /// `active`, `activating`, `failed`, …
    pub active: String,
    /// Depends on the unit's type: `running`, `exited`, …
    pub sub: String,
    /// The identity of its run, 32 hexadecimal digits; nothing if it is inactive.
    pub invocation: String,
}

/// What happened to a unit, or to systemd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SystemdEvent {
    /// A unit changed. Its load state is never told this way.
    Changed {
        /// Which.
        unit: UnitName,
        /// `active`, …
        active: String,
        /// `running`, …
        sub: String,
        /// The identity of its last run, 32 hexadecimal digits or nothing.
        invocation: String,
    },
    /// What was asked of a unit is done, has failed, or was overtaken by something else.
    JobEnded {
        /// Which.
        unit: UnitName,
        /// `done`, `failed`, `canceled`, `timeout`, `dependency`, …
        result: String,
    },
    /// Events may have been missed, or files were read again: every unit has to be asked for.
    Renewed,
}

/// Why systemd did not do what it was asked.
#[derive(Debug, Error)]
pub enum SystemdError {
    /// It was asked, and will not.
    #[error("systemd refuses to {what}: {message}")]
    Refused {
        /// The call, such as `start hello.service`.
        what: String,
        /// Its words.
        message: String,
    },
    /// It could not be asked, or did not answer. It may have done it.
    #[error("cannot ask systemd over the system bus to {what}")]
    Unreachable {
        /// The call.
        what: String,
        /// What broke.
        #[source]
        source: Box<zbus::Error>,
    },
}

/// systemd. Calls return once it has accepted them.
pub trait Systemd: Send + Sync + 'static {
    /// How units are, in the order asked for. A unit that has a file and was not loaded is loaded.
    fn statuses(
        &self,
        units: &[UnitName],
    ) -> impl Future<Output = Result<Vec<UnitStatus>, SystemdError>> + Send;

    /// Reads every unit's file again. Until it returns, systemd is deaf.
    fn reload(&self) -> impl Future<Output = Result<(), SystemdError>> + Send;

    /// Asks for a start, in place of whatever is being done with the unit.
    fn start(&self, unit: &UnitName) -> impl Future<Output = Result<(), SystemdError>> + Send;

    /// Asks for a stop, in place of whatever is being done with the unit.
    fn stop(&self, unit: &UnitName) -> impl Future<Output = Result<(), SystemdError>> + Send;

    /// Kills every process of a unit at once (SIGKILL). Without a stop before, it may be restarted.
    fn kill(&self, unit: &UnitName) -> impl Future<Output = Result<(), SystemdError>> + Send;

    /// Forgets that a unit failed, and how often it was started of late.
    fn reset_failed(
        &self,
        unit: &UnitName,
    ) -> impl Future<Output = Result<(), SystemdError>> + Send;

    /// Carries out the `[Install]` section of a unit's file until the next boot.
    fn enable(&self, unit: &UnitName) -> impl Future<Output = Result<(), SystemdError>> + Send;

    /// Takes back what [`Systemd::enable`] did for a unit.
    fn disable(&self, unit: &UnitName) -> impl Future<Output = Result<(), SystemdError>> + Send;

    /// The folders where unit files are looked for, the most important first.
    fn search_path(&self) -> impl Future<Output = Result<Vec<PathBuf>, SystemdError>> + Send;

    /// Names the units of which events are told.
    fn watch(&self, units: &[UnitName]);

    /// No events of this unit any more.
    fn forget(&self, unit: &UnitName);

    /// The next event. Waits for ever rather than fail: connections are made again, which is
    /// [`SystemdEvent::Renewed`]. Only one task may ask; asking may be given up and done again.
    fn next_event(&self) -> impl Future<Output = SystemdEvent> + Send;
}

impl UnitStatus {
    /// Whether nothing of it runs, and nothing will by itself.
    pub fn is_stopped(&self) -> bool {
        ["", "inactive", "failed"].contains(&self.active.as_str())
    }
}
