//! Settings as text, merged from the command line, the environment, a file and the defaults.
//!
//! A pure function of its inputs: what was given where comes in as layers. The values get their
//! types in [`crate::configuration`].

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use crate::flags::{FLAGS, Flag, Kind, Treatment, find};

/// A mistake in what was asked for: one line, and the exit code is 2.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// Where a value comes from, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A flag.
    CommandLine,
    /// The environment variable of a flag.
    Environment,
    /// A line of the settings file.
    File { path: String, line: usize },
    /// Nobody said anything.
    Default,
}

/// One value, for one flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) flag: &'static Flag,
    pub(crate) value: String,
    pub(crate) source: Source,
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            flag,
            value,
            source,
        } = self;
        match source {
            Source::CommandLine | Source::Default => write!(f, "--{}={value}", flag.name),
            Source::Environment => write!(f, "{}={value}", flag.variable()),
            Source::File { path, line } => write!(f, "{path}:{line}: {} = {value}", flag.name),
        }
    }
}

/// What was given in one place; of a flag given twice the last counts.
pub(crate) type Layer = Vec<Given>;

/// A value for every flag, and lines to warn with.
#[derive(Debug)]
pub(crate) struct Settings {
    values: BTreeMap<&'static str, Given>,
    /// One line each: what was asked for and has no effect, and why.
    pub(crate) warnings: Vec<String>,
}

impl Settings {
    /// Merges layers, the one that wins first; the defaults lose against all of them.
    pub(crate) fn merge(layers: Vec<Layer>) -> Result<Self, UsageError> {
        let mut values: BTreeMap<&'static str, Given> = BTreeMap::new();
        for flag in FLAGS {
            let value = flag.default.to_owned();
            let source = Source::Default;
            values.insert(
                flag.name,
                Given {
                    flag,
                    value,
                    source,
                },
            );
        }
        for layer in layers.into_iter().rev() {
            for given in layer {
                values.insert(given.flag.name, given);
            }
        }
        let mut warnings = Vec::new();
        for given in values.values() {
            warnings.extend(judge(given)?);
        }
        Ok(Self { values, warnings })
    }

    /// What stands for a flag of the table.
    pub(crate) fn get(&self, name: &str) -> &Given {
        self.values
            .get(name)
            .unwrap_or_else(|| unreachable!("--{name} is missing in the table of flags"))
    }

    /// The text of a flag's value.
    pub(crate) fn text(&self, name: &str) -> &str {
        &self.get(name).value
    }

    /// Whether anybody gave a value.
    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.get(name).source != Source::Default
    }

    /// The position of a switch.
    pub(crate) fn switch(&self, name: &str) -> bool {
        parse_switch(self.text(name)) == Some(true)
    }

    /// A number, which merging found to be one.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }

    /// The parts of a list, without empty ones.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        let parts = self.text(name).split(',').map(str::trim);
        parts.filter(|part| !part.is_empty()).collect()
    }
}

/// Checks the value's kind, and says what has no effect.
fn judge(given: &Given) -> Result<Option<String>, UsageError> {
    let value = &given.value;
    let wrong = |what: &str| Err(UsageError(format!("{given}: not {what}")));
    match given.flag.kind {
        Kind::Switch if parse_switch(value).is_none() => return wrong("true or false"),
        Kind::Number if value.parse::<u64>().is_err() => return wrong("a whole number"),
        Kind::Duration if crate::duration::parse(value).is_none() => {
            return wrong("a time such as 500ms, 10m or 2h");
        }
        _ => {}
    }
    if given.source == Source::Default {
        return Ok(None);
    }
    match given.flag.treatment {
        Treatment::Used => Ok(None),
        // Asking for what is the case anyway needs no warning.
        Treatment::Ignored(_) if *value == given.flag.default => Ok(None),
        Treatment::Ignored(reason) => Ok(Some(format!("{given} has no effect: {reason}"))),
        Treatment::Fixed(position, reason) => {
            let differs = parse_switch(value) != parse_switch(position);
            Ok(differs.then(|| format!("{given} has no effect: {reason}")))
        }
    }
}

/// Go's `ParseBool`, which etcd's flags are read by.
fn parse_switch(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// The layer of the environment, and warnings of `ETCD_` variables that nobody knows.
pub(crate) fn from_environment(
    variables: impl IntoIterator<Item = (String, String)>,
) -> (Layer, Vec<String>) {
    /// etcd's own exceptions: read elsewhere, or by its client.
    const OTHERS: &[&str] = &["ETCD_UNSUPPORTED_ARCH", "ETCD_VERSION"];
    let mut layer = Layer::new();
    let mut warnings = Vec::new();
    let mut seen = HashSet::new();
    for (variable, value) in variables {
        let Some(name) = variable.strip_prefix("ETCD_") else {
            continue;
        };
        let name = name.to_lowercase().replace('_', "-");
        match find(&name).filter(|flag| flag.variable() == variable) {
            // etcd takes an empty variable for one that is not set.
            Some(_) if value.is_empty() => {}
            Some(flag) if seen.insert(flag.name) => layer.push(Given {
                flag,
                value,
                source: Source::Environment,
            }),
            Some(_) => {}
            None if OTHERS.contains(&variable.as_str()) => {}
            None => warnings.push(format!("{variable} has no effect: there is no --{name}")),
        }
    }
    (layer, warnings)
}

#[cfg(test)]
mod tests;
