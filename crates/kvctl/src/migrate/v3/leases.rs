//! Leases that are carried over, with what is left of their time.
//!
//! A lease of the target lives as long as that of the source: it is granted what is left, and given its
//! whole time only when the source's was.
use std::collections::HashMap;
use std::time::Duration;

use etcd_client::{
    Client as EtcdClient, Compare, CompareOp, LeaseTimeToLiveOptions, PutOptions, Txn, TxnOp,
};
use kv_client::v3::{Client, Error, Repeat};
use tokio::time::Instant;

use crate::failure::Failure;

/// Times are told in whole seconds; less than this is no news.
const SLACK: Duration = Duration::from_millis(1500);
/// The shortest time between two looks at a lease.
const LOOK_MIN: Duration = Duration::from_millis(500);

/// The target's leases by the source's numbers.
pub(super) struct Leases {
    source: Client,
    target: Client,
    carried: HashMap<i64, Carried>,
}

#[derive(Debug, Clone, Copy)]
struct Carried {
    id: i64,
    grant: Grant,
    /// When the source's ends, unless it is kept alive.
    end: Instant,
    next_look: Instant,
}

/// What the target's lease was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grant {
    /// What was left of the source's.
    Rest,
    /// The source's whole time, so that it can be kept alive.
    Whole,
}

/// A lease of the source.
struct Alive {
    remaining: i64,
    granted: i64,
    keys: Vec<Vec<u8>>,
}

#[allow(clippy::needless_pass_by_value)] // `map_err` gives it away
fn failed(error: Error) -> Failure {
    Failure::Plain(format!("a lease cannot be carried over: {error}"))
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

impl Leases {
    pub(super) fn new(source: Client, target: Client) -> Self {
        Self {
            source,
            target,
            carried: HashMap::new(),
        }
    }

    /// The target's lease for one of the source; nothing if that has ended meanwhile: its keys are
    /// about to be removed.
    pub(super) async fn carried(&mut self, id: i64) -> Result<Option<i64>, Failure> {
        if let Some(carried) = self.carried.get(&id) {
            return Ok(Some(carried.id));
        }
        let Some(alive) = self.ask(id).await? else {
            return Ok(None);
        };
        let grant = if alive.remaining >= alive.granted {
            Grant::Whole
        } else {
            Grant::Rest
        };
        let carried = Carried {
            id: self.grant(alive.remaining).await?,
            grant,
            end: Instant::now() + seconds(alive.remaining),
            next_look: Instant::now() + LOOK_MIN,
        };
        self.carried.insert(id, carried);
        Ok(Some(carried.id))
    }

    async fn ask(&self, id: i64) -> Result<Option<Alive>, Failure> {
        let ask = |mut etcd: EtcdClient| async move {
            let options = LeaseTimeToLiveOptions::new().with_keys();
            etcd.lease_time_to_live(id, Some(options)).await
        };
        let found = self.source.harmless(ask).await.map_err(failed)?;
        Ok((found.ttl() > 0).then(|| Alive {
            remaining: found.ttl(),
            granted: found.granted_ttl(),
            keys: found.keys().to_vec(),
        }))
    }

    /// A grant that is made twice leaves a lease without keys, which ends by itself.
    async fn grant(&self, ttl: i64) -> Result<i64, Failure> {
        let ask = |mut etcd: EtcdClient| async move { etcd.lease_grant(ttl.max(1), None).await };
        let granted = self.target.harmless(ask).await.map_err(failed)?;
        Ok(granted.id())
    }

    /// Keeps alive what the source keeps alive.
    pub(super) async fn look_after(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        let due = self.carried.iter().filter(|(_, one)| one.next_look <= now);
        let due: Vec<(i64, Carried)> = due.map(|(id, one)| (*id, *one)).collect();
        for (id, carried) in due {
            match self.ask(id).await? {
                // The source removes the keys; that is carried over like any other change.
                None => drop(self.carried.remove(&id)),
                Some(alive) => {
                    let renewed = self.renew(carried, alive).await?;
                    self.carried.insert(id, renewed);
                }
            }
        }
        Ok(())
    }

    async fn renew(&self, mut carried: Carried, alive: Alive) -> Result<Carried, Failure> {
        let now = Instant::now();
        let end = now + seconds(alive.remaining);
        if end > carried.end + SLACK {
            match carried.grant {
                Grant::Whole => self.keep_alive(carried.id).await?,
                Grant::Rest => {
                    carried.id = self.move_keys(&alive).await?;
                    carried.grant = Grant::Whole;
                }
            }
            carried.end = end;
        }
        // Often enough that it is kept alive long before it ends.
        let whole = seconds(alive.granted);
        carried.next_look = now + (whole / 8).min(seconds(alive.remaining) / 4).max(LOOK_MIN);
        Ok(carried)
    }

    async fn keep_alive(&self, id: i64) -> Result<(), Failure> {
        let ask = |mut etcd: EtcdClient| async move { etcd.lease_keep_alive(id).await };
        self.target.harmless(ask).await.map(drop).map_err(failed)
    }

    /// Puts the keys of a lease under a new one with the whole time.
    async fn move_keys(&self, alive: &Alive) -> Result<i64, Failure> {
        let id = self.grant(alive.granted).await?;
        for key in &alive.keys {
            let options = PutOptions::new().with_lease(id).with_ignore_value();
            let there = Compare::version(key.clone(), CompareOp::Greater, 0);
            let put = TxnOp::put(key.clone(), "", Some(options));
            let txn = Txn::new().when([there]).and_then([put]);
            self.target
                .txn(txn, Repeat::Harmless)
                .await
                .map_err(failed)?;
        }
        Ok(id)
    }
}
