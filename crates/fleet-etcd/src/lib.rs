//! The fleet's store over etcd's v3 API: kvd's, or a real etcd's.
//!
//! Fail-over and safe repetition are [`kv_client`]'s; this translates. What is in the store is
//! [`fleet_store`]'s affair.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Compare, CompareOp, EventType, GetOptions, PutOptions, Txn, TxnOp};
use fleet_store::{
    Change, Condition, KeyValue, Keys, LeaseId, LeaseLost, Operation, Outcome, Range, Revision,
    StoreError, Transaction, WatchEvent,
};
use kv_client::v3::{self, Client, Code, Leader, Repeat};
use kv_client::{Config, Credentials, Endpoint, Tls};
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// How long one endpoint may take to begin its answer, at most.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// What is asked of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Keys are read.
    Read,
    /// A transaction.
    Transaction,
    /// A watch is begun.
    Watch,
    /// A lease is made or taken over.
    Lease,
}

/// Told of each request that was answered, and whether that was a success.
pub type Observer = Arc<dyn Fn(Request, bool) + Send + Sync>;

/// How the store is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where.
    pub servers: Vec<Endpoint>,
    /// By whom, with a password.
    pub user: Option<(String, String)>,
    /// Files for TLS.
    pub tls: Tls,
    /// How long one request may take with all its attempts.
    pub timeout: Duration,
}

/// A store that servers of etcd's API hold.
#[derive(Clone)]
pub struct EtcdStore {
    config: Config,
    /// Made when it is first needed: with a user, a server has to be there to make it.
    client: Arc<OnceCell<Client>>,
    observer: Observer,
}

/// A watch there.
pub struct EtcdWatch {
    watcher: v3::Watcher,
}

/// A lease there.
pub struct EtcdLease {
    lease: v3::Lease,
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdStore")
            .field("endpoints", &self.config.endpoints)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for EtcdWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdWatch").finish_non_exhaustive()
    }
}

impl fmt::Debug for EtcdLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdLease").finish_non_exhaustive()
    }
}

impl EtcdStore {
    /// A store; nobody is talked to yet.
    pub fn new(options: Options, observer: Observer) -> Self {
        let credentials = options.user;
        let config = Config {
            endpoints: options.servers,
            credentials: credentials.map(|(user, password)| Credentials { user, password }),
            tls: options.tls,
            connect_timeout: ANSWER_TIMEOUT.min(options.timeout),
            request_timeout: ANSWER_TIMEOUT.min(options.timeout),
            total_timeout: options.timeout,
            watch_probe_interval: Duration::from_mins(1),
            answer_bytes_max: usize::MAX,
            observer: None,
        };
        Self {
            config,
            client: Arc::default(),
            observer,
        }
    }

    async fn client(&self) -> Result<&Client, StoreError> {
        let connect = || Client::connect(self.config.clone(), Leader::Required);
        self.client.get_or_try_init(connect).await.map_err(failure)
    }

    fn counted<T>(&self, request: Request, result: Result<T, v3::Error>) -> Result<T, StoreError> {
        (self.observer)(request, result.is_ok());
        result.map_err(failure)
    }
}

impl fleet_store::Store for EtcdStore {
    type Watch = EtcdWatch;
    type Lease = EtcdLease;

    async fn range(&self, keys: Keys) -> Result<Range, StoreError> {
        let (start, options) = range_options(keys);
        let found = self.client().await?.get(start, options).await;
        let found = self.counted(Request::Read, found)?;
        let revision = found
            .header()
            .map_or(0, etcd_client::ResponseHeader::revision);
        Ok(Range {
            revision: counted(revision),
            pairs: found.kvs().iter().map(pair).collect(),
        })
    }

    async fn transact(&self, transaction: Transaction) -> Result<Outcome, StoreError> {
        let repeat = if transaction.happens_once() {
            Repeat::Conditional
        } else {
            Repeat::Once
        };
        let compares: Vec<Compare> = transaction.conditions.into_iter().map(compare).collect();
        let operations: Vec<TxnOp> = transaction.operations.into_iter().map(operation).collect();
        let txn = Txn::new().when(compares).and_then(operations);
        let answer = self.client().await?.txn(txn, repeat).await;
        let answer = self.counted(Request::Transaction, answer)?;
        let revision = answer
            .header()
            .map_or(0, etcd_client::ResponseHeader::revision);
        Ok(if answer.succeeded() {
            Outcome::Committed(counted(revision))
        } else {
            Outcome::ConditionFailed(counted(revision))
        })
    }

    async fn watch(&self, keys: Keys, from: Revision) -> Result<EtcdWatch, StoreError> {
        let keys = match keys {
            Keys::One(key) => v3::Keys::One(key.into_bytes()),
            Keys::Prefix(prefix) => v3::Keys::Prefix(prefix.into_bytes()),
            Keys::Range(start, end) => v3::Keys::Range(start.into_bytes(), end.into_bytes()),
        };
        let options = v3::WatchOptions {
            // A watch from revision 0 would be one from now on.
            start_revision: i64::try_from(from.max(1)).unwrap_or(i64::MAX),
            ..v3::WatchOptions::default()
        };
        let watcher = self.client().await?.watch(keys, options).await;
        let watcher = self.counted(Request::Watch, watcher)?;
        Ok(EtcdWatch { watcher })
    }

    async fn grant(&self, ttl: Duration) -> Result<EtcdLease, StoreError> {
        let lease = self.client().await?.lease(ttl).await;
        let lease = self.counted(Request::Lease, lease)?;
        Ok(EtcdLease { lease })
    }

    async fn take_over(&self, id: LeaseId) -> Result<Option<EtcdLease>, StoreError> {
        let lease = self.client().await?.take_over_lease(id.0).await;
        let lease = self.counted(Request::Lease, lease)?;
        Ok(lease.map(|lease| EtcdLease { lease }))
    }

    async fn revoke(&self, id: LeaseId) -> Result<(), StoreError> {
        let ask = |mut etcd: etcd_client::Client| async move { etcd.lease_revoke(id.0).await };
        match self.client().await?.harmless(ask).await.map_err(failure) {
            Ok(_) | Err(StoreError::LeaseGone) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl fleet_store::Watch for EtcdWatch {
    async fn next(&mut self) -> Result<WatchEvent, StoreError> {
        loop {
            match self.watcher.next().await.map_err(failure)? {
                v3::WatchEvent::Progress(_) => {}
                v3::WatchEvent::Compacted { .. } => return Ok(WatchEvent::Compacted),
                v3::WatchEvent::Changes { events, .. } => {
                    let changes: Vec<Change> = events.iter().filter_map(change).collect();
                    let Some(revision) = changes.iter().map(Change::revision).max() else {
                        continue;
                    };
                    return Ok(WatchEvent::Changes { revision, changes });
                }
            }
        }
    }
}

impl fleet_store::Lease for EtcdLease {
    fn id(&self) -> LeaseId {
        LeaseId(self.lease.id())
    }

    fn ttl(&self) -> Duration {
        self.lease.ttl()
    }

    fn deadline(&self) -> Result<Instant, LeaseLost> {
        self.lease.deadline().map_err(lost)
    }

    async fn lost(&mut self) -> LeaseLost {
        lost(self.lease.lost().await)
    }
}

fn lost(lost: v3::LeaseLost) -> LeaseLost {
    match lost {
        v3::LeaseLost::Gone => LeaseLost::Gone,
        v3::LeaseLost::NotKept(why) | v3::LeaseLost::Refused(why) => LeaseLost::NotKept(why),
    }
}

/// etcd says the same of a lease that was never there.
const NO_LEASE: &str = "requested lease not found";

fn failure(error: v3::Error) -> StoreError {
    match error {
        v3::Error::Refused {
            code: Code::NotFound,
            message,
        } if message.contains(NO_LEASE) => StoreError::LeaseGone,
        v3::Error::Unavailable(text) => StoreError::Unavailable(text),
        v3::Error::OutcomeUnknown(text) => StoreError::OutcomeUnknown(text),
        error @ v3::Error::TimedOut(_) => StoreError::Unavailable(error.to_string()),
        error => StoreError::Refused(error.to_string()),
    }
}

fn range_options(keys: Keys) -> (String, GetOptions) {
    match keys {
        Keys::One(key) => (key, GetOptions::new()),
        Keys::Prefix(prefix) => (prefix, GetOptions::new().with_prefix()),
        Keys::Range(start, end) => (start, GetOptions::new().with_range(end)),
    }
}

fn compare(condition: Condition) -> Compare {
    let signed = |revision| i64::try_from(revision).unwrap_or(i64::MAX);
    match condition {
        Condition::Absent(key) => Compare::create_revision(key, CompareOp::Equal, 0),
        Condition::Exists(key) => Compare::create_revision(key, CompareOp::Greater, 0),
        Condition::CreatedAt(key, revision) => {
            Compare::create_revision(key, CompareOp::Equal, signed(revision))
        }
        Condition::ModifiedAt(key, revision) => {
            Compare::mod_revision(key, CompareOp::Equal, signed(revision))
        }
    }
}

fn operation(operation: Operation) -> TxnOp {
    match operation {
        Operation::Put { key, value, lease } => {
            let options = lease.map(|lease| PutOptions::new().with_lease(lease.0));
            TxnOp::put(key, value, options)
        }
        Operation::Delete(key) => TxnOp::delete(key, None),
        Operation::DeletePrefix(prefix) => {
            let options = etcd_client::DeleteOptions::new().with_prefix();
            TxnOp::delete(prefix, Some(options))
        }
    }
}

fn change(event: &etcd_client::Event) -> Option<Change> {
    let found = event.kv()?;
    Some(match event.event_type() {
        EventType::Put => Change::Put(pair(found)),
        EventType::Delete => Change::Deleted {
            key: text(found.key()),
            revision: counted(found.mod_revision()),
        },
    })
}

fn pair(found: &etcd_client::KeyValue) -> KeyValue {
    KeyValue {
        key: text(found.key()),
        value: found.value().to_vec(),
        create_revision: counted(found.create_revision()),
        mod_revision: counted(found.mod_revision()),
        lease: (found.lease() != 0).then(|| LeaseId(found.lease())),
    }
}

/// A key that is no text is none of ours, whatever it becomes here.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn counted(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
