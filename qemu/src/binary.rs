//! The QEMU program: is it there, and is it new enough.
//!
//! It does not install anything, and does not know which machines a QEMU can emulate.

use crate::{QemuError, bounded, sync::lock};
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

/// The program that runs x86-64 machines, to be found in `PATH`.
pub const DEFAULT_BINARY: &str = "qemu-system-x86_64";

/// The oldest QEMU that runs Debian 13 in software: the emulation of `cmpxchg16b` in 7.2 crashes
/// its kernels.
pub const OLDEST_VERSION: QemuVersion = QemuVersion { major: 8, minor: 1 };

/// Printing a version takes milliseconds; a loaded host may need longer.
const VERSION_TIMEOUT: Duration = Duration::from_secs(30);

/// A version of QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QemuVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl fmt::Display for QemuVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

impl QemuVersion {
    /// Asks `binary` for its version and refuses one that is too old. Asked once per program and
    /// process.
    pub fn require(binary: &Path) -> Result<Self, QemuError> {
        static KNOWN: LazyLock<Mutex<HashMap<PathBuf, QemuVersion>>> =
            LazyLock::new(Mutex::default);
        if let Some(version) = lock(&KNOWN).get(binary) {
            return Ok(*version);
        }
        let found = ask(binary)?;
        if found < OLDEST_VERSION {
            let binary = binary.to_owned();
            return Err(QemuError::TooOld { binary, found });
        }
        lock(&KNOWN).insert(binary.to_owned(), found);
        Ok(found)
    }

    /// Reads the first line that `--version` prints.
    fn parse(output: &str) -> Option<Self> {
        let (_, rest) = output.split_once("QEMU emulator version ")?;
        let mut numbers = rest.split(|character: char| !character.is_ascii_digit());
        Some(Self {
            major: numbers.next()?.parse().ok()?,
            minor: numbers.next()?.parse().ok()?,
        })
    }
}

fn ask(binary: &Path) -> Result<QemuVersion, QemuError> {
    let mut command = Command::new(binary);
    command.arg("--version");
    let (_, finished) =
        bounded::run_to_end(command, VERSION_TIMEOUT).map_err(|error| match error {
            QemuError::Spawn { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                QemuError::BinaryMissing {
                    binary: binary.to_owned(),
                }
            }
            other => other,
        })?;
    let output = finished.text();
    QemuVersion::parse(&output).ok_or_else(|| QemuError::VersionUnreadable {
        binary: binary.to_owned(),
        output,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn program(directory: &Path, prints: &str) -> PathBuf {
        let path = directory.join("qemu");
        std::fs::write(&path, format!("#!/bin/sh\necho '{prints}'\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn versions_are_read() {
        let parse = |text| QemuVersion::parse(text).map(|version| version.to_string());
        let debian = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)";
        assert_eq!(parse(debian).as_deref(), Some("10.0"));
        assert_eq!(parse("QEMU emulator version 8.1.0").as_deref(), Some("8.1"));
        assert_eq!(parse("qemu-img version 10.0.2"), None);
    }

    #[test]
    fn old_program_is_refused_with_reason_and_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let old = program(directory.path(), "QEMU emulator version 7.2.22 (Debian)");
        let message = QemuVersion::require(&old).unwrap_err().to_string();
        assert!(message.contains("QEMU 7.2"), "{message}");
        assert!(message.contains("8.1 is the oldest"), "{message}");
        assert!(message.contains("backports"), "{message}");
    }

    #[test]
    fn missing_program_names_the_package() {
        let error = QemuVersion::require(Path::new("/nonexistent/qemu")).unwrap_err();
        assert!(error.to_string().contains("package qemu-system-x86"));
    }

    #[test]
    fn other_program_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let other = program(directory.path(), "hello");
        let error = QemuVersion::require(&other).unwrap_err();
        assert!(matches!(error, QemuError::VersionUnreadable { .. }));
    }
}
