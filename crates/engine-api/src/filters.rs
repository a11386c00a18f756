//! `filters=…` of lists, prunes and events: what is wanted, by name.
//!
//! Both of the API's forms are read: `{"status":["running"]}` and `{"status":{"running":true}}`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::ApiError;

/// Values by filter; several of one filter are alternatives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Reads the parameter. A filter that is not among the known ones is an error.
    pub fn parse(text: Option<&str>, known: &[&str]) -> Result<Self, ApiError> {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(Self::default());
        };
        let refuse = |reason: String| ApiError::bad_request(format!("filters: {reason}"));
        let read: BTreeMap<String, Value> =
            serde_json::from_str(text).map_err(|error| refuse(error.to_string()))?;
        let mut all = BTreeMap::new();
        for (name, value) in read {
            if !known.contains(&name.as_str()) {
                return Err(refuse(format!("the filter `{name}` is not supported")));
            }
            let values = values(value).ok_or_else(|| refuse(format!("`{name}` has no values")))?;
            all.insert(name, values);
        }
        Ok(Self(all))
    }

    /// The values of a filter.
    pub fn values(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether a filter lets something through: it is not given, or one of its values does.
    pub fn allows(&self, name: &str, is_it: impl Fn(&str) -> bool) -> bool {
        let values = self.values(name);
        values.is_empty() || values.iter().any(|value| is_it(value))
    }

    /// Whether all `label` filters hold, and none of `label!` does.
    pub fn allows_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let holds = |wanted: &String| match wanted.split_once('=') {
            Some((name, value)) => labels.get(name).is_some_and(|own| own == value),
            None => labels.contains_key(wanted),
        };
        self.values("label").iter().all(holds) && !self.values("label!").iter().any(holds)
    }
}

fn values(value: Value) -> Option<Vec<String>> {
    match value {
        Value::Array(items) => items
            .into_iter()
            .map(|item| item.as_str().map(ToOwned::to_owned))
            .collect(),
        Value::Object(map) => {
            let set = map
                .into_iter()
                .filter(|(_, is_set)| *is_set == Value::Bool(true));
            Some(set.map(|(name, _)| name).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let known = &["status", "label"];
        let list = Filters::parse(Some(r#"{"status":["running","exited"]}"#), known).unwrap();
        let map = Filters::parse(Some(r#"{"status":{"exited":true,"running":true}}"#), known);
        assert!(list.allows("status", |value| value == "exited"));
        assert!(!list.allows("status", |value| value == "created"));
        assert!(list.allows("name", |_| false));
        assert_eq!(map.unwrap().values("status"), ["exited", "running"]);
        let error = Filters::parse(Some(r#"{"what":["x"]}"#), known).unwrap_err();
        assert!(error.message.contains("`what`"), "{error}");
    }

    #[test]
    fn labels_must_all_hold() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let parse = |text| Filters::parse(Some(text), &["label", "label!"]).unwrap();
        assert!(parse(r#"{"label":["a","a=1"]}"#).allows_labels(&labels));
        assert!(!parse(r#"{"label":["a","b"]}"#).allows_labels(&labels));
        assert!(!parse(r#"{"label!":["a=1"]}"#).allows_labels(&labels));
    }
}
