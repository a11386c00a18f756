//! The file of metrics, for `node_exporter`'s textfile collector.
//!
//! What stands in it is `update-model`'s.

use machine_facts::boot_facts::BootFacts;
use machine_facts::release::Release;
use machine_facts::system_root::SystemRoot;
use update_model::metrics::{Identity, render};
use update_model::record::Record;

/// Where it is. The collector takes a folder; nothing else is in this one.
pub const PATH: &str = "/run/keelson/metrics/update.prom";

/// Replaces it. That it cannot is no reason to stop an update.
pub fn show(root: &SystemRoot, record: &Record) {
    let version = BootFacts::read(root).ok().and_then(|facts| facts.version);
    let identity = Identity {
        product: Release::read(root).map_or(String::new(), |release| release.product),
        running: version.unwrap_or_default(),
    };
    if let Err(error) = root.replace(PATH, &render(record, &identity)) {
        eprintln!("updaterd: cannot write the metrics, {PATH}: {error}");
    }
}
