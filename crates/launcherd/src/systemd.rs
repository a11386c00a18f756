//! systemd over D-Bus: units of containers started, stopped and looked at, and told of when they change.
//!
//! Should the connection break, [`Systemd::broken`] says so, and the daemon ends: systemd starts it again, and
//! no container depends on it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use engine_api::state::UnitState;
use futures::StreamExt as _;
use tokio::sync::{broadcast, watch};
use zbus::connection::Builder;
use zbus::{Connection, Message, MessageStream, OwnedObjectPath, OwnedVariant};

const DESTINATION: &str = "org.freedesktop.systemd1";
const OBJECT: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const BUS: &str = "org.freedesktop.DBus";
/// How objects of containers' units begin: `launch-`, as systemd escapes it.
const UNITS: &str = "/org/freedesktop/systemd1/unit/launch_2d";
/// Signals that a slow listener may be behind with; whoever missed some looks at everything.
const SIGNALS: usize = 1024;
/// Calls that only ask or order; jobs are waited for without end.
const PATIENCE: Duration = Duration::from_secs(25);
const MATCHES: [&str; 2] = [
    "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'",
    "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',path_namespace='/org/freedesktop/systemd1/unit',arg0='org.freedesktop.systemd1.Unit'",
];

/// What systemd tells by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signal {
    /// A container's unit changed.
    Changed {
        /// The container's.
        id: String,
    },
    /// A job is over.
    JobRemoved {
        /// Its object.
        job: String,
        /// Such as `done` or `failed`.
        result: String,
    },
}

/// Row of `ListUnitsByPatterns`: name, description, load, active and sub state, followed unit, object, job
/// id, job type, job.
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

/// A connection.
#[derive(Debug)]
pub(crate) struct Systemd {
    connection: Connection,
    signals: broadcast::Sender<Signal>,
    broken: watch::Receiver<bool>,
}

impl Systemd {
    /// Connects to the system bus, and subscribes.
    pub(crate) async fn connect() -> anyhow::Result<Self> {
        let builder = Builder::system().method_timeout(PATIENCE);
        let connection = builder
            .build()
            .await
            .context("the system bus does not answer")?;
        let mut messages = MessageStream::from(&connection);
        let (signals, _) = broadcast::channel(SIGNALS);
        let (breaks, broken) = watch::channel(false);
        let sender = signals.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = messages.next().await {
                if let Some(signal) = read(&message) {
                    // Nobody may listen.
                    let _told = sender.send(signal);
                }
            }
            breaks.send_replace(true);
        });
        let systemd = Self {
            connection,
            signals,
            broken,
        };
        for rule in MATCHES {
            let answer = systemd
                .connection
                .call_method(
                    Some(BUS),
                    "/org/freedesktop/DBus",
                    Some(BUS),
                    "AddMatch",
                    &(rule,),
                )
                .await;
            answer.context("the bus does not pass signals on")?;
        }
        systemd.call("Subscribe", &()).await?;
        Ok(systemd)
    }

    /// Returns once the connection is of no use any more.
    pub(crate) async fn broken(&self) {
        let mut broken = self.broken.clone();
        let _told = broken.wait_for(|is_broken| *is_broken).await;
    }

    /// What comes from now on.
    pub(crate) fn signals(&self) -> broadcast::Receiver<Signal> {
        self.signals.subscribe()
    }

    async fn call<B>(&self, method: &str, body: &B) -> anyhow::Result<Message>
    where
        B: serde::Serialize + zbus::DynamicType + Sync,
    {
        let call =
            self.connection
                .call_method(Some(DESTINATION), OBJECT, Some(MANAGER), method, body);
        call.await.map_err(plain)
    }

    /// Orders a job, and waits for its end: what systemd calls its result.
    async fn job(&self, method: &str, unit: &str) -> anyhow::Result<String> {
        // Before the job can end.
        let mut signals = self.signals();
        let reply = self.call(method, &(unit, "replace")).await?;
        let job: OwnedObjectPath = reply.body().deserialize()?;
        loop {
            match signals.recv().await {
                Ok(Signal::JobRemoved { job: over, result }) if over == job.as_str() => {
                    return Ok(result);
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    bail!("systemd told more than could be read; look at {unit} by systemctl")
                }
                Err(broadcast::error::RecvError::Closed) => {
                    bail!("the connection to systemd broke")
                }
            }
        }
    }

    /// Starts a unit: `done`, or why not.
    pub(crate) async fn start(&self, unit: &str) -> anyhow::Result<String> {
        // Whether it failed before does not count.
        let _unknown = self.call("ResetFailedUnit", &(unit,)).await;
        self.job("StartUnit", unit).await
    }

    /// Stops a unit and waits until it is over.
    pub(crate) async fn stop(&self, unit: &str) -> anyhow::Result<()> {
        self.job("StopUnit", unit).await.map(drop)
    }

    /// Has unit files read again.
    pub(crate) async fn reload(&self) -> anyhow::Result<()> {
        self.call("Reload", &()).await.map(drop)
    }

    /// Forgets that a unit failed, so that it can be unloaded.
    pub(crate) async fn reset_failed(&self, unit: &str) {
        // It may be unloaded already.
        let _unknown = self.call("ResetFailedUnit", &(unit,)).await;
    }

    /// The states of all containers' units that are loaded, by unit.
    pub(crate) async fn units(&self) -> anyhow::Result<HashMap<String, UnitState>> {
        let nothing: [&str; 0] = [];
        let body = (&nothing[..], &["launch-*.service"][..]);
        let reply = self.call("ListUnitsByPatterns", &body).await?;
        let rows: Vec<UnitRow> = reply.body().deserialize()?;
        let state = |row: UnitRow| {
            let state = UnitState {
                active: row.3,
                sub: row.4,
            };
            (row.0, state)
        };
        Ok(rows.into_iter().map(state).collect())
    }

    /// The state of one unit.
    pub(crate) async fn unit(&self, unit: &str) -> anyhow::Result<UnitState> {
        let reply = self.call("ListUnitsByNames", &(&[unit][..],)).await?;
        let rows: Vec<UnitRow> = reply.body().deserialize()?;
        let row = rows.into_iter().next();
        Ok(row.map_or_else(UnitState::unknown, |row| UnitState {
            active: row.3,
            sub: row.4,
        }))
    }

    /// A property of a service, if the unit is loaded.
    async fn property(&self, unit: &str, name: &str) -> Option<OwnedVariant> {
        let path = format!("/org/freedesktop/systemd1/unit/{}", escape(unit));
        let asked = ("org.freedesktop.systemd1.Service", name);
        let call = self.connection.call_method(
            Some(DESTINATION),
            path.as_str(),
            Some(PROPERTIES),
            "Get",
            &asked,
        );
        call.await.ok()?.body().deserialize().ok()
    }

    /// The unit's `StatusText`, which has the reason of a failure.
    pub(crate) async fn status_text(&self, unit: &str) -> String {
        let value = self.property(unit, "StatusText").await;
        value
            .and_then(|value| value.try_into().ok())
            .unwrap_or_default()
    }

    /// How often systemd started it again.
    pub(crate) async fn restarts(&self, unit: &str) -> u32 {
        let value = self.property(unit, "NRestarts").await;
        value.and_then(|value| value.try_into().ok()).unwrap_or(0)
    }
}

fn plain(error: zbus::Error) -> anyhow::Error {
    match error {
        zbus::Error::MethodError(name, message, _) => {
            anyhow::anyhow!("systemd: {}", message.unwrap_or_else(|| name.to_string()))
        }
        error => anyhow::Error::from(error).context("systemd does not answer"),
    }
}

/// A unit's name in the path of its object: all but letters and digits is written as `_` and two digits.
fn escape(unit: &str) -> String {
    let mut escaped = String::new();
    for byte in unit.bytes() {
        if byte.is_ascii_alphanumeric() {
            escaped.push(char::from(byte));
        } else {
            let _infallible = write!(escaped, "_{byte:02x}");
        }
    }
    escaped
}

fn read(message: &Message) -> Option<Signal> {
    let header = message.header();
    match header.member()?.as_str() {
        "JobRemoved" => {
            let body: (u32, OwnedObjectPath, String, String) = message.body().deserialize().ok()?;
            Some(Signal::JobRemoved {
                job: body.1.as_str().to_owned(),
                result: body.3,
            })
        }
        "PropertiesChanged" => {
            let rest = header.path()?.as_str().strip_prefix(UNITS)?;
            let id = rest.strip_suffix("_2eservice")?;
            Some(Signal::Changed { id: id.to_owned() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_systemd_does() {
        assert_eq!(escape("launch-a1.service"), "launch_2da1_2eservice");
        assert!(
            format!(
                "/org/freedesktop/systemd1/unit/{}",
                escape("launch-a1.service")
            )
            .starts_with(UNITS)
        );
    }
}
