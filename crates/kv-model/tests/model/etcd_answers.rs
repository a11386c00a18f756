//! A session with etcd 3.4.23 (`--enable-v2=true`, freshly made), repeated here.
//!
//! Each line of the file is a request, a tab, and etcd's answer. Listings were asked for sorted;
//! moments of expiration were left out, and `ttl` is what it was when it was first seen. The first
//! part of the requests was thought of, the second drawn by lot.
use kv_model::memory_tables::MemoryTables;
use kv_model::{Reply, query};

use crate::answer::{of_event, of_refusal, of_tree};
use crate::fixture::{apply, must, put, remove, revision, rows, single, transaction};
use crate::request::{Request, parse};

const ANSWERS: &str = include_str!("etcd_answers.txt");
/// etcd had written its membership before the first request.
const FIRST_INDEX: u64 = 4;

/// Tables with nothing in them at which the next change gets etcd's first index.
fn tables() -> MemoryTables {
    let mut tables = MemoryTables::default();
    // A key that is gone leaves no trace but the index.
    for _ in 0..FIRST_INDEX - 3 {
        must(&mut tables, &transaction(vec![put("gone", "")]));
    }
    must(&mut tables, &transaction(vec![remove(single("gone"))]));
    assert_eq!(revision(&tables) + 1, FIRST_INDEX);
    tables
}

fn answer(tables: &mut MemoryTables, request: Request) -> String {
    match request {
        Request::Read(read) => match query::tree(tables, &read).expect("readable") {
            Ok(page) => of_tree(&page.tree),
            Err(refusal) => of_refusal(&refusal),
        },
        Request::Write(command) => {
            let before = rows(tables);
            let applied = apply(tables, &command);
            match applied.outcome {
                Ok(Reply::Written(event)) => {
                    assert_eq!(applied.events.len(), 1);
                    of_event(&event)
                }
                Ok(other) => panic!("no answer of v2: {other:?}"),
                Err(refusal) => {
                    assert!(applied.events.is_empty());
                    assert_eq!(rows(tables), before, "a refusal changed something");
                    of_refusal(&refusal)
                }
            }
        }
    }
}

#[test]
fn every_answer_is_etcds() {
    let mut tables = tables();
    for (number, line) in (1..).zip(ANSWERS.lines()) {
        let (request, expected) = line.split_once('\t').expect("request and answer");
        let given = answer(&mut tables, parse(request));
        assert_eq!(given, expected, "line {number}: {request}");
    }
}
