//! What machines tell each other of updates, through their key-value store: how they ended, and so whether
//! the next machine takes a release.
//!
//! Does not judge: `update-model` does. No boot and no update fails for want of the store; what could not be
//! told is in the record, and is told later.

use std::collections::BTreeMap;

use anyhow::Context as _;
use etcd_client::{GetOptions, Txn, TxnOp};
use jiff::Timestamp;
use kv_client::v3::{Client, Repeat};
use machine_facts::release::Release;
use machine_facts::system_root::SystemRoot;
use update_model::decision::{Cluster, Decision, Stay};
use update_model::halt::StoreUnreachable;
use update_model::outcome::{Entry, Report, key, prefix, stale};
use update_model::record::Hold;
use update_model::settings::Settings;
use update_model::settings::store::Store;
use update_model::version::Version;

use crate::keeper::Keeper;
use crate::store;

/// Keys that one run removes at the most; etcd takes 128 operations in a transaction.
const REMOVED_MAX: usize = 100;

/// Tells the cluster what it has yet to be told, if there is a store and it can be reached.
pub fn tell(root: &SystemRoot, settings: &Settings, keeper: &mut Keeper) {
    let Some(store) = &settings.store else {
        return;
    };
    let unreported = keeper.record().unreported.clone();
    if unreported.is_empty() {
        return;
    }
    let told = write(root, store, &unreported).and_then(|()| keeper.reported(&unreported));
    if let Err(error) = told {
        eprintln!("updaterd: tells the cluster later how the update ended: {error:#}");
    }
}

fn write(
    root: &SystemRoot,
    store: &Store,
    reports: &BTreeMap<Version, Report>,
) -> anyhow::Result<()> {
    let product = Release::read(root)?.product;
    let machine = root.read_word("/etc/machine-id")?;
    let puts = reports.iter().map(|(version, report)| {
        TxnOp::put(key(&product, version, &machine), report.to_json(), None)
    });
    let txn = Txn::new().and_then(puts.collect::<Vec<_>>());
    store::work(root, store, async |client| {
        // Nobody else writes this machine's keys.
        client.txn(txn, Repeat::Harmless).await?;
        Ok(())
    })
}

/// How other machines fared, as far as a decision needs it. Takes away what is out of date on the way: the
/// clock was found to be within the lifetime of signed metadata, just now or when what is staged was taken.
pub fn ask(root: &SystemRoot, settings: &Settings) -> Cluster {
    let halt = &settings.halt;
    let Some(store) = settings.store.as_ref().filter(|_| halt.bad_percent > 0) else {
        return Cluster::default();
    };
    match read(root, store) {
        Ok((entries, machine)) => Cluster::Halted(halt.halted(&entries, &machine)),
        Err(error) => {
            let reason = format!("{error:#}");
            match halt.store_unreachable {
                StoreUnreachable::Wait => Cluster::Unknown(reason),
                StoreUnreachable::Proceed => {
                    eprintln!("updaterd: goes on without knowing how others fared: {reason}");
                    Cluster::default()
                }
            }
        }
    }
}

/// Whether the cluster speaks against booting what is installed.
pub fn hold(root: &SystemRoot, settings: &Settings, version: &Version) -> Hold {
    match ask(root, settings).refusal(version) {
        None => Hold::None,
        Some(refusal) => Hold::of(&Decision::Stay(Stay::Refused(version.clone(), refusal))),
    }
}

/// All outcomes of this machine's product, in one request, and who it is.
fn read(root: &SystemRoot, store: &Store) -> anyhow::Result<(Vec<Entry>, String)> {
    let release = Release::read(root)?;
    let product = &release.product;
    let machine = root.read_word("/etc/machine-id")?;
    store::work(root, store, async |client| {
        let options = GetOptions::new().with_prefix();
        let answer = client.get(prefix(product), options).await?;
        let pairs = answer.kvs().iter();
        let entries: Vec<Entry> = pairs
            .filter_map(|pair| Entry::parse(product, pair.key(), pair.value()))
            .collect();
        let stale = stale(&entries, &machine, Timestamp::now());
        if let Err(error) = remove(&client, product, &stale).await {
            eprintln!("updaterd: cannot remove outcomes of old updates: {error:#}");
        }
        Ok((entries, machine.clone()))
    })
    .context("cannot read how updates ended elsewhere")
}

async fn remove(client: &Client, product: &str, entries: &[&Entry]) -> anyhow::Result<()> {
    let keys = entries.iter().take(REMOVED_MAX);
    let deletes: Vec<TxnOp> = keys
        .map(|entry| TxnOp::delete(key(product, &entry.version, &entry.machine), None))
        .collect();
    if deletes.is_empty() {
        return Ok(());
    }
    // What came anew since is as old, or will be told again.
    client
        .txn(Txn::new().and_then(deletes), Repeat::Harmless)
        .await?;
    Ok(())
}
