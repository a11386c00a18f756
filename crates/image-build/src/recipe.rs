//! The recipe `image/os.toml` as typed values.
//!
//! Parsing and checking only: nothing here resolves a package or looks at the files named.
//! Unknown keys are errors; the message carries the line.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{BuildError, Result, read_text};

/// What the operating system is made of.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// `ID=` of os-release and the prefix of every file made.
    pub name: String,
    /// `NAME=` of os-release.
    pub pretty_name: String,
    /// The release this source tree leads to; a build may override it.
    pub version: String,
    /// Debian's name of the processor architecture.
    pub architecture: String,
    /// `HOME_URL=` of os-release.
    pub home_url: String,
    /// Hexadecimal salt of the verity tree, the same for every release.
    pub verity_salt: String,
    /// Where packages come from.
    pub archive: Archive,
    /// The root file system of every product.
    pub packages: PackageSelection,
    /// Tools used while building, never shipped.
    pub tools: ToolSelection,
    /// The products, by name.
    pub product: BTreeMap<String, Product>,
    /// What every product's kernel is told.
    pub kernel: Kernel,
    /// Which of the packages' files are taken.
    pub files: Files,
    /// Our own programs.
    #[serde(default)]
    pub program: Vec<Program>,
    /// Sizes of the partitions.
    pub disk: Disk,
}

/// A Debian release and the suites packages are taken from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Archive {
    /// Code name of the release.
    pub release: String,
    /// Suites of the main archive.
    pub suites: Vec<String>,
    /// Suites of the security archive.
    pub security_suites: Vec<String>,
    /// Components of each suite.
    pub components: Vec<String>,
    /// Keyring that must have signed the suites.
    pub keyring: PathBuf,
}

/// Packages to install and packages to do without.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PackageSelection {
    /// Names to install with their dependencies.
    pub install: Vec<String>,
    /// Names counted as installed while resolving.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Virtual names that the excluded packages provide.
    #[serde(default)]
    pub exclude_provides: Vec<String>,
}

/// Packages of the tools tree.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ToolSelection {
    /// Names to install with their dependencies.
    pub install: Vec<String>,
}

/// One product: the same root with another kernel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Product {
    /// Kernel packages.
    pub kernel: Vec<String>,
    /// Kernel command line words of this product.
    pub command_line: Vec<String>,
}

/// Kernel settings of every product.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kernel {
    /// Kernel command line words.
    pub command_line: Vec<String>,
}

/// Which of the packages' files are taken; patterns as in [`crate::pattern`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Files {
    /// Left out.
    pub remove: Vec<String>,
    /// Taken although `remove` matches.
    #[serde(default)]
    pub keep: Vec<String>,
    /// A finished root that holds one of these is refused.
    #[serde(default)]
    pub forbid: Vec<String>,
    /// Directories that must exist even when empty.
    #[serde(default)]
    pub directories: Vec<String>,
}

/// A program of this workspace that is shipped.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Program {
    /// Cargo package; its binary has the same name.
    pub package: String,
    /// Path in the root, relative.
    pub path: String,
}

/// Sizes of the partitions, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Disk {
    /// EFI system partition.
    pub esp_bytes: u64,
    /// Each root slot.
    pub root_bytes: u64,
    /// Each slot's verity tree.
    pub root_verity_bytes: u64,
    /// Durable boot record.
    pub meta_bytes: u64,
    /// State as shipped; it grows at first boot.
    pub state_bytes: u64,
}

impl Recipe {
    /// Reads and checks a recipe.
    pub fn load(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        let recipe: Self = toml::from_str(text).map_err(|source| BuildError::Toml {
            path: path.into(),
            source: Box::new(source),
        })?;
        recipe.check().map_err(|reason| BuildError::Recipe {
            path: path.into(),
            reason,
        })?;
        Ok(recipe)
    }

    /// The salt as bytes.
    pub fn verity_salt_bytes(&self) -> Vec<u8> {
        crate::digest::parse_hex(&self.verity_salt).unwrap_or_default()
    }

    /// The product of that name.
    pub fn product(&self, name: &str) -> Result<&Product> {
        self.product
            .get(name)
            .ok_or_else(|| BuildError::UnknownProduct {
                name: name.to_owned(),
                known: self.product.keys().cloned().collect::<Vec<_>>().join(", "),
            })
    }

    fn check(&self) -> std::result::Result<(), String> {
        match crate::digest::parse_hex(&self.verity_salt) {
            Some(salt) if salt.len() == 32 => {}
            _ => return Err("verity-salt: must be 64 hexadecimal digits".to_owned()),
        }
        check_version(&self.version).map_err(|reason| format!("version: {reason}"))?;
        if self.product.is_empty() {
            return Err("product: at least one [product.NAME] is needed".to_owned());
        }
        for (name, size) in self.disk.sizes() {
            if size == 0 || size % (1 << 20) != 0 {
                return Err(format!("disk.{name}: {size} is not a whole number of MiB"));
            }
        }
        Ok(())
    }
}

impl Disk {
    fn sizes(&self) -> [(&'static str, u64); 5] {
        [
            ("esp-bytes", self.esp_bytes),
            ("root-bytes", self.root_bytes),
            ("root-verity-bytes", self.root_verity_bytes),
            ("meta-bytes", self.meta_bytes),
            ("state-bytes", self.state_bytes),
        ]
    }
}

/// Whether a version can stand in a boot entry's file name (`NAME_VERSION+TRIES.efi`): `+` and `_`
/// have a meaning there, and other characters none in the version comparison of the UAPI group.
pub fn check_version(version: &str) -> std::result::Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '~' | '^');
    if version.is_empty() || version.len() > 64 || !version.chars().all(fits) {
        return Err(format!(
            "{version:?} is no version: 1 to 64 of A-Z a-z 0-9 . - ~ ^"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real() -> String {
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../image/os.toml"))
            .expect("the recipe is in the checkout")
    }

    #[test]
    fn the_shipped_recipe_parses() {
        let recipe = Recipe::parse(&real(), Path::new("os.toml")).expect("valid");
        assert_eq!(recipe.name, "keelson");
        assert!(recipe.product("vm").is_ok());
        assert_eq!(recipe.verity_salt_bytes().len(), 32);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let text = real().replace("[disk]", "[disk]\nesp-size = 4");
        let error = Recipe::parse(&text, Path::new("os.toml")).expect_err("unknown key");
        let message = crate::error::chain(&error);
        assert!(message.contains("esp-size"), "{message}");
        assert!(message.contains("line"), "{message}");
        assert!(message.contains("os.toml"), "{message}");
    }

    #[test]
    fn an_unknown_product_lists_the_known_ones() {
        let recipe = Recipe::parse(&real(), Path::new("os.toml")).expect("valid");
        let message = recipe.product("toaster").expect_err("unknown").to_string();
        assert!(message.contains("metal, vm"), "{message}");
    }

    #[test]
    fn versions_that_would_break_a_boot_entry_are_refused() {
        for bad in ["", "1.0+3", "1_0", "1 0", "1/0"] {
            assert!(check_version(bad).is_err(), "{bad:?}");
        }
        for good in ["0.1.0", "0.1.0~20261122.ab12", "1-2^3"] {
            assert!(check_version(good).is_ok(), "{good:?}");
        }
    }
}
