//! The log: lines on standard error, with a level that can change while running.
//!
//! Under systemd the journal knows the time, so lines carry none there.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

static LEVEL: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// openraft tells of every step at info; what matters of it, the cluster says itself.
fn filter(level: &str) -> EnvFilter {
    EnvFilter::new(format!(
        "{level},openraft=off,hyper=warn,rustls=warn,hickory_resolver=warn,hickory_net=warn,hickory_proto=warn"
    ))
}

/// Starts the log; once in a process.
pub(crate) fn start(level: &str) {
    let (filter, handle) = reload::Layer::new(filter(level));
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

/// etcd's levels in the words of tracing, which has nothing above errors; none for other words.
pub(crate) fn level(name: &str) -> Option<&'static str> {
    match name.to_lowercase().as_str() {
        "debug" => Some("debug"),
        "info" => Some("info"),
        "warn" | "warning" => Some("warn"),
        "error" | "panic" | "fatal" | "critical" => Some("error"),
        _ => None,
    }
}

/// Changes the level, to one of [`level`].
pub(crate) fn set_level(level: &'static str) {
    if let Some(handle) = LEVEL.get() {
        // It fails only if there is no log any more.
        let _ = handle.reload(filter(level));
    }
}
