//! A configuration's values, and where each stands in its text.
//!
//! Reads JSON, YAML and TOML into the same values, so that what is said of them later need not know
//! the format. Does not know which keys there are.

mod json;
mod toml;
mod yaml;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::key_path::KeyPath;
use crate::problem::{Position, Problem};
use crate::variables::{Filling, Unknown, Variables};

/// Deepest nesting; a deeper document is refused rather than recursed into.
const DEPTH_MAX: usize = 64;

/// A document.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its values.
    pub value: Value,
    /// Where they stand.
    pub positions: Positions,
}

impl Document {
    /// From JSON (RFC 8259); a key that comes twice is a problem.
    pub fn json(text: &str) -> Result<Self, Problem> {
        json::read(text)
    }

    /// From YAML, its plain scalars as YAML 1.1 has them, which is what cloud-init reads.
    pub fn yaml(text: &str) -> Result<Self, Problem> {
        yaml::read(text)
    }

    /// From TOML 1.0; dates become strings.
    pub fn toml(text: &str) -> Result<Self, Problem> {
        toml::read(text)
    }

    /// With values for the variables in these keys of the top.
    pub(crate) fn filled(
        &self,
        keys: &[(&str, Unknown)],
        variables: &Variables,
        filling: &mut Filling,
    ) -> Self {
        let mut filled = self.clone();
        for (name, unknown) in keys {
            if let Some(value) = filled.value.get_mut(name) {
                let key = KeyPath::top().key(name);
                variables.fill(value, &key, *unknown, filling);
            }
        }
        filled
    }

    /// As a type: every unknown key is a problem, and so is the first value that does not suit.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut track = serde_path_to_error::Track::new();
        let deserializer = serde_path_to_error::Deserializer::new(&self.value, &mut track);
        let read = serde_ignored::deserialize(deserializer, |path| {
            problems.push(Problem::new(KeyPath::from(&path), "unknown key"));
        });
        let read = read.map_err(|error: serde_json::Error| {
            problems.push(Problem::new(
                KeyPath::from(&track.path()),
                without_string(&error.to_string()),
            ));
        });
        match read {
            Ok(value) if problems.is_empty() => Ok(value),
            _ => {
                self.positions.locate(&mut problems);
                Err(problems)
            }
        }
    }
}

/// What is wrong, without the string that is: it may be a secret in a place where none belongs.
fn without_string(text: &str) -> String {
    for wrong in ["invalid type: string", "invalid value: string"] {
        let rest = text.strip_prefix(wrong);
        if let Some((_, expected)) = rest.and_then(|rest| rest.rsplit_once("\", expected ")) {
            return format!("{wrong}, expected {expected}");
        }
    }
    text.to_owned()
}

/// Where the values of one or several documents stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions(BTreeMap<KeyPath, Position>);

impl Positions {
    /// Of a value, or else of the nearest one around it.
    pub fn get(&self, key: &KeyPath) -> Option<Position> {
        let mut key = key.clone();
        loop {
            if let Some(position) = self.0.get(&key) {
                return Some(*position);
            }
            key = key.parent()?;
        }
    }

    /// Puts the place to problems that have none.
    pub fn locate(&self, problems: &mut [Problem]) {
        for problem in problems {
            if problem.position.is_none() {
                problem.position = self.get(&problem.key);
            }
        }
    }

    /// Takes in those of a document that is a part of a larger text: its keys begin with `prefix`, and so
    /// many lines are before it.
    pub fn add(&mut self, prefix: &KeyPath, lines_before: usize, part: Self) {
        for (key, mut position) in part.0 {
            position.line += lines_before;
            self.0.insert(prefix.join(&key), position);
        }
    }

    /// Notes where a value stands; the first place stays.
    fn note(&mut self, key: &KeyPath, position: Position) {
        self.0.entry(key.clone()).or_insert(position);
    }

    /// Notes where a key of a map stands, which may be there once.
    fn note_key(&mut self, key: &KeyPath, position: Position) -> Result<(), Problem> {
        let Some(first) = self.0.insert(key.clone(), position) else {
            return Ok(());
        };
        Err(Problem {
            position: Some(position),
            key: key.clone(),
            text: format!("the key stands at {first} already"),
        })
    }
}

fn too_deep(position: Position) -> Problem {
    Problem::at(position, format!("nested more than {DEPTH_MAX} deep"))
}

#[cfg(test)]
mod tests;
