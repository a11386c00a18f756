//! The reboot lock in the cluster's store: the group's document, changed on the condition that it is as it was
//! read.
//!
//! What the document means is `update_model::semaphore`'s.

use anyhow::{Context as _, bail};
use etcd_client::{Compare, CompareOp, GetOptions, KeyValue, Txn, TxnOp};
use jiff::Timestamp;
use kv_client::v3::{Client, Error, Repeat};
use machine_facts::system_root::SystemRoot;
use update_model::semaphore::{Full, Semaphore, key};
use update_model::settings::store::Store;

use crate::store;

/// So often a change is tried anew that another's came before.
const ATTEMPTS: usize = 16;

/// Takes a slot.
pub(super) fn take(
    root: &SystemRoot,
    store: &Store,
    group: &str,
    machine: &str,
) -> anyhow::Result<Result<(), Full>> {
    let now = Timestamp::from_second(Timestamp::now().as_second())?;
    change(root, store, group, |semaphore| semaphore.take(machine, now))
}

/// Gives a slot back; says whether it was held.
pub(super) fn release(
    root: &SystemRoot,
    store: &Store,
    group: &str,
    machine: &str,
) -> anyhow::Result<bool> {
    let mut was_held = false;
    let done = change(root, store, group, |semaphore| {
        // A repetition of a change that was made finds nothing.
        was_held |= semaphore.release(machine);
        Ok(())
    });
    done?.map(|()| was_held).map_err(Into::into)
}

/// Changes the number of slots.
pub(super) fn set_slots(
    root: &SystemRoot,
    store: &Store,
    group: &str,
    slots: u32,
) -> anyhow::Result<()> {
    let done = change(root, store, group, |semaphore| {
        semaphore.slots = slots;
        Ok(())
    });
    Ok(done??)
}

/// The document.
pub(super) fn read(root: &SystemRoot, store: &Store, group: &str) -> anyhow::Result<Semaphore> {
    store::work(root, store, async |client| {
        let (semaphore, _) = current(&client, group).await?;
        Ok(semaphore)
    })
}

/// Whether the change was made twice must not matter.
fn change(
    root: &SystemRoot,
    store: &Store,
    group: &str,
    mut change: impl FnMut(&mut Semaphore) -> Result<(), Full>,
) -> anyhow::Result<Result<(), Full>> {
    store::work(root, store, async |client| {
        for _ in 0..ATTEMPTS {
            let (before, revision) = current(&client, group).await?;
            let mut semaphore = before.clone();
            if let Err(full) = change(&mut semaphore) {
                return Ok(Err(full));
            }
            if semaphore == before || put_if_unchanged(&client, group, revision, &semaphore).await?
            {
                return Ok(Ok(()));
            }
        }
        bail!("others changed {} at every attempt", key(group))
    })
}

/// The document, and the revision of its last change, 0 if there is none.
async fn current(client: &Client, group: &str) -> anyhow::Result<(Semaphore, i64)> {
    let answer = client.get(key(group), GetOptions::new()).await;
    let answer = answer.with_context(|| format!("cannot read {}", key(group)))?;
    let found = answer.kvs().first();
    let semaphore = Semaphore::parse(group, found.map(KeyValue::value))?;
    Ok((semaphore, found.map_or(0, KeyValue::mod_revision)))
}

/// Whether that was done, as far as is known; if it is not, another look tells.
async fn put_if_unchanged(
    client: &Client,
    group: &str,
    revision: i64,
    semaphore: &Semaphore,
) -> anyhow::Result<bool> {
    let unchanged = Compare::mod_revision(key(group), CompareOp::Equal, revision);
    let put = TxnOp::put(key(group), semaphore.to_json(), None);
    let transaction = Txn::new().when([unchanged]).and_then([put]);
    match client.txn(transaction, Repeat::Conditional).await {
        Ok(answer) => Ok(answer.succeeded()),
        Err(Error::OutcomeUnknown(_)) => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot change {}", key(group))),
    }
}
