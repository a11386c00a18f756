//! Asks systemd about units over D-Bus.
//!
//! It goes over the system bus: on PID 1's private socket, which works before the bus does, all
//! replies carry a sender that zbus refuses ("Invalid unique name"; zbus 6.2, systemd 257).
//! Nothing is started or stopped.
use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use zbus::{Connection, OwnedObjectPath};

const DESTINATION: &str = "org.freedesktop.systemd1";
const OBJECT: &str = "/org/freedesktop/systemd1";
const INTERFACE: &str = "org.freedesktop.systemd1.Manager";
/// PID 1 is deaf during a reload, which takes seconds on an emulated machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why systemd did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SystemdError {
    /// The connection or the call failed.
    #[error("cannot ask systemd over the system bus")]
    Bus(#[from] zbus::Error),
    /// No answer came.
    #[error("systemd did not answer within {} s", PATIENCE.as_secs())]
    Silent,
}

/// A unit as `ListUnits` of org.freedesktop.systemd1(5) gives it: name, description, load,
/// active and sub state, followed unit, object, job id (0 if there is none), job type, job.
type UnitRow = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

/// What is asked of a unit here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnitState {
    /// Its name.
    pub(crate) name: String,
    /// `loaded`, `not-found`, …
    pub(crate) load_state: String,
    /// `active`, `activating`, …
    pub(crate) active_state: String,
    /// Whether something is to be done with it.
    pub(crate) has_job: bool,
}

impl From<UnitRow> for UnitState {
    fn from(row: UnitRow) -> Self {
        let (name, _, load_state, active_state, _, _, _, job, _, _) = row;
        Self {
            name,
            load_state,
            active_state,
            has_job: job != 0,
        }
    }
}

/// A connection, made when it is needed and again when it broke.
#[derive(Debug)]
pub(crate) struct Systemd {
    // Dropped before the runtime that its tasks run on.
    connection: Option<Connection>,
    runtime: Runtime,
}

impl Systemd {
    /// Connects to nobody yet.
    pub(crate) fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self {
            connection: None,
            runtime,
        })
    }

    /// The units that have failed.
    pub(crate) fn failed_units(&mut self) -> Result<Vec<UnitState>, SystemdError> {
        self.list("ListUnitsFiltered", vec!["failed".to_owned()])
    }

    /// These units, whether they exist or not.
    pub(crate) fn units(&mut self, names: &[String]) -> Result<Vec<UnitState>, SystemdError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        self.list("ListUnitsByNames", names.to_vec())
    }

    fn list(
        &mut self,
        method: &str,
        argument: Vec<String>,
    ) -> Result<Vec<UnitState>, SystemdError> {
        let Self {
            connection,
            runtime,
        } = self;
        let listed = runtime.block_on(in_time(list(connection, method, argument)));
        if listed.is_err() {
            self.connection = None;
        }
        listed
    }
}

async fn in_time<T>(
    answer: impl Future<Output = Result<T, SystemdError>>,
) -> Result<T, SystemdError> {
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    answer.unwrap_or(Err(SystemdError::Silent))
}

async fn list(
    connection: &mut Option<Connection>,
    method: &str,
    argument: Vec<String>,
) -> Result<Vec<UnitState>, SystemdError> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(Connection::system().await?),
    };
    let reply = connection
        .call_method(
            Some(DESTINATION),
            OBJECT,
            Some(INTERFACE),
            method,
            &(argument,),
        )
        .await?;
    let rows: Vec<UnitRow> = reply.body().deserialize()?;
    Ok(rows.into_iter().map(UnitState::from).collect())
}
