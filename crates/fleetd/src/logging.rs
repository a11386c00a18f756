//! The log: lines on standard error, with a level that can change while running.
//!
//! Under systemd the journal knows the time, so lines carry none there.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

static LEVEL: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

fn filter(is_verbose: bool) -> EnvFilter {
    let level = if is_verbose { "debug" } else { "info" };
    EnvFilter::new(format!(
        "{level},hyper=warn,h2=warn,rustls=warn,tower=warn,tonic=warn,zbus=warn"
    ))
}

/// Starts the log; once in a process.
pub(crate) fn start(is_verbose: bool) {
    let (filter, handle) = reload::Layer::new(filter(is_verbose));
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(filter);
    let started = if std::env::var_os("JOURNAL_STREAM").is_some() {
        registry.with(lines.without_time()).try_init()
    } else {
        registry.with(lines).try_init()
    };
    if started.is_ok() {
        let _ = LEVEL.set(handle);
    }
}

/// Changes the level.
pub(crate) fn set_verbose(is_verbose: bool) {
    if let Some(handle) = LEVEL.get() {
        // It fails only if there is no log any more.
        let _ = handle.reload(filter(is_verbose));
    }
}
