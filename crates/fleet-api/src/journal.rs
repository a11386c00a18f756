//! A unit's journal, line by line, from every machine that has the unit.
//!
//! Machines render their lines themselves, with their own `journalctl`: every output format is there.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The number of lines `journalctl` is asked for when nobody says.
pub const LINES_DEFAULT: u32 = 10;
/// The format when nobody says.
pub const OUTPUT_DEFAULT: &str = "short";

/// What is asked for, as a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalQuery {
    /// So many of the last lines.
    pub lines: u32,
    /// Then go on with what comes.
    pub follow: bool,
    /// A format of `journalctl --output`.
    pub output: String,
    /// From one machine only.
    pub machine_id: Option<String>,
}

/// A line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum JournalRecord {
    /// A line that `journalctl` printed, without its end.
    Line {
        /// Where.
        #[serde(rename = "machineID")]
        machine_id: String,
        /// The line.
        line: String,
    },
    /// A machine could not be asked, or is asked no longer.
    Unreachable {
        /// Which.
        #[serde(rename = "machineID")]
        machine_id: String,
        /// Why.
        message: String,
    },
}

/// A query that is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid `{key}={value}`: {why}")]
pub struct JournalQueryError {
    key: String,
    value: String,
    why: &'static str,
}

impl Default for JournalQuery {
    fn default() -> Self {
        Self {
            lines: LINES_DEFAULT,
            follow: false,
            output: OUTPUT_DEFAULT.to_owned(),
            machine_id: None,
        }
    }
}

impl JournalQuery {
    /// As it stands after the `?`.
    pub fn to_query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("lines", &self.lines.to_string());
        query.append_pair("follow", if self.follow { "true" } else { "false" });
        query.append_pair("output", &self.output);
        if let Some(machine_id) = &self.machine_id {
            query.append_pair("machineID", machine_id);
        }
        query.finish()
    }

    /// Reads what stands after the `?`; what is not said has its default.
    ///
    /// # Errors
    /// For a key it does not know, and a value that is none.
    pub fn parse(query: &str) -> Result<Self, JournalQueryError> {
        let mut found = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let error = |why| JournalQueryError {
                key: key.clone().into_owned(),
                value: value.clone().into_owned(),
                why,
            };
            match key.as_ref() {
                "lines" => found.lines = value.parse().map_err(|_| error("it must be a number"))?,
                "follow" => {
                    found.follow = value
                        .parse()
                        .map_err(|_| error("it must be true or false"))?;
                }
                "output" if is_format(&value) => found.output = value.into_owned(),
                "output" => return Err(error("it must be a format of journalctl")),
                "machineID" => found.machine_id = Some(value.into_owned()),
                _ => return Err(error("there is no such parameter")),
            }
        }
        Ok(found)
    }
}

/// It becomes an argument of a command.
fn is_format(text: &str) -> bool {
    let is_good = |c: char| c.is_ascii_lowercase() || c == '-';
    !text.is_empty() && !text.starts_with('-') && text.chars().all(is_good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_it_is_written() {
        let query = JournalQuery {
            lines: 50,
            follow: true,
            output: "json-pretty".to_owned(),
            machine_id: Some("a b&c".to_owned()),
        };
        assert_eq!(JournalQuery::parse(&query.to_query()), Ok(query));
        assert_eq!(JournalQuery::parse(""), Ok(JournalQuery::default()));
    }

    #[test]
    fn a_bad_query_is_refused() {
        for query in [
            "lines=-1",
            "lines=x",
            "follow=maybe",
            "output=--file",
            "output=",
            "since=1",
        ] {
            assert!(JournalQuery::parse(query).is_err(), "{query}");
        }
    }

    #[test]
    fn records_are_flat() {
        let record = JournalRecord::Line {
            machine_id: "m1".to_owned(),
            line: "hello".to_owned(),
        };
        let text = r#"{"type":"line","machineID":"m1","line":"hello"}"#;
        assert_eq!(serde_json::to_string(&record).expect("JSON"), text);
    }
}
