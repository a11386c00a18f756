//! What expires by itself, in which order, and what is told of it.
//!
//! Moments are given; nothing here waits.
use kv_model::command::KeyAction;
use kv_model::event::Content;
use kv_model::memory_tables::MemoryTables;
use kv_model::{Action, Reply, UnixNanoseconds, query};

use crate::answer::of_event;
use crate::fixture::*;

fn keep(path: &str, expires: Option<UnixNanoseconds>) -> kv_model::Command {
    let action = KeyAction::Update {
        value: None,
        expires,
        refresh: true,
    };
    write(path, action)
}

#[test]
fn each_node_takes_a_revision_in_the_order_of_moments() {
    let mut tables = MemoryTables::default();
    must(
        &mut tables,
        &set_until("/late", "1", Some(after_seconds(3))),
    );
    must(&mut tables, &set_until("/b", "1", Some(after_seconds(2))));
    must(&mut tables, &set_until("/a", "1", Some(after_seconds(1))));
    assert_eq!(
        query::next_deadline(&tables).unwrap(),
        Some(after_seconds(1))
    );
    assert_eq!(must(&mut tables, &expire(NOW)), Reply::Expired(0));
    let applied = apply(&mut tables, &expire(after_seconds(2)));
    assert_eq!(applied.outcome, Ok(Reply::Expired(2)));
    let told: Vec<_> = applied.events.iter().map(of_event).collect();
    // etcd's form of an expiration, as in its documentation.
    assert_eq!(
        told,
        [
            r#"{"action":"expire","node":{"key":"/a","modifiedIndex":5,"createdIndex":4},"prevNode":{"key":"/a","value":"1","ttl":1,"modifiedIndex":4,"createdIndex":4}}"#,
            r#"{"action":"expire","node":{"key":"/b","modifiedIndex":6,"createdIndex":3},"prevNode":{"key":"/b","value":"1","ttl":2,"modifiedIndex":3,"createdIndex":3}}"#,
        ]
    );
    assert_eq!(
        query::next_deadline(&tables).unwrap(),
        Some(after_seconds(3))
    );
}

#[test]
fn a_directory_goes_with_all_in_it_as_one() {
    let mut tables = MemoryTables::default();
    must(&mut tables, &make_directory("/d", Some(after_seconds(1))));
    must(&mut tables, &set_until("/d/k", "1", Some(after_seconds(2))));
    must(&mut tables, &set("/d/e/f", "1"));
    let applied = apply(&mut tables, &expire(after_seconds(9)));
    assert_eq!(applied.outcome, Ok(Reply::Expired(1)));
    let [event] = &applied.events[..] else {
        panic!("one event: {:?}", applied.events);
    };
    assert_eq!(
        (event.action, &event.node.content),
        (Action::Expire, &Content::DirectoryGone)
    );
    let removed = event.removed_keys.iter().map(|node| text(&node.key));
    assert_eq!(removed.collect::<Vec<_>>(), ["/d/e", "/d/e/f", "/d/k"]);
    assert_eq!(query::next_deadline(&tables).unwrap(), None);
}

#[test]
fn writing_anew_moves_or_forgets_the_moment() {
    let mut tables = MemoryTables::default();
    must(&mut tables, &set_until("/k", "1", Some(after_seconds(1))));
    must(&mut tables, &keep("/k", Some(after_seconds(5))));
    assert_eq!(
        query::next_deadline(&tables).unwrap(),
        Some(after_seconds(5))
    );
    must(&mut tables, &set("/k", "1"));
    assert_eq!(query::next_deadline(&tables).unwrap(), None);
    must(&mut tables, &set_until("/k", "1", Some(after_seconds(1))));
    must(&mut tables, &delete("/k", false, false));
    assert_eq!(query::next_deadline(&tables).unwrap(), None);
}

#[test]
fn a_refresh_keeps_the_value_and_is_marked() {
    let mut tables = MemoryTables::default();
    must(&mut tables, &set("/k", "kept"));
    let action = KeyAction::SetRefresh {
        expires: Some(after_seconds(1)),
    };
    for command in [keep("/k", Some(after_seconds(1))), write("/k", action)] {
        let event = &events(&mut tables, &command)[0];
        assert!(event.refresh);
        assert_eq!(event.node.content, Content::Value("kept".into()));
    }
}

#[test]
fn a_moment_long_ago_means_never_for_what_is_new() {
    let mut tables = MemoryTables::default();
    let before_2000 = UnixNanoseconds(946_684_799_999_999_999);
    must(&mut tables, &set_until("/k", "1", Some(before_2000)));
    must(&mut tables, &make_directory("/d", Some(before_2000)));
    assert_eq!(query::next_deadline(&tables).unwrap(), None);
    must(&mut tables, &keep("/k", Some(UnixNanoseconds(0))));
    assert_eq!(query::next_deadline(&tables).unwrap(), None);
    must(&mut tables, &keep("/k", Some(before_2000)));
    assert_eq!(query::next_deadline(&tables).unwrap(), Some(before_2000));
}
