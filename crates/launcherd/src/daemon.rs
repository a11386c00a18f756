//! The daemon: everything is started here, and ended. Its end touches no container.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::command_line::Host;
use crate::containers;
use crate::engine::Engine;
use crate::listener::Acceptor;
use crate::watcher;

/// How long requests that are being answered may take at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Runs until told to stop.
pub(crate) async fn run(hosts: &[Host], passed: Vec<OwnedFd>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listeners = listeners(hosts, passed)?;
    let engine = Arc::new(Engine::open().await?);
    containers::release_all(&engine);
    let acceptor = Acceptor::new();
    let mut tasks = JoinSet::new();
    for listener in listeners {
        tasks.spawn(acceptor.clone().serve(listener, Arc::clone(&engine)));
    }
    tasks.spawn(service_manager::keep_watchdog_quiet());
    let watching = watcher::run(Arc::clone(&engine));
    service_manager::ready("Running");
    let ended = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        error = watching => Err(error),
    };
    service_manager::stopping("Stopping; containers go on");
    tasks.shutdown().await;
    acceptor.end(LAST_ANSWERS).await;
    ended
}

fn listeners(hosts: &[Host], passed: Vec<OwnedFd>) -> anyhow::Result<Vec<UnixListener>> {
    let mut passed: Vec<Option<OwnedFd>> = passed.into_iter().map(Some).collect();
    let mut found = Vec::new();
    for host in hosts {
        match host {
            Host::AllPassed if passed.is_empty() => {
                bail!(
                    "systemd passed no socket: start launcherd.socket, or listen on -H unix://PATH"
                )
            }
            Host::AllPassed => {
                for descriptor in passed.iter_mut().filter_map(Option::take) {
                    found.push(from_descriptor(descriptor)?);
                }
            }
            Host::Passed(number) => {
                let is_it = |one: &&mut Option<OwnedFd>| {
                    one.as_ref().is_some_and(|one| one.as_raw_fd() == *number)
                };
                let descriptor = passed.iter_mut().find(is_it).and_then(Option::take);
                let descriptor =
                    descriptor.with_context(|| format!("systemd passed no descriptor {number}"))?;
                found.push(from_descriptor(descriptor)?);
            }
            Host::Path(path) => found.push(bind(path)?),
        }
    }
    Ok(found)
}

fn from_descriptor(descriptor: OwnedFd) -> anyhow::Result<UnixListener> {
    let listener = std::os::unix::net::UnixListener::from(descriptor);
    listener
        .local_addr()
        .context("what systemd passed is no Unix socket")?;
    listener.set_nonblocking(true)?;
    Ok(UnixListener::from_std(listener)?)
}

/// What is there may be what a launcherd left that was killed.
fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    let context = || format!("cannot listen on {}", path.display());
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        bail!("{}: somebody listens there already", path.display());
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(context);
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(context)?;
    // Whoever may talk here is root: nobody else.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, mode).with_context(context)?;
    Ok(listener)
}
