//! Whether text is well-formed JSON, with the errors of Go's scanner.
//!
//! It nests on the heap, and as deep as Go allows. It builds nothing.

use super::quote_byte;

const DEPTH_MAX: usize = 10_000;
const END: &str = "unexpected end of JSON input";
const VALUE: &str = "looking for beginning of value";
const KEY: &str = "looking for beginning of object key string";

pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

pub(super) fn invalid(byte: u8, context: &str) -> String {
    format!("invalid character {} {context}", quote_byte(byte))
}

/// What an open bracket waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Array,
    Object,
}

/// Where the first value in the text ends.
///
/// # Errors
/// With Go's text.
pub(super) fn scan(text: &[u8]) -> Result<usize, String> {
    let mut scanner = Scanner { text, at: 0 };
    let mut open: Vec<Inside> = Vec::new();
    loop {
        if let Some(inside) = scanner.begin_value(open.last().copied())? {
            if open.len() == DEPTH_MAX {
                return Err("exceeded max depth".to_owned());
            }
            open.push(inside);
            if !scanner.is_closed_at_once(inside)? {
                continue;
            }
            open.pop();
        }
        // A value has ended; so may what it is in.
        loop {
            let Some(&inside) = open.last() else {
                return Ok(scanner.at);
            };
            if scanner.continues(inside)? {
                break;
            }
            open.pop();
        }
    }
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn next(&mut self) -> Result<u8, String> {
        let byte = self.text.get(self.at).copied();
        self.at += 1;
        byte.ok_or_else(|| END.to_owned())
    }

    fn next_visible(&mut self) -> Result<u8, String> {
        loop {
            let byte = self.next()?;
            if !is_space(byte) {
                return Ok(byte);
            }
        }
    }

    fn next_visible_is(&mut self, wanted: u8, context: &str) -> Result<(), String> {
        match self.next_visible()? {
            byte if byte == wanted => Ok(()),
            byte => Err(invalid(byte, context)),
        }
    }

    /// Steps over a value without anything in it, or over the bracket that begins one. In an object,
    /// the key comes first.
    fn begin_value(&mut self, inside: Option<Inside>) -> Result<Option<Inside>, String> {
        if inside == Some(Inside::Object) {
            self.next_visible_is(b'"', KEY)?;
            self.string()?;
            self.next_visible_is(b':', "after object key")?;
        }
        match self.next_visible()? {
            b'{' => return Ok(Some(Inside::Object)),
            b'[' => return Ok(Some(Inside::Array)),
            b'"' => self.string()?,
            b't' => self.literal("true")?,
            b'f' => self.literal("false")?,
            b'n' => self.literal("null")?,
            byte @ (b'-' | b'0'..=b'9') => self.number(byte)?,
            byte => return Err(invalid(byte, VALUE)),
        }
        Ok(None)
    }

    fn is_closed_at_once(&mut self, inside: Inside) -> Result<bool, String> {
        let closing = match inside {
            Inside::Array => b']',
            Inside::Object => b'}',
        };
        let begin = self.at;
        if self.next_visible()? == closing {
            return Ok(true);
        }
        self.at = begin;
        Ok(false)
    }

    /// After a value: whether another follows, or the bracket closes.
    fn continues(&mut self, inside: Inside) -> Result<bool, String> {
        match (self.next_visible()?, inside) {
            (b',', _) => Ok(true),
            (b']', Inside::Array) | (b'}', Inside::Object) => Ok(false),
            (byte, Inside::Array) => Err(invalid(byte, "after array element")),
            (byte, Inside::Object) => Err(invalid(byte, "after object key:value pair")),
        }
    }

    fn string(&mut self) -> Result<(), String> {
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => self.escape()?,
                byte @ ..0x20 => return Err(invalid(byte, "in string literal")),
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        match self.next()? {
            b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => Ok(()),
            b'u' => (0..4).try_for_each(|_| match self.next()? {
                byte if byte.is_ascii_hexdigit() => Ok(()),
                byte => Err(invalid(byte, "in \\u hexadecimal character escape")),
            }),
            byte => Err(invalid(byte, "in string escape code")),
        }
    }

    fn literal(&mut self, literal: &str) -> Result<(), String> {
        for expected in literal.bytes().skip(1) {
            let byte = self.next()?;
            if byte != expected {
                let expected = char::from(expected);
                let context = format!("in literal {literal} (expecting '{expected}')");
                return Err(invalid(byte, &context));
            }
        }
        Ok(())
    }

    fn number(&mut self, first: u8) -> Result<(), String> {
        let first = match first {
            b'-' => self.digit("in numeric literal")?,
            digit => digit,
        };
        if first != b'0' {
            self.digits();
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
            self.digits();
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.text.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
            self.digits();
        }
        Ok(())
    }

    fn digit(&mut self, context: &str) -> Result<u8, String> {
        match self.next()? {
            byte if byte.is_ascii_digit() => Ok(byte),
            byte => Err(invalid(byte, context)),
        }
    }

    fn digits(&mut self) {
        let rest = &self.text[self.at..];
        let end = rest.iter().position(|byte| !byte.is_ascii_digit());
        self.at += end.unwrap_or(rest.len());
    }
}
