//! Environment variables: `--env`, files for `--env-file`, and lists merged by name.
//!
//! Reads no environment: a variable without a value asks for the caller's, which a function passed in knows.

use std::str::FromStr;

use thiserror::Error;

use crate::malformed::Malformed;

/// One `--env`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// `NAME=VALUE`.
    Set {
        /// Before the first `=`.
        name: String,
        /// After it; may be empty.
        value: String,
    },
    /// `NAME`: the caller's value, and nothing if the caller has none.
    Inherited(String),
}

/// A line of an environment file that is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {reason}")]
pub struct EnvironmentFileError {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: Malformed,
}

impl FromStr for Variable {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let refuse = |reason| Err(Malformed::new("environment variable", text, reason));
        if name.is_empty() {
            return refuse("there is no name before the `=`");
        }
        if name.contains(char::is_whitespace) {
            return refuse("a name has no white space");
        }
        if text.contains('\0') {
            return refuse("it has a zero byte");
        }
        let name = name.to_owned();
        Ok(match value {
            Some(value) => Self::Set {
                name,
                value: value.to_owned(),
            },
            None => Self::Inherited(name),
        })
    }
}

/// Reads a file for `--env-file`, as Docker does: a variable a line, `#` begins a comment, quotes are
/// part of the value.
///
/// # Errors
/// With the line of the first one that is no variable.
pub fn parse_file(text: &str) -> Result<Vec<Variable>, EnvironmentFileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    (1..)
        .zip(text.lines())
        .map(|(number, line)| (number, line.trim_start()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(line, text)| {
            text.parse()
                .map_err(|reason| EnvironmentFileError { line, reason })
        })
        .collect()
}

/// A container's variables as `NAME=VALUE`: those of the image, changed and added to in order.
///
/// A variable that comes twice keeps its place and has its last value.
pub fn merge(
    image: &[String],
    changes: &[Variable],
    inherited: impl Fn(&str) -> Option<String>,
) -> Vec<String> {
    let mut merged: Vec<(String, String)> = Vec::new();
    let mut put = |name: &str, value: &str| {
        let value = value.to_owned();
        match merged.iter_mut().find(|(found, _)| found == name) {
            Some(entry) => entry.1 = value,
            None => merged.push((name.to_owned(), value)),
        }
    };
    for entry in image {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        put(name, value);
    }
    for change in changes {
        match change {
            Variable::Set { name, value } => put(name, value),
            Variable::Inherited(name) => {
                if let Some(value) = inherited(name) {
                    put(name, &value);
                }
            }
        }
    }
    let join = |(name, value)| format!("{name}={value}");
    merged.into_iter().map(join).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_set_or_inherited() {
        let set = |name: &str, value: &str| Variable::Set {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        assert_eq!("A=b=c".parse(), Ok(set("A", "b=c")));
        assert_eq!("A=".parse(), Ok(set("A", "")));
        assert_eq!("A".parse(), Ok(Variable::Inherited("A".to_owned())));
        for bad in ["", "=a", "A B=c", "A=\0"] {
            assert!(bad.parse::<Variable>().is_err(), "{bad}");
        }
    }

    #[test]
    fn files_are_read_by_line() {
        let read = parse_file("\u{feff}# a comment\n\n  A=1\r\nB=\"quoted\" # kept\nC\n").unwrap();
        let merged = merge(&[], &read, |_| None);
        assert_eq!(merged, ["A=1", "B=\"quoted\" # kept"]);
        let error = parse_file("A=1\n=2\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2: `=2` is no environment variable: there is no name before the `=`"
        );
    }

    #[test]
    fn later_variables_win_in_place() {
        let image = ["PATH=/bin".to_owned(), "A=image".to_owned()];
        let changes: Vec<Variable> = ["A=own", "B=1", "HERE", "GONE", "B=2"]
            .map(|text| text.parse().unwrap())
            .into();
        let inherited = |name: &str| (name == "HERE").then(|| "yes".to_owned());
        assert_eq!(
            merge(&image, &changes, inherited),
            ["PATH=/bin", "A=own", "B=2", "HERE=yes"]
        );
    }
}
