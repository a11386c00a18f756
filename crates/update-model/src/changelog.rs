//! Which packages changed from one release to the next.
//!
//! From two lists, such as two package locks have; says nothing of why.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A package of a release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, in the words of whoever made it.
    pub version: String,
}

/// A package that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// Its old version; `None` if it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its new version; `None` if it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// What differs, by name.
pub fn changes(old: &[Package], new: &[Package]) -> Vec<Change> {
    let mut versions: BTreeMap<&str, (Option<&str>, Option<&str>)> = BTreeMap::new();
    for package in old {
        versions.entry(&package.name).or_default().0 = Some(&package.version);
    }
    for package in new {
        versions.entry(&package.name).or_default().1 = Some(&package.version);
    }
    versions
        .into_iter()
        .filter(|(_, (from, to))| from != to)
        .map(|(name, (from, to))| Change {
            name: name.to_owned(),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_listed() {
        let packages = |list: &[(&str, &str)]| {
            let package = |(name, version): &(&str, &str)| Package {
                name: (*name).to_owned(),
                version: (*version).to_owned(),
            };
            list.iter().map(package).collect::<Vec<_>>()
        };
        let old = packages(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let new = packages(&[("a", "1"), ("b", "2"), ("d", "1")]);
        let text: Vec<String> = changes(&old, &new)
            .iter()
            .map(|change| format!("{} {:?} {:?}", change.name, change.from, change.to))
            .collect();
        assert_eq!(
            text,
            [
                r#"b Some("1") Some("2")"#,
                r#"c Some("1") None"#,
                r#"d None Some("1")"#
            ]
        );
    }
}
