//! systemd-logind: who is logged in, and a reboot that users are told of before.
//!
//! logind writes to their terminals, lets nobody in during the last minutes, and `shutdown -c` calls it off.
//! Interface: org.freedesktop.login1(5) of systemd 256 and later.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use tokio::runtime::Builder;
use zbus::zvariant::DynamicType;
use zbus::{Connection, OwnedObjectPath, OwnedVariant};

use crate::host::Notice;

const DESTINATION: &str = "org.freedesktop.login1";
const OBJECT: &str = "/org/freedesktop/login1";
const INTERFACE: &str = "org.freedesktop.login1.Manager";
/// How often it is seen whether the reboot is still to come.
const PERIOD: Duration = Duration::from_secs(1);
/// A machine that is to go down stops this process within this time.
const GRACE: Duration = Duration::from_mins(3);

/// An entry of `ListSessionsEx`: id, uid, user, seat, leader, class, terminal, idle, since, object.
type Session = (
    String,
    u32,
    String,
    String,
    u32,
    String,
    String,
    bool,
    u64,
    OwnedObjectPath,
);

/// Users who are logged in, without those that only a service manager runs for.
pub(crate) fn logged_in() -> anyhow::Result<Vec<String>> {
    block_on(async {
        let manager = Manager::connect().await?;
        let sessions: Vec<Session> = manager.call("ListSessionsEx", &()).await?;
        let is_user = |session: &Session| session.5.starts_with("user");
        let users = sessions.into_iter().filter(is_user);
        let mut users: Vec<String> = users.map(|session| session.2).collect();
        users.sort();
        users.dedup();
        Ok(users)
    })
}

/// Tells users, and waits until this process ends with the machine or the reboot is called off.
pub(crate) fn reboot_with_notice(notice: Duration, message: &str) -> anyhow::Result<Notice> {
    block_on(async {
        let manager = Manager::connect().await?;
        manager
            .call::<()>("SetWallMessage", &(message, true))
            .await?;
        let at = SystemTime::now() + notice;
        let microseconds = at.duration_since(UNIX_EPOCH)?.as_micros();
        let microseconds = u64::try_from(microseconds)?;
        manager
            .call::<()>("ScheduleShutdown", &("reboot", microseconds))
            .await?;
        manager.wait(notice + GRACE).await
    })
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime
        .context("cannot wait for systemd-logind")?
        .block_on(work)
}

struct Manager(Connection);

impl Manager {
    async fn connect() -> anyhow::Result<Self> {
        let connection = Connection::system().await;
        Ok(Self(connection.context("cannot reach the system bus")?))
    }

    async fn call<T>(
        &self,
        method: &str,
        arguments: &(impl serde::Serialize + DynamicType),
    ) -> anyhow::Result<T>
    where
        T: serde::de::DeserializeOwned + zbus::zvariant::Type,
    {
        let reply = self
            .0
            .call_method(
                Some(DESTINATION),
                OBJECT,
                Some(INTERFACE),
                method,
                arguments,
            )
            .await
            .with_context(|| format!("systemd-logind's {method}"))?;
        Ok(reply.body().deserialize()?)
    }

    async fn property<T>(&self, name: &str) -> anyhow::Result<T>
    where
        T: TryFrom<OwnedVariant>,
        T::Error: std::error::Error + Send + Sync + 'static,
    {
        let reply = self
            .0
            .call_method(
                Some(DESTINATION),
                OBJECT,
                Some("org.freedesktop.DBus.Properties"),
                "Get",
                &(INTERFACE, name),
            )
            .await
            .with_context(|| format!("systemd-logind's {name}"))?;
        let value: OwnedVariant = reply.body().deserialize()?;
        Ok(T::try_from(value)?)
    }

    async fn wait(&self, longest: Duration) -> anyhow::Result<Notice> {
        let since = Instant::now();
        while since.elapsed() < longest {
            tokio::time::sleep(PERIOD).await;
            let (kind, _): (String, u64) = self.property("ScheduledShutdown").await?;
            if kind.is_empty() && !self.goes_down().await? {
                return Ok(Notice::CalledOff("somebody called it off".to_owned()));
            }
        }
        if self.goes_down().await? {
            return Ok(Notice::GoesDown);
        }
        self.call::<bool>("CancelScheduledShutdown", &()).await?;
        let reason = "systemd-logind did not do it at its time";
        Ok(Notice::CalledOff(reason.to_owned()))
    }

    async fn goes_down(&self) -> anyhow::Result<bool> {
        self.property("PreparingForShutdown").await
    }
}
