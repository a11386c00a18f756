//! Leases: what is written under one is kept as long as it lasts.
//!
//! They end by themselves after a day, should whoever took one be killed.

use std::collections::HashMap;

use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::services::v1::{CreateRequest, DeleteRequest};

use super::{Store, plain};

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
        let now = std::time::SystemTime::now();
        let unique = now.duration_since(std::time::UNIX_EPOCH)?.as_nanos();
        let id = format!("launch-{purpose}-{}-{unique}", std::process::id());
        let end = humane(now + LIFETIME);
        let message = CreateRequest {
            id: id.clone(),
            labels: HashMap::from([(EXPIRY_LABEL.to_owned(), end)]),
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
    /// Has what was removed leave the disk now. containerd collects when a lease ends, and not when
    /// something is removed.
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

    /// `sync` has the garbage collected before it returns.
    async fn delete(self, sync: bool) -> anyhow::Result<()> {
        let message = DeleteRequest { id: self.id, sync };
        let mut client = LeasesClient::new(self.store.channel.clone());
        let answer = client.delete(self.store.request(message)).await;
        answer.map(|_| ()).map_err(|status| plain(&status))
    }
}
