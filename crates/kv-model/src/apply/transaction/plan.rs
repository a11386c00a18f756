//! Settles what a transaction will do: which branches, and that all of it can be done.
//!
//! All compares, those of transactions inside too, look at the state before the transaction.
use bytes::Bytes;

use super::super::lease::hexadecimal;
use crate::command::{
    Compare, CompareTarget, KeyRange, LeaseChoice, Operation, RangeQuery, Relation, Transaction,
};
use crate::error_code::ErrorCode;
use crate::outcome::OperationReply;
use crate::query::range::{read_whole, records, unreadable};
use crate::record::key::KeyRecord;
use crate::record::lease::LeaseRecord;
use crate::record::setting;
use crate::tables::{TableError, Tables};
use crate::units::Revision;

/// Planned, or code and cause of why it cannot be done.
pub(crate) type Planned<T> = Result<Result<T, (ErrorCode, String)>, TableError>;

/// What is to be done on one level.
pub(crate) struct Plan<'a> {
    pub(crate) succeeded: bool,
    pub(crate) steps: Vec<Step<'a>>,
}

/// One operation to be done.
pub(crate) enum Step<'a> {
    /// It asked for the state before the transaction, which is read already, or for an earlier one.
    Answered(OperationReply),
    Range(&'a RangeQuery),
    Put(Put<'a>),
    Delete {
        keys: &'a KeyRange,
        want_previous: bool,
    },
    Nested(Plan<'a>),
}

/// Meanings as in [`Operation::Put`].
pub(crate) struct Put<'a> {
    pub(super) key: &'a Bytes,
    pub(super) value: Option<&'a Bytes>,
    pub(super) lease: LeaseChoice,
    pub(super) want_previous: bool,
}

/// As in etcd, what is wrong with a put is found before what is wrong with a read.
pub(super) fn plan<'a>(tables: &dyn Tables, transaction: &'a Transaction) -> Planned<Plan<'a>> {
    let mut plan = match choose(tables, transaction)? {
        Ok(plan) => plan,
        Err(refused) => return Ok(Err(refused)),
    };
    Ok(settle_ranges(tables, &mut plan)?.map(|()| plan))
}

/// Which operations are done; that its puts can be.
fn choose<'a>(tables: &dyn Tables, transaction: &'a Transaction) -> Planned<Plan<'a>> {
    let mut succeeded = true;
    for compare in &transaction.compares {
        succeeded = succeeded && holds(tables, compare)?;
    }
    let operations = if succeeded {
        &transaction.success
    } else {
        &transaction.failure
    };
    let mut steps = Vec::with_capacity(operations.len());
    for operation in operations {
        match step(tables, operation)? {
            Ok(step) => steps.push(step),
            Err(refused) => return Ok(Err(refused)),
        }
    }
    Ok(Ok(Plan { succeeded, steps }))
}

fn step<'a>(tables: &dyn Tables, operation: &'a Operation) -> Planned<Step<'a>> {
    match operation {
        Operation::Range(query) => Ok(Ok(Step::Range(query))),
        Operation::Put {
            key,
            value,
            lease,
            want_previous,
        } => {
            let put = Put {
                key,
                value: value.as_ref(),
                lease: *lease,
                want_previous: *want_previous,
            };
            Ok(match why_not(tables, &put)? {
                Some(refused) => Err(refused),
                None => Ok(Step::Put(put)),
            })
        }
        Operation::DeleteRange {
            keys,
            want_previous,
        } => Ok(Ok(Step::Delete {
            keys,
            want_previous: *want_previous,
        })),
        Operation::Nested(transaction) => Ok(choose(tables, transaction)?.map(Step::Nested)),
    }
}

/// Sees to it that all reads can be done, and does those of the state before the transaction.
fn settle_ranges(tables: &dyn Tables, plan: &mut Plan<'_>) -> Planned<()> {
    for step in &mut plan.steps {
        let settled = match step {
            Step::Range(query) => match range(tables, query)? {
                Ok(Some(reply)) => {
                    *step = Step::Answered(reply);
                    Ok(())
                }
                settled => settled.map(drop),
            },
            Step::Nested(plan) => settle_ranges(tables, plan)?,
            _ => Ok(()),
        };
        if settled.is_err() {
            return Ok(settled);
        }
    }
    Ok(Ok(()))
}

/// The answer to a read, unless it is of what the transaction leaves.
fn range(tables: &dyn Tables, query: &RangeQuery) -> Planned<Option<OperationReply>> {
    let asked = query.revision.unwrap_or_default();
    if let Some(code) = unreadable(tables, query.revision)? {
        return Ok(Err((code, asked.0.to_string())));
    }
    if query.earlier_than(setting::revision(tables)?).is_some() {
        return Ok(Ok(Some(OperationReply::Past(query.clone()))));
    }
    if asked == Revision(0) {
        return Ok(Ok(None));
    }
    let whole = read_whole(tables, query, None)?;
    Ok(Ok(Some(OperationReply::Range(whole))))
}

fn why_not(tables: &dyn Tables, put: &Put<'_>) -> Result<Option<(ErrorCode, String)>, TableError> {
    if let LeaseChoice::Lease(id) = put.lease
        && LeaseRecord::read(tables, id)?.is_none()
    {
        return Ok(Some((ErrorCode::LeaseNotFound, hexadecimal(id))));
    }
    let needs_old = put.value.is_none() || put.lease == LeaseChoice::Keep;
    if needs_old && KeyRecord::read(tables, put.key)?.is_none() {
        let cause = String::from_utf8_lossy(put.key).into_owned();
        return Ok(Some((ErrorCode::KeyNotFound, cause)));
    }
    Ok(None)
}

/// Whether every key of the range is as the compare wants it. A range without keys is compared
/// like a key whose figures are all 0.
fn holds(tables: &dyn Tables, compare: &Compare) -> Result<bool, TableError> {
    let mut is_absent = true;
    for row in records(tables, &compare.keys) {
        let (_, record) = row?;
        is_absent = false;
        if !is_met(compare, Some(&record)) {
            return Ok(false);
        }
    }
    Ok(!is_absent || is_met(compare, None))
}

fn is_met(compare: &Compare, record: Option<&KeyRecord>) -> bool {
    let numbers = record.map(|record| record.numbers);
    let order = match &compare.target {
        CompareTarget::Version(given) => numbers.map_or(0, |stored| stored.version).cmp(given),
        CompareTarget::Created(given) => numbers
            .map_or(Revision(0), |stored| stored.create_revision)
            .cmp(given),
        CompareTarget::Modified(given) => numbers
            .map_or(Revision(0), |stored| stored.modified)
            .cmp(given),
        CompareTarget::Value(given) => match record {
            Some(record) => record.value.cmp(given),
            None => return false,
        },
        CompareTarget::Lease(given) => {
            let number = |id: Option<crate::units::LeaseId>| id.map_or(0, |id| id.0);
            let stored = numbers.and_then(|stored| stored.lease);
            number(stored).cmp(&number(*given))
        }
    };
    match compare.relation {
        Relation::Equal => order.is_eq(),
        Relation::NotEqual => order.is_ne(),
        Relation::Greater => order.is_gt(),
        Relation::Less => order.is_lt(),
    }
}
