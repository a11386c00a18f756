//! etcd v3's transactions.
//!
//! First it is settled which operations of all levels are to be done, then they are checked, then
//! done: a transaction that is refused has changed nothing. All of it has one revision, and none if
//! it changes nothing.
mod check;
mod plan;

use bytes::Bytes;

use super::change::Change;
use super::directory::{make_ancestors, remove_keys};
use crate::command::{KeyRange, LeaseChoice, Transaction};
use crate::event::{Action, Event, Node};
use crate::outcome::{OperationReply, Reply, TransactionReply};
use crate::path;
use crate::query::Queried;
use crate::query::range::{read_whole, records};
use crate::record::directory::Origin;
use crate::record::key::{KeyNumbers, KeyRecord};
use crate::tables::{TableError, Tables};
use crate::units::Revision;

pub(crate) use plan::{Plan, Step};

pub(super) fn apply(change: &mut Change<'_>, transaction: &Transaction) -> Queried<Reply> {
    let plan = match checked_plan(change.tables(), transaction)? {
        Ok(plan) => plan,
        Err((code, cause)) => return change.refuse(code, cause),
    };
    let mut reply = carry_out(change, plan)?;
    set_revision(&mut reply, change.revision());
    Ok(Ok(Reply::Transaction(reply)))
}

/// What a transaction will do, if it may.
pub(crate) fn checked_plan<'a>(
    tables: &dyn Tables,
    transaction: &'a Transaction,
) -> plan::Planned<Plan<'a>> {
    match check::keys_written(transaction) {
        Ok(()) => plan::plan(tables, transaction),
        Err(refused) => Ok(Err(refused)),
    }
}

/// The revision is known only when all is done, and is the same on all levels.
fn set_revision(reply: &mut TransactionReply, revision: Revision) {
    reply.revision = revision;
    for reply in &mut reply.replies {
        if let OperationReply::Nested(nested) = reply {
            set_revision(nested, revision);
        }
    }
}

fn carry_out(change: &mut Change<'_>, plan: Plan<'_>) -> Result<TransactionReply, TableError> {
    let mut replies = Vec::with_capacity(plan.steps.len());
    for step in plan.steps {
        replies.push(match step {
            Step::Answered(reply) => reply,
            Step::Range(query) => OperationReply::Range(read_whole(change.tables(), query, None)?),
            Step::Put(put) => OperationReply::Put(carry_out_put(change, &put)?),
            Step::Delete {
                keys,
                want_previous,
            } => carry_out_delete(change, keys, want_previous)?,
            Step::Nested(plan) => OperationReply::Nested(carry_out(change, plan)?),
        });
    }
    Ok(TransactionReply {
        revision: change.revision(),
        succeeded: plan.succeeded,
        replies,
    })
}

fn carry_out_put(change: &mut Change<'_>, put: &plan::Put<'_>) -> Result<Option<Node>, TableError> {
    change.advance_once();
    let key = put.key;
    let old = KeyRecord::read(change.tables(), key)?;
    if old.is_none()
        && let Some(path) = path::v2_path(key)
    {
        make_ancestors(change, path, Origin::Implied)?;
    }
    let kept = old.as_ref();
    let (lease, expires) = match put.lease {
        LeaseChoice::None => (None, None),
        LeaseChoice::Lease(id) => (Some(id), None),
        LeaseChoice::Keep => (
            kept.and_then(|old| old.numbers.lease),
            kept.and_then(|old| old.numbers.expires),
        ),
    };
    let value = put.value.or(kept.map(|old| &old.value));
    let record = KeyRecord {
        value: value.cloned().unwrap_or_default(),
        numbers: KeyNumbers {
            expires,
            lease,
            ..change.next_numbers(kept)
        },
    };
    change.put_key(key, kept, &record);
    let previous = old.map(|old| old.into_node(key.clone()));
    let reply = if put.want_previous {
        previous.clone()
    } else {
        None
    };
    let event = Event {
        revision: change.revision(),
        action: Action::Set,
        node: record.into_node(key.clone()),
        previous,
        removed_keys: Vec::new(),
        refresh: false,
    };
    change.record(event);
    Ok(reply)
}

fn carry_out_delete(
    change: &mut Change<'_>,
    keys: &KeyRange,
    want_previous: bool,
) -> Result<OperationReply, TableError> {
    let found: Vec<(Bytes, KeyRecord)> =
        records(change.tables(), keys).collect::<Result<_, TableError>>()?;
    let mut previous = Vec::new();
    let count = found.len() as u64;
    if want_previous {
        let nodes = found.iter().cloned();
        previous.extend(nodes.map(|(key, record)| record.into_node(key)));
    }
    if !found.is_empty() {
        change.advance_once();
    }
    remove_keys(change, Action::Delete, found)?;
    Ok(OperationReply::DeleteRange(count, previous))
}
