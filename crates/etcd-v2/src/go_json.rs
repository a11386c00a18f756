//! JSON bodies read as Go's `encoding/json` reads them into structures of strings.
//!
//! Names of fields match in any case, unknown fields are skipped, `null` leaves a field as it is, the
//! last of two equal fields counts, and errors have Go's texts. Only what the bodies of members,
//! users and roles need can be read: objects, strings, and arrays of strings.

use crate::quote::quote;

mod scanner;

/// A value that is not of the type that was expected; nothing is known of where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// What stands there, in Go's words.
    pub(crate) found: &'static str,
    /// The Go type that was expected.
    pub(crate) expected: &'static str,
}

/// A place in JSON text that is known to be well-formed.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Checks that the text is one value and nothing else, as `json.Unmarshal` does.
    pub(crate) fn whole(text: &'a [u8]) -> Result<Self, String> {
        let end = scanner::scan(text)?;
        match text[end..].iter().find(|byte| !scanner::is_space(**byte)) {
            None => Ok(Self { text, at: 0 }),
            Some(&byte) => Err(scanner::invalid(byte, "after top-level value")),
        }
    }

    /// Checks that the text begins with a value, as `json.Decoder` does.
    pub(crate) fn first(text: &'a [u8]) -> Result<Self, String> {
        scanner::scan(text).map(|_| Self { text, at: 0 })
    }

    fn peek(&mut self) -> u8 {
        let rest = &self.text[self.at..];
        let spaces = rest.iter().position(|&byte| !scanner::is_space(byte));
        self.at += spaces.unwrap_or(rest.len());
        self.text.get(self.at).copied().unwrap_or_default()
    }

    /// Steps over this byte, if it is next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    fn mismatch(&mut self, expected: &'static str) -> Mismatch {
        let found = match self.peek() {
            b'"' => "string",
            b'{' => "object",
            b'[' => "array",
            b't' | b'f' => "bool",
            _ => "number",
        };
        Mismatch { found, expected }
    }

    /// Steps over a `null`, if it is next.
    fn take_null(&mut self) -> bool {
        let found = self.peek() == b'n';
        self.at += if found { "null".len() } else { 0 };
        found
    }

    pub(crate) fn skip_value(&mut self) {
        self.peek();
        // It was scanned before, as part of the whole.
        self.at += scanner::scan(&self.text[self.at..]).unwrap_or_default();
    }

    /// Calls `field` with the name, in lower case, of each field of an object; it must step over the
    /// value. A `null` has none.
    pub(crate) fn each_field<E>(
        &mut self,
        not_an_object: impl Fn(Mismatch) -> E,
        mut field: impl FnMut(&str, &mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.take_null() {
            return Ok(());
        }
        if !self.take(b'{') {
            return Err(not_an_object(self.mismatch("struct")));
        }
        while !self.take(b'}') {
            let name = self.read_literal().to_ascii_lowercase();
            self.take(b':');
            field(&name, self)?;
            self.take(b',');
        }
        Ok(())
    }

    /// A string; `None` for `null`.
    pub(crate) fn string(&mut self) -> Result<Option<String>, Mismatch> {
        if self.take_null() {
            return Ok(None);
        }
        if self.peek() != b'"' {
            return Err(self.mismatch("string"));
        }
        Ok(Some(self.read_literal()))
    }

    /// An array of strings; `None` for `null`, and an empty string for a `null` in it.
    pub(crate) fn strings(&mut self) -> Result<Option<Vec<String>>, Mismatch> {
        if self.take_null() {
            return Ok(None);
        }
        if !self.take(b'[') {
            return Err(self.mismatch("[]string"));
        }
        let mut strings = Vec::new();
        while !self.take(b']') {
            strings.push(self.string()?.unwrap_or_default());
            self.take(b',');
        }
        Ok(Some(strings))
    }

    /// The string literal that is next.
    fn read_literal(&mut self) -> String {
        self.take(b'"');
        let mut bytes = Vec::new();
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => self.read_escape(&mut bytes),
                _ => bytes.push(byte),
            }
        }
        go_string(&bytes)
    }

    fn read_escape(&mut self, bytes: &mut Vec<u8>) {
        let escaped = self.text.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        let byte = match escaped {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let character = self.read_code_point();
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return;
            }
            other => other,
        };
        bytes.push(byte);
    }

    /// Four hexadecimal digits, or twice that with `\u` between for a surrogate pair. Half a pair
    /// becomes U+FFFD.
    fn read_code_point(&mut self) -> char {
        let first = self.hexadecimal(self.at);
        self.at += 4;
        if let Some(character) = char::from_u32(first) {
            return character;
        }
        let is_escape = self.text[self.at.min(self.text.len())..].starts_with(b"\\u");
        let second = if is_escape {
            self.hexadecimal(self.at + 2)
        } else {
            0
        };
        if !(0xd800..0xdc00).contains(&first) || !(0xdc00..0xe000).contains(&second) {
            return char::REPLACEMENT_CHARACTER;
        }
        self.at += 6;
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    fn hexadecimal(&self, at: usize) -> u32 {
        let digits = self.text.get(at..at + 4).unwrap_or_default();
        let text = str::from_utf8(digits).unwrap_or_default();
        u32::from_str_radix(text, 16).unwrap_or_default()
    }
}

/// The bytes as text, with U+FFFD for each that is no UTF-8.
fn go_string(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        let replaced = chunk.invalid().iter();
        text.extend(replaced.map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// A byte in Go's quotes for characters.
fn quote_byte(byte: u8) -> String {
    match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        _ => {
            let quoted = quote(char::from(byte).to_string().as_bytes());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

#[cfg(test)]
mod tests;
