//! How a machine registers its containers: `/etc/keelson/registration.toml`.
//!
//! ```toml
//! layouts = ["keelson", "skydns", "registrator"]   # "keelson" alone without it; [] for nothing
//! variables = false                                # SERVICE_NAME and the like ask for nothing
//! internal = true                                  # containers' own addresses and ports, as registrator's -internal
//!
//! [keelson]
//! prefix = "/keelson/services"
//!
//! [skydns]
//! prefix = "/skydns"
//! domain = "skydns.local"
//!
//! [registrator]
//! prefix = "/services"
//! ```
//!
//! An unknown key is an error with its line. No file is read here.

use serde::Deserialize;
use thiserror::Error;

use super::option::check_name;

/// A form of keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayoutName {
    /// Ours: JSON with all that is known.
    Keelson,
    /// That of `SkyDNS` 2, which `CoreDNS` reads by its plugin `etcd`.
    SkyDns,
    /// Registrator's for etcd: an address and a port as text.
    Registrator,
}

/// All settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Which forms are written, all at once.
    pub layouts: Vec<LayoutName>,
    /// Whether registrator's variables count.
    pub variables: bool,
    /// Whether containers in networks of their own are registered with their own addresses and ports, for others that have
    /// a way there, instead of the machine's address and what is published.
    pub internal: bool,
    pub(super) keelson: Place,
    pub(super) skydns: SkyDns,
    pub(super) registrator: RegistratorPlace,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Place {
    pub(super) prefix: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SkyDns {
    pub(super) prefix: String,
    pub(super) domain: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RegistratorPlace {
    pub(super) prefix: String,
}

/// Settings that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// TOML's own message, with line and column.
    #[error("{0}")]
    Syntax(String),
    /// A place that is none.
    #[error(
        "[{table}] prefix: `{value}` is no key: write it like /services, with a slash before it and none behind"
    )]
    Prefix {
        /// Where.
        table: &'static str,
        /// As it stands.
        value: String,
    },
    /// A domain that is none.
    #[error("[skydns] domain: {0}")]
    Domain(String),
    /// The same form twice.
    #[error("layouts: one is named twice")]
    Twice,
    /// Two forms that would write the same keys.
    #[error("two layouts have one place: give each a prefix of its own")]
    SamePlace,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            prefix: "/keelson/services".to_owned(),
        }
    }
}

impl Default for SkyDns {
    fn default() -> Self {
        Self {
            prefix: "/skydns".to_owned(),
            domain: "skydns.local".to_owned(),
        }
    }
}

impl Default for RegistratorPlace {
    fn default() -> Self {
        Self {
            prefix: "/services".to_owned(),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            layouts: vec![LayoutName::Keelson],
            variables: true,
            internal: false,
            keelson: Place::default(),
            skydns: SkyDns::default(),
            registrator: RegistratorPlace::default(),
        }
    }
}

impl Settings {
    /// Reads a file's text.
    ///
    /// # Errors
    /// If anything in it is not understood.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let settings: Self =
            toml::from_str(text).map_err(|error| SettingsError::Syntax(error.to_string()))?;
        for (table, value) in settings.places() {
            check_prefix(table, value)?;
        }
        check_name(&settings.skydns.domain).map_err(SettingsError::Domain)?;
        let is_again = |(at, one): (usize, &LayoutName)| settings.layouts[..at].contains(one);
        if settings.layouts.iter().enumerate().any(is_again) {
            return Err(SettingsError::Twice);
        }
        let used: Vec<&str> = settings
            .layouts
            .iter()
            .map(|one| settings.place(*one))
            .collect();
        let is_again = |(at, one): (usize, &&str)| used[..at].contains(one);
        if used.iter().enumerate().any(is_again) {
            return Err(SettingsError::SamePlace);
        }
        Ok(settings)
    }

    fn places(&self) -> [(&'static str, &str); 3] {
        [
            ("keelson", self.keelson.prefix.as_str()),
            ("skydns", self.skydns.prefix.as_str()),
            ("registrator", self.registrator.prefix.as_str()),
        ]
    }

    fn place(&self, layout: LayoutName) -> &str {
        match layout {
            LayoutName::Keelson => &self.keelson.prefix,
            LayoutName::SkyDns => &self.skydns.prefix,
            LayoutName::Registrator => &self.registrator.prefix,
        }
    }
}

fn check_prefix(table: &'static str, value: &str) -> Result<(), SettingsError> {
    let is_part = |part: &str| !part.is_empty() && !part.contains(char::is_whitespace);
    let rest = value.strip_prefix('/');
    if rest.is_some_and(|rest| rest.split('/').all(is_part)) {
        return Ok(());
    }
    let value = value.to_owned();
    Err(SettingsError::Prefix { table, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_word_it_is_our_layout() {
        assert_eq!(Settings::parse(""), Ok(Settings::default()));
        let text = "layouts = [\"skydns\", \"registrator\"]\nvariables = false\n\
            [skydns]\ndomain = \"cluster.local\"\n[registrator]\nprefix = \"/a/b\"\n";
        let settings = Settings::parse(text).unwrap();
        assert_eq!(
            settings.layouts,
            [LayoutName::SkyDns, LayoutName::Registrator]
        );
        assert!(!settings.variables);
        assert_eq!(settings.skydns.prefix, "/skydns");
        assert_eq!(settings.registrator.prefix, "/a/b");
        assert_eq!(Settings::parse("layouts = []").unwrap().layouts, []);
    }

    #[test]
    fn mistakes_are_told() {
        let cases = [
            ("colour = 1", "line 1"),
            ("layouts = [\"consul\"]", "line 1"),
            ("[skydns]\ndomian = \"a\"", "line 2"),
            ("[skydns]\ndomain = \"a b\"", "[skydns] domain"),
            (
                "[keelson]\nprefix = \"services\"",
                "[keelson] prefix: `services`",
            ),
            ("[registrator]\nprefix = \"/a/\"", "[registrator] prefix"),
            ("[registrator]\nprefix = \"/\"", "[registrator] prefix"),
            ("layouts = [\"keelson\", \"keelson\"]", "twice"),
            (
                "layouts = [\"keelson\", \"registrator\"]\n[keelson]\nprefix = \"/services\"",
                "one place",
            ),
        ];
        for (text, expected) in cases {
            let error = Settings::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
