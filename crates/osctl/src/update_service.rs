//! Asks `updaterd` over D-Bus for what changes something; the bus starts it if it is not there.
//!
//! Decides nothing and touches no slot.
use std::future::Future;

use anyhow::{Context as _, anyhow};
use futures::StreamExt as _;
use tokio::runtime::{Builder, Runtime};
use update_model::progress_line::Progress;
use zbus::{Connection, Proxy, fdo};

const DESTINATION: &str = "org.keelson.Update1";
const OBJECT: &str = "/org/keelson/Update1";
const INTERFACE: &str = "org.keelson.Update1.Manager";
/// A property: what is being done, how much of it, and how much there is; an empty text between runs.
const PROGRESS: &str = "Progress";

/// A connection to the bus.
#[derive(Debug)]
pub(crate) struct UpdateService {
    // Dropped before the runtime that its tasks run on.
    connection: Connection,
    runtime: Runtime,
}

impl UpdateService {
    /// Connects to the bus.
    pub(crate) fn connect() -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot wait for answers")?;
        let connection = runtime
            .block_on(Connection::system())
            .context("cannot reach the system bus; `updaterd run` works without it")?;
        Ok(Self {
            connection,
            runtime,
        })
    }

    /// Runs an update, and tells how far it is. Returns a sentence on what came of it.
    pub(crate) fn update(
        &self,
        arguments: &(&str, &str, bool, bool),
        tell: &mut dyn FnMut(Progress),
    ) -> anyhow::Result<String> {
        let call = call(&self.connection, "Update", arguments);
        self.runtime
            .block_on(with_progress(&self.connection, call, tell))
    }

    /// Makes the boot loader prefer the other slot's version, or withdraws what waits there for its first boot.
    /// Returns what boots next, and what was withdrawn, which may be empty.
    pub(crate) fn rollback(&self, forward: bool) -> anyhow::Result<(String, String)> {
        let arguments = (forward,);
        self.runtime
            .block_on(call(&self.connection, "Rollback", &arguments))
    }

    /// Who holds the reboot lock, as JSON.
    pub(crate) fn lock_status(&self) -> anyhow::Result<String> {
        self.runtime
            .block_on(call(&self.connection, "LockStatus", &()))
    }

    /// Takes a machine's slot of the lock away. Returns a sentence on that.
    pub(crate) fn unlock(&self, machine: &str) -> anyhow::Result<String> {
        self.runtime
            .block_on(call(&self.connection, "Unlock", &(machine,)))
    }

    /// Changes how many slots the lock has. Returns a sentence on that.
    pub(crate) fn set_lock_slots(&self, slots: u32) -> anyhow::Result<String> {
        self.runtime
            .block_on(call(&self.connection, "SetLockSlots", &(slots,)))
    }
}

async fn call<B, T>(connection: &Connection, method: &str, arguments: &B) -> anyhow::Result<T>
where
    B: serde::Serialize + zbus::zvariant::DynamicType,
    T: for<'body> zbus::zvariant::DynamicDeserialize<'body>,
{
    let reply = connection
        .call_method(
            Some(DESTINATION),
            OBJECT,
            Some(INTERFACE),
            method,
            arguments,
        )
        .await;
    match reply {
        Ok(reply) => Ok(reply.body().deserialize()?),
        Err(error) => Err(refusal(error)),
    }
}

/// Why a call came to nothing. What updaterd says by the two names it uses is complete by itself; zbus gives
/// errors of the standard's names as [`fdo::Error`].
fn refusal(error: zbus::Error) -> anyhow::Error {
    let error = match error {
        zbus::Error::FDO(error) => match *error {
            fdo::Error::Failed(text) | fdo::Error::InvalidArgs(text) => return anyhow!(text),
            error => anyhow!(error),
        },
        error => anyhow!(error),
    };
    error.context("cannot ask updaterd over the system bus")
}

/// Whoever cannot be told how far it is still has the work done.
async fn with_progress<T>(
    connection: &Connection,
    work: impl Future<Output = T>,
    tell: &mut dyn FnMut(Progress),
) -> T {
    let Ok(proxy) = Proxy::new(connection, DESTINATION, OBJECT, INTERFACE).await else {
        return work.await;
    };
    let mut changes = proxy.receive_property_changed(PROGRESS).await;
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            Some(change) = changes.next() => {
                if let Ok((phase, done, total)) = change.get().await {
                    tell(Progress { phase, done, total });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(error: fdo::Error) -> String {
        format!("{:#}", refusal(zbus::Error::FDO(Box::new(error))))
    }

    #[test]
    fn what_updaterd_says_is_shown_once_and_alone() {
        let text = "this machine takes no lock";
        assert_eq!(shown(fdo::Error::Failed(text.to_owned())), text);
        assert_eq!(shown(fdo::Error::InvalidArgs(text.to_owned())), text);
        let shown = shown(fdo::Error::ServiceUnknown(text.to_owned()));
        assert!(shown.starts_with("cannot ask updaterd"), "{shown}");
        assert_eq!(shown.matches(text).count(), 1, "{shown}");
    }
}
