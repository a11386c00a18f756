//! `lock` and `elect`, as etcd's own clients make them: keys under a lease, the oldest one holds.
//!
//! Nobody can be stopped from believing in a lock that has expired: that is what the revision is for,
//! which grows with each holder. Ours end the command before the lease can end.
use std::process::ExitCode;
use std::time::Duration;

use etcd_client::{
    Compare, CompareOp, DeleteOptions, GetOptions, GetResponse, KeyValue, PutOptions, SortOrder,
    SortTarget, Txn, TxnOp, TxnOpResponse, WatchFilterType,
};
use kv_client::v3::{Client, Keys, Lease, Repeat, WatchEvent, WatchOptions};
use tokio::process::Command;

use crate::signals::{self, Stop};
use crate::v3::arguments::{ElectArguments, Global, LockArguments};
use crate::v3::failure::Failure;
use crate::v3::keys::Range;
use crate::v3::output::{Style, show};
use crate::v3::session;

/// A place in the queue.
struct Place {
    client: Client,
    prefix: String,
    key: String,
    /// The revision at which the key was made.
    revision: i64,
}

impl Place {
    /// Takes a place under a lease.
    async fn take(
        client: &Client,
        name: &str,
        value: &str,
        lease: &Lease,
    ) -> Result<Self, Failure> {
        let prefix = format!("{name}/");
        let key = format!("{prefix}{:x}", lease.id());
        let put = PutOptions::new().with_lease(lease.id());
        let txn = Txn::new()
            .when([Compare::create_revision(key.as_str(), CompareOp::Equal, 0)])
            .and_then([TxnOp::put(key.as_str(), value, Some(put))])
            .or_else([TxnOp::get(key.as_str(), None)]);
        // The lease is new, so the key can only be ours: a repetition finds what the first try made.
        let answer = client.txn(txn, Repeat::Harmless).await?;
        let put_at = answer
            .header()
            .map_or(0, etcd_client::ResponseHeader::revision);
        let found = answer.op_responses().into_iter().find_map(|one| match one {
            TxnOpResponse::Get(range) => range.kvs().first().map(KeyValue::create_revision),
            _ => None,
        });
        Ok(Self {
            client: client.clone(),
            prefix,
            key,
            revision: found.unwrap_or(put_at),
        })
    }

    /// Waits until nobody is before us.
    async fn wait_turn(&self) -> Result<(), Failure> {
        while let Some((key, revision)) = self.before_us().await? {
            self.wait_removal(&key, revision + 1).await?;
        }
        self.still_ours().await
    }

    /// Whoever came last before us, and the revision of which that is known.
    async fn before_us(&self) -> Result<Option<(Vec<u8>, i64)>, Failure> {
        let bound = self.revision - 1;
        if bound < 1 {
            // As a bound, 0 is none, and we would wait for ourselves.
            return Ok(None);
        }
        let options = GetOptions::new()
            .with_prefix()
            .with_sort(SortTarget::Create, SortOrder::Descend)
            .with_limit(1)
            .with_max_create_revision(bound);
        let found = self.client.get(self.prefix.as_str(), options).await?;
        let header = found.header();
        let revision = header.map_or(0, etcd_client::ResponseHeader::revision);
        let before = found.kvs().first();
        Ok(before.map(|before| (before.key().to_vec(), revision)))
    }

    async fn still_ours(&self) -> Result<(), Failure> {
        let own = self.own().await?;
        let is_ours = own.kvs().first().map(KeyValue::create_revision) == Some(self.revision);
        if is_ours {
            return Ok(());
        }
        Err(Failure::plain(format!(
            "{} was removed: session expired",
            self.key
        )))
    }

    async fn own(&self) -> Result<GetResponse, Failure> {
        let found = self.client.get(self.key.as_str(), GetOptions::new()).await;
        Ok(found?)
    }

    /// Waits until a key is gone, or may be.
    async fn wait_removal(&self, key: &[u8], from: i64) -> Result<(), Failure> {
        let options = WatchOptions {
            start_revision: from,
            filters: vec![WatchFilterType::NoPut],
            ..WatchOptions::default()
        };
        let mut watcher = self.client.watch(Keys::One(key.to_vec()), options).await?;
        loop {
            match watcher.next().await? {
                WatchEvent::Progress(_) => {}
                WatchEvent::Changes { .. } | WatchEvent::Compacted { .. } => return Ok(()),
            }
        }
    }

    /// Waits for our turn, then does the work as long as the lease lives; leaves in any case.
    async fn hold<F>(self, mut lease: Lease, mut stop: Stop, work: F) -> Result<ExitCode, Failure>
    where
        F: AsyncFnOnce(&Self, &mut Stop) -> Result<ExitCode, Failure>,
    {
        let outcome = {
            let turn = async {
                tokio::select! {
                    waited = self.wait_turn() => waited?,
                    () = stop.wanted() => {
                        let text = format!("stopped before {} was first", self.key);
                        return Err(Failure::plain(text));
                    }
                }
                work(&self, &mut stop).await
            };
            tokio::select! {
                done = turn => done,
                lost = lease.lost() => {
                    Err(Failure::plain(format!("{} is no longer ours: {lost}", self.key)))
                }
            }
        };
        self.leave(lease).await;
        outcome
    }

    /// Leaves the queue. If that fails, the key goes with its lease.
    async fn leave(self, lease: Lease) {
        let ttl = lease.ttl().as_secs();
        let removed = self
            .client
            .delete(self.key.as_str(), DeleteOptions::new())
            .await;
        let revoked = lease.revoke().await;
        if let (Err(error), Err(_)) = (removed, revoked) {
            let key = self.key;
            eprintln!("{key} is not removed, and goes away within {ttl} s: {error}");
        }
    }
}

async fn hold_until_stopped(
    place: &Place,
    style: Style,
    stop: &mut Stop,
) -> Result<ExitCode, Failure> {
    show(&Range::from(&place.own().await?), style)?;
    stop.wanted().await;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn lock(
    global: &Global,
    style: Style,
    wanted: &LockArguments,
) -> Result<ExitCode, Failure> {
    let Some(name) = &wanted.name else {
        let text = "lock takes a lock name argument and an optional command to execute";
        return Err(Failure::arguments(text));
    };
    let client = session::open(global).await?;
    client.ready().await?;
    let stop = Stop::new()?;
    let lease = client.lease(Duration::from_secs(wanted.ttl)).await?;
    let place = Place::take(&client, name, "", &lease).await?;
    // `--` may stand before the command or inside it, as with etcdctl.
    let words: Vec<&String> = wanted.command.iter().filter(|word| *word != "--").collect();
    let Some((program, arguments)) = words.split_first() else {
        let work =
            async |place: &Place, stop: &mut Stop| hold_until_stopped(place, style, stop).await;
        return place.hold(lease, stop, work).await;
    };
    let work = async |place: &Place, stop: &mut Stop| {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("ETCD_LOCK_KEY", &place.key)
            .env("ETCD_LOCK_REV", place.revision.to_string());
        Ok(signals::run_to_its_end(&mut command, program, stop).await?)
    };
    place.hold(lease, stop, work).await
}

pub(crate) async fn elect(
    global: &Global,
    style: Style,
    wanted: &ElectArguments,
) -> Result<ExitCode, Failure> {
    let (name, value) = match wanted.arguments.as_slice() {
        [name] if wanted.listen => (name, None),
        [_] => return Err(Failure::arguments("no proposal argument but -l not set")),
        [_, _] if wanted.listen => {
            let text = "proposal given but -l is set";
            return Err(Failure::arguments(text));
        }
        [name, value] => (name, Some(value)),
        _ => {
            let text = "elect takes one election name argument and an optional proposal argument";
            return Err(Failure::arguments(text));
        }
    };
    let client = session::open(global).await?;
    client.ready().await?;
    let mut stop = Stop::new()?;
    if let Some(value) = value {
        let lease = client.lease(Duration::from_secs(wanted.ttl)).await?;
        let place = Place::take(&client, name, value, &lease).await?;
        let work =
            async |place: &Place, stop: &mut Stop| hold_until_stopped(place, style, stop).await;
        return place.hold(lease, stop, work).await;
    }
    tokio::select! {
        ended = follow(&client, name, style) => ended.map(|()| ExitCode::SUCCESS),
        () = stop.wanted() => Ok(ExitCode::SUCCESS),
    }
}

/// Prints who is elected, now and after each change.
async fn follow(client: &Client, name: &str, style: Style) -> Result<(), Failure> {
    let prefix = format!("{name}/");
    let mut shown = None;
    loop {
        let options = GetOptions::new()
            .with_prefix()
            .with_sort(SortTarget::Create, SortOrder::Ascend)
            .with_limit(1);
        let found = client.get(prefix.as_str(), options).await?;
        let leader = found
            .kvs()
            .first()
            .map(|kv| (kv.key().to_vec(), kv.mod_revision()));
        if leader.is_some() && leader != shown {
            show(&Range::from(&found), style)?;
            shown = leader;
        }
        let revision = found
            .header()
            .map_or(0, etcd_client::ResponseHeader::revision);
        let options = WatchOptions {
            start_revision: revision + 1,
            ..WatchOptions::default()
        };
        let keys = Keys::Prefix(prefix.clone().into_bytes());
        let mut watcher = client.watch(keys, options).await?;
        while matches!(watcher.next().await?, WatchEvent::Progress(_)) {}
    }
}
