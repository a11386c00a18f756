//! A server's v3 API through the crate that Rust programs use for it.
//!
//! It asks and hands back what was answered, as text.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use etcd_client::{
    Client, Error, Event, EventType, LeaseGrantOptions, LeaseTimeToLiveOptions, WatchFilterType,
    WatchOptions, WatchStream,
};

use super::normal::Numbers;
use super::operation::Operation;
use crate::server::Server;

/// What is awaited comes in this time.
const PATIENCE: Duration = Duration::from_secs(20);
/// Watches end with a change of this key, which is behind all others.
const LAST: &str = "\u{10ffff}";

/// A connection to one server.
pub(super) struct Peer {
    client: Client,
    numbers: Numbers,
    /// The last revision that was told.
    revision: i64,
}

impl Peer {
    /// Connects; numbers count from here.
    pub(super) async fn connect(server: &Server) -> Result<Self> {
        let mut client = Client::connect([server.address.to_string()], None).await?;
        let put = client.put("first", "", None).await?;
        let revision = put.header().context("no header")?.revision();
        Ok(Self {
            client,
            numbers: Numbers::since(revision),
            revision,
        })
    }

    /// Does it, and says what came of it, in numbers that are the same for every server.
    pub(super) async fn carry_out(&mut self, operation: &Operation) -> Result<String> {
        let answer = self.ask(operation).await;
        Ok(match answer {
            Ok(text) => self.numbers.normalize(&text),
            Err(Error::GRpcStatus(status)) => format!("{:?} {}", status.code(), status.message()),
            Err(error) => return Err(error.into()),
        })
    }

    /// The server's number for 0.
    pub(super) fn base(&self) -> i64 {
        self.numbers.base()
    }

    /// How far the server is, in numbers that are the same for every server.
    pub(super) fn now(&self) -> i64 {
        self.revision - self.numbers.base()
    }

    /// The server's revision, as it tells it now.
    pub(super) async fn revision(&mut self) -> Result<i64> {
        let answer = self.client.get("first", None).await?;
        Ok(answer.header().context("no header")?.revision())
    }

    async fn ask(&mut self, operation: &Operation) -> Result<String, Error> {
        let (client, base) = (&mut self.client, self.numbers.base());
        let (header, text) = match operation.clone() {
            Operation::Put(put) => {
                let (key, value, options) = put.arguments();
                let answer = client.put(key, value, Some(options)).await?;
                (answer.header().cloned(), format!("{answer:?}"))
            }
            Operation::Get(get) => {
                let (key, options) = get.arguments(base);
                let answer = client.get(key, Some(options)).await?;
                (answer.header().cloned(), format!("{answer:?}"))
            }
            Operation::Delete(delete) => {
                let (key, options) = delete.arguments();
                let answer = client.delete(key, Some(options)).await?;
                (answer.header().cloned(), format!("{answer:?}"))
            }
            Operation::Transaction(transaction) => {
                let answer = client.txn(transaction.into_txn(base)).await?;
                (answer.header().cloned(), format!("{answer:?}"))
            }
            Operation::Compact(compact) => {
                let (revision, options) = compact.arguments(base);
                let answer = client.compact(revision, Some(options)).await?;
                (answer.header().cloned(), format!("{answer:?}"))
            }
        };
        self.revision = header.map_or(self.revision, |header| header.revision());
        Ok(text)
    }

    /// Watches all keys from a revision on (0 for now), with what was there before.
    pub(super) async fn watch(
        &mut self,
        from: i64,
        filter: Option<WatchFilterType>,
    ) -> Result<WatchStream> {
        let from = if from == 0 {
            0
        } else {
            self.numbers.base() + from
        };
        let mut options = WatchOptions::new().with_all_keys().with_prev_key();
        options = options.with_start_revision(from);
        if let Some(filter) = filter {
            options = options.with_filters(vec![filter]);
        }
        let mut stream = self.client.watch("", Some(options)).await?;
        // The stream is there when it says so; what is written later is seen.
        let created = tokio::time::timeout(PATIENCE, stream.message()).await??;
        ensure!(created.is_some_and(|created| created.created() && !created.canceled()));
        Ok(stream)
    }

    /// Makes the changes that end every watch.
    pub(super) async fn end_watches(&mut self) -> Result<()> {
        self.client.put(LAST, "", None).await?;
        self.client.delete(LAST, None).await?;
        Ok(())
    }

    /// All events up to the end, or up to why there are none, and that no revision was told in parts.
    pub(super) async fn events(&self, stream: &mut WatchStream) -> Result<Vec<String>> {
        let mut events = Vec::new();
        let mut told = 0;
        loop {
            let response = tokio::time::timeout(PATIENCE, stream.message()).await??;
            let response = response.context("the watch ended")?;
            if response.canceled() {
                let compacted = response.compact_revision() - self.numbers.base();
                events.push(format!("canceled, compacted at {compacted}"));
                return Ok(events);
            }
            let revision =
                |event: &Event| event.kv().map_or(0, etcd_client::KeyValue::mod_revision);
            for (position, event) in response.events().iter().enumerate() {
                let is_new = revision(event) > told;
                ensure!(position > 0 || is_new, "{event:?} after {told}");
                told = revision(event);
                let of_last = event.kv().is_some_and(|kv| kv.key() == LAST.as_bytes());
                if of_last && event.event_type() == EventType::Delete {
                    return Ok(events);
                }
                if !of_last {
                    events.push(self.numbers.normalize(&format!("{event:?}")));
                }
            }
        }
    }

    /// Grants a lease of that number.
    pub(super) async fn grant(&mut self, id: i64, ttl: i64) -> Result<i64, Error> {
        let options = LeaseGrantOptions::new().with_id(id);
        Ok(self.client.lease_grant(ttl, Some(options)).await?.ttl())
    }

    /// Renews a lease: how many seconds it has.
    pub(super) async fn keep_alive(&mut self, id: i64) -> Result<i64> {
        let (mut keeper, mut stream) = match self.client.lease_keep_alive(id).await {
            Ok(kept) => kept,
            // What the client makes of an answer of no seconds.
            Err(Error::LeaseKeepAliveError(error)) if error == "lease not found" => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        keeper.keep_alive().await?;
        let answer = tokio::time::timeout(PATIENCE, stream.message()).await??;
        Ok(answer.context("no answer")?.ttl())
    }

    /// Remaining and granted seconds of a lease, and its keys.
    pub(super) async fn lease(&mut self, id: i64) -> Result<(i64, i64, Vec<String>)> {
        let options = LeaseTimeToLiveOptions::new().with_keys();
        let answer = self.client.lease_time_to_live(id, Some(options)).await?;
        let keys = answer.keys().iter();
        let keys = keys.map(|key| String::from_utf8_lossy(key).into_owned());
        Ok((answer.ttl(), answer.granted_ttl(), keys.collect()))
    }

    /// The client itself.
    pub(super) fn client(&mut self) -> &mut Client {
        &mut self.client
    }
}
