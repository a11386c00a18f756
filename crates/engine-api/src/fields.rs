//! The fields of a request's JSON object, taken one by one.
//!
//! What nobody took at the end must have a value that means nothing: null, false, zero, empty. So no field is
//! ignored in silence, however new the client is.

use serde_json::{Map, Value};

use crate::ApiError;

/// An object that is read.
#[derive(Debug)]
pub struct Fields {
    /// Where it stands, such as `HostConfig.`.
    at: String,
    map: Map<String, Value>,
}

/// Whether a value means nothing.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is_set) => !is_set,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.iter().all(is_nothing),
        Value::Object(map) => map.values().all(is_nothing),
    }
}

impl Fields {
    /// A request's whole body.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| ApiError::bad_request(format!("the body is no JSON: {error}")))?;
        Self::new(String::new(), value)
    }

    fn new(at: String, value: Value) -> Result<Self, ApiError> {
        match value {
            Value::Object(map) => Ok(Self { at, map }),
            Value::Null => Ok(Self {
                at,
                map: Map::new(),
            }),
            _ => Err(ApiError::bad_request(format!(
                "{} must be an object",
                at.trim_end_matches('.')
            ))),
        }
    }

    /// Where a field stands.
    pub fn path(&self, name: &str) -> String {
        format!("{}{name}", self.at)
    }

    /// A field that is not what it must be.
    pub fn refuse(&self, name: &str, reason: &str) -> ApiError {
        ApiError::bad_request(format!("{}: {reason}", self.path(name)))
    }

    /// Everything that was not taken yet.
    pub fn rest(&self) -> Value {
        Value::Object(self.map.clone())
    }

    /// Whatever the field has.
    pub fn value(&mut self, name: &str) -> Value {
        self.map.remove(name).unwrap_or_default()
    }

    /// A text; an empty one is none.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.value(name) {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            _ => Err(self.refuse(name, "a text is wanted")),
        }
    }

    /// Yes or no.
    pub fn flag(&mut self, name: &str) -> Result<bool, ApiError> {
        match self.value(name) {
            Value::Null => Ok(false),
            Value::Bool(is_set) => Ok(is_set),
            _ => Err(self.refuse(name, "true or false is wanted")),
        }
    }

    /// A number; none is zero.
    pub fn number(&mut self, name: &str) -> Result<i64, ApiError> {
        match self.value(name) {
            Value::Null => Ok(0),
            value => value
                .as_i64()
                .ok_or_else(|| self.refuse(name, "a whole number is wanted")),
        }
    }

    /// A list of texts, which one text may stand for.
    pub fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, ApiError> {
        let items = match self.value(name) {
            Value::Null => return Ok(None),
            Value::String(text) => return Ok(Some(vec![text])),
            Value::Array(items) => items,
            _ => return Err(self.refuse(name, "a list of texts is wanted")),
        };
        let texts = items.into_iter().map(|item| match item {
            Value::String(text) => Ok(text),
            _ => Err(self.refuse(name, "a list of texts is wanted")),
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// An object within.
    pub fn object(&mut self, name: &str) -> Result<Self, ApiError> {
        let value = self.value(name);
        Self::new(format!("{}{name}.", self.at), value)
    }

    /// A list of objects.
    pub fn objects(&mut self, name: &str) -> Result<Vec<Self>, ApiError> {
        match self.value(name) {
            Value::Null => Ok(Vec::new()),
            Value::Array(items) => items
                .into_iter()
                .enumerate()
                .map(|(at, item)| Self::new(format!("{}{name}[{at}].", self.at), item))
                .collect(),
            _ => Err(self.refuse(name, "a list is wanted")),
        }
    }

    /// Texts by name.
    pub fn text_map(&mut self, name: &str) -> Result<Vec<(String, String)>, ApiError> {
        let map = self.object(name)?.map;
        map.into_iter()
            .map(|(key, value)| match value {
                Value::String(text) => Ok((key, text)),
                Value::Null => Ok((key, String::new())),
                _ => Err(self.refuse(name, "texts by name are wanted")),
            })
            .collect()
    }

    /// Whatever there is by name.
    pub fn entries(&mut self, name: &str) -> Result<Vec<(String, Value)>, ApiError> {
        Ok(self.object(name)?.map.into_iter().collect())
    }

    /// The names of what is here.
    pub fn names(&self) -> Vec<String> {
        self.map.keys().cloned().collect()
    }

    /// A text of which only some are supported, or none.
    pub fn one_of(&mut self, name: &str, supported: &[&str]) -> Result<(), ApiError> {
        match self.text(name)? {
            Some(text) if !supported.contains(&text.as_str()) => {
                Err(self.refuse(name, &format!("`{text}` is not supported")))
            }
            _ => Ok(()),
        }
    }

    /// Fields that mean something to the client alone.
    pub fn ignore(&mut self, names: &[&str]) {
        for name in names {
            let _ignored = self.map.remove(*name);
        }
    }

    /// That nothing is left that means something.
    pub fn finish(self) -> Result<(), ApiError> {
        match self.map.iter().find(|(_, value)| !is_nothing(value)) {
            Some((name, _)) => Err(self.refuse(name, "it is not supported by launcherd")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_is_not_ignored() {
        let mut fields = Fields::parse(br#"{"A":{"B":[{"C":0}],"D":""},"E":"x","F":5}"#).unwrap();
        assert_eq!(fields.text("E").unwrap().as_deref(), Some("x"));
        assert_eq!(fields.number("F"), Ok(5));
        assert_eq!(fields.finish(), Ok(()));
        let mut fields = Fields::parse(br#"{"A":{"B":[{"C":1}]}}"#).unwrap();
        let inner = fields.object("A").unwrap();
        let error = inner.finish().unwrap_err();
        assert_eq!(error.message, "A.B: it is not supported by launcherd");
        assert_eq!(error.status, 400);
    }

    #[test]
    fn types_are_judged() {
        let mut fields = Fields::parse(br#"{"A":1,"B":"x","C":[1],"D":[]}"#).unwrap();
        assert!(fields.text("A").is_err());
        assert!(fields.flag("B").is_err());
        assert!(fields.texts("C").is_err());
        assert!(fields.object("D").is_err());
        assert!(Fields::parse(b"[").is_err());
    }
}
