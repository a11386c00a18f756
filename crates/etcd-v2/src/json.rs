//! JSON text as Go's `encoding/json` (of Go 1.19, as Debian's etcd is built with) writes it.
//!
//! Everything is appended to one buffer; which fields there are is the callers' affair.

use std::io::Write;

/// What to do with a byte inside a string.
const PLAIN: u8 = 0;
const ESCAPE: u8 = 1;
const NOT_ASCII: u8 = 2;

const CLASSES: [u8; 256] = {
    let mut classes = [PLAIN; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte {
            0..0x20 | 0x22 | 0x26 | 0x3c | 0x3e | 0x5c => ESCAPE, // controls " & < > \
            0x80.. => NOT_ASCII,
            _ => PLAIN,
        };
        byte += 1;
    }
    classes
};

/// Appends a string with its quotes. Bytes that are no UTF-8 become U+FFFD each; what could end a
/// script or an attribute in HTML is escaped.
pub(crate) fn append_string(buffer: &mut Vec<u8>, bytes: &[u8]) {
    buffer.push(b'"');
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|&b| CLASSES[usize::from(b)] != PLAIN) {
        let (plain, special) = rest.split_at(at);
        buffer.extend_from_slice(plain);
        if CLASSES[usize::from(special[0])] == ESCAPE {
            append_escaped(buffer, special[0]);
            rest = &special[1..];
        } else {
            let end = special.iter().position(u8::is_ascii);
            let (not_ascii, after) = special.split_at(end.unwrap_or(special.len()));
            append_not_ascii(buffer, not_ascii);
            rest = after;
        }
    }
    buffer.extend_from_slice(rest);
    buffer.push(b'"');
}

fn append_escaped(buffer: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => buffer.extend_from_slice(&[b'\\', byte]),
        b'\n' => buffer.extend_from_slice(b"\\n"),
        b'\r' => buffer.extend_from_slice(b"\\r"),
        b'\t' => buffer.extend_from_slice(b"\\t"),
        _ => {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            let [high, low] = [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]);
            buffer.extend_from_slice(b"\\u00");
            buffer.extend_from_slice(&[high, low]);
        }
    }
}

fn append_not_ascii(buffer: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid();
        // JSON allows these two in strings, JavaScript did not.
        while let Some(at) = rest.find(['\u{2028}', '\u{2029}']) {
            let (before, separator) = rest.split_at(at);
            buffer.extend_from_slice(before.as_bytes());
            let is_line = separator.starts_with('\u{2028}');
            buffer.extend_from_slice(if is_line { b"\\u2028" } else { b"\\u2029" });
            rest = &separator[3..];
        }
        buffer.extend_from_slice(rest.as_bytes());
        for _ in chunk.invalid() {
            buffer.extend_from_slice(b"\\ufffd");
        }
    }
}

/// Appends a whole number.
pub(crate) fn append_unsigned(buffer: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        // A remainder of 10 fits any integer.
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    buffer.extend_from_slice(&digits[at..]);
}

/// Appends a whole number with its sign.
pub(crate) fn append_signed(buffer: &mut Vec<u8>, number: i64) {
    if number < 0 {
        buffer.push(b'-');
    }
    append_unsigned(buffer, number.unsigned_abs());
}

/// Appends a floating-point number; one that JSON cannot express becomes 0.
pub(crate) fn append_float(buffer: &mut Vec<u8>, number: f64) {
    let size = number.abs();
    let result = if !number.is_finite() {
        write!(buffer, "0")
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        let with_sign = if size >= 1e21 { "e+" } else { "e" };
        write!(buffer, "{}", text.replace('e', with_sign))
    } else {
        write!(buffer, "{number}")
    };
    // A Vec takes all that is written to it.
    result.unwrap_or_default();
}

/// Appends an array of strings.
pub(crate) fn append_strings<S: AsRef<[u8]>>(
    buffer: &mut Vec<u8>,
    strings: impl IntoIterator<Item = S>,
) {
    append_array(buffer, strings, |buffer, string| {
        append_string(buffer, string.as_ref());
    });
}

/// Appends an array.
pub(crate) fn append_array<T>(
    buffer: &mut Vec<u8>,
    elements: impl IntoIterator<Item = T>,
    mut append: impl FnMut(&mut Vec<u8>, T),
) {
    buffer.push(b'[');
    for (index, element) in elements.into_iter().enumerate() {
        if index > 0 {
            buffer.push(b',');
        }
        append(buffer, element);
    }
    buffer.push(b']');
}

#[cfg(test)]
mod tests {
    use super::{append_float, append_signed, append_string, append_unsigned};

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut buffer = Vec::new();
        write(&mut buffer);
        String::from_utf8(buffer).expect("JSON is UTF-8")
    }

    #[test]
    fn escapes_strings_as_go_does() {
        for (bytes, text) in [
            (&b"bar"[..], r#""bar""#),
            (b"<a>&", r#""\u003ca\u003e\u0026""#),
            // The answer of etcd 3.4.23 to these bytes.
            (
                b"\xff\x00\xe2\x80\xa8\"\\/\x08\x0c\x7f\x1b",
                "\"\\ufffd\\u0000\\u2028\\\"\\\\/\\u0008\\u000c\x7f\\u001b\"",
            ),
            ("é\u{2029}ü".as_bytes(), r#""é\u2029ü""#),
            (b"a\r\n\tb", r#""a\r\n\tb""#),
            (b"\xe2\x82x\xf0\x9f\x98\x80", "\"\\ufffd\\ufffdx😀\""),
            (b"\xed\xa0\x80", r#""\ufffd\ufffd\ufffd""#),
        ] {
            assert_eq!(written(|b| append_string(b, bytes)), text);
        }
    }

    #[test]
    fn writes_numbers() {
        for number in [0, 7, 10, 99, 1_000_000, u64::MAX] {
            assert_eq!(written(|b| append_unsigned(b, number)), number.to_string());
        }
        for number in [0, -1, i64::MIN, i64::MAX] {
            assert_eq!(written(|b| append_signed(b, number)), number.to_string());
        }
    }

    #[test]
    fn writes_floating_point_numbers_as_go_does() {
        for (number, text) in [
            (0.0, "0"),
            (0.001_234, "0.001234"),
            (12.0, "12"),
            (1e-7, "1e-7"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (f64::NAN, "0"),
        ] {
            assert_eq!(written(|b| append_float(b, number)), text);
        }
    }
}
