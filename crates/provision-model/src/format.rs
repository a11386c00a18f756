//! Which of the three formats a text is, and its plan.
//!
//! The text says it, not the file's name: user data has none.

use std::fmt;

use serde_json::Value;

use crate::document::{Document, Positions};
use crate::plan::Plan;
use crate::problem::{Position, Problem};
use crate::variables::Variables;
use crate::{cloud_config, ignition, rules, settings};

/// A format of first-boot configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON with `ignition.version`.
    Ignition,
    /// YAML whose first line is `#cloud-config`; also `#!` scripts, `#include` lists and MIME messages of them.
    CloudConfig,
    /// TOML, ours.
    Keelson,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ignition => "Ignition",
            Self::CloudConfig => "cloud-config",
            Self::Keelson => "Keelson's TOML",
        })
    }
}

impl Format {
    /// By how a text begins.
    pub fn of(text: &str) -> Self {
        let start = text.trim_start_matches('\u{feff}').trim_start();
        if start.starts_with('{') {
            return Self::Ignition;
        }
        let line = start.lines().next().unwrap_or_default();
        let is_message = ["content-type:", "mime-version:", "from "]
            .iter()
            .any(|word| line.to_ascii_lowercase().starts_with(word));
        let words = ["#cloud-config", "#include", "#!"];
        if is_message || words.iter().any(|word| line.starts_with(word)) {
            return Self::CloudConfig;
        }
        Self::Keelson
    }
}

/// A configuration that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// What it is written in.
    pub format: Format,
    /// What it wants.
    pub plan: Plan,
    /// Where that stands, for what is found wrong later.
    pub positions: Positions,
    /// What was known of the machine, for what is brought along.
    pub variables: Variables,
}

/// The plan of a configuration, or all that is wrong with it, in the order of the text; of the machine nothing is known,
/// so that variables have values that are made up.
pub fn parse(bytes: &[u8]) -> Result<(Format, Plan), Vec<Problem>> {
    let configuration = Configuration::parse(bytes, Variables::examples())?;
    Ok((configuration.format, configuration.plan))
}

impl Configuration {
    /// As [`parse`], on a machine of which that is known, with where everything stands.
    pub fn parse(bytes: &[u8], variables: Variables) -> Result<Self, Vec<Problem>> {
        parse_text(bytes, variables)
    }
}

fn parse_text(bytes: &[u8], variables: Variables) -> Result<Configuration, Vec<Problem>> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let text = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let position = Position::of(&text, text.len());
        vec![Problem::at(position, "the text is not UTF-8 here")]
    })?;
    let format = Format::of(text);
    let (plan, positions) = match format {
        Format::Ignition => read(text, Document::json, ignition::plan),
        Format::Keelson => read(text, Document::toml, |document| {
            settings::plan(document, &variables)
        }),
        Format::CloudConfig => cloud_config::plan(text, &variables),
    }
    .map_err(sorted)?;
    let mut problems = rules::check(&plan);
    positions.locate(&mut problems);
    if problems.is_empty() {
        return Ok(Configuration {
            format,
            plan,
            positions,
            variables,
        });
    }
    Err(sorted(problems))
}

fn read(
    text: &str,
    document: impl Fn(&str) -> Result<Document, Problem>,
    plan: impl Fn(&Document) -> Result<Plan, Vec<Problem>>,
) -> Result<(Plan, Positions), Vec<Problem>> {
    let document = document(text).map_err(|problem| vec![problem])?;
    if !matches!(document.value, Value::Object(_)) {
        let start = Position { line: 1, column: 1 };
        let problem = Problem::at(start, "the top must be a map of keys");
        return Err(vec![problem]);
    }
    let plan = plan(&document).map_err(|mut problems| {
        document.positions.locate(&mut problems);
        problems
    })?;
    Ok((plan, document.positions))
}

fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| problem.position);
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_tells_its_format() {
        assert_eq!(Format::of("\n {\"ignition\""), Format::Ignition);
        assert_eq!(Format::of("#cloud-config\nusers: []"), Format::CloudConfig);
        assert_eq!(Format::of("#!/bin/sh\n"), Format::CloudConfig);
        assert_eq!(
            Format::of("Content-Type: multipart/mixed"),
            Format::CloudConfig
        );
        assert_eq!(Format::of("# a comment\nhostname = 'a'"), Format::Keelson);
        assert_eq!(Format::of(""), Format::Keelson);
    }

    #[test]
    fn bytes_that_are_no_text_have_a_place() {
        let problems = parse(b"a = 1\nb\xff").unwrap_err();
        assert_eq!(problems[0].to_string(), "2:2: the text is not UTF-8 here");
    }
}
