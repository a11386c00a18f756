//! The mark by which a payload is held before it begins, until whoever made it says start.
//!
//! It is no file that outlives a boot, and what launcherd left that was killed is released when it is there again.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use monitor_protocol::{Answer, FOLDER, Request, WindowSize};
use tokio::sync::oneshot;

use crate::engine::Engine;
use crate::monitor::Connection;

/// Between two looks whether the monitor is there.
const PAUSE: Duration = Duration::from_millis(10);

/// A mark; without it when this is dropped.
#[derive(Debug)]
pub(super) struct Hold(PathBuf);

fn path(id: &str) -> PathBuf {
    PathBuf::from(format!("{FOLDER}-hold-{id}"))
}

/// The option of `launch run` that looks for the mark.
pub(super) fn word(id: &str) -> String {
    format!("--hold={}", path(id).display())
}

impl Hold {
    pub(super) fn make(id: &str) -> anyhow::Result<Self> {
        let path = path(id);
        let context = || path.display().to_string();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(context)?;
        }
        std::fs::write(&path, "").with_context(context)?;
        Ok(Self(path))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _removed = std::fs::remove_file(&self.0);
    }
}

/// Lets a payload begin once it is held, all who wait are attached, and its terminal has its size.
///
/// That it could not begin its unit tells, too.
pub(super) async fn release(
    id: &str,
    hold: Hold,
    attached: Vec<oneshot::Receiver<()>>,
    size: Option<WindowSize>,
) {
    let mut connection = held(id).await;
    for one in attached {
        // Or it went away.
        let _attached = one.await;
    }
    // Before the start: a restart by systemd is not held.
    drop(hold);
    if let Some(size) = size {
        let _resized = connection.ask(&Request::Resize(size)).await;
    }
    let _started = connection.ask(&Request::Start).await;
}

/// Waits for the monitor. It answers only once the payload is created.
async fn held(id: &str) -> Connection {
    loop {
        if let Ok(mut connection) = Connection::open(id).await
            && let Ok(Answer::Status(_)) = connection.ask(&Request::Status).await
        {
            return connection;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Lets go what a launcherd holds that was killed.
pub(crate) fn release_all(engine: &Engine) {
    for record in engine.records.all() {
        let path = path(&record.id);
        if std::fs::remove_file(&path).is_ok() {
            tracing::info!("{} was held, and begins", record.name);
            tokio::spawn(async move {
                // If it is not there yet, it will not find the mark.
                if let Ok(mut connection) = Connection::open(&record.id).await {
                    let _started = connection.ask(&Request::Start).await;
                }
            });
        }
    }
}
