//! Settings as text, merged from the command line, the environment, a file and the defaults.
//!
//! A pure function of its inputs; the values get their types in [`crate::configuration`].

pub(crate) mod file;
pub(crate) mod table;

use std::collections::BTreeMap;
use std::fmt;

use table::{SETTINGS, Setting, Treatment, find};

/// A mistake in what was asked for: one line, and the exit code is 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// Where a value comes from, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    CommandLine,
    Environment,
    File { path: String, line: usize },
    Default,
}

/// A value that somebody gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) setting: &'static Setting,
    pub(crate) value: String,
    pub(crate) source: Source,
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.setting.name;
        // A password is for nobody's log.
        let value = if name == "etcd-password" {
            "…"
        } else {
            &self.value
        };
        match &self.source {
            Source::CommandLine | Source::Default => write!(f, "--{name}={value}"),
            Source::Environment => write!(f, "{}={value}", self.setting.variable()),
            Source::File { path, line } => write!(f, "{path}:{line}: {name}={value}"),
        }
    }
}

impl Given {
    /// The error that the value is not what it must be.
    pub(crate) fn mistake(&self, why: impl fmt::Display) -> UsageError {
        UsageError(format!("{self}: {why}"))
    }
}

/// What was given in one place; of a setting given twice the last counts.
pub(crate) type Layer = Vec<Given>;

/// A value for every setting, and lines to warn with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    values: BTreeMap<&'static str, Given>,
    pub(crate) warnings: Vec<String>,
}

impl Settings {
    /// Merges layers, the one that wins first; the defaults lose against all of them.
    pub(crate) fn merge(layers: impl IntoIterator<Item = Layer>) -> Self {
        let defaults = SETTINGS.iter().map(|setting| Given {
            setting,
            value: setting.default.to_owned(),
            source: Source::Default,
        });
        let mut layers: Vec<Layer> = layers.into_iter().collect();
        layers.push(defaults.collect());
        let mut values = BTreeMap::new();
        for given in layers.into_iter().rev().flatten() {
            values.insert(given.setting.name, given);
        }
        let warnings = values.values().filter_map(warning).collect();
        Self { values, warnings }
    }

    /// What stands for a setting of the table.
    pub(crate) fn get(&self, name: &str) -> &Given {
        let given = self.values.get(name);
        given.unwrap_or_else(|| unreachable!("{name} is missing in the table of settings"))
    }
}

/// What was asked for and has no effect.
fn warning(given: &Given) -> Option<String> {
    match given.setting.treatment {
        Treatment::Ignored(why) if given.source != Source::Default => {
            Some(format!("{given} has no effect: {why}"))
        }
        _ => None,
    }
}

/// The layer of the environment; names that begin like ours and are none are given beside it.
pub(crate) fn from_environment(
    variables: impl IntoIterator<Item = (String, String)>,
) -> (Layer, Vec<String>) {
    let mut layer = Layer::new();
    let mut unknown = Vec::new();
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix("FLEET_") else {
            continue;
        };
        match find(&rest.to_lowercase()) {
            Some(setting) => layer.push(Given {
                setting,
                value,
                source: Source::Environment,
            }),
            None if rest == "CONFIG" => {}
            None => unknown.push(format!("{name} is no setting of fleetd's")),
        }
    }
    (layer, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, value: &str, source: Source) -> Given {
        Given {
            setting: find(name).expect("a setting"),
            value: value.to_owned(),
            source,
        }
    }

    #[test]
    fn the_first_layer_wins() {
        let (environment, unknown) = from_environment([
            ("FLEET_AGENT_TTL".to_owned(), "3s".to_owned()),
            ("FLEET_TOKEN_LIMIT".to_owned(), "7".to_owned()),
            ("FLEET_CONFIG".to_owned(), "x".to_owned()),
            ("FLEET_NONE".to_owned(), "x".to_owned()),
            ("HOME".to_owned(), "/".to_owned()),
        ]);
        assert_eq!(unknown, ["FLEET_NONE is no setting of fleetd's"]);
        let flags = vec![given("agent_ttl", "5s", Source::CommandLine)];
        let settings = Settings::merge([flags, environment]);
        assert_eq!(settings.get("agent-ttl").value, "5s");
        assert_eq!(settings.get("token-limit").value, "7");
        assert_eq!(settings.get("verbosity").value, "0");
        assert_eq!(settings.warnings, Vec::<String>::new());
    }

    #[test]
    fn what_has_no_effect_is_said() {
        let layer = vec![given("enable_grpc", "true", Source::Environment)];
        let warnings = Settings::merge([layer]).warnings;
        assert_eq!(
            warnings,
            ["FLEET_ENABLE_GRPC=true has no effect: the store is reached by gRPC always"]
        );
    }
}
