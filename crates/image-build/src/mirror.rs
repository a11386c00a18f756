//! Where packages are fetched from: the mirrors this machine's apt uses, or those given.
//!
//! The project names no mirror of its own: what is fetched is pinned by hash, so any will do.

use std::process::Command;

use crate::error::{BuildError, Result};
use crate::lock::{ArchiveKind, LockedPackage};

/// Base addresses of the two archives, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrors {
    /// Of the main archive.
    pub main: String,
    /// Of the security archive.
    pub security: String,
}

impl Mirrors {
    /// `given` (main, and security where it is not beside it), else what apt here uses.
    pub fn find(given: Option<&str>, given_security: Option<&str>) -> Result<Self> {
        let security = given_security.map(trimmed);
        if let Some(main) = given.map(trimmed) {
            let security = security.unwrap_or_else(|| beside(&main));
            return Ok(Self { main, security });
        }
        let main = apt_archive("Debian")?.ok_or_else(|| {
            BuildError::Mirror(
                "apt on this machine knows no Debian archive; name a mirror with --mirror or KEELSON_MIRROR".to_owned(),
            )
        })?;
        let security = match security {
            Some(security) => security,
            None => apt_archive("Debian-Security")?.unwrap_or_else(|| beside(&main)),
        };
        Ok(Self { main, security })
    }

    /// Address of one of the archives.
    pub fn base(&self, archive: ArchiveKind) -> &str {
        match archive {
            ArchiveKind::Main => &self.main,
            ArchiveKind::Security => &self.security,
        }
    }

    /// Full address of a package; the `~` and `+` of versions are plain path characters.
    pub fn url(&self, package: &LockedPackage) -> String {
        format!("{}/{}", self.base(package.archive), package.path)
    }
}

fn trimmed(address: &str) -> String {
    address.trim_end_matches('/').to_owned()
}

/// Mirrors carry the security archive beside the main one under this name.
fn beside(main: &str) -> String {
    format!("{main}-security")
}

/// The first archive of that label that apt is configured with.
fn apt_archive(label: &str) -> Result<Option<String>> {
    let label_filter = format!("Label: {label}");
    let output = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(REPO_URI)",
            "Created-By: Packages",
            &label_filter,
        ])
        .output()
        .map_err(|source| BuildError::ToolMissing {
            program: "apt-get".to_owned(),
            advice: "name a mirror with --mirror or KEELSON_MIRROR".to_owned(),
            source,
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().map(trimmed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_mirror_needs_no_apt() {
        let mirrors = Mirrors::find(Some("http://127.0.0.1:1/debian/"), None).expect("given");
        assert_eq!(mirrors.main, "http://127.0.0.1:1/debian");
        assert_eq!(mirrors.security, "http://127.0.0.1:1/debian-security");
    }
}
