//! The machine's own systemd, over the system bus.
//!
//! The connection is made again whenever it breaks. Only signals about watched units are kept.
//! PID 1's private socket would do without the bus, but zbus refuses the sender of its replies.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use serde::Serialize;
use systemd_unit::UnitName;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use zbus::connection::Builder;
use zbus::{Connection, DynamicType, Message, MessageStream, OwnedObjectPath, OwnedVariant, fdo};

use super::signal::{self, Signal};
use super::{Systemd, SystemdError, SystemdEvent, UnitStatus};

const DESTINATION: &str = "org.freedesktop.systemd1";
const OBJECT: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const BUS: &str = "org.freedesktop.DBus";
const BUS_OBJECT: &str = "/org/freedesktop/DBus";
/// PID 1 is deaf during a reload, which takes seconds with many units or on an emulated machine.
const PATIENCE: Duration = Duration::from_secs(25);
/// Between two attempts to connect.
const RETRY: Duration = Duration::from_millis(500);

/// What is listened to. The bus leaves out what other interfaces of a unit say.
const MATCHES: [&str; 4] = [
    "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'",
    "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.systemd1.Manager',member='Reloading'",
    "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',path_namespace='/org/freedesktop/systemd1/unit',arg0='org.freedesktop.systemd1.Unit'",
    "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.freedesktop.systemd1'",
];

/// A unit as `ListUnitsByNames` of org.freedesktop.systemd1(5) gives it: name, description, load,
/// active and sub state, followed unit, object, job id, job type, job.
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
/// What the calls that link unit files say they did: kind, link, target.
type Links = Vec<(String, String, String)>;

/// systemd over D-Bus.
#[derive(Debug)]
pub struct Bus {
    connection: watch::Receiver<Option<Connection>>,
    watched: Arc<Mutex<HashSet<String>>>,
    events: tokio::sync::Mutex<mpsc::UnboundedReceiver<SystemdEvent>>,
    pump: JoinHandle<()>,
}

/// The side of [`Bus`] that holds the connection.
struct Pump {
    address: Option<String>,
    connection: watch::Sender<Option<Connection>>,
    watched: Arc<Mutex<HashSet<String>>>,
    events: mpsc::UnboundedSender<SystemdEvent>,
}

impl Bus {
    /// Connects in the background, to the system bus or to another address such as
    /// `unix:path=/run/dbus/system_bus_socket`. The first event is [`SystemdEvent::Renewed`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(address: Option<String>) -> Self {
        let (connection, receiver) = watch::channel(None);
        let (events, events_receiver) = mpsc::unbounded_channel();
        let watched = Arc::new(Mutex::new(HashSet::new()));
        let pump = Pump {
            address,
            connection,
            watched: Arc::clone(&watched),
            events,
        };
        Self {
            connection: receiver,
            watched,
            events: tokio::sync::Mutex::new(events_receiver),
            pump: tokio::spawn(pump.run()),
        }
    }

    async fn call<B>(&self, what: &str, method: &str, body: &B) -> Result<Message, SystemdError>
    where
        B: Serialize + DynamicType + Sync,
    {
        self.call_interface(what, MANAGER, method, body).await
    }

    async fn call_interface<B>(
        &self,
        what: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> Result<Message, SystemdError>
    where
        B: Serialize + DynamicType + Sync,
    {
        let answer = async {
            let connection = self.connected().await?;
            connection
                .call_method(Some(DESTINATION), OBJECT, Some(interface), method, body)
                .await
        };
        answer.await.map_err(|error| failure(what, error))
    }

    /// The identity of a unit's run, which no list of units has; nothing if it does not run.
    async fn invocation(&self, row: &UnitRow) -> Result<String, SystemdError> {
        if row.3 == "inactive" {
            return Ok(String::new());
        }
        let what = format!("say which run of {} this is", row.0);
        let asked = (UNIT, "InvocationID");
        let answer = async {
            let connection = self.connected().await?;
            connection
                .call_method(Some(DESTINATION), &row.6, Some(PROPERTIES), "Get", &asked)
                .await
        };
        match answer.await.map_err(|error| failure(&what, error)) {
            Ok(reply) => {
                let value: OwnedVariant = body(&what, &reply)?;
                let bytes: Vec<u8> = value.try_into().map_err(|error| failure(&what, error))?;
                Ok(signal::hexadecimal(&bytes))
            }
            // It has ended meanwhile, which is told as well.
            Err(SystemdError::Refused { .. }) => Ok(String::new()),
            Err(error) => Err(error),
        }
    }

    /// The connection, once there is one.
    async fn connected(&self) -> zbus::Result<Connection> {
        let mut receiver = self.connection.clone();
        let found = receiver.wait_for(Option::is_some);
        let found = tokio::time::timeout(PATIENCE, found).await;
        let connection = found
            .ok()
            .and_then(Result::ok)
            .and_then(|found| found.clone());
        connection.ok_or_else(|| {
            zbus::Error::FDO(Box::new(fdo::Error::NoServer(
                "there is no connection".to_owned(),
            )))
        })
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

impl Systemd for Bus {
    async fn statuses(&self, units: &[UnitName]) -> Result<Vec<UnitStatus>, SystemdError> {
        if units.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = units.iter().map(UnitName::as_str).collect();
        let what = "list units";
        let reply = self.call(what, "ListUnitsByNames", &(names,)).await?;
        let rows: Vec<UnitRow> = body(what, &reply)?;
        let invocations = rows.iter().map(|row| self.invocation(row));
        let invocations = futures::future::try_join_all(invocations).await?;
        let found = rows.iter().zip(invocations);
        let mut statuses: HashMap<&str, UnitStatus> = found
            .map(|(row, invocation)| (row.0.as_str(), status(row, invocation)))
            .collect();
        let status_of = |name: &UnitName| statuses.remove(name.as_str()).unwrap_or_else(not_found);
        Ok(units.iter().map(status_of).collect())
    }

    async fn reload(&self) -> Result<(), SystemdError> {
        self.call("reload", "Reload", &()).await.map(drop)
    }

    async fn start(&self, unit: &UnitName) -> Result<(), SystemdError> {
        let what = format!("start {unit}");
        let body = (unit.as_str(), "replace");
        self.call(&what, "StartUnit", &body).await.map(drop)
    }

    async fn stop(&self, unit: &UnitName) -> Result<(), SystemdError> {
        let what = format!("stop {unit}");
        let body = (unit.as_str(), "replace");
        self.call(&what, "StopUnit", &body).await.map(drop)
    }

    async fn kill(&self, unit: &UnitName) -> Result<(), SystemdError> {
        const SIGKILL: i32 = 9;
        let what = format!("kill {unit}");
        let body = (unit.as_str(), "all", SIGKILL);
        self.call(&what, "KillUnit", &body).await.map(drop)
    }

    async fn reset_failed(&self, unit: &UnitName) -> Result<(), SystemdError> {
        let what = format!("forget the failure of {unit}");
        let body = (unit.as_str(),);
        self.call(&what, "ResetFailedUnit", &body).await.map(drop)
    }

    async fn enable(&self, unit: &UnitName) -> Result<(), SystemdError> {
        let what = format!("enable {unit}");
        let (is_runtime, is_forced) = (true, false);
        let body_out = (vec![unit.as_str()], is_runtime, is_forced);
        let reply = self.call(&what, "EnableUnitFiles", &body_out).await?;
        let _: (bool, Links) = body(&what, &reply)?;
        Ok(())
    }

    async fn disable(&self, unit: &UnitName) -> Result<(), SystemdError> {
        let what = format!("disable {unit}");
        let is_runtime = true;
        let body = (vec![unit.as_str()], is_runtime);
        self.call(&what, "DisableUnitFiles", &body).await.map(drop)
    }

    async fn search_path(&self) -> Result<Vec<PathBuf>, SystemdError> {
        let what = "say where unit files are";
        let asked = (MANAGER, "UnitPath");
        let reply = self.call_interface(what, PROPERTIES, "Get", &asked).await?;
        let value: OwnedVariant = body(what, &reply)?;
        let paths: Vec<String> = value.try_into().map_err(|error| failure(what, error))?;
        Ok(paths.into_iter().map(PathBuf::from).collect())
    }

    fn watch(&self, units: &[UnitName]) {
        let mut watched = lock(&self.watched);
        watched.extend(units.iter().map(|unit| unit.as_str().to_owned()));
    }

    fn forget(&self, unit: &UnitName) {
        lock(&self.watched).remove(unit.as_str());
    }

    async fn next_event(&self) -> SystemdEvent {
        match self.events.lock().await.recv().await {
            Some(event) => event,
            // The pump ends with this value only.
            None => std::future::pending().await,
        }
    }
}

impl Pump {
    async fn run(self) {
        loop {
            if let Err(error) = self.serve().await {
                tracing::warn!("the connection to systemd broke, it is made again: {error}");
            }
            self.connection.send_replace(None);
            tokio::time::sleep(RETRY).await;
        }
    }

    /// From connecting to the connection's end.
    async fn serve(&self) -> zbus::Result<()> {
        let builder = match &self.address {
            Some(address) => Builder::address(address.as_str()),
            None => Builder::system(),
        };
        let connection = builder.method_timeout(PATIENCE).build().await?;
        // Whatever comes from now on is in it. It is read in any case: a full queue stops replies too.
        let mut messages = MessageStream::from(&connection);
        let prepared = prepare(&connection);
        tokio::pin!(prepared);
        let mut is_prepared = false;
        loop {
            tokio::select! {
                result = &mut prepared, if !is_prepared => {
                    result?;
                    is_prepared = true;
                    self.connection.send_replace(Some(connection.clone()));
                    self.tell(SystemdEvent::Renewed);
                }
                message = messages.next() => match message {
                    Some(message) => self.receive(&connection, &message?),
                    None => return Ok(()),
                },
            }
        }
    }

    fn receive(&self, connection: &Connection, message: &Message) {
        let found = {
            let watched = lock(&self.watched);
            signal::read(message, |unit| watched.contains(unit))
        };
        match found {
            Some(Signal::Event(event)) => self.tell(event),
            Some(Signal::NewSystemd) => {
                let connection = connection.clone();
                let events = self.events.clone();
                tokio::spawn(async move {
                    if let Err(error) = subscribe(&connection).await {
                        tracing::warn!("systemd tells nothing after it was executed anew: {error}");
                    }
                    // Nobody listens any more at the end of the program.
                    let _told = events.send(SystemdEvent::Renewed);
                });
            }
            None => {}
        }
    }

    fn tell(&self, event: SystemdEvent) {
        // Nobody listens any more at the end of the program.
        let _told = self.events.send(event);
    }
}

/// Asks the bus and systemd for signals.
async fn prepare(connection: &Connection) -> zbus::Result<()> {
    for rule in MATCHES {
        let body = (rule,);
        let call = connection.call_method(Some(BUS), BUS_OBJECT, Some(BUS), "AddMatch", &body);
        call.await?;
    }
    subscribe(connection).await
}

async fn subscribe(connection: &Connection) -> zbus::Result<()> {
    let call = connection.call_method(Some(DESTINATION), OBJECT, Some(MANAGER), "Subscribe", &());
    match call.await {
        // It remembered us.
        Err(zbus::Error::MethodError(name, _, _))
            if name.as_str() == "org.freedesktop.systemd1.AlreadySubscribed" =>
        {
            Ok(())
        }
        result => result.map(drop),
    }
}

fn body<T>(what: &str, reply: &Message) -> Result<T, SystemdError>
where
    T: serde::de::DeserializeOwned + zbus::Type,
{
    let body = reply.body();
    body.deserialize().map_err(|error| failure(what, error))
}

fn status(row: &UnitRow, invocation: String) -> UnitStatus {
    UnitStatus {
        load: row.2.clone(),
        active: row.3.clone(),
        sub: row.4.clone(),
        invocation,
    }
}

fn not_found() -> UnitStatus {
    UnitStatus {
        load: "not-found".to_owned(),
        active: "inactive".to_owned(),
        sub: "dead".to_owned(),
        invocation: String::new(),
    }
}

/// Whether systemd said no, or could not be asked.
fn failure(what: &str, error: zbus::Error) -> SystemdError {
    let refused = |message: String| SystemdError::Refused {
        what: what.to_owned(),
        message,
    };
    match error {
        zbus::Error::MethodError(name, message, _) => {
            refused(message.unwrap_or_else(|| name.to_string()))
        }
        zbus::Error::FDO(error) if is_refusal(&error) => refused(error.to_string()),
        error => SystemdError::Unreachable {
            what: what.to_owned(),
            source: Box::new(error),
        },
    }
}

/// All other standard errors come from the bus, or from nobody.
fn is_refusal(error: &fdo::Error) -> bool {
    use fdo::Error as E;
    matches!(
        error,
        E::Failed(_)
            | E::AccessDenied(_)
            | E::InvalidArgs(_)
            | E::NotSupported(_)
            | E::FileNotFound(_)
            | E::FileExists(_)
            | E::UnknownMethod(_)
            | E::UnknownObject(_)
            | E::LimitsExceeded(_)
    )
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
