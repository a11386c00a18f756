//! Why a fact about this machine could not be found out.
//!
//! It does not decide how that is shown, or whether it matters.
use std::error::Error;
use std::io;

use disk_format::meta::MetaError;

/// What was found out, or why it could not be.
pub type Fact<T> = Result<T, FactError>;

/// A fact that could not be found out. Paths are those of the machine, not of a test's copy.
#[derive(Debug, thiserror::Error)]
pub enum FactError {
    /// A file or a folder cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path}: {problem}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong with it, and where.
        problem: String,
    },
    /// The boot record cannot be read or written.
    #[error("the meta partition {path}")]
    BootRecord {
        /// The partition's device node.
        path: String,
        /// What is wrong with it.
        source: MetaError,
    },
    /// What the fact is about does not exist here.
    #[error("{0}")]
    Absent(String),
}

impl FactError {
    /// An error of reading `path`, for `map_err`.
    pub fn read(path: &str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    /// A file that is not as it should be.
    pub fn malformed(path: &str, problem: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }

    /// A TOML file that is not as it should be; names the line, which names the key.
    pub fn malformed_toml(path: &str, text: &str, error: &toml::de::Error) -> Self {
        let message = error.message();
        let start_byte = error.span().map(|span| span.start);
        let problem = match start_byte.and_then(|start| text.get(..start)) {
            None => message.to_owned(),
            Some(before) => {
                let index = before.matches('\n').count();
                let line = text.lines().nth(index).unwrap_or_default().trim();
                format!("line {} ({line}): {message}", index + 1)
            }
        };
        Self::malformed(path, problem)
    }

    /// Whether it might be found out as root.
    pub fn needs_root(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Whether the file does not exist.
    pub fn is_missing_file(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// The reason in one line of words.
    pub fn reason(&self) -> String {
        if self.needs_root() {
            return "needs root".to_owned();
        }
        chain(self)
    }
}

/// The error and all its sources on one line, outermost first.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refused_permission_needs_root() {
        let refused = FactError::read("/dev/vda6")(io::ErrorKind::PermissionDenied.into());
        assert!(refused.needs_root());
        assert_eq!(refused.reason(), "needs root");
        let missing = FactError::read("/dev/vda6")(io::ErrorKind::NotFound.into());
        assert!(!missing.needs_root() && missing.is_missing_file());
        assert!(missing.reason().starts_with("cannot read /dev/vda6: "));
    }

    #[test]
    fn a_toml_error_names_its_line() {
        let text = "a = 1\nb = \"x\"\n";
        let error = toml::from_str::<std::collections::BTreeMap<String, u32>>(text).unwrap_err();
        let reason = FactError::malformed_toml("/etc/x.toml", text, &error).reason();
        assert!(
            reason.starts_with("/etc/x.toml: line 2 (b = \"x\"): invalid type"),
            "{reason}"
        );
    }
}
