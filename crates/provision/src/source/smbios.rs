//! Strings that whoever made a virtual machine has put into its SMBIOS (structures of type 11), among
//! them systemd's credentials: `io.systemd.credential:keelson.config=TEXT`, or `.binary:` with base64.
//!
//! Source: DMTF DSP0134, section 6.1.3; systemd.system-credentials(7). Other structures are passed over.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Source, SourceError, read};
use crate::run::{Afterwards, Found};

/// The credential.
const NAME: &str = "keelson.config";
/// One structure a folder, if the module for that is loaded.
const ENTRIES: &str = "firmware/dmi/entries";
/// All structures; always there.
const TABLE: &str = "firmware/dmi/tables/DMI";
/// The type whose strings are for anybody.
const OEM_STRINGS: u8 = 11;
/// The type of the last structure.
const END: u8 = 127;
/// Type, length, handle.
const HEADER_LENGTH: usize = 4;

/// The strings.
#[derive(Debug)]
pub struct SystemStrings {
    sys: PathBuf,
}

impl SystemStrings {
    /// Those below a `/sys`.
    pub fn new(sys: &Path) -> Self {
        Self {
            sys: sys.to_owned(),
        }
    }

    /// The structures' bytes, one after the other.
    fn structures(&self) -> Result<Vec<u8>, SourceError> {
        let folder = self.sys.join(ENTRIES);
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.retain(|name| name.to_string_lossy().starts_with("11-"));
        names.sort();
        if names.is_empty() {
            return Ok(read(&self.sys.join(TABLE))?.unwrap_or_default());
        }
        let mut bytes = Vec::new();
        for name in names {
            bytes.extend(read(&folder.join(name).join("raw"))?.unwrap_or_default());
        }
        Ok(bytes)
    }
}

impl Source for SystemStrings {
    fn name(&self) -> String {
        format!("SMBIOS credential {NAME}")
    }

    fn look(&self) -> Result<Option<Found>, SourceError> {
        let structures = self.structures()?;
        for text in strings(&structures) {
            let bytes = match credential(text) {
                None => continue,
                Some(bytes) => bytes.map_err(|problem| SourceError::Malformed {
                    place: self.name(),
                    problem,
                })?,
            };
            return Ok(Some(Found {
                bytes,
                source: self.name(),
                name: NAME.to_owned(),
                afterwards: Afterwards::Stays,
            }));
        }
        Ok(None)
    }
}

/// The strings of all structures of type 11; what is cut off ends them.
fn strings(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let [kind, length, ..] = *bytes {
        let length = usize::from(length);
        let Some(mut rest) = bytes.get(length..).filter(|_| length >= HEADER_LENGTH) else {
            break;
        };
        let mut count = 0;
        while let Some((text, after)) = split_string(rest) {
            rest = after;
            if text.is_empty() && count > 0 {
                break;
            }
            if text.is_empty() {
                // No strings at all are two zeros.
                rest = rest.strip_prefix(&[0]).unwrap_or(rest);
                break;
            }
            count += 1;
            if kind == OEM_STRINGS {
                found.push(text);
            }
        }
        if kind == END || rest.len() == bytes.len() {
            break;
        }
        bytes = rest;
    }
    found
}

fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// The configuration, if a string is our credential.
fn credential(text: &[u8]) -> Option<Result<Vec<u8>, String>> {
    let value = |prefix: &str| {
        let rest = text.strip_prefix(prefix.as_bytes())?;
        rest.strip_prefix(NAME.as_bytes())?.strip_prefix(b"=")
    };
    if let Some(value) = value("io.systemd.credential:") {
        return Some(Ok(value.to_vec()));
    }
    let value = value("io.systemd.credential.binary:")?;
    let decoded = STANDARD.decode(value.trim_ascii());
    Some(decoded.map_err(|error| format!("is not base64: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A structure with two bytes after its header.
    fn structure(kind: u8, strings: &[&str]) -> Vec<u8> {
        let mut bytes = vec![kind, 6, 0, 0, 1, 2];
        for text in strings {
            bytes.extend(text.as_bytes());
            bytes.push(0);
        }
        if strings.is_empty() {
            bytes.push(0);
        }
        bytes.push(0);
        bytes
    }

    #[test]
    fn strings_of_type_11_among_others() {
        let bytes = [
            structure(1, &["QEMU", "pc"]),
            structure(2, &[]),
            structure(11, &["a", "b"]),
            structure(3, &["no"]),
            structure(11, &["c"]),
            structure(127, &[]),
            structure(11, &["after the end"]),
        ]
        .concat();
        assert_eq!(strings(&bytes), [b"a", b"b", b"c"]);
    }

    #[test]
    fn no_bytes_make_it_fail() {
        let whole = [structure(11, &["abc"]), structure(11, &["d"])].concat();
        for length in 0..whole.len() {
            strings(&whole[..length]);
        }
        for length in 0..8 {
            strings(&[vec![11, length], vec![0; 12]].concat());
        }
    }

    #[test]
    fn only_ours_counts() {
        let other = credential(b"io.systemd.credential:other=1");
        assert_eq!(other, None);
        let longer = credential(b"io.systemd.credential:keelson.configuration=1");
        assert_eq!(longer, None);
        let plain = credential(b"io.systemd.credential:keelson.config=a=b");
        assert_eq!(plain, Some(Ok(b"a=b".to_vec())));
        let binary = credential(b"io.systemd.credential.binary:keelson.config=aGVsbG8=\n");
        assert_eq!(binary, Some(Ok(b"hello".to_vec())));
        let broken = credential(b"io.systemd.credential.binary:keelson.config=%");
        assert!(broken.unwrap().unwrap_err().contains("base64"));
    }
}
