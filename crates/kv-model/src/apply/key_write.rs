//! The writes of etcd's v2 API, as etcd 3.4.23 carries them out.
//!
//! Its oddities are kept: an update of a directory's time to live tells a new index that the
//! directory does not get, and a compare-and-delete of the root is refused without a cause.
use bytes::Bytes;

use super::change::Change;
use super::directory::{make_ancestors, remove_key, remove_tree};
use crate::command::{Expected, KeyAction, KeyWrite, NewContent};
use crate::error_code::ErrorCode;
use crate::event::{Action, Event, Node};
use crate::outcome::Reply;
use crate::path::{self, DEPTH_MAX, ROOT};
use crate::query::find::{Found, find};
use crate::query::{Queried, level};
use crate::record::directory::{DirectoryRecord, Origin};
use crate::record::key::{KeyNumbers, KeyRecord};
use crate::units::{Revision, UnixNanoseconds};

/// 2000-01-01 00:00 UTC. etcd takes an expiration before it for a mistake, and the new node as
/// permanent.
const EXPIRES_MIN: UnixNanoseconds = UnixNanoseconds(946_684_800_000_000_000);

pub(super) fn apply(change: &mut Change<'_>, write: &KeyWrite) -> Queried<Reply> {
    let path = write.path.as_str();
    let is_in_order = matches!(write.action, KeyAction::CreateInOrder { .. });
    let is_valid = path == ROOT || path::v2_path(path.as_bytes()).is_some();
    if !is_valid || (is_in_order && path::depth(path) >= DEPTH_MAX) {
        return change.refuse(ErrorCode::InvalidField, path.to_owned());
    }
    let done = match &write.action {
        KeyAction::Set { content, expires } => set(change, path, content, *expires),
        KeyAction::SetRefresh { expires } => set_refresh(change, path, *expires),
        KeyAction::Create { content, expires } => create(change, path, content, *expires),
        KeyAction::CreateInOrder { content, expires } => {
            let number = change.revision().next().0;
            let path = format!("{}{number:020}", path::children_prefix(path));
            create(change, &path, content, *expires)
        }
        KeyAction::Update {
            value,
            expires,
            refresh,
        } => {
            let new = NewValue::new(value.as_ref(), *expires, *refresh);
            update(change, path, &new)
        }
        KeyAction::CompareAndSwap {
            expected,
            value,
            expires,
            refresh,
        } => {
            let new = NewValue::new(value.as_ref(), *expires, *refresh);
            compare_and_swap(change, path, expected, &new)
        }
        KeyAction::Delete {
            directory,
            recursive,
        } => delete(change, path, *directory, *recursive),
        KeyAction::CompareAndDelete { expected } => compare_and_delete(change, path, expected),
    };
    Ok(done?.map(|event| answer(change, event)))
}

/// Tells watchers; whoever asked gets no list of what went with a directory.
fn answer(change: &mut Change<'_>, mut event: Event) -> Reply {
    let removed_keys = std::mem::take(&mut event.removed_keys);
    let for_watchers = Event {
        removed_keys,
        ..event.clone()
    };
    change.record(for_watchers);
    Reply::Written(event)
}

/// What an update or a swap writes.
struct NewValue<'a> {
    value: Option<&'a Bytes>,
    expires: Option<UnixNanoseconds>,
    refresh: bool,
}

impl<'a> NewValue<'a> {
    fn new(value: Option<&'a Bytes>, expires: Option<UnixNanoseconds>, refresh: bool) -> Self {
        Self {
            value,
            // etcd writes "never" as 0.
            expires: expires.filter(|at| at.0 != 0),
            refresh,
        }
    }
}

fn refuse_root(change: &Change<'_>) -> Queried<Event> {
    change.refuse(ErrorCode::RootReadOnly, ROOT.to_owned())
}

fn refuse_found(change: &Change<'_>, found: Found, path: &str) -> Queried<Event> {
    match found.into_node(path) {
        Err((code, cause)) => change.refuse(code, cause),
        Ok(_) => change.refuse(ErrorCode::NotAFile, path.to_owned()),
    }
}

fn set(
    change: &mut Change<'_>,
    path: &str,
    content: &NewContent,
    expires: Option<UnixNanoseconds>,
) -> Queried<Event> {
    match find(change.tables(), path)? {
        Found::Root => refuse_root(change),
        Found::Key(old) => put(change, Action::Set, path, content, expires, Some(old)),
        Found::Missing(_) => put(change, Action::Set, path, content, expires, None),
        found @ (Found::Directory(_) | Found::BelowKey(_)) => refuse_found(change, found, path),
    }
}

fn set_refresh(
    change: &mut Change<'_>,
    path: &str,
    expires: Option<UnixNanoseconds>,
) -> Queried<Event> {
    match find(change.tables(), path)? {
        Found::Root => refuse_root(change),
        Found::Key(old) => {
            let content = NewContent::Value(old.value.clone());
            let event = put(change, Action::Set, path, &content, expires, Some(old))?;
            Ok(event.map(|event| Event {
                refresh: true,
                ..event
            }))
        }
        found => refuse_found(change, found, path),
    }
}

fn create(
    change: &mut Change<'_>,
    path: &str,
    content: &NewContent,
    expires: Option<UnixNanoseconds>,
) -> Queried<Event> {
    match find(change.tables(), path)? {
        Found::Root => refuse_root(change),
        Found::Missing(_) => put(change, Action::Create, path, content, expires, None),
        Found::Key(_) | Found::Directory(_) => {
            change.refuse(ErrorCode::KeyAlreadyExists, path.to_owned())
        }
        found @ Found::BelowKey(_) => refuse_found(change, found, path),
    }
}

/// Puts a new node at a path where there is nothing, or a key.
fn put(
    change: &mut Change<'_>,
    action: Action,
    path: &str,
    content: &NewContent,
    expires: Option<UnixNanoseconds>,
    old: Option<KeyRecord>,
) -> Queried<Event> {
    let key = Bytes::copy_from_slice(path.as_bytes());
    let expires = expires.filter(|at| *at >= EXPIRES_MIN);
    change.advance();
    if old.is_none() {
        make_ancestors(change, path, Origin::Made)?;
    }
    let node = match content {
        NewContent::Value(value) => {
            let numbers = KeyNumbers {
                expires,
                ..change.next_numbers(old.as_ref())
            };
            let value = value.clone();
            let record = KeyRecord { value, numbers };
            change.put_key(&key, old.as_ref(), &record);
            record.into_node(key.clone())
        }
        NewContent::Directory => {
            if let Some(old) = &old {
                make_ancestors(change, path, Origin::Made)?;
                change.remove_key(&key, old);
            }
            let record = DirectoryRecord {
                origin: Origin::Made,
                created_index: change.revision(),
                modified: change.revision(),
                expires,
            };
            change.put_directory(&key, None, &record);
            record.into_node(key.clone())
        }
    };
    let previous = old.map(|old| old.into_node(key));
    Ok(Ok(written(change, action, node, previous)))
}

fn written(change: &Change<'_>, action: Action, node: Node, previous: Option<Node>) -> Event {
    Event {
        revision: change.revision(),
        action,
        node,
        previous,
        removed_keys: Vec::new(),
        refresh: false,
    }
}

fn update(change: &mut Change<'_>, path: &str, new: &NewValue<'_>) -> Queried<Event> {
    match find(change.tables(), path)? {
        Found::Root => refuse_root(change),
        Found::Key(old) => Ok(Ok(rewrite(change, Action::Update, path, new, old))),
        Found::Directory(_) if new.value.is_some_and(|value| !value.is_empty()) => {
            change.refuse(ErrorCode::NotAFile, path.to_owned())
        }
        Found::Directory(old) => update_directory(change, path, new, old),
        found => refuse_found(change, found, path),
    }
}

/// A new value for a key that stays the same key.
fn rewrite(
    change: &mut Change<'_>,
    action: Action,
    path: &str,
    new: &NewValue<'_>,
    old: KeyRecord,
) -> Event {
    let key = Bytes::copy_from_slice(path.as_bytes());
    change.advance();
    let value = if new.refresh {
        old.value.clone()
    } else {
        new.value.cloned().unwrap_or_default()
    };
    let numbers = KeyNumbers {
        created_index: old.numbers.created_index,
        expires: new.expires,
        ..change.next_numbers(Some(&old))
    };
    let record = KeyRecord { value, numbers };
    change.put_key(&key, Some(&old), &record);
    let (node, previous) = (record.into_node(key.clone()), old.into_node(key));
    Event {
        refresh: new.refresh,
        ..written(change, action, node, Some(previous))
    }
}

fn update_directory(
    change: &mut Change<'_>,
    path: &str,
    new: &NewValue<'_>,
    old: DirectoryRecord,
) -> Queried<Event> {
    let key = Bytes::copy_from_slice(path.as_bytes());
    change.advance();
    make_ancestors(change, path, Origin::Made)?;
    let record = DirectoryRecord {
        origin: Origin::Made,
        expires: new.expires,
        ..old
    };
    change.put_directory(&key, Some(&old), &record);
    // etcd tells the new index, and leaves the old one in the directory.
    let node = Node {
        modified: change.revision(),
        ..record.into_node(key.clone())
    };
    let previous = old.into_node(key);
    Ok(Ok(Event {
        refresh: new.refresh,
        ..written(change, Action::Update, node, Some(previous))
    }))
}

fn compare_and_swap(
    change: &mut Change<'_>,
    path: &str,
    expected: &Expected,
    new: &NewValue<'_>,
) -> Queried<Event> {
    match find(change.tables(), path)? {
        Found::Root => refuse_root(change),
        Found::Key(old) => match mismatch(expected, &old) {
            Some(cause) => change.refuse(ErrorCode::CompareFailed, cause),
            None => Ok(Ok(rewrite(change, Action::CompareAndSwap, path, new, old))),
        },
        found => refuse_found(change, found, path),
    }
}

/// What is not as expected, in etcd's words.
fn mismatch(expected: &Expected, old: &KeyRecord) -> Option<String> {
    let present = &old.value;
    let value = expected.value.as_ref().filter(|value| !value.is_empty());
    let value = value.filter(|value| *value != present).map(|value| {
        let (value, present) = (value.as_ref(), present.as_ref());
        let (value, present) = (
            String::from_utf8_lossy(value),
            String::from_utf8_lossy(present),
        );
        format!("[{value} != {present}]")
    });
    let present = old.numbers.modified;
    let index = expected.index.filter(|index| *index != Revision(0));
    let index = index
        .filter(|index| *index != present)
        .map(|index| format!("[{} != {}]", index.0, present.0));
    match (value, index) {
        (Some(value), Some(index)) => Some(format!("{value} {index}")),
        (value, index) => value.or(index),
    }
}

fn delete(change: &mut Change<'_>, path: &str, directory: bool, recursive: bool) -> Queried<Event> {
    match find(change.tables(), path)? {
        Found::Root => refuse_root(change),
        Found::Key(old) => delete_key(change, Action::Delete, path, old),
        Found::Directory(_) if !directory && !recursive => {
            change.refuse(ErrorCode::NotAFile, path.to_owned())
        }
        Found::Directory(old) => {
            if !recursive && !level::is_empty(change.tables(), path)? {
                return change.refuse(ErrorCode::DirectoryNotEmpty, path.to_owned());
            }
            change.advance();
            Ok(Ok(remove_tree(change, Action::Delete, path, old)?))
        }
        found => refuse_found(change, found, path),
    }
}

fn delete_key(
    change: &mut Change<'_>,
    action: Action,
    path: &str,
    old: KeyRecord,
) -> Queried<Event> {
    let key = Bytes::copy_from_slice(path.as_bytes());
    change.advance();
    Ok(Ok(remove_key(change, action, &key, old)?))
}

fn compare_and_delete(change: &mut Change<'_>, path: &str, expected: &Expected) -> Queried<Event> {
    match find(change.tables(), path)? {
        Found::Root => change.refuse(ErrorCode::NotAFile, String::new()),
        Found::Key(old) => match mismatch(expected, &old) {
            Some(cause) => change.refuse(ErrorCode::CompareFailed, cause),
            None => delete_key(change, Action::CompareAndDelete, path, old),
        },
        found => refuse_found(change, found, path),
    }
}
