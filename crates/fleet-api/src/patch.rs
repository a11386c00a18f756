//! Changes of machines' metadata: `PATCH /machines` takes a list of operations.
//!
//! Whether the list is good is checked as a whole, before anything is changed.

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// One operation, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchOperation {
    /// `add`, `replace` or `remove`.
    #[serde(rename = "op")]
    pub operation: String,
    /// `/MACHINE/metadata/KEY`
    pub path: String,
    /// fleet's documentation says `"value":"x"`, its code takes `"value":{"value":"x"}`: both are read,
    /// the first is written.
    #[serde(
        default,
        deserialize_with = "read_value",
        skip_serializing_if = "Option::is_none"
    )]
    pub value: Option<String>,
}

/// A good operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MachinePatch {
    /// `add` and `replace` are the same.
    Set {
        /// The machine, which need not exist.
        machine_id: String,
        /// Of the metadata.
        key: String,
        /// The new value.
        value: String,
    },
    /// `remove`
    Remove {
        /// The machine, which need not exist.
        machine_id: String,
        /// Of the metadata.
        key: String,
    },
}

/// Why an operation is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatchError {
    /// Another word.
    #[error("invalid op `{0}`: it must be add, replace or remove")]
    Operation(String),
    /// It does not name a key of a machine's metadata.
    #[error("invalid path `{0}`: it must be /MACHINE/metadata/KEY")]
    Path(String),
    /// Nothing to set.
    #[error("invalid value for `{0}`: it cannot be empty")]
    Value(String),
}

impl TryFrom<PatchOperation> for MachinePatch {
    type Error = PatchError;

    fn try_from(sent: PatchOperation) -> Result<Self, PatchError> {
        let Some((machine_id, key)) = split_path(&sent.path) else {
            return Err(PatchError::Path(sent.path));
        };
        match (sent.operation.as_str(), sent.value) {
            ("remove", _) => Ok(Self::Remove { machine_id, key }),
            ("add" | "replace", Some(value)) if !value.is_empty() => Ok(Self::Set {
                machine_id,
                key,
                value,
            }),
            ("add" | "replace", _) => Err(PatchError::Value(sent.path)),
            _ => Err(PatchError::Operation(sent.operation)),
        }
    }
}

impl From<MachinePatch> for PatchOperation {
    fn from(patch: MachinePatch) -> Self {
        match patch {
            MachinePatch::Set {
                machine_id,
                key,
                value,
            } => Self {
                operation: "replace".to_owned(),
                path: format!("/{machine_id}/metadata/{key}"),
                value: Some(value),
            },
            MachinePatch::Remove { machine_id, key } => Self {
                operation: "remove".to_owned(),
                path: format!("/{machine_id}/metadata/{key}"),
                value: None,
            },
        }
    }
}

/// fleet's `^/([^/]+)/metadata/([A-Za-z0-9_.-]+$)`.
fn split_path(path: &str) -> Option<(String, String)> {
    let (machine_id, rest) = path.strip_prefix('/')?.split_once('/')?;
    let key = rest.strip_prefix("metadata/")?;
    let is_good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let is_path = !machine_id.is_empty() && !key.is_empty() && key.chars().all(is_good);
    is_path.then(|| (machine_id.to_owned(), key.to_owned()))
}

fn read_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value {
        Plain(String),
        Wrapped { value: String },
    }
    let value = Option::<Value>::deserialize(deserializer)?;
    Ok(value.map(|value| match value {
        Value::Plain(value) | Value::Wrapped { value } => value,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<MachinePatch, String> {
        let sent: PatchOperation = serde_json::from_str(text).map_err(|e| e.to_string())?;
        MachinePatch::try_from(sent).map_err(|e| e.to_string())
    }

    #[test]
    fn both_forms_of_values_are_read() {
        let expected = Ok(MachinePatch::Set {
            machine_id: "m1".to_owned(),
            key: "region".to_owned(),
            value: "us-west".to_owned(),
        });
        for value in [r#""us-west""#, r#"{"value":"us-west"}"#] {
            let text = format!(r#"{{"op":"add","path":"/m1/metadata/region","value":{value}}}"#);
            assert_eq!(read(&text), expected, "{text}");
        }
        let removed = read(r#"{"op":"remove","path":"/m1/metadata/a.b-c_1"}"#);
        assert!(matches!(removed, Ok(MachinePatch::Remove { .. })));
    }

    #[test]
    fn what_is_written_is_read() {
        let patch = MachinePatch::Set {
            machine_id: "m1".to_owned(),
            key: "a".to_owned(),
            value: "b".to_owned(),
        };
        let text = serde_json::to_string(&PatchOperation::from(patch.clone())).expect("JSON");
        assert_eq!(read(&text), Ok(patch));
    }

    #[test]
    fn bad_operations_are_refused() {
        for text in [
            r#"{"op":"noop","path":"/m1/metadata/foo","value":"bar"}"#,
            r#"{"op":"add","path":"/m1/foo","value":"bar"}"#,
            r#"{"op":"add","path":"/m1/metadata/a b","value":"bar"}"#,
            r#"{"op":"add","path":"/m1/metadata/","value":"bar"}"#,
            r#"{"op":"add","path":"//metadata/a","value":"bar"}"#,
            r#"{"op":"add","path":"/m1/metadata/foo"}"#,
            r#"{"op":"replace","path":"/m1/metadata/foo","value":""}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
