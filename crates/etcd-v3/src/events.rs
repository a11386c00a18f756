//! What watchers of v3 see of a change.
//!
//! Whom a change concerns at all is decided by whoever holds the watchers.
use bytes::Bytes;
use kv_model::command::KeyRange;
use kv_model::event::KeyChange;
use kv_model::{Event, Node};
use prost::Message as _;

use crate::header::signed;
use crate::keys::{key_range, key_value};
use crate::proto::etcdserverpb::watch_create_request::FilterType;
use crate::proto::etcdserverpb::{WatchCreateRequest, WatchResponse};
use crate::proto::mvccpb;
use crate::proto::mvccpb::event::EventType;
use crate::status::Status;

/// What one watcher wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    /// Of which keys.
    pub keys: KeyRange,
    /// Writes too.
    pub puts: bool,
    /// Removals too.
    pub deletes: bool,
    /// With what was there before.
    pub previous: bool,
}

impl Interest {
    /// What a request asks for. Unlike elsewhere, an empty key is the first one.
    pub fn of(request: &WatchCreateRequest) -> Result<Self, Status> {
        let key = if request.key.is_empty() {
            Bytes::from_static(b"\0")
        } else {
            request.key.clone()
        };
        let unwanted = |filter| request.filters().any(|one| one == filter);
        Ok(Self {
            keys: key_range(key, request.range_end.clone())?,
            puts: !unwanted(FilterType::Noput),
            deletes: !unwanted(FilterType::Nodelete),
            previous: request.prev_kv,
        })
    }

    /// The changes of keys that this watcher is to be told. A directory of v2 is none; the keys that
    /// went with it are. `earlier` are the events of the same revision that came before.
    pub fn events<'e>(
        &self,
        event: &'e Event,
        earlier: &(impl Iterator<Item = &'e Event> + Clone),
        told: &mut Vec<mvccpb::Event>,
    ) {
        for change in event.key_changes() {
            let is_wanted = match change.after {
                Some(_) => self.puts,
                None => self.deletes,
            };
            if !is_wanted || !self.keys.contains(change.key) {
                continue;
            }
            let previous = before_revision(event, change, earlier.clone());
            let prev_kv = previous.filter(|_| self.previous);
            told.push(mvccpb::Event {
                r#type: change
                    .after
                    .map_or(EventType::Delete, |_| EventType::Put)
                    .into(),
                kv: Some(match change.after {
                    Some(node) => key_value(node.clone()),
                    None => mvccpb::KeyValue {
                        key: change.key.clone(),
                        mod_revision: signed(event.revision.0),
                        ..mvccpb::KeyValue::default()
                    },
                }),
                prev_kv: prev_kv.cloned().map(key_value),
            });
        }
    }
}

/// What was there before a revision: a transaction may put a key and then remove it.
fn before_revision<'e>(
    event: &Event,
    change: KeyChange<'e>,
    earlier: impl Iterator<Item = &'e Event>,
) -> Option<&'e Node> {
    let is_of_revision = |node: &&Node| node.modified == event.revision;
    if change.before.is_none_or(|node| !is_of_revision(&node)) {
        return change.before;
    }
    let mut changes = earlier.flat_map(Event::key_changes);
    let first = changes.find(|one| one.key == change.key);
    first.and_then(|first| first.before)
}

/// The answers that tell a watcher of these events: one, unless they would take more bytes than a
/// limit. What belongs together is then marked.
pub fn responses(
    watch_id: i64,
    events: Vec<mvccpb::Event>,
    bytes_max: Option<usize>,
) -> Vec<WatchResponse> {
    let bytes_max = bytes_max.unwrap_or(usize::MAX);
    let response = |events| WatchResponse {
        watch_id,
        fragment: true,
        events,
        ..WatchResponse::default()
    };
    let mut responses = Vec::new();
    let (mut part, mut bytes) = (Vec::new(), 0);
    for event in events {
        let length = event.encoded_len();
        if !part.is_empty() && bytes + length > bytes_max {
            responses.push(response(std::mem::take(&mut part)));
            bytes = 0;
        }
        bytes += length;
        part.push(event);
    }
    let last = WatchResponse {
        fragment: false,
        ..response(part)
    };
    responses.push(last);
    responses
}

#[cfg(test)]
mod tests {
    use std::iter::empty;

    use kv_model::{Action, Content, Revision, UnixNanoseconds};

    use super::*;

    fn node(key: &'static str, content: Content) -> Node {
        Node {
            key: key.into(),
            content,
            created_index: Revision(1),
            create_revision: Revision(2),
            modified: Revision(3),
            version: 4,
            expires: None::<UnixNanoseconds>,
            lease: None,
        }
    }

    fn value(key: &'static str) -> Node {
        node(key, Content::Value("v".into()))
    }

    fn event(action: Action, node: Node, removed_keys: Vec<Node>) -> Event {
        Event {
            revision: Revision(9),
            action,
            previous: matches!(node.content, Content::Value(_) | Content::Gone)
                .then(|| value("/old")),
            node,
            removed_keys,
            refresh: false,
        }
    }

    fn told(request: &WatchCreateRequest, event: &Event) -> Vec<(i32, Bytes, bool)> {
        let mut told = Vec::new();
        let interest = Interest::of(request).unwrap();
        interest.events(event, &empty(), &mut told);
        let told = told.into_iter();
        told.map(|event| (event.r#type, event.kv.unwrap().key, event.prev_kv.is_some()))
            .collect()
    }

    fn all() -> WatchCreateRequest {
        WatchCreateRequest {
            range_end: "\0".into(),
            ..WatchCreateRequest::default()
        }
    }

    #[test]
    fn writes_and_removals_are_told_to_who_wants_them() {
        let put = event(Action::CompareAndSwap, value("/a"), vec![]);
        let delete = event(Action::Expire, node("/a", Content::Gone), vec![]);
        let filtered = |filter: FilterType| WatchCreateRequest {
            filters: vec![filter.into()],
            prev_kv: true,
            ..all()
        };
        assert_eq!(told(&all(), &put), [(0, "/a".into(), false)]);
        assert_eq!(told(&all(), &delete), [(1, "/a".into(), false)]);
        assert_eq!(
            told(&filtered(FilterType::Nodelete), &put),
            [(0, "/a".into(), true)]
        );
        assert_eq!(told(&filtered(FilterType::Nodelete), &delete), []);
        assert_eq!(told(&filtered(FilterType::Noput), &put), []);
        let other = WatchCreateRequest {
            key: "/b".into(),
            ..WatchCreateRequest::default()
        };
        assert_eq!(told(&other, &put), []);
    }

    #[test]
    fn of_a_directory_only_the_keys_in_it_are_told() {
        let inside = vec![node("/d/e", Content::DirectoryGone), value("/d/k")];
        let removal = event(Action::Delete, node("/d", Content::DirectoryGone), inside);
        assert_eq!(told(&all(), &removal), [(1, "/d/k".into(), false)]);
        let made = event(Action::Create, node("/d", Content::Directory), vec![]);
        assert_eq!(told(&all(), &made), []);
        let replaced = Event {
            previous: Some(value("/d")),
            ..made
        };
        assert_eq!(told(&all(), &replaced), [(1, "/d".into(), false)]);
    }

    #[test]
    fn what_was_before_is_what_was_before_the_revision() {
        let put = Event {
            previous: None,
            ..event(Action::Set, value("/a"), vec![])
        };
        let written = Node {
            modified: Revision(9),
            ..value("/a")
        };
        let removal = |previous| Event {
            previous: Some(previous),
            ..event(Action::Delete, node("/a", Content::Gone), vec![])
        };
        let previous = |event: &Event| {
            let mut told = Vec::new();
            let request = WatchCreateRequest {
                prev_kv: true,
                ..all()
            };
            let interest = Interest::of(&request).unwrap();
            interest.events(event, &std::iter::once(&put), &mut told);
            told.remove(0).prev_kv.map(|kv| kv.mod_revision)
        };
        assert_eq!(previous(&removal(value("/a"))), Some(3));
        assert_eq!(previous(&removal(written)), None);
    }

    #[test]
    fn what_is_too_long_is_told_in_parts() {
        let mut events = Vec::new();
        let interest = Interest::of(&all()).unwrap();
        for _ in 0..5 {
            let event = event(Action::Set, value("/a"), vec![]);
            interest.events(&event, &empty(), &mut events);
        }
        let two = 2 * events[0].encoded_len();
        let parts = responses(7, events.clone(), Some(two));
        let shapes: Vec<_> = parts
            .iter()
            .map(|one| (one.events.len(), one.fragment))
            .collect();
        assert_eq!(shapes, [(2, true), (2, true), (1, false)]);
        let parts = responses(7, events, None);
        assert_eq!(
            (parts.len(), parts[0].fragment, parts[0].events.len()),
            (1, false, 5)
        );
    }
}
