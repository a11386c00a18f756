//! Reads one line of the noted requests: `PUT /a value=1 ttl=1000`.
//!
//! Only what is in that file can be read, and a mistake in it ends the test.
use std::collections::BTreeMap;

use bytes::Bytes;
use kv_model::command::{Expected, KeyAction, NewContent};
use kv_model::query::TreeQuery;
use kv_model::{Command, Revision, UnixNanoseconds};

use crate::fixture::{after_seconds, write};

/// What a line asks for.
pub(crate) enum Request {
    Read(TreeQuery),
    Write(Command),
}

struct Arguments<'a>(BTreeMap<&'a str, &'a str>);

impl Arguments<'_> {
    fn is(&self, name: &str) -> bool {
        self.0.get(name) == Some(&"true")
    }

    fn bytes(&self, name: &str) -> Option<Bytes> {
        let value = self.0.get(name)?;
        Some(Bytes::copy_from_slice(value.as_bytes()))
    }

    fn expires(&self) -> Option<UnixNanoseconds> {
        let seconds = self.0.get("ttl")?.parse().expect("seconds");
        Some(after_seconds(seconds))
    }

    fn content(&self) -> NewContent {
        if self.is("dir") {
            return NewContent::Directory;
        }
        NewContent::Value(self.bytes("value").unwrap_or_default())
    }

    fn expected(&self) -> Option<Expected> {
        let index = self.0.get("prevIndex");
        let index = index.map(|index| Revision(index.parse().expect("an index")));
        let index = index.filter(|index| *index != Revision(0));
        let value = self.bytes("prevValue");
        (value.is_some() || index.is_some()).then_some(Expected { value, index })
    }
}

pub(crate) fn parse(line: &str) -> Request {
    let mut words = line.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        panic!("no request: {line}");
    };
    let arguments = words.map(|word| word.split_once('=').expect("name=value"));
    let arguments = Arguments(arguments.collect());
    let action = match method {
        "GET" => {
            return Request::Read(TreeQuery {
                path: path.to_owned(),
                recursive: arguments.is("recursive"),
                ..TreeQuery::default()
            });
        }
        "PUT" => put(&arguments),
        "POST" => KeyAction::CreateInOrder {
            content: arguments.content(),
            expires: arguments.expires(),
        },
        "DELETE" => match arguments.expected() {
            Some(expected) => KeyAction::CompareAndDelete { expected },
            None => KeyAction::Delete {
                directory: arguments.is("dir"),
                recursive: arguments.is("recursive"),
            },
        },
        _ => panic!("no such method: {line}"),
    };
    Request::Write(write(path, action))
}

fn put(arguments: &Arguments<'_>) -> KeyAction {
    let (content, expires) = (arguments.content(), arguments.expires());
    let refresh = arguments.is("refresh");
    let value = arguments.bytes("value").filter(|_| !refresh);
    let exists = arguments.0.get("prevExist").copied();
    match (exists, arguments.expected()) {
        (Some("false"), _) => KeyAction::Create { content, expires },
        (_, Some(expected)) => KeyAction::CompareAndSwap {
            expected,
            value,
            expires,
            refresh,
        },
        (Some(_), None) => KeyAction::Update {
            value,
            expires,
            refresh,
        },
        (None, None) if refresh => KeyAction::SetRefresh { expires },
        (None, None) => KeyAction::Set { content, expires },
    }
}
