//! What of a container is registered in the key-value store, for `launch inspect`.
//!
//! It is read from files that the launcher and fleetd leave; the store is not asked.

use std::io::ErrorKind;
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
    problem: Option<String>,
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
    let problem = (state == State::Announced).then(|| {
        let connected = UnixStream::connect(SOCKET).map(|_| ());
        problem(connected, receipt.is_some())
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

/// Why what is announced is not registered, and what to do.
fn problem(connected: std::io::Result<()>, has_receipt: bool) -> String {
    match connected {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            "fleetd does not run".to_owned()
        }
        Err(error) => format!("fleetd cannot be asked at {SOCKET}: {error}"),
        Ok(()) if has_receipt => {
            "fleetd told the key-value store of it, which has not confirmed that: is the store there? See `journalctl -u fleetd`"
                .to_owned()
        }
        Ok(()) => {
            "fleetd knows of it, and has told the key-value store nothing yet: it does not reach the store, has no lease there, or \
             does not know this machine's address (public-ip in /etc/keelson/fleet.toml); `journalctl -u fleetd` says which"
                .to_owned()
        }
    }
}

fn read<T: DeserializeOwned>(path: &str) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_problem_says_who_has_it() {
        let failed = |kind| Err(io::Error::from(kind));
        let text = problem(failed(ErrorKind::ConnectionRefused), true);
        assert_eq!(text, "fleetd does not run");
        let text = problem(failed(ErrorKind::PermissionDenied), true);
        assert!(text.contains(SOCKET) && text.contains("denied"), "{text}");
        assert!(problem(Ok(()), true).contains("not confirmed"));
        assert!(problem(Ok(()), false).contains("public-ip"));
    }
}
