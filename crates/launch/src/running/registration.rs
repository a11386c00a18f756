//! What of a container is registered in the key-value store, for `launch inspect`.
//!
//! It is read from files that the launcher and fleetd leave; the store is not asked.

use std::os::unix::net::UnixStream;
use std::path::Path;

use container_model::name::Name;
use container_model::registration::{
    ANNOUNCED, Announcement, FILE, REGISTERED, Receipt, SOCKET, Service,
};
use monitor_protocol::FOLDER;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// All that is known.
#[derive(Debug, Serialize)]
pub(crate) struct Registration {
    state: State,
    /// Why it is not registered, if it is to be.
    problem: Option<&'static str>,
    services: Vec<Service>,
    /// What the store has, or may have.
    keys: Vec<String>,
    /// The machine's, under which they are.
    lease: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// The container is not ready, not healthy, or ends.
    Withheld,
    /// It is to be registered.
    Announced,
    /// The store has it.
    Registered,
}

/// Of a container that runs; none if nothing of it is to be registered.
pub(crate) fn of(name: &Name) -> Option<Registration> {
    let wanted: Announcement = read(&format!("{FOLDER}/{name}/{FILE}"))?;
    let is_announced = Path::new(ANNOUNCED).join(format!("{name}.json")).exists();
    let receipt: Option<Receipt> = read(&format!("{REGISTERED}/{name}.json"));
    let state = match &receipt {
        _ if !is_announced => State::Withheld,
        Some(receipt) if receipt.confirmed => State::Registered,
        _ => State::Announced,
    };
    let problem = (state == State::Announced).then(|| match UnixStream::connect(SOCKET) {
        Ok(_) => "the key-value store does not have it: see `journalctl -u fleetd`",
        Err(_) => "fleetd does not run",
    });
    let keys = receipt.iter().flat_map(|receipt| receipt.entries.keys());
    Some(Registration {
        state,
        problem,
        services: wanted.services,
        keys: keys.cloned().collect(),
        lease: receipt.as_ref().map(|receipt| receipt.lease.clone()),
    })
}

fn read<T: DeserializeOwned>(path: &str) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
