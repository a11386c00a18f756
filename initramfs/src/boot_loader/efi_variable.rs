//! UEFI variables of the boot loader, through efivarfs.
//!
//! It reads only, and only variables of systemd-boot's vendor GUID (the Boot Loader Interface).
use std::fs;
use std::io::ErrorKind;

use crate::report::error::{ActionFailed, Context};

const VENDOR_GUID: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// efivarfs puts the variable's attributes, a little-endian u32, before its contents.
const ATTRIBUTES_LENGTH: usize = 4;

/// Why a variable that exists cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EfiVariableError {
    /// The file could not be read.
    #[error(transparent)]
    Read(#[from] ActionFailed),
    /// The contents are not UTF-16 behind four bytes of attributes.
    #[error("the UEFI variable {name} is not UTF-16 text of at least 4 bytes")]
    NotText {
        /// The variable, without its vendor.
        name: String,
    },
}

/// The text of a boot loader variable; `None` if there is no such variable.
pub(crate) fn read_text(name: &str) -> Result<Option<String>, EfiVariableError> {
    let path = format!("/sys/firmware/efi/efivars/{name}-{VENDOR_GUID}");
    match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => {
            let bytes = read.context(|| format!("read {path}"))?;
            let text = decode_text(&bytes);
            text.map(Some).ok_or_else(|| EfiVariableError::NotText {
                name: name.to_owned(),
            })
        }
    }
}

/// Decodes an efivarfs file that holds a NUL-terminated UTF-16 string (UCS-2 in the standard).
fn decode_text(file: &[u8]) -> Option<String> {
    let contents = file.get(ATTRIBUTES_LENGTH..)?;
    let (units, odd_byte) = contents.as_chunks::<2>();
    if !odd_byte.is_empty() {
        return None;
    }
    let units = units
        .iter()
        .map(|pair| u16::from_le_bytes(*pair))
        .take_while(|unit| *unit != 0);
    char::decode_utf16(units)
        .collect::<Result<String, _>>()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Vec<u8> {
        let mut bytes = vec![6, 0, 0, 0];
        bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        bytes
    }

    #[test]
    fn text_ends_at_the_nul() {
        assert_eq!(decode_text(&file("AB-12\0junk")).as_deref(), Some("AB-12"));
        assert_eq!(
            decode_text(&file("no terminator")).as_deref(),
            Some("no terminator")
        );
        assert_eq!(decode_text(&file("")).as_deref(), Some(""));
    }

    #[test]
    fn damaged_variables_are_refused() {
        assert_eq!(decode_text(&[6, 0, 0]), None, "shorter than the attributes");
        assert_eq!(decode_text(&[6, 0, 0, 0, b'A']), None, "half a character");
        assert_eq!(
            decode_text(&[6, 0, 0, 0, 0x00, 0xd8, b'A', 0]),
            None,
            "lone surrogate"
        );
    }
}
