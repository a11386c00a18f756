//! Leases: what is written under one is kept as long as it lasts.
//!
//! They end by themselves after a day, should whoever took one be killed.

use std::collections::HashMap;

use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::services::v1::{CreateRequest, DeleteRequest, ListRequest};

use super::{Store, found, plain};

/// What containerd reads as the time of a lease's end.
const EXPIRY_LABEL: &str = "containerd.io/gc.expire";
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
    pub async fn lease(&self, purpose: &str) -> anyhow::Result<Lease> {
        self.labelled_lease(purpose, HashMap::new()).await
    }

    /// Takes a lease that can be found by its labels, should it be left over.
    pub async fn labelled_lease(
        &self,
        purpose: &str,
        mut labels: HashMap<String, String>,
    ) -> anyhow::Result<Lease> {
        let now = std::time::SystemTime::now();
        let unique = now.duration_since(std::time::UNIX_EPOCH)?.as_nanos();
        let id = format!("launch-{purpose}-{}-{unique}", std::process::id());
        let end = humane(now + LIFETIME);
        labels.insert(EXPIRY_LABEL.to_owned(), end);
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
    pub async fn leases(&self, label: &str, value: &str) -> anyhow::Result<Vec<String>> {
        let message = ListRequest {
            filters: vec![format!("labels.\"{label}\"==\"{value}\"")],
        };
        let mut client = LeasesClient::new(self.channel.clone());
        let answer = client.list(self.request(message)).await;
        let leases = answer.map_err(|status| plain(&status))?.into_inner().leases;
        Ok(leases.into_iter().map(|lease| lease.id).collect())
    }

    /// Ends a lease that somebody left; that there is none is no error.
    pub async fn end_lease(&self, id: String) -> anyhow::Result<()> {
        let message = DeleteRequest { id, sync: false };
        let mut client = LeasesClient::new(self.channel.clone());
        found(client.delete(self.request(message)).await).map(|_| ())
    }

    /// Has what was removed leave the disk now; by itself containerd does so a moment later.
    pub async fn collect_garbage(&self) -> anyhow::Result<()> {
        self.lease("collect").await?.delete(true).await
    }
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
    pub async fn end(self) -> anyhow::Result<()> {
        self.delete(false).await
    }

    /// Ends it, and has what nothing else refers to leave the disk now.
    pub async fn end_now(self) -> anyhow::Result<()> {
        self.delete(true).await
    }

    /// `sync` has the garbage collected before it returns.
    async fn delete(self, sync: bool) -> anyhow::Result<()> {
        let message = DeleteRequest { id: self.id, sync };
        let mut client = LeasesClient::new(self.store.channel.clone());
        let answer = client.delete(self.store.request(message)).await;
        answer.map(|_| ()).map_err(|status| plain(&status))
    }
}
