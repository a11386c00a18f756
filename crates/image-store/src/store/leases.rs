//! Leases: what is written under one is kept as long as it lasts.
//!
//! They end by themselves after a day, should whoever took one be killed, and with the next look at them that
//! [`Store::abandoned_leases`] is for.

use std::collections::HashMap;

use containerd_client::services::v1 as services;
use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::services::v1::{CreateRequest, DeleteRequest, ListRequest};

use super::{Store, found, plain};
use crate::error::{Context as _, Result};

/// What containerd reads as the time of a lease's end.
const EXPIRY_LABEL: &str = "containerd.io/gc.expire";
/// In which boot of the machine one was taken: processes of the next one have the same numbers.
const BOOT_LABEL: &str = "keelson.launch/boot";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Long enough to load any image.
const LIFETIME: std::time::Duration = std::time::Duration::from_hours(24);

/// A lease, and a store that works under it.
#[derive(Debug)]
pub struct Lease {
    id: String,
    store: Store,
}

impl Store {
    /// Takes a lease.
    pub async fn lease(&self, purpose: &str) -> Result<Lease> {
        self.labelled_lease(purpose, HashMap::new()).await
    }

    /// Takes a lease that can be found by its labels, should it be left over.
    pub async fn labelled_lease(
        &self,
        purpose: &str,
        mut labels: HashMap<String, String>,
    ) -> Result<Lease> {
        let id = format!("launch-{purpose}-{}", super::unique()?);
        let end = humane(std::time::SystemTime::now() + LIFETIME);
        labels.insert(EXPIRY_LABEL.to_owned(), end);
        labels.insert(BOOT_LABEL.to_owned(), boot()?);
        let message = CreateRequest {
            id: id.clone(),
            labels,
        };
        let mut client = LeasesClient::new(self.channel.clone());
        let answer = client.create(self.request(message)).await;
        answer.map_err(|status| plain(&status))?;
        let store = Self {
            channel: self.channel.clone(),
            lease: Some(id.parse()?),
        };
        Ok(Lease { id, store })
    }
}

impl Store {
    /// The leases that have a label with a value.
    pub async fn leases(&self, label: &str, value: &str) -> Result<Vec<String>> {
        let message = ListRequest {
            filters: vec![format!("labels.\"{label}\"==\"{value}\"")],
        };
        let mut client = LeasesClient::new(self.channel.clone());
        let answer = client.list(self.request(message)).await;
        let leases = answer.map_err(|status| plain(&status))?.into_inner().leases;
        Ok(leases.into_iter().map(|lease| lease.id).collect())
    }

    /// Leases whose process is gone, by what they were taken for: of those for one purpose, or of all.
    pub async fn abandoned_leases(&self, purpose: Option<&str>) -> Result<Vec<String>> {
        let mut client = LeasesClient::new(self.channel.clone());
        let answer = client.list(self.request(ListRequest::default())).await;
        let leases = answer.map_err(|status| plain(&status))?.into_inner().leases;
        let boot = boot()?;
        let is_meant = |lease: &services::Lease| match owner(&lease.id) {
            Some((for_what, process)) => {
                let taken_in = lease.labels.get(BOOT_LABEL);
                let is_of_earlier_boot = taken_in.is_some_and(|taken_in| *taken_in != boot);
                purpose.is_none_or(|purpose| purpose == for_what)
                    && (is_of_earlier_boot || !is_alive(process))
            }
            None => false,
        };
        let meant = leases.into_iter().filter(is_meant);
        Ok(meant.map(|lease| lease.id).collect())
    }

    /// Ends a lease that somebody left; that there is none is no error.
    pub async fn end_lease(&self, id: String) -> Result<()> {
        let message = DeleteRequest { id, sync: false };
        let mut client = LeasesClient::new(self.channel.clone());
        found(client.delete(self.request(message)).await).map(|_| ())
    }

    /// Has what was removed leave the disk now; by itself containerd does so a moment later.
    pub async fn collect_garbage(&self) -> Result<()> {
        self.lease("collect").await?.delete(true).await
    }
}

/// What a lease was taken for, and by which process.
fn owner(id: &str) -> Option<(&str, u32)> {
    let (rest, _taken) = id.strip_prefix("launch-")?.rsplit_once('-')?;
    let (purpose, process) = rest.rsplit_once('-')?;
    Some((purpose, process.parse().ok()?))
}

/// Which boot of the machine this is.
fn boot() -> Result<String> {
    let text = std::fs::read_to_string(BOOT_ID).context(BOOT_ID)?;
    Ok(text.trim().to_owned())
}

/// A process that got the number of one that is gone keeps a lease until its time is over.
fn is_alive(process: u32) -> bool {
    std::path::Path::new(&format!("/proc/{process}")).exists()
}

/// A time as RFC 3339 has it, without a calendar of our own.
fn humane(time: std::time::SystemTime) -> String {
    let time = prost_types::Timestamp::from(time);
    prost_types::Timestamp { nanos: 0, ..time }.to_string()
}

impl Lease {
    /// What is written with it is under the lease.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Ends it: what nothing else refers to may be collected.
    pub async fn end(self) -> Result<()> {
        self.delete(false).await
    }

    /// Ends it, and has what nothing else refers to leave the disk now.
    pub async fn end_now(self) -> Result<()> {
        self.delete(true).await
    }

    /// `sync` has the garbage collected before it returns.
    async fn delete(self, sync: bool) -> Result<()> {
        let message = DeleteRequest { id: self.id, sync };
        let mut client = LeasesClient::new(self.store.channel.clone());
        let answer = client.delete(self.store.request(message)).await;
        answer.map(|_| ()).map_err(|status| plain(&status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leases_owner_is_in_its_name() {
        assert_eq!(owner("launch-pull-12-345"), Some(("pull", 12)));
        for other in [
            "launch-pull-12",
            "moby-pull-12-345",
            "launch-pull-x-345",
            "",
        ] {
            assert_eq!(owner(other), None, "{other}");
        }
    }

    #[test]
    fn this_process_lives() {
        assert!(is_alive(std::process::id()));
        assert!(!is_alive(u32::MAX));
    }
}
