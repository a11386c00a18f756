//! Go's `strconv.Quote` for short byte strings, as its error messages about URL escapes contain them.
//!
//! Which characters count as printable is exact up to U+07FF; an erroneous escape is cut to three
//! bytes, `%` among them, so no longer character gets here whole.

use std::fmt::Write;

/// Characters up to U+07FF that Go does not print: controls, spaces that are not ASCII, format
/// characters, and what Unicode has not assigned.
const NOT_PRINTED: &[(u32, u32)] = &[
    (0x00, 0x1f),
    (0x7f, 0xa0),
    (0xad, 0xad),
    (0x378, 0x379),
    (0x380, 0x383),
    (0x38b, 0x38b),
    (0x38d, 0x38d),
    (0x3a2, 0x3a2),
    (0x530, 0x530),
    (0x557, 0x558),
    (0x58b, 0x58c),
    (0x590, 0x590),
    (0x5c8, 0x5cf),
    (0x5eb, 0x5ee),
    (0x5f5, 0x605),
    (0x61c, 0x61c),
    (0x6dd, 0x6dd),
    (0x70e, 0x70f),
    (0x74b, 0x74c),
    (0x7b2, 0x7bf),
    (0x7fb, 0x7fc),
];

/// The bytes in double quotes, with everything escaped that would not print.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_character(&mut quoted, character);
        }
        for byte in chunk.invalid() {
            push_formatted(&mut quoted, format_args!("\\x{byte:02x}"));
        }
    }
    quoted.push('"');
    quoted
}

fn push_character(quoted: &mut String, character: char) {
    let code = u32::from(character);
    match character {
        '"' => quoted.push_str("\\\""),
        '\\' => quoted.push_str("\\\\"),
        '\x07' => quoted.push_str("\\a"),
        '\x08' => quoted.push_str("\\b"),
        '\x0c' => quoted.push_str("\\f"),
        '\n' => quoted.push_str("\\n"),
        '\r' => quoted.push_str("\\r"),
        '\t' => quoted.push_str("\\t"),
        '\x0b' => quoted.push_str("\\v"),
        _ if is_printed(code) => quoted.push(character),
        _ if code < 0x80 => push_formatted(quoted, format_args!("\\x{code:02x}")),
        _ if code < 0x1_0000 => push_formatted(quoted, format_args!("\\u{code:04x}")),
        _ => push_formatted(quoted, format_args!("\\U{code:08x}")),
    }
}

fn is_printed(code: u32) -> bool {
    !NOT_PRINTED
        .iter()
        .any(|&(from, to)| (from..=to).contains(&code))
}

fn push_formatted(quoted: &mut String, text: std::fmt::Arguments<'_>) {
    // A String takes all that is written to it.
    quoted.write_fmt(text).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn quotes_as_go_does() {
        // Causes of etcd 3.4.23 for `value=` and these bytes.
        assert_eq!(quote(b"%zz"), "\"%zz\"");
        assert_eq!(quote(b"%4\""), "\"%4\\\"\"");
        assert_eq!(quote("%é".as_bytes()), "\"%é\"");
        assert_eq!(quote("%\u{85}".as_bytes()), "\"%\\u0085\"");
        assert_eq!(quote(b"%\xe2\x82"), "\"%\\xe2\\x82\"");
        assert_eq!(quote(b"%\x01\x7f"), "\"%\\x01\\x7f\"");
        assert_eq!(quote(b"%\n\\"), "\"%\\n\\\\\"");
    }
}
