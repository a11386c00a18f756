//! Independent tools that the tests check this crate's output with, and deterministic noise.
//!
//! A missing tool fails the test and names the Debian package: a skipped check proves nothing.

use std::io::Write as _;
use std::process::Command;

use tempfile::NamedTempFile;

/// Runs a tool and returns its standard output; a failure panics with everything it printed.
pub(crate) fn run_tool(package: &str, command: &mut Command) -> String {
    // Some of the tools are an administrator's, and not on everyone's path.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let output = match command.env("PATH", path).output() {
        Ok(output) => output,
        Err(error) => panic!("cannot run {command:?} ({error}): install the package {package}"),
    };
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{stdout}\n{stderr}",
        output.status
    );
    stdout
}

/// A temporary file with these contents, gone when the value is dropped.
pub(crate) fn file_of(contents: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("temporary file");
    file.write_all(contents).expect("write to a temporary file");
    file
}

/// The generator `xorshift64` (Marsaglia, 2003): test data that is the same everywhere.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let words = length.div_ceil(8);
        let mut bytes: Vec<u8> = (0..words).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(length);
        bytes
    }
}
