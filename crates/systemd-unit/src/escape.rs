//! Strings and paths made fit for unit names, and back: what `systemd-escape` does.
//!
//! Paths are text here, never looked up.

use crate::name::is_valid_character;

/// A string for use in a unit name: `/` becomes `-`, and what may not stand there a `\xNN`.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        let character = char::from(byte);
        let is_leading_dot = at == 0 && character == '.';
        if character == '/' {
            escaped.push('-');
        } else if is_leading_dot || "-\\".contains(character) || !is_valid_character(character) {
            escaped += "\\x";
            escaped.extend([byte >> 4, byte & 15].map(hexadecimal));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

fn hexadecimal(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap_or('0') // 15 at most
}

/// What [`escape`] was given. None if no string escapes to this, or one that is not UTF-8.
pub fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'-' => bytes.push(b'/'),
            b'\\' => {
                if rest.next()? != b'x' {
                    return None;
                }
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                bytes.push(high << 4 | low);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// A path for use in a unit name: slashes around it and double ones go, the root is `-`. None for a
/// path with `.` or `..` in it, which systemd refuses.
pub fn escape_path(path: &str) -> Option<String> {
    let components: Vec<&str> = path.split('/').filter(|c| !c.is_empty()).collect();
    if components.iter().any(|c| matches!(*c, "." | "..")) {
        return None;
    }
    if components.is_empty() {
        return Some("-".to_owned());
    }
    Some(escape(&components.join("/")))
}

/// The absolute path that [`escape_path`] was given.
pub fn unescape_path(text: &str) -> Option<String> {
    if text == "-" {
        return Some("/".to_owned());
    }
    let path = unescape(text)?;
    let is_clean = path.split('/').all(|c| !matches!(c, "" | "." | ".."));
    is_clean.then(|| format!("/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Taken from `systemd-escape` of systemd 252.
    #[test]
    fn as_systemd_escape() {
        let strings = [
            ("Hallöchen, Meister", r"Hall\xc3\xb6chen\x2c\x20Meister"),
            (".dot", r"\x2edot"),
            ("a.b", "a.b"),
            ("a-b/c", r"a\x2db-c"),
            (r"a\b", r"a\x5cb"),
            ("a@b", r"a\x40b"),
            ("", ""),
        ];
        for (plain, escaped) in strings {
            assert_eq!(escape(plain), escaped);
            assert_eq!(unescape(escaped).as_deref(), Some(plain));
        }
        let paths = [
            ("/foo//bar/baz/", "foo-bar-baz"),
            ("/", "-"),
            ("", "-"),
            ("/.a", r"\x2ea"),
        ];
        for (plain, escaped) in paths {
            assert_eq!(escape_path(plain).as_deref(), Some(escaped));
        }
        assert_eq!(unescape_path("foo-bar").as_deref(), Some("/foo/bar"));
        assert_eq!(unescape_path("-").as_deref(), Some("/"));
    }

    #[test]
    fn what_nothing_escapes_to() {
        for bad in [r"\y20", r"\x2", r"\xzz", r"\", r"\xff"] {
            assert_eq!(unescape(bad), None, "{bad}");
        }
        for bad in ["", "-a", "a-", "a--b", "..-a"] {
            assert_eq!(unescape_path(bad), None, "{bad}");
        }
        assert_eq!(escape_path("/a/../b"), None);
    }
}
