//! Answers with everything replaced that may differ between two servers that do the same: indexes by
//! the number of the write that they belong to, times, addresses and ids by a mark.
//!
//! Three further things are made equal: the order of listings that are not sorted, an empty list
//! of roles or permissions, which etcd shows as `null` or `[]` depending on its history, and how the
//! causes of refusals show bytes that are no UTF-8.

use crate::json::Json;

/// Which index each write got on one server.
#[derive(Debug, Default, Clone)]
pub(crate) struct Indexes(Vec<u64>);

impl Indexes {
    /// Adds the index of the next write.
    pub(crate) fn push(&mut self, index: u64) {
        self.0.push(index);
    }

    /// How many writes there were.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The index of a write; of those to come, what it would be if nothing else happens.
    pub(crate) fn of_write(&self, number: usize) -> u64 {
        match (self.0.get(number), self.0.last()) {
            (Some(index), _) => *index,
            (None, Some(last)) => last + u64::try_from(number + 1 - self.0.len()).unwrap_or(0),
            (None, None) => 1,
        }
    }

    /// `#7` for the index of write 7, `#7+2` for the second one after it that no write of ours got.
    fn name(&self, index: u64) -> String {
        match self.0.partition_point(|known| *known <= index) {
            0 if index == 0 => "0".to_owned(),
            0 => "before".to_owned(),
            after => match index - self.0[after - 1] {
                0 => format!("#{}", after - 1),
                more => format!("#{}+{more}", after - 1),
            },
        }
    }
}

/// Whether the order of a listing counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listing {
    /// It was asked for in order.
    Sorted,
    /// Any order will do.
    Unsorted,
}

/// A header's value, for those that are compared.
pub(crate) fn header(name: &str, value: &str, indexes: &Indexes) -> Option<String> {
    Some(match name {
        "content-type"
        | "allow"
        | "x-content-type-options"
        | "access-control-allow-origin"
        | "access-control-allow-methods"
        | "access-control-allow-headers" => value.to_owned(),
        "location" => query_indexes(value, indexes),
        "x-etcd-cluster-id" | "x-raft-index" | "x-raft-term" => "present".to_owned(),
        "x-etcd-index" => value
            .parse()
            .map_or_else(|_| value.to_owned(), |index| indexes.name(index)),
        _ => return None,
    })
}

/// A body: one or several lines of JSON, or any text, perhaps with the address of a redirection.
pub(crate) fn body(text: &str, indexes: &Indexes, listing: Listing) -> String {
    let mut rest = text;
    let mut lines = String::new();
    while !rest.is_empty() {
        let Some((mut json, after)) = Json::read(rest).filter(|_| rest.starts_with('{')) else {
            return query_indexes(text, indexes);
        };
        normalize(&mut json, indexes, listing);
        lines += &json.to_string();
        let (newline, after) = after.split_at(after.len() - after.trim_start_matches('\n').len());
        lines += newline;
        rest = after;
    }
    lines
}

fn normalize(json: &mut Json, indexes: &Indexes, listing: Listing) {
    match json {
        Json::Scalar(_) => {}
        Json::Array(values) => {
            for value in values {
                normalize(value, indexes, listing);
            }
        }
        Json::Object(fields) => {
            for (name, value) in fields {
                normalize_field(name.trim_matches('"'), value, indexes, listing);
            }
        }
    }
}

/// Fields of which only the presence counts.
const MARKED: &[&str] = &[
    "ttl",
    "expiration",
    "id",
    "peerURLs",
    "clientURLs",
    "leader",
    "startTime",
    "uptime",
    "etcdserver",
    "etcdcluster",
    "expireCount",
    "watchers",
];

fn normalize_field(name: &str, value: &mut Json, indexes: &Indexes, listing: Listing) {
    normalize(value, indexes, listing);
    match (name, &mut *value) {
        ("modifiedIndex" | "createdIndex" | "index", Json::Scalar(text)) => {
            if let Ok(index) = text.parse() {
                *text = indexes.name(index);
            }
        }
        ("key", Json::Scalar(text)) => *text = in_order_names(text, indexes),
        ("cause", Json::Scalar(text)) => {
            let text_with_names = in_order_names(&replacements_as_one(text), indexes);
            *text = compared_indexes(&text_with_names, indexes);
        }
        ("nodes", Json::Array(nodes)) if listing == Listing::Unsorted => {
            nodes.sort_by_key(|node| node.field("key").map(Json::to_string));
        }
        ("read" | "write" | "roles", Json::Scalar(text)) if text == "null" => {
            *value = Json::Array(Vec::new());
        }
        _ if MARKED.contains(&name) => *value = Json::Scalar("*".to_owned()),
        _ if name.ends_with("Success") || name.ends_with("Fail") => {
            *value = Json::Scalar("*".to_owned());
        }
        _ => {}
    }
}

/// Path components of twenty digits are the indexes of in-order keys.
fn in_order_names(text: &str, indexes: &Indexes) -> String {
    let rename = |component: &str| {
        let name = component.trim_matches('"');
        let is_index = name.len() == 20 && name.bytes().all(|b| b.is_ascii_digit());
        match name.parse() {
            Ok(index) if is_index => component.replace(name, &indexes.name(index)),
            _ => component.to_owned(),
        }
    };
    text.split('/').map(rename).collect::<Vec<_>>().join("/")
}

/// Bytes of values that are no UTF-8: etcd writes `\ufffd` for each into a cause.
fn replacements_as_one(cause: &str) -> String {
    let mut cause = cause.replace("\\ufffd", "\u{fffd}");
    while cause.contains("\u{fffd}\u{fffd}") {
        cause = cause.replace("\u{fffd}\u{fffd}", "\u{fffd}");
    }
    cause
}

/// `prevIndex=7` and `waitIndex=7` in addresses.
fn query_indexes(text: &str, indexes: &Indexes) -> String {
    let mut pieces = text.split("Index=");
    let mut renamed = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_digit());
        let (digits, rest) = piece.split_at(end.unwrap_or(piece.len()));
        let name = digits
            .parse()
            .map_or(String::new(), |index| indexes.name(index));
        renamed.extend(["Index=", &name, rest]);
    }
    renamed
}

/// `[7 != 9]` and `[7/9]` in causes are pairs of indexes; values are never numbers in these tests.
fn compared_indexes(cause: &str, indexes: &Indexes) -> String {
    let rename = |group: &str| {
        for separator in [" != ", "/"] {
            let Some((one, other)) = group.split_once(separator) else {
                continue;
            };
            if let (Ok(one), Ok(other)) = (one.parse(), other.parse()) {
                return [indexes.name(one), indexes.name(other)].join(separator);
            }
        }
        group.to_owned()
    };
    let mut renamed = String::new();
    let mut rest = cause;
    while let Some((before, after)) = rest.split_once('[') {
        let (group, tail) = after.split_once(']').unwrap_or((after, ""));
        renamed.extend([before, "[", &rename(group), "]"]);
        rest = tail;
    }
    renamed + rest
}

#[test]
fn indexes_become_numbers_of_writes() {
    let indexes = Indexes(vec![10, 12]);
    for (index, name) in [
        (0, "0"),
        (9, "before"),
        (10, "#0"),
        (11, "#0+1"),
        (14, "#1+2"),
    ] {
        assert_eq!(indexes.name(index), name);
    }
    let text = "{\"errorCode\":101,\"cause\":\"[a != 1] [10 != 12]\",\"index\":12}\n";
    assert_eq!(
        body(text, &indexes, Listing::Sorted),
        "{\"errorCode\":101,\"cause\":\"[a != 1] [#0 != #1]\",\"index\":#1}\n"
    );
    let text = "{\"node\":{\"key\":\"/q/00000000000000000012\",\"ttl\":3,\"createdIndex\":12}}\n";
    assert_eq!(
        body(text, &indexes, Listing::Sorted),
        "{\"node\":{\"key\":\"/q/#1\",\"ttl\":*,\"createdIndex\":#1}}\n"
    );
    assert_eq!(indexes.of_write(1), 12);
    assert_eq!(indexes.of_write(3), 14);
}

#[test]
fn the_order_of_a_listing_counts_if_it_was_asked_for() {
    let text = "{\"nodes\":[{\"key\":\"/b\"},{\"key\":\"/a\"}]}";
    let indexes = Indexes::default();
    assert_eq!(body(text, &indexes, Listing::Sorted), text);
    let sorted = "{\"nodes\":[{\"key\":\"/a\"},{\"key\":\"/b\"}]}";
    assert_eq!(body(text, &indexes, Listing::Unsorted), sorted);
}
