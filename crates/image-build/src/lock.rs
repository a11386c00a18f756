//! `image/packages.lock`: every package of every tree, with version and SHA-256.
//!
//! A value and its text form; resolving is [`crate::apt`]'s, fetching [`crate::fetch`]'s.

use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::Path;

use crate::error::{BuildError, Result, read_text, rename, write_bytes};
use crate::recipe::Recipe;

/// All locked packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PackagesLock {
    /// When it was resolved, as an RFC 3339 time in UTC: the time stamp of everything built from it.
    pub resolved: String,
    /// The release it was resolved in.
    pub release: String,
    /// Sorted by tree and name.
    #[serde(rename = "package")]
    pub packages: Vec<LockedPackage>,
}

/// One package of one tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedPackage {
    /// Which tree it belongs to: [`TREE_ROOT`], [`TREE_TOOLS`] or a kernel tree.
    pub tree: String,
    /// Debian's name.
    pub name: String,
    /// Debian's version.
    pub version: String,
    /// Which of the two archives has it.
    pub archive: ArchiveKind,
    /// Path below the archive's root.
    pub path: String,
    /// Length of the package file in bytes.
    pub size: u64,
    /// SHA-256 of the package file.
    pub sha256: String,
}

/// The two archives of a Debian release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArchiveKind {
    /// The main archive.
    Main,
    /// The security archive.
    Security,
}

/// Name of the tree with the root file system's packages.
pub const TREE_ROOT: &str = "root";
/// Name of the tree with the build tools.
pub const TREE_TOOLS: &str = "tools";

/// Name of the tree with a product's kernel.
pub fn kernel_tree(product: &str) -> String {
    format!("kernel-{product}")
}

/// The package names each tree of a recipe asks for.
pub fn trees(recipe: &Recipe) -> Vec<(String, Vec<String>)> {
    let mut trees = vec![
        (TREE_ROOT.to_owned(), recipe.packages.install.clone()),
        (TREE_TOOLS.to_owned(), recipe.tools.install.clone()),
    ];
    for (name, product) in &recipe.product {
        trees.push((kernel_tree(name), product.kernel.clone()));
    }
    trees
}

impl PackagesLock {
    /// Reads a lock.
    pub fn load(path: &Path) -> Result<Self> {
        if !path.exists() {
            let reason = "the file does not exist".to_owned();
            return Err(BuildError::LockOutdated {
                path: path.into(),
                reason,
            });
        }
        toml::from_str(&read_text(path)?).map_err(|source| BuildError::Toml {
            path: path.into(),
            source: Box::new(source),
        })
    }

    /// Replaces the file in one step.
    pub fn save(&self, path: &Path) -> Result<()> {
        let new = path.with_extension("lock.new");
        write_bytes(&new, self.text().as_bytes())?;
        rename(&new, path)
    }

    /// The packages of a tree, by name.
    pub fn tree(&self, tree: &str) -> Vec<&LockedPackage> {
        self.packages
            .iter()
            .filter(|package| package.tree == tree)
            .collect()
    }

    /// Seconds since 1970 of the resolution.
    pub fn timestamp_seconds(&self, path: &Path) -> Result<u64> {
        let time: jiff::Timestamp = self.resolved.parse().map_err(|e| BuildError::Recipe {
            path: path.into(),
            reason: format!("resolved: {e}"),
        })?;
        Ok(u64::try_from(time.as_second()).unwrap_or(0))
    }

    /// Every package the recipe names must be locked, in the recipe's release.
    pub fn check_against(&self, recipe: &Recipe, path: &Path) -> Result<()> {
        let outdated = |reason| {
            Err(BuildError::LockOutdated {
                path: path.into(),
                reason,
            })
        };
        if self.release != recipe.archive.release {
            return outdated(format!("it is of {}", self.release));
        }
        for (tree, names) in trees(recipe) {
            let locked = self.tree(&tree);
            for name in names {
                if !locked.iter().any(|package| package.name == name) {
                    return outdated(format!("it has no {name} in tree {tree}"));
                }
            }
            if tree != TREE_TOOLS
                && let Some(extra) = locked
                    .iter()
                    .find(|package| recipe.packages.exclude.contains(&package.name))
            {
                return outdated(format!("it has {}, which is excluded", extra.name));
            }
        }
        Ok(())
    }

    /// One line a package, so that a renewed entry is one changed line.
    fn text(&self) -> String {
        let mut text = String::from("# Written by `keelson lock`. One line a package.\n");
        let _ = writeln!(
            text,
            "resolved = {:?}\nrelease = {:?}\npackage = [",
            self.resolved, self.release
        );
        for package in &self.packages {
            let archive = match package.archive {
                ArchiveKind::Main => "main",
                ArchiveKind::Security => "security",
            };
            let _ = writeln!(
                text,
                "  {{ tree = {:?}, name = {:?}, version = {:?}, archive = {archive:?}, path = {:?}, size = {}, sha256 = {:?} }},",
                package.tree,
                package.name,
                package.version,
                package.path,
                package.size,
                package.sha256
            );
        }
        text.push_str("]\n");
        text
    }
}

/// A renewed lock: whatever `vanished` does not name keeps its version as long as the fresh resolution
/// still wants that package at all; the rest is as `fresh` has it.
///
/// The set of packages is always the fresh one, so a kernel whose package name carries its version is
/// replaced by its successor instead of standing beside it.
pub fn renew(old: &PackagesLock, fresh: &PackagesLock, vanished: &[LockedPackage]) -> PackagesLock {
    let keep = |new: &LockedPackage| {
        old.packages
            .iter()
            .find(|package| package.tree == new.tree && package.name == new.name)
            .filter(|package| !vanished.iter().any(|gone| gone.sha256 == package.sha256))
    };
    let packages = fresh
        .packages
        .iter()
        .map(|new| keep(new).unwrap_or(new).clone())
        .collect();
    PackagesLock {
        packages,
        ..fresh.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str) -> LockedPackage {
        LockedPackage {
            tree: TREE_ROOT.to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
            archive: ArchiveKind::Main,
            path: format!("pool/{name}_{version}.deb"),
            size: 1,
            sha256: format!("{name}-{version}"),
        }
    }

    fn lock(packages: Vec<LockedPackage>) -> PackagesLock {
        PackagesLock {
            resolved: "2026-11-22T00:00:00Z".to_owned(),
            release: "trixie".to_owned(),
            packages,
        }
    }

    #[test]
    fn a_lock_survives_its_text_form() {
        let lock = lock(vec![package("bash", "5.2"), package("dash", "1:0.5")]);
        assert_eq!(
            toml::from_str::<PackagesLock>(&lock.text()).expect("parses"),
            lock
        );
        assert_eq!(
            lock.text()
                .lines()
                .filter(|line| line.contains("tree ="))
                .count(),
            2
        );
    }

    #[test]
    fn only_vanished_entries_are_renewed() {
        let old = lock(vec![package("bash", "1"), package("dash", "1")]);
        let fresh = lock(vec![package("bash", "2"), package("dash", "2")]);
        let renewed = renew(&old, &fresh, &[package("bash", "1")]);
        let versions: Vec<_> = renewed
            .packages
            .iter()
            .map(|p| p.version.as_str())
            .collect();
        assert_eq!(versions, ["2", "1"]);
    }

    #[test]
    fn a_kernel_with_its_version_in_the_name_is_replaced() {
        let old = lock(vec![
            package("linux-image", "1"),
            package("linux-image-1", "1"),
        ]);
        let fresh = lock(vec![
            package("linux-image", "2"),
            package("linux-image-2", "2"),
        ]);
        let renewed = renew(&old, &fresh, &[package("linux-image", "1")]);
        let names: Vec<_> = renewed.packages.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["linux-image", "linux-image-2"]);
    }

    #[test]
    fn a_lock_without_a_wanted_package_is_outdated() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../image/os.toml");
        let recipe = Recipe::load(Path::new(path)).expect("valid");
        let error = lock(vec![]).check_against(&recipe, Path::new("packages.lock"));
        let message = error.expect_err("nothing is locked").to_string();
        assert!(
            message.contains("base-files") && message.contains("keelson lock"),
            "{message}"
        );
    }
}
