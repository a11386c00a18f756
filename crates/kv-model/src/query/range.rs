//! etcd v3's ranges over the keys, as they are now or as they [were](super::past).
use std::cmp::Ordering;

use bytes::Bytes;

use super::past::Past;
use super::{Queried, refuse};
use crate::command::{Direction, KeyRange, Order, OrderBy, RangeQuery};
use crate::error_code::ErrorCode;
use crate::event::{Content, Node};
use crate::outcome::RangeReply;
use crate::record::key::{KeyNumbers, KeyRecord};
use crate::record::setting;
use crate::tables::{Rows, Table, TableError, Tables};
use crate::units::Revision;

/// A key with its record.
type KeyRow = Result<(Bytes, KeyRecord), TableError>;

/// The rows of a range, in order of their keys.
pub(crate) fn rows<'t>(tables: &'t dyn Tables, keys: &KeyRange) -> Rows<'t> {
    match keys {
        KeyRange::Single(key) => {
            let key = key.clone();
            let row = tables.get(Table::Keys, &key).transpose();
            Box::new(row.map(|row| Ok((key, row?))).into_iter())
        }
        // Tables may take a range whose end is before its beginning as a mistake.
        KeyRange::HalfOpen(from, to) if from >= to => Box::new(std::iter::empty()),
        KeyRange::HalfOpen(from, to) => tables.range(Table::Keys, from, Some(to)),
        KeyRange::From(from) => tables.range(Table::Keys, from, None),
    }
}

/// The keys of a range with their records, in order.
pub(crate) fn records<'t>(
    tables: &'t dyn Tables,
    keys: &KeyRange,
) -> impl Iterator<Item = KeyRow> + use<'t> {
    rows(tables, keys).map(|row| {
        let (key, row) = row?;
        let record = KeyRecord::decode(&key, &row)?;
        Ok((key, record))
    })
}

/// The same as they were.
pub(crate) fn records_at<'t>(
    tables: &'t dyn Tables,
    keys: &KeyRange,
    past: Option<&'t Past>,
) -> Box<dyn Iterator<Item = KeyRow> + 't> {
    match past {
        None => Box::new(records(tables, keys)),
        Some(past) => Box::new(undone(records(tables, keys), past.range(keys))),
    }
}

/// Present keys, those that changed since as they were.
fn undone<'t>(
    present: impl Iterator<Item = KeyRow> + 't,
    before: impl Iterator<Item = (&'t Bytes, &'t Option<KeyRecord>)> + 't,
) -> impl Iterator<Item = KeyRow> + 't {
    let (mut present, mut before) = (present.peekable(), before.peekable());
    std::iter::from_fn(move || {
        loop {
            let order = match (present.peek(), before.peek()) {
                (_, None) | (Some(Err(_)), _) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(Ok((key, _))), Some((changed, _))) => key.cmp(changed),
            };
            if order == Ordering::Less {
                return present.next();
            }
            if order == Ordering::Equal {
                present.next();
            }
            if let (key, Some(record)) = before.next()? {
                return Some(Ok((key.clone(), record.clone())));
            }
        }
    })
}

/// Why a revision cannot be read, if so. Members may agree on less than they know: only a compaction
/// that is in the log counts here.
pub(crate) fn unreadable(
    tables: &dyn Tables,
    revision: Option<Revision>,
) -> Result<Option<ErrorCode>, TableError> {
    let Some(revision) = revision.filter(|revision| *revision != Revision(0)) else {
        return Ok(None);
    };
    Ok(if revision > setting::revision(tables)? {
        Some(ErrorCode::FutureRevision)
    } else if revision < setting::compacted(tables)? {
        Some(ErrorCode::Compacted)
    } else {
        None
    })
}

/// Refuses a query whose revision cannot be read.
pub(super) fn check(tables: &dyn Tables, query: &RangeQuery) -> Queried<()> {
    match unreadable(tables, query.revision)? {
        Some(code) => refuse(
            tables,
            code,
            query.revision.unwrap_or_default().0.to_string(),
        ),
        None => Ok(Ok(())),
    }
}

/// A range, whatever revision it asks for, if its nodes fit into so many bytes.
pub(super) fn read(
    tables: &dyn Tables,
    query: &RangeQuery,
    past: Option<&Past>,
    bytes_max: usize,
) -> Result<Option<RangeReply>, TableError> {
    let taken_max = taken_max(query);
    let (mut count, mut matching, mut bytes) = (0_u64, 0_usize, 0_usize);
    let mut nodes = Vec::new();
    for row in records_at(tables, &query.keys, past) {
        let (key, record) = row?;
        count += 1;
        if matching > taken_max || query.count_only || !is_wanted(query, &record.numbers) {
            continue;
        }
        matching += 1;
        if matching <= taken_max {
            bytes += size_of::<Node>() + key.len() + record.value.len();
            if bytes > bytes_max {
                return Ok(None);
            }
            nodes.push(record.into_node(key));
        }
    }
    sort(&mut nodes, query.order);
    nodes.truncate(limit(query));
    if query.keys_only {
        for node in &mut nodes {
            node.content = Content::Gone;
        }
    }
    let more = matching > nodes.len();
    Ok(Some(RangeReply { nodes, more, count }))
}

/// The same, however large it is.
pub(crate) fn read_whole(
    tables: &dyn Tables,
    query: &RangeQuery,
    past: Option<&Past>,
) -> Result<RangeReply, TableError> {
    // Nothing takes more than that.
    Ok(read(tables, query, past, usize::MAX)?.unwrap_or_default())
}

pub(super) fn limit(query: &RangeQuery) -> usize {
    match query.limit {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    }
}

/// How many matching keys, the first ones, have to be looked at for the answer.
pub(super) fn taken_max(query: &RangeQuery) -> usize {
    let Order { by, direction } = query.order;
    let none = (Revision(0), Revision(0));
    let is_filtered = query.modified != none || query.created != none;
    match (query.count_only, by, direction) {
        (true, ..) => 0,
        // Only in the order of keys is it known which ones come first before all were seen.
        (_, OrderBy::Key, Direction::Unstated | Direction::Ascending) => limit(query),
        // As in etcd: it then sorts the first ones and one more, not all.
        (_, _, Direction::Unstated) if !is_filtered => limit(query).saturating_add(1),
        _ => usize::MAX,
    }
}

pub(super) fn is_wanted(query: &RangeQuery, numbers: &KeyNumbers) -> bool {
    let none = Revision(0);
    let is_within = |revision: Revision, (from, to): (Revision, Revision)| {
        (from == none || revision >= from) && (to == none || revision <= to)
    };
    is_within(numbers.modified, query.modified) && is_within(numbers.create_revision, query.created)
}

/// What nodes are sorted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Figure {
    /// They are in the order of their keys already.
    Key,
    Number(u64),
    Value(Bytes),
}

impl Figure {
    pub(super) fn of(node: &Node, by: OrderBy) -> Self {
        match by {
            OrderBy::Key => Self::Key,
            OrderBy::Version => Self::Number(node.version),
            OrderBy::Created => Self::Number(node.create_revision.0),
            OrderBy::Modified => Self::Number(node.modified.0),
            OrderBy::Value => Self::Value(match &node.content {
                Content::Value(value) => value.clone(),
                _ => Bytes::new(),
            }),
        }
    }
}

fn sort(nodes: &mut [Node], order: Order) {
    if order.by == OrderBy::Key {
        if order.direction == Direction::Descending {
            nodes.reverse();
        }
        return;
    }
    sort_by_figure(nodes, order.direction, |node| Figure::of(node, order.by));
}

/// What is equal stays in the order of keys, whichever way the others go.
pub(super) fn sort_by_figure<T>(
    list: &mut [T],
    direction: Direction,
    figure: impl Fn(&T) -> Figure,
) {
    match direction {
        Direction::Descending => {
            list.sort_by_cached_key(|one| std::cmp::Reverse(figure(one)));
        }
        Direction::Unstated | Direction::Ascending => list.sort_by_cached_key(figure),
    }
}
