//! Writes TOML strings: just enough for the one file of facts that `/init` leaves behind.
//!
//! It does not parse TOML; the programs that read the file use a real parser.
use std::fmt::Write as _;

/// A basic string with its quotes, escaped as TOML 1.0 says.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            control if control.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04X}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn plain_text_is_only_quoted() {
        assert_eq!(quoted("/dev/vda3"), "\"/dev/vda3\"");
        assert_eq!(quoted(""), "\"\"");
        assert_eq!(quoted("größe"), "\"größe\"");
    }

    #[test]
    fn special_characters_are_escaped() {
        assert_eq!(quoted("a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(quoted("a\nb\tc\rd"), r#""a\nb\tc\rd""#);
        assert_eq!(quoted("\u{1}\u{7f}\u{85}"), r#""\u0001\u007F\u0085""#);
    }
}
