//! Names of units: `foo.service`, the template `foo@.service`, its instance `foo@bar.service`.
//!
//! Valid is what systemd takes. Whether such a unit exists is not asked.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The longest name, in bytes, with its type.
pub const LENGTH_MAX: usize = 255;

/// A valid name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitName {
    text: String,
}

/// What a name is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind<'a> {
    /// `foo.service`
    Plain,
    /// `foo@.service`: not a unit itself.
    Template,
    /// `foo@bar.service`
    Instance(&'a str),
}

/// What follows the last dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnitType {
    /// `.automount`
    Automount,
    /// `.device`
    Device,
    /// `.mount`
    Mount,
    /// `.path`
    Path,
    /// `.scope`
    Scope,
    /// `.service`
    Service,
    /// `.slice`
    Slice,
    /// `.socket`
    Socket,
    /// `.swap`
    Swap,
    /// `.target`
    Target,
    /// `.timer`
    Timer,
}

/// Every type with its name in unit names, and its section in unit files if it has one.
const TYPES: &[(UnitType, &str, Option<&str>)] = &[
    (UnitType::Automount, "automount", Some("Automount")),
    (UnitType::Device, "device", None),
    (UnitType::Mount, "mount", Some("Mount")),
    (UnitType::Path, "path", Some("Path")),
    (UnitType::Scope, "scope", Some("Scope")),
    (UnitType::Service, "service", Some("Service")),
    (UnitType::Slice, "slice", Some("Slice")),
    (UnitType::Socket, "socket", Some("Socket")),
    (UnitType::Swap, "swap", Some("Swap")),
    (UnitType::Target, "target", None),
    (UnitType::Timer, "timer", Some("Timer")),
];

/// Why a text is not the name of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing.
    #[error("unit name cannot be empty")]
    Empty,
    /// More than [`LENGTH_MAX`] bytes.
    #[error("unit name exceeds maximum length ({LENGTH_MAX})")]
    TooLong,
    /// No dot, or nothing before it.
    #[error("unit name `{0}` must have a name before `.` and a type after it")]
    NoType(String),
    /// A type systemd does not have.
    #[error("invalid unit type: `{0}`")]
    UnknownType(String),
    /// A character that must be escaped.
    #[error("invalid character {character:?} in unit name `{name}`")]
    Character {
        /// The whole name.
        name: String,
        /// The first of them.
        character: char,
    },
    /// An instance of nothing.
    #[error("unit name `{0}` cannot start in `@`")]
    NoPrefix(String),
    /// A template was asked for and this is none.
    #[error("`{0}` is no template: a template's name ends with `@` before its type")]
    NotTemplate(String),
}

impl UnitType {
    /// As it stands in names, without a dot.
    pub fn as_str(self) -> &'static str {
        self.row().1
    }

    /// The section that only this type has.
    pub fn section(self) -> Option<&'static str> {
        self.row().2
    }

    fn row(self) -> &'static (Self, &'static str, Option<&'static str>) {
        let row = TYPES.iter().find(|(found, ..)| *found == self);
        row.unwrap_or(&TYPES[0]) // every type has its row: a test counts them
    }

    fn from_suffix(suffix: &str) -> Option<Self> {
        let row = TYPES.iter().find(|(_, name, _)| *name == suffix)?;
        Some(row.0)
    }
}

/// Whether a character may stand in a name; `@` is apart.
pub(crate) fn is_valid_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || ":-_.\\".contains(character)
}

impl UnitName {
    /// Checks a name.
    ///
    /// # Errors
    /// If systemd would not take it.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        check(&text)?;
        Ok(Self { text })
    }

    /// All of it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where the type's dot is.
    fn dot(&self) -> usize {
        self.text.rfind('.').unwrap_or(self.text.len())
    }

    /// What follows the last dot.
    pub fn unit_type(&self) -> UnitType {
        let suffix = self.text.get(self.dot() + 1..).unwrap_or_default();
        UnitType::from_suffix(suffix).unwrap_or(UnitType::Service) // checked when it was made
    }

    /// Without the type: systemd's `%N`.
    pub fn without_type(&self) -> &str {
        &self.text[..self.dot()]
    }

    /// What stands before the first `@`, or before the type: systemd's `%p`.
    pub fn prefix(&self) -> &str {
        let name = self.without_type();
        name.split_once('@').map_or(name, |(prefix, _)| prefix)
    }

    /// Plain, template or instance.
    pub fn kind(&self) -> NameKind<'_> {
        match self.without_type().split_once('@') {
            None => NameKind::Plain,
            Some((_, "")) => NameKind::Template,
            Some((_, instance)) => NameKind::Instance(instance),
        }
    }

    /// The template of an instance, and of a template itself.
    pub fn template(&self) -> Option<Self> {
        let instance = match self.kind() {
            NameKind::Plain => return None,
            NameKind::Template => "",
            NameKind::Instance(instance) => instance,
        };
        let end = self.prefix().len() + 1;
        let suffix = &self.text[end + instance.len()..];
        Some(Self {
            text: format!("{}{suffix}", &self.text[..end]),
        })
    }

    /// The instance of a template.
    ///
    /// # Errors
    /// If this is no template, or the name would be none.
    pub fn instantiate(&self, instance: &str) -> Result<Self, NameError> {
        if self.kind() != NameKind::Template {
            return Err(NameError::NotTemplate(self.text.clone()));
        }
        let (name, unit_type) = self.text.split_at(self.dot());
        Self::new(format!("{name}{instance}{unit_type}"))
    }
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > LENGTH_MAX {
        return Err(NameError::TooLong);
    }
    let Some((name, suffix)) = text.rsplit_once('.').filter(|(name, _)| !name.is_empty()) else {
        return Err(NameError::NoType(text.to_owned()));
    };
    if UnitType::from_suffix(suffix).is_none() {
        return Err(NameError::UnknownType(suffix.to_owned()));
    }
    let bad = name.chars().find(|c| *c != '@' && !is_valid_character(*c));
    if let Some(character) = bad {
        let name = text.to_owned();
        return Err(NameError::Character { name, character });
    }
    if name.starts_with('@') {
        return Err(NameError::NoPrefix(text.to_owned()));
    }
    Ok(())
}

impl FromStr for UnitName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::borrow::Borrow<str> for UnitName {
    fn borrow(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> UnitName {
        UnitName::new(text).unwrap()
    }

    #[test]
    fn parts() {
        let instance = name("foo-bar@a@b.c.service");
        assert_eq!(instance.kind(), NameKind::Instance("a@b.c"));
        assert_eq!(
            (instance.prefix(), instance.without_type()),
            ("foo-bar", "foo-bar@a@b.c")
        );
        assert_eq!(instance.template(), Some(name("foo-bar@.service")));
        assert_eq!(name("foo@.timer").kind(), NameKind::Template);
        assert_eq!(name("foo@.timer").template(), Some(name("foo@.timer")));
        assert_eq!(name("foo.target").kind(), NameKind::Plain);
        assert_eq!(name("foo.target").template(), None);
        assert_eq!(name("-.mount").prefix(), "-");
        assert_eq!(name("foo@.path").instantiate("1"), Ok(name("foo@1.path")));
        assert!(name("foo.path").instantiate("1").is_err());
        assert!(name("foo@.path").instantiate("a b").is_err());
    }

    #[test]
    fn every_type_has_its_row() {
        for (index, (unit_type, text, _)) in TYPES.iter().enumerate() {
            assert_eq!(*unit_type as usize, index);
            assert_eq!(name(&format!("a.{text}")).unit_type(), *unit_type);
            assert_eq!(unit_type.as_str(), *text);
        }
        assert_eq!(UnitType::Timer as usize + 1, TYPES.len());
    }

    #[test]
    fn what_systemd_refuses() {
        for bad in [
            "",
            "a",
            ".service",
            "a.",
            "a.foo",
            "@a.service",
            "@.service",
            "a b.service",
        ] {
            assert!(UnitName::new(bad).is_err(), "{bad}");
        }
        for bad in [
            "ä.service",
            "a/b.service",
            "a\n.service",
            "a.busname",
            "a.Service",
        ] {
            assert!(UnitName::new(bad).is_err(), "{bad}");
        }
        assert!(UnitName::new(format!("{}.service", "a".repeat(247))).is_ok());
        assert!(UnitName::new(format!("{}.service", "a".repeat(248))).is_err());
        assert!(UnitName::new(r"a\x2db:c_d@.service").is_ok());
    }
}
