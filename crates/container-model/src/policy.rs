//! Which images may be used: `/etc/keelson/images.toml`.
//!
//! ```toml
//! default = "refuse"              # of images that no rule is about: "allow" (as without a file) or "refuse"
//!
//! [[image]]
//! prefix = "registry.example.com/team"
//! digest = "required"             # or "optional"
//! signature-key = "/etc/keelson/team.pub"
//!
//! [[image]]
//! prefix = "docker.io"
//! verdict = "refuse"              # or "allow"
//! ```
//!
//! The rule with the longest prefix counts; a prefix ends where a component of the name ends. An unknown
//! key is an error with its line. No signature is verified here, and no key is read.

use serde::Deserialize;
use thiserror::Error;

use crate::reference::ImageReference;

/// All rules. The default one allows everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImagePolicy {
    default: Verdict,
    rules: Vec<Rule>,
}

/// What an allowed image must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// Nothing more than what its name says.
    AsNamed,
    /// A signature by the key in this file.
    Signed {
        /// Absolute.
        key: String,
    },
}

/// Why an image may not be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// A rule says so.
    #[error("the image policy refuses images that begin with `{prefix}`")]
    ByRule {
        /// The rule's.
        prefix: String,
    },
    /// No rule allows it.
    #[error("the image policy has no rule that allows `{0}`")]
    ByDefault(String),
    /// It must be named by digest.
    #[error(
        "the image policy wants a digest for images that begin with `{prefix}`: write {name}@sha256:…"
    )]
    DigestMissing {
        /// The rule's.
        prefix: String,
        /// The image's name without one.
        name: String,
    },
}

/// A policy that cannot be read. TOML's own message has line and column.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// Not TOML, or not with these keys.
    #[error("{0}")]
    Syntax(String),
    /// A prefix that fits no image.
    #[error("image rule {number}: `{prefix}` is no registry, nor a registry with a path: {reason}")]
    Prefix {
        /// From 1.
        number: usize,
        /// As it stands.
        prefix: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two rules of one prefix.
    #[error("image rule {number}: there is a rule for `{prefix}` already")]
    Twice {
        /// Of the second one, from 1.
        number: usize,
        /// As it stands.
        prefix: String,
    },
    /// Requirements of what is refused.
    #[error("image rule {number}: images that are refused need no digest or signature")]
    RefusedWithRequirements {
        /// From 1.
        number: usize,
    },
    /// A key's path.
    #[error("image rule {number}: `signature-key` must be an absolute path")]
    KeyPath {
        /// From 1.
        number: usize,
    },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    #[default]
    Allow,
    Refuse,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum DigestRule {
    #[default]
    Optional,
    Required,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Rule {
    prefix: String,
    #[serde(default)]
    verdict: Verdict,
    #[serde(default)]
    digest: DigestRule,
    signature_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    #[serde(default)]
    default: Verdict,
    #[serde(default)]
    image: Vec<Rule>,
}

impl ImagePolicy {
    /// Reads a file.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let file: File =
            toml::from_str(text).map_err(|error| PolicyError::Syntax(error.to_string()))?;
        for (index, rule) in file.image.iter().enumerate() {
            check(rule, index + 1, &file.image[..index])?;
        }
        Ok(Self {
            default: file.default,
            rules: file.image,
        })
    }

    /// Whether an image may be used, and what it must have then.
    pub fn judge(&self, image: &ImageReference) -> Result<Allowed, Refused> {
        let name = format!("{}/{}", image.registry(), image.repository());
        let fitting = self
            .rules
            .iter()
            .filter(|rule| is_below(&name, &rule.prefix));
        let Some(rule) = fitting.max_by_key(|rule| rule.prefix.len()) else {
            return match self.default {
                Verdict::Allow => Ok(Allowed::AsNamed),
                Verdict::Refuse => Err(Refused::ByDefault(name)),
            };
        };
        let prefix = rule.prefix.clone();
        if rule.verdict == Verdict::Refuse {
            return Err(Refused::ByRule { prefix });
        }
        if rule.digest == DigestRule::Required && image.digest().is_none() {
            return Err(Refused::DigestMissing { prefix, name });
        }
        Ok(match &rule.signature_key {
            Some(key) => Allowed::Signed { key: key.clone() },
            None => Allowed::AsNamed,
        })
    }
}

fn is_below(name: &str, prefix: &str) -> bool {
    let rest = name.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn check(rule: &Rule, number: usize, before: &[Rule]) -> Result<(), PolicyError> {
    let prefix = rule.prefix.clone();
    // With two components more (Docker Hub completes single ones) every prefix is the beginning of a name, and is written as names are.
    let image = format!("{prefix}/x/x");
    let reason = match image.parse::<ImageReference>() {
        Ok(read) if format!("{}/{}", read.registry(), read.repository()) == image => None,
        Ok(_) => Some("the registry must be written, such as docker.io".to_owned()),
        Err(error) => Some(error.reason),
    };
    if let Some(reason) = reason {
        return Err(PolicyError::Prefix {
            number,
            prefix,
            reason,
        });
    }
    if before.iter().any(|other| other.prefix == prefix) {
        return Err(PolicyError::Twice { number, prefix });
    }
    let has_requirements = rule.digest == DigestRule::Required || rule.signature_key.is_some();
    if rule.verdict == Verdict::Refuse && has_requirements {
        return Err(PolicyError::RefusedWithRequirements { number });
    }
    let key = rule.signature_key.as_deref();
    if key.is_some_and(|key| !key.starts_with('/')) {
        return Err(PolicyError::KeyPath { number });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
default = "refuse"

[[image]]
prefix = "docker.io"

[[image]]
prefix = "docker.io/library"
verdict = "refuse"

[[image]]
prefix = "localhost:5000/a"
digest = "required"
signature-key = "/etc/key.pub"
"#;

    fn judge(image: &str) -> Result<Allowed, String> {
        let policy = ImagePolicy::parse(POLICY).unwrap();
        let verdict = policy.judge(&image.parse().unwrap());
        verdict.map_err(|refused| refused.to_string())
    }

    #[test]
    fn the_longest_prefix_counts() {
        let pinned = format!("localhost:5000/a/b@sha256:{}", "0".repeat(64));
        let key = "/etc/key.pub".to_owned();
        assert_eq!(judge("me/tool"), Ok(Allowed::AsNamed));
        assert_eq!(judge(&pinned), Ok(Allowed::Signed { key }));
        let cases = [
            (
                "busybox",
                "refuses images that begin with `docker.io/library`",
            ),
            ("quay.io/a", "no rule that allows `quay.io/a`"),
            ("localhost:5000/ab", "no rule that allows"),
            ("localhost:5000/a/b", "write localhost:5000/a/b@sha256:…"),
        ];
        for (image, reason) in cases {
            let refused = judge(image).unwrap_err();
            assert!(refused.contains(reason), "{image}: {refused}");
        }
        let open = ImagePolicy::default();
        assert_eq!(open.judge(&"a".parse().unwrap()), Ok(Allowed::AsNamed));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let rule = |text: &str| format!("[[image]]\nprefix = \"docker.io\"\n{text}\n");
        let cases = [
            ("colour = 1".to_owned(), "line 1"),
            (rule("digets = \"required\""), "line 3"),
            (rule("digest = \"always\""), "line 3"),
            ("default = \"ask\"".to_owned(), "line 1"),
            (
                rule("signature-key = \"key.pub\""),
                "image rule 1: `signature-key`",
            ),
            (
                rule("verdict = \"refuse\"\ndigest = \"required\""),
                "need no digest",
            ),
            (
                [rule(""), rule("")].concat(),
                "image rule 2: there is a rule",
            ),
            (
                "[[image]]\nprefix = \"busybox\"".to_owned(),
                "must be written",
            ),
            ("[[image]]\nprefix = \"a.b/C\"".to_owned(), "lower case"),
            (
                "[[image]]\nprefix = \"docker.io/\"".to_owned(),
                "image rule 1",
            ),
        ];
        for (text, expected) in cases {
            let error = ImagePolicy::parse(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
