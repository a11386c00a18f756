//! Reads of earlier revisions, alone and in transactions.
//!
//! That every state comes out right is tested with random commands in the crate itself.
use bytes::Bytes;
use kv_model::command::{Operation, RangeQuery, Transaction};
use kv_model::event::Content;
use kv_model::memory_tables::MemoryTables;
use kv_model::outcome::{OperationReply, RangeReply};
use kv_model::query::{self, Past};
use kv_model::{Command, ErrorCode, Event, Revision};

use crate::fixture::*;

/// Key a, written five times, at revisions 2 to 6, each time with its revision; and what happened.
fn five_writes() -> (MemoryTables, Vec<Event>) {
    let mut tables = MemoryTables::default();
    let texts = ["2", "3", "4", "5", "6"].into_iter();
    let told = texts.flat_map(|text| events(&mut tables, &transaction(vec![put("a", text)])));
    let told = told.collect();
    (tables, told)
}

fn at(revision: u64) -> RangeQuery {
    let mut query = query_of(single("a"));
    query.revision = Some(Revision(revision));
    query
}

fn value_of(reply: &RangeReply) -> Bytes {
    match &reply.nodes[0].content {
        Content::Value(value) => value.clone(),
        other => panic!("no value: {other:?}"),
    }
}

#[test]
fn an_earlier_value_is_read_from_the_event_that_replaced_it() {
    let (tables, told) = five_writes();
    for revision in 2..=5 {
        let mut past = Past::of(&tables, &at(revision)).unwrap().unwrap();
        for event in &told[usize::try_from(revision - 1).unwrap()..] {
            assert!(!past.is_complete() || event.revision.0 > revision + 1);
            past.undo(event);
        }
        assert!(past.is_complete());
        let reply = query::range(&tables, &at(revision), Some(&past));
        assert_eq!(value_of(&reply.unwrap().unwrap()), revision.to_string());
    }
    // Nothing to undo: it is the present, or unchanged since.
    for query in [at(0), at(6), query_of(single("a"))] {
        assert!(Past::of(&tables, &query).unwrap().is_none());
    }
    let mut tables = tables;
    must(&mut tables, &transaction(vec![put("b", "1")]));
    assert!(Past::of(&tables, &at(6)).unwrap().is_none());
}

#[test]
fn what_is_not_there_yet_or_compacted_is_refused_to_all_alike() {
    let (mut tables, _) = five_writes();
    must(&mut tables, &Command::Compact(Revision(4)));
    for (revision, refusal) in [
        (7, ErrorCode::FutureRevision),
        (3, ErrorCode::Compacted),
        (2, ErrorCode::Compacted),
    ] {
        let read = query::range(&tables, &at(revision), None).unwrap();
        assert_eq!(read.unwrap_err().code, refusal);
        let operations = vec![put("x", "1"), Operation::Range(at(revision))];
        let before = rows(&tables);
        let outcome = apply(&mut tables, &transaction(operations)).outcome;
        assert_eq!(refused(outcome), (refusal, revision.to_string()));
        assert_eq!(rows(&tables), before);
    }
    for revision in [0, 4, 5, 6] {
        assert!(
            query::check_revision(&tables, &at(revision))
                .unwrap()
                .is_ok()
        );
    }
}

#[test]
fn a_transaction_leaves_the_past_to_whoever_asked() {
    let (mut tables, _) = five_writes();
    let operations = vec![
        put("a", "7"),
        Operation::Range(at(6)),
        Operation::Range(at(5)),
        Operation::Range(at(0)),
    ];
    let mut reply = replies(&mut tables, &transaction(operations));
    let read = |reply: &OperationReply| match reply {
        OperationReply::Range(range) => value_of(range),
        other => panic!("no range: {other:?}"),
    };
    // The state before it, one before that, and what it wrote.
    assert_eq!(read(&reply.replies[1]), "6");
    assert_eq!(reply.replies[2], OperationReply::Past(at(5)));
    assert_eq!(read(&reply.replies[3]), "7");
    assert_eq!(reply.past(), [&at(5)]);
    let filled = reply.fill(&mut |query| Err(query.revision));
    assert_eq!(filled, Err(Some(Revision(5))));
    let filled = reply.fill::<()>(&mut |_| Ok(RangeReply::default()));
    assert_eq!((filled, reply.past().len()), (Ok(()), 0));
}

#[test]
fn a_transaction_that_only_reads_is_answered_without_the_log() {
    let (tables, _) = five_writes();
    let inside = Operation::Nested(Transaction {
        success: vec![Operation::Range(at(2))],
        ..Transaction::default()
    });
    let read_only = Transaction {
        success: vec![Operation::Range(at(0)), inside],
        ..Transaction::default()
    };
    assert!(read_only.is_read_only());
    let reply = query::transaction(&tables, &read_only).unwrap().unwrap();
    let Command::Transaction(other) = transaction(read_only.success.clone()) else {
        panic!("no transaction");
    };
    let mut copy = tables.clone();
    assert_eq!(reply, replies(&mut copy, &Command::Transaction(other)));
    assert_eq!(reply.past(), [&at(2)]);
    let failure = vec![remove(single("a"))];
    let writes = Transaction {
        failure,
        ..read_only
    };
    assert!(!writes.is_read_only());
    assert!(query::transaction(&tables, &writes).unwrap().is_err());
}
