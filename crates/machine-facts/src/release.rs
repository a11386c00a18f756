//! Which release this is, from os-release(5).
//!
//! It does not know which version was booted; that is in [`crate::boot_facts`].
use crate::error::{Fact, FactError};
use crate::system_root::SystemRoot;

/// The file, in the verified root: `/etc/os-release` could be overlaid.
const PATH: &str = "/usr/lib/os-release";

/// What identifies the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `ID=`.
    pub id: String,
    /// `NAME=`.
    pub name: String,
    /// `IMAGE_VERSION=`.
    pub version: String,
    /// `BUILD_ID=`.
    pub build_id: String,
    /// `VARIANT_ID=`: the product.
    pub product: String,
}

impl Release {
    /// Reads the file.
    pub fn read(root: &SystemRoot) -> Fact<Self> {
        Self::parse(&root.read_text(PATH)?)
    }

    fn parse(text: &str) -> Fact<Self> {
        let required = |key: &str| {
            value(text, key).ok_or_else(|| FactError::malformed(PATH, format!("has no {key}=")))
        };
        Ok(Self {
            id: required("ID")?,
            name: required("NAME")?,
            version: required("IMAGE_VERSION")?,
            build_id: required("BUILD_ID")?,
            product: required("VARIANT_ID")?,
        })
    }
}

/// The last assignment counts, as in a shell; what the quotes hold is taken as it stands, for
/// the builder writes nothing that would need a backslash.
fn value(text: &str, key: &str) -> Option<String> {
    let assignments = text.lines().filter_map(|line| line.trim().split_once('='));
    let (_, value) = assignments.rev().find(|(name, _)| *name == key)?;
    let unquoted = ['"', '\''].iter().find_map(|quote| {
        let inner = value.strip_prefix(*quote)?;
        inner.strip_suffix(*quote)
    });
    Some(unquoted.unwrap_or(value).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the builder writes it.
    const TEXT: &str = "NAME=\"Keelson\"\n\
        PRETTY_NAME=\"Keelson 1.2~rc3 (vm)\"\nID=\"keelson\"\nID_LIKE=\"debian\"\n\
        VERSION_ID=\"1.2\"\nIMAGE_ID=\"keelson\"\nIMAGE_VERSION=\"1.2~rc3\"\n\
        BUILD_ID=\"1234567890abcdef1234567890abcdef\"\nVARIANT_ID=\"vm\"\n";

    fn release() -> Release {
        Release::parse(TEXT).unwrap()
    }

    #[test]
    fn the_builders_file_is_read() {
        let release = release();
        assert_eq!(
            (release.id.as_str(), release.name.as_str()),
            ("keelson", "Keelson")
        );
        assert_eq!(release.version, "1.2~rc3");
        assert_eq!(release.build_id, "1234567890abcdef1234567890abcdef");
        assert_eq!(release.product, "vm");
    }

    #[test]
    fn values_are_quoted_or_not_and_the_last_one_counts() {
        assert_eq!(value("A=b", "A").as_deref(), Some("b"));
        assert_eq!(value("A='b c'", "A").as_deref(), Some("b c"));
        assert_eq!(value("A=\"b=c\"\nA=d\n", "A").as_deref(), Some("d"));
        assert_eq!(value("A=\"\n", "A").as_deref(), Some("\""));
        assert_eq!(value("#A=b\nAA=c", "A"), None);
    }

    #[test]
    fn a_missing_key_is_named() {
        let text = TEXT.replace("BUILD_ID", "BUILT");
        let error = Release::parse(&text).unwrap_err();
        assert_eq!(error.reason(), "/usr/lib/os-release: has no BUILD_ID=");
    }
}
