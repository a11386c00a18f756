//! Private keys as text: PKCS #8 in PEM (RFC 7468), as other tools read and write them.
//!
//! Does not encrypt.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
const LINE_LENGTH: usize = 64;

/// The text of a key.
pub(crate) fn encode(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("{BEGIN}\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(LINE_LENGTH));
        text.push_str(line);
        text.push('\n');
        rest = behind;
    }
    text + END + "\n"
}

/// The key of a text that holds nothing else.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let inner = text.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let base64: String = inner.split_whitespace().collect();
    STANDARD.decode(base64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for length in [0, 1, 47, 48, 49, 83] {
            let der = vec![7; length];
            assert_eq!(decode(&encode(&der)), Some(der), "{length}");
        }
        assert_eq!(decode("-----BEGIN CERTIFICATE-----"), None);
        assert_eq!(decode(&format!("{BEGIN}\n?\n{END}")), None);
    }
}
