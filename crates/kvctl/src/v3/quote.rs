//! Go's quoted strings, and lines split into words the way etcdctl splits them.
//!
//! Pure: it knows nothing of commands.

/// Bytes as Go's `%q` writes them.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            text.push_str(&escaped(c));
        }
        for byte in chunk.invalid() {
            text.push_str(&hex(u32::from(*byte)));
        }
    }
    text.push('"');
    text
}

fn hex(number: u32) -> String {
    format!("\\x{number:02x}")
}

fn escaped(c: char) -> String {
    let named = match c {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\x07' => "\\a",
        '\x08' => "\\b",
        '\x0c' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\x0b' => "\\v",
        ' '..='~' => return c.to_string(),
        '\0'..='\x7f' => return hex(c.into()),
        _ if c.escape_debug().count() == 1 => return c.to_string(),
        _ if u32::from(c) < 0x1_0000 => return format!("\\u{:04x}", u32::from(c)),
        _ => return format!("\\U{:08x}", u32::from(c)),
    };
    named.to_owned()
}

/// Reads a quoted string at the beginning of a text; gives the bytes and what follows.
pub(crate) fn unquote(text: &str) -> Option<(Vec<u8>, &str)> {
    if let Some(raw) = text.strip_prefix('`') {
        let (inside, rest) = raw.split_once('`')?;
        return Some((inside.as_bytes().to_vec(), rest));
    }
    let mut rest = text.strip_prefix('"')?;
    let mut bytes = Vec::new();
    loop {
        let c = rest.chars().next()?;
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => return Some((bytes, rest)),
            '\n' => return None,
            '\\' => rest = unescape(rest, &mut bytes)?,
            _ => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Reads what follows a backslash; gives what follows that.
fn unescape<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let kind = text.chars().next()?;
    let rest = &text[kind.len_utf8()..];
    let simple = match kind {
        'a' => Some(b'\x07'),
        'b' => Some(b'\x08'),
        'f' => Some(b'\x0c'),
        'n' => Some(b'\n'),
        'r' => Some(b'\r'),
        't' => Some(b'\t'),
        'v' => Some(b'\x0b'),
        '\\' | '"' => u8::try_from(kind).ok(),
        _ => None,
    };
    if let Some(byte) = simple {
        bytes.push(byte);
        return Some(rest);
    }
    let (digits, radix, source) = match kind {
        'x' => (2, 16, rest),
        'u' => (4, 16, rest),
        'U' => (8, 16, rest),
        '0'..='7' => (3, 8, text),
        _ => return None,
    };
    let number = u32::from_str_radix(source.get(..digits)?, radix).ok()?;
    if matches!(kind, 'u' | 'U') {
        let c = char::from_u32(number)?;
        bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        bytes.push(u8::try_from(number).ok()?);
    }
    source.get(digits..)
}

/// Splits a line into words; quotes keep spaces. Nothing if a quote is not ended.
pub(crate) fn words(line: &str) -> Option<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '"' => unquote(rest)?,
            '\'' => {
                let (inside, after) = rest[1..].split_once('\'')?;
                (inside.as_bytes().to_vec(), after)
            }
            _ => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest.as_bytes()[..end].to_vec(), &rest[end..])
            }
        };
        found.push(word);
        rest = after.trim_start();
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_gos() {
        for (bytes, quoted) in [
            (&b"a"[..], r#""a""#),
            (b"\x00\n\"\\\x7f", r#""\x00\n\"\\\x7f""#),
            ("é\u{200b}".as_bytes(), "\"é\\u200b\""),
            (b"\xff", r#""\xff""#),
        ] {
            assert_eq!(quote(bytes), quoted);
            assert_eq!(unquote(quoted), Some((bytes.to_vec(), "")));
        }
        assert_eq!(unquote(r#""a\101" b"#), Some((b"aA".to_vec(), " b")));
        for bad in ["", "a", "\"a", r#""\q""#, r#""\x0""#] {
            assert_eq!(unquote(bad), None, "{bad}");
        }
    }

    #[test]
    fn lines_are_split_into_words() {
        let split = |line| {
            let words = words(line)?.into_iter();
            Some(
                words
                    .map(|word| String::from_utf8(word).expect("text"))
                    .collect::<Vec<_>>(),
            )
        };
        let wanted = |words: &[&str]| Some(words.iter().map(ToString::to_string).collect());
        assert_eq!(split("put a \"1 \\n2\""), wanted(&["put", "a", "1 \n2"]));
        assert_eq!(split(" put 'a b' c "), wanted(&["put", "a b", "c"]));
        assert_eq!(split("put \"a"), None);
    }
}
