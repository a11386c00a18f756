//! What a machine's platform says of it, for `$private_ipv4` and the like in a configuration that many machines share.
//!
//! Where they count says the format: in our TOML the table `cluster`, in cloud-config `coreos`, and contents of
//! `write_files`, as coreos-cloudinit had it. A name that is none of these stays as it is, for shells.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::key_path::KeyPath;
use crate::plan::{Stated, VariableUse};
use crate::problem::Problem;

/// A variable's name and a value for judging configurations away from the machine (addresses after RFC 5737).
type Known = (&'static str, &'static str);

/// All names.
const KNOWN: [Known; 7] = [
    ("availability_zone", "zone-1a"),
    ("hostname", "machine-1"),
    ("instance_id", "i-1"),
    ("instance_type", "small"),
    ("private_ipv4", "192.0.2.1"),
    ("public_ipv4", "198.51.100.1"),
    ("region", "zone-1"),
];

/// Variables that have a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<&'static str, String>);

/// What is done about one that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// It is a problem: what it stands in could not work.
    Refused,
    /// It stays, for a shell perhaps.
    Left,
}

/// What is found while values are put in.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    /// What has no value and needs one.
    pub(crate) problems: Vec<Problem>,
    /// Every variable that stands there, with or without a value.
    pub(crate) used: Vec<Stated<VariableUse>>,
}

impl Variables {
    /// All of them, with values that no machine has: a configuration is judged by them, and never applied.
    pub fn examples() -> Self {
        Self(KNOWN.map(|(name, value)| (name, value.to_owned())).into())
    }

    /// Gives one a value; a name that is none of a variable changes nothing, nor does a value that is more than a word.
    pub fn set(&mut self, name: &str, value: &str) {
        let is_word = |c: char| c.is_ascii_alphanumeric() || "-._:/".contains(c);
        let known = KNOWN.iter().find(|(known, _)| *known == name);
        if let Some((known, _)) = known.filter(|_| !value.is_empty() && value.chars().all(is_word))
        {
            self.0.insert(known, value.to_owned());
        }
    }

    /// Puts values in all strings of a document's part.
    pub(crate) fn fill(
        &self,
        value: &mut Value,
        key: &KeyPath,
        unknown: Unknown,
        filling: &mut Filling,
    ) {
        match value {
            Value::String(text) if text.contains('$') => {
                for (name, _) in names(text) {
                    let one = VariableUse { name, unknown };
                    filling.used.push(Stated::new(one, key.clone()));
                }
                match self.filled(text, unknown) {
                    Ok(filled) => *text = filled,
                    Err(name) => {
                        let problem = Problem::new(key.clone(), unknown_here(name));
                        filling.problems.push(problem);
                    }
                }
            }
            Value::Array(list) => {
                for (index, one) in list.iter_mut().enumerate() {
                    self.fill(one, &key.index(index), unknown, filling);
                }
            }
            Value::Object(map) => {
                for (name, one) in map.iter_mut() {
                    self.fill(one, &key.key(name), unknown, filling);
                }
            }
            _ => {}
        }
    }

    /// The text with values, or the name of the first variable that has none.
    fn filled(&self, text: &str, unknown: Unknown) -> Result<String, &'static str> {
        let mut filled = String::new();
        let mut done = 0;
        for (name, start) in names(text) {
            match self.0.get(name) {
                Some(value) => {
                    filled.extend([&text[done..start], value.as_str()]);
                    done = start + 1 + name.len();
                }
                None if unknown == Unknown::Refused => return Err(name),
                None => {}
            }
        }
        filled.push_str(&text[done..]);
        Ok(filled)
    }
}

/// The variables in a text, each with where its `$` stands.
fn names(text: &str) -> impl Iterator<Item = (&'static str, usize)> {
    text.match_indices('$').filter_map(|(start, _)| {
        let rest = &text[start + 1..];
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let known = KNOWN.iter().find(|(known, _)| *known == &rest[..end]);
        known.map(|(name, _)| (*name, start))
    })
}

fn unknown_here(name: &str) -> String {
    format!(
        "${name} is not known: no metadata service that gave this configuration says it of this machine"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, unknown: Unknown) -> Result<String, &'static str> {
        let mut variables = Variables::default();
        variables.set("private_ipv4", "10.0.0.7");
        variables.set("region", "a b");
        variables.set("other", "x");
        variables.filled(text, unknown)
    }

    #[test]
    fn names_end_where_words_do_and_others_are_left() {
        for (text, expected) in [
            (
                "http://$private_ipv4:2380,$private_ipv4",
                "http://10.0.0.7:2380,10.0.0.7",
            ),
            (
                "$private_ipv4s $other ${HOME} $ $$",
                "$private_ipv4s $other ${HOME} $ $$",
            ),
            ("none", "none"),
        ] {
            assert_eq!(filled(text, Unknown::Refused).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_has_no_value_is_refused_or_left() {
        let text = "a $region b";
        assert_eq!(
            filled(text, Unknown::Refused),
            Err("region"),
            "two words are none"
        );
        assert_eq!(filled(text, Unknown::Left).as_deref(), Ok(text));
    }
}
