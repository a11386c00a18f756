//! Events: what happened to containers and images.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::filters::Filters;
use crate::record::Record;

/// The filters that events know.
pub const FILTERS: &[&str] = &["container", "event", "image", "label", "type"];

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `container`, `image`, `volume` or `network`.
    pub kind: &'static str,
    /// Such as `start`.
    pub action: String,
    /// Of what it happened to.
    pub id: String,
    /// More of it.
    pub attributes: BTreeMap<String, String>,
    /// Nanoseconds since 1970.
    pub time: u64,
}

impl Event {
    /// Of a container, at a time.
    pub fn of_container(action: &str, record: &Record, time: u64) -> Self {
        let mut attributes = record.labels.clone();
        attributes.insert("image".to_owned(), record.image.clone());
        attributes.insert("name".to_owned(), record.name.clone());
        Self {
            kind: "container",
            action: action.to_owned(),
            id: record.id.clone(),
            attributes,
            time,
        }
    }

    /// Of something else that has a name.
    pub fn of(kind: &'static str, action: &str, id: &str, time: u64) -> Self {
        Self {
            kind,
            action: action.to_owned(),
            id: id.to_owned(),
            attributes: BTreeMap::from([("name".to_owned(), id.to_owned())]),
            time,
        }
    }

    /// The same, with one more attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: String) -> Self {
        self.attributes.insert(name.to_owned(), value);
        self
    }

    /// Whether somebody asked for it.
    pub fn is_wanted(&self, filters: &Filters) -> bool {
        let name = self.attributes.get("name").map_or("", String::as_str);
        let image = self.attributes.get("image").map_or("", String::as_str);
        let is_it = |wanted: &str| self.id.starts_with(wanted) || name == wanted;
        let is_container = self.kind == "container";
        filters.allows("type", |wanted| wanted == self.kind)
            && filters.allows("event", |wanted| self.is_called(wanted))
            && filters.allows("container", |wanted| is_container && is_it(wanted))
            && filters.allows("image", |wanted| {
                image == wanted || (self.kind == "image" && is_it(wanted))
            })
            && filters.allows_labels(&self.attributes)
    }

    /// `exec_create` and `exec_start` have the command after a colon.
    fn is_called(&self, name: &str) -> bool {
        let rest = self.action.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(": "))
    }

    /// As the API has it.
    pub fn json(&self) -> Value {
        let seconds = self.time / 1_000_000_000;
        let mut value = json!({
            "Type": self.kind,
            "Action": self.action,
            "Actor": {"ID": self.id, "Attributes": self.attributes},
            "scope": "local",
            "time": seconds,
            "timeNano": self.time,
        });
        if self.kind == "container" {
            // As older clients know it.
            value["status"] = json!(self.action);
            value["id"] = json!(self.id);
            value["from"] = json!(self.attributes.get("image"));
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_filtered() {
        let event = Event::of("image", "tag", "busybox", 2_000_000_001).with("a", "b".to_owned());
        let wanted = |text| event.is_wanted(&Filters::parse(Some(text), FILTERS).unwrap());
        assert!(wanted(r#"{"type":["image"],"label":["a=b"]}"#));
        assert!(!wanted(r#"{"event":["die"]}"#));
        assert!(!wanted(r#"{"container":["busybox"]}"#));
        let exec = Event::of("container", "exec_start: sh -c x", "a", 1);
        let called = |text| exec.is_wanted(&Filters::parse(Some(text), FILTERS).unwrap());
        assert!(called(r#"{"event":["exec_start"]}"#));
        assert!(!called(r#"{"event":["exec"]}"#));
        let json = event.json();
        assert_eq!(
            (&json["time"], &json["timeNano"]),
            (&json!(2), &json!(2_000_000_001_u64))
        );
    }
}
