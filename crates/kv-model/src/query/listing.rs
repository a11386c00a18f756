//! A range that is too large to be held: which keys it gives is settled first, then they are read
//! page by page.
//!
//! The tables, and the past if there is one, must be the same throughout. A range in the order of
//! keys takes no memory beside a page; to be sorted otherwise, its keys have to be held, and their
//! values too if it is sorted by value.
use bytes::Bytes;

use super::past::Past;
use super::range::{Figure, is_wanted, limit, records_at, sort_by_figure, taken_max};
use crate::command::{Direction, KeyRange, OrderBy, RangeQuery};
use crate::event::{Content, Node};
use crate::record::key::KeyRecord;
use crate::tables::{TableError, Tables};

/// Which keys a range gives.
#[derive(Debug)]
pub struct Listing {
    query: RangeQuery,
    given: Given,
    /// Whether there are more than the limit allowed.
    pub more: bool,
    /// How many keys are in the range in all.
    pub count: u64,
    /// What the measure of all nodes that are given comes to.
    pub size: u64,
}

#[derive(Debug)]
enum Given {
    /// The first so many that match, in order.
    First(usize),
    /// These, in this order.
    Keys(Vec<Bytes>),
}

/// How far a listing was read.
#[derive(Debug, Default)]
pub struct Cursor {
    given: usize,
    after: Option<Bytes>,
}

/// A key that may be given.
struct Candidate {
    figure: Figure,
    key: Bytes,
    size: u64,
}

/// Seen one after the other.
struct Survey<'q> {
    query: &'q RangeQuery,
    in_order: bool,
    taken_max: usize,
    matching: usize,
    count: u64,
    size: u64,
    candidates: Vec<Candidate>,
}

impl Survey<'_> {
    fn see(&mut self, key: Bytes, record: KeyRecord, measure: impl Fn(&Node) -> u64) {
        self.count += 1;
        let is_enough = self.matching > self.taken_max || self.query.count_only;
        if is_enough || !is_wanted(self.query, &record.numbers) {
            return;
        }
        self.matching += 1;
        if self.matching > self.taken_max {
            return;
        }
        let node = record.into_node(key);
        let figure = Figure::of(&node, self.query.order.by);
        let node = shown(self.query, node);
        let size = measure(&node);
        if self.in_order {
            self.size += size;
        } else {
            let key = node.key;
            self.candidates.push(Candidate { figure, key, size });
        }
    }

    fn finish(mut self) -> Listing {
        let limit = limit(self.query);
        let (given, size) = if self.in_order {
            (Given::First(self.matching.min(self.taken_max)), self.size)
        } else {
            let direction = self.query.order.direction;
            if self.query.order.by == OrderBy::Key {
                self.candidates.reverse();
            } else {
                sort_by_figure(&mut self.candidates, direction, |one| one.figure.clone());
            }
            self.candidates.truncate(limit);
            let size = self.candidates.iter().map(|one| one.size).sum();
            let keys = self.candidates.into_iter().map(|one| one.key);
            (Given::Keys(keys.collect()), size)
        };
        Listing {
            query: self.query.clone(),
            more: self.matching > limit && !self.query.count_only,
            given,
            count: self.count,
            size,
        }
    }
}

fn shown(query: &RangeQuery, node: Node) -> Node {
    if !query.keys_only {
        return node;
    }
    Node {
        content: Content::Gone,
        ..node
    }
}

impl Listing {
    /// Settles it; `measure` is asked of every node.
    pub fn new(
        tables: &dyn Tables,
        query: &RangeQuery,
        past: Option<&Past>,
        measure: impl Fn(&Node) -> u64,
    ) -> Result<Self, TableError> {
        let is_descending = query.order.direction == Direction::Descending;
        let mut survey = Survey {
            query,
            in_order: query.order.by == OrderBy::Key && !is_descending,
            taken_max: taken_max(query),
            matching: 0,
            count: 0,
            size: 0,
            candidates: Vec::new(),
        };
        for row in records_at(tables, &query.keys, past) {
            let (key, record) = row?;
            survey.see(key, record, &measure);
        }
        Ok(survey.finish())
    }

    /// The next nodes: up to the one that reaches so many bytes. None at the end.
    pub fn page(
        &self,
        tables: &dyn Tables,
        past: Option<&Past>,
        cursor: &mut Cursor,
        bytes_max: usize,
    ) -> Result<Vec<Node>, TableError> {
        let mut page = Page {
            nodes: Vec::new(),
            bytes: 0,
            bytes_max,
        };
        match &self.given {
            Given::First(count) => self.read_first(*count, tables, past, cursor, &mut page)?,
            Given::Keys(keys) => {
                for key in keys.iter().skip(cursor.given) {
                    cursor.given += 1;
                    let row = KeyRange::Single(key.clone());
                    let row = records_at(tables, &row, past).next();
                    let Some((key, record)) = row.transpose()? else {
                        continue;
                    };
                    if page.push(shown(&self.query, record.into_node(key))) {
                        break;
                    }
                }
            }
        }
        Ok(page.nodes)
    }

    fn read_first(
        &self,
        count: usize,
        tables: &dyn Tables,
        past: Option<&Past>,
        cursor: &mut Cursor,
        page: &mut Page,
    ) -> Result<(), TableError> {
        if cursor.given >= count {
            return Ok(());
        }
        let rest = match &cursor.after {
            Some(after) => self.query.keys.after(after),
            None => self.query.keys.clone(),
        };
        for row in records_at(tables, &rest, past) {
            let (key, record) = row?;
            if !is_wanted(&self.query, &record.numbers) {
                continue;
            }
            cursor.given += 1;
            cursor.after = Some(key.clone());
            let is_full = page.push(shown(&self.query, record.into_node(key)));
            if is_full || cursor.given >= count {
                break;
            }
        }
        Ok(())
    }
}

struct Page {
    nodes: Vec<Node>,
    bytes: usize,
    bytes_max: usize,
}

impl Page {
    /// Adds a node; true if that was the last.
    fn push(&mut self, node: Node) -> bool {
        let value = match &node.content {
            Content::Value(value) => value.len(),
            _ => 0,
        };
        self.bytes += size_of::<Node>() + node.key.len() + value;
        self.nodes.push(node);
        self.bytes >= self.bytes_max
    }
}
