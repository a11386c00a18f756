//! Lists of words in a value: `a "b c" d`, as systemd's `extract_first_word` takes them apart.
//!
//! Specifiers and environment variables are left alone.

use thiserror::Error;

/// What becomes of backslashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escapes {
    /// They stay: lists of unit names, which may contain them.
    Keep,
    /// C's escapes are resolved: command lines, environments.
    Resolve,
}

/// Why a value is no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WordError {
    /// A quote that does not end.
    #[error("unbalanced quoting: a `{0}` is not closed")]
    Unbalanced(char),
    /// An escape that there is not, or half of one.
    #[error("unknown escape sequence after a backslash")]
    Escape,
    /// Escapes that make no UTF-8.
    #[error("the escape sequences make no UTF-8")]
    NotUtf8,
}

/// The words, quotes removed.
///
/// # Errors
/// If systemd would warn and skip the value.
pub fn split(value: &str, escapes: Escapes) -> Result<Vec<String>, WordError> {
    let mut words = Vec::new();
    let mut rest = value.trim_start_matches(is_space);
    while !rest.is_empty() {
        let (word, after) = first_word(rest, escapes)?;
        words.push(word);
        rest = after.trim_start_matches(is_space);
    }
    Ok(words)
}

/// A word that [`split`] gives back, whichever way escapes are read, unless it has both kinds of
/// quotes or a backslash: then escapes must be resolved.
pub fn quote(word: &str) -> String {
    let is_plain = !word.is_empty() && !word.contains(|c| is_space(c) || "\"'\\".contains(c));
    if is_plain {
        return word.to_owned();
    }
    let mut quoted = String::from("\"");
    for character in word.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

fn is_space(character: char) -> bool {
    " \t\n\r".contains(character)
}

fn first_word(text: &str, escapes: Escapes) -> Result<(String, &str), WordError> {
    let mut word = Vec::new();
    let mut quote = None;
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let after = &rest[character.len_utf8()..];
        match (character, quote) {
            ('\\', _) if escapes == Escapes::Resolve => {
                rest = resolve(after, &mut word)?;
                continue;
            }
            (_, Some(open)) if character == open => quote = None,
            ('"' | '\'', None) => quote = Some(character),
            (_, None) if is_space(character) => break,
            _ => word.extend_from_slice(&rest.as_bytes()[..character.len_utf8()]),
        }
        rest = after;
    }
    if let Some(open) = quote {
        return Err(WordError::Unbalanced(open));
    }
    let word = String::from_utf8(word).map_err(|_| WordError::NotUtf8)?;
    Ok((word, rest))
}

/// Resolves the escape that a text begins with, its backslash taken; returns what follows.
fn resolve<'a>(text: &'a str, word: &mut Vec<u8>) -> Result<&'a str, WordError> {
    let kind = text.chars().next().ok_or(WordError::Escape)?;
    let after = &text[kind.len_utf8()..];
    let simple = match kind {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        's' => b' ',
        '\\' | '"' | '\'' => kind as u8,
        'x' => return numeric(after, 2, 16, word, true),
        'u' => return numeric(after, 4, 16, word, false),
        'U' => return numeric(after, 8, 16, word, false),
        '0'..='7' => return numeric(text, 3, 8, word, true),
        _ => return Err(WordError::Escape),
    };
    word.push(simple);
    Ok(after)
}

/// A number of so many digits: a byte, or a character.
fn numeric<'a>(
    text: &'a str,
    digits: usize,
    radix: u32,
    word: &mut Vec<u8>,
    is_byte: bool,
) -> Result<&'a str, WordError> {
    let number = text.get(..digits).ok_or(WordError::Escape)?;
    let is_number = number.chars().all(|c| c.is_digit(radix));
    let value = u32::from_str_radix(number, radix).map_err(|_| WordError::Escape)?;
    if !is_number || value == 0 {
        return Err(WordError::Escape);
    }
    if is_byte {
        word.push(u8::try_from(value).map_err(|_| WordError::Escape)?);
    } else {
        let character = char::from_u32(value).ok_or(WordError::Escape)?;
        word.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Ok(&text[digits..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Result<Vec<String>, WordError> {
        split(text, Escapes::Resolve)
    }

    #[test]
    fn quoting() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("  a\t b ", &["a", "b"]),
            (r#""a b" 'c "d"' e"f g"h"#, &["a b", "c \"d\"", "ef gh"]),
            (r#""" ''"#, &["", ""]),
            (r"\x41\102\u00e4\U0001F600 a\sb\n", &["ABä😀", "a b\n"]),
            (r"\xc3\xa4", &["ä"]),
            ("%i ${A} $B", &["%i", "${A}", "$B"]),
        ];
        for (text, words) in cases {
            assert_eq!(resolved(text).unwrap(), *words, "{text}");
        }
        let kept = split(r"foo\x2dbar.service 'a\'", Escapes::Keep).unwrap();
        assert_eq!(kept, [r"foo\x2dbar.service", r"a\"]);
    }

    #[test]
    fn errors() {
        assert_eq!(resolved("a \"b"), Err(WordError::Unbalanced('"')));
        for bad in [
            r"\", r"\q", r"\x4", r"\x00", r"\400", r"\ud800", r"\x+1", "\\xä",
        ] {
            assert_eq!(resolved(bad), Err(WordError::Escape), "{bad}");
        }
        assert_eq!(resolved(r"\xff"), Err(WordError::NotUtf8));
    }

    #[test]
    fn quoted_words_come_back() {
        for word in ["", "a", "a b", "\"", "'\\\"", "a\nb", "%i", "\u{e4} \t"] {
            assert_eq!(resolved(&quote(word)).unwrap(), [word]);
        }
    }
}
