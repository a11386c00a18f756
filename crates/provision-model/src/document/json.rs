//! JSON: `serde_json` reads it, and a walk over the same text notes the places.
//!
//! The walk relies on the text being valid, and so does not report what `serde_json` does.

use serde_json::Value;

use super::{DEPTH_MAX, Document, Positions, too_deep};
use crate::key_path::KeyPath;
use crate::problem::{Position, Problem};

pub(super) fn read(text: &str) -> Result<Document, Problem> {
    let value: Value = serde_json::from_str(text).map_err(|error| syntax(&error))?;
    let mut walk = Walk {
        text,
        at: 0,
        position: Position { line: 1, column: 1 },
        positions: Positions::default(),
    };
    walk.value(&KeyPath::top(), 0)?;
    Ok(Document {
        value,
        positions: walk.positions,
    })
}

fn syntax(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    let position = Position {
        line: error.line(),
        column: error.column().max(1),
    };
    Problem::at(position, text)
}

struct Walk<'a> {
    text: &'a str,
    /// Bytes that are behind.
    at: usize,
    /// Of the byte at `at`.
    position: Position,
    positions: Positions,
}

impl Walk<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, bytes: usize) {
        let end = (self.at + bytes).min(self.text.len());
        for byte in &self.text.as_bytes()[self.at..end] {
            if *byte == b'\n' {
                self.position.line += 1;
                self.position.column = 1;
            } else if byte & 0xc0 != 0x80 {
                // The first byte of a character; the others of UTF-8 begin with the bits 10.
                self.position.column += 1;
            }
        }
        self.at = end;
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.skip(1);
        }
    }

    /// Skips a character if it is the next one.
    fn is_next(&mut self, mark: u8) -> bool {
        self.skip_space();
        let is_next = self.peek() == Some(mark);
        if is_next {
            self.skip(1);
        }
        is_next
    }

    fn value(&mut self, key: &KeyPath, depth: usize) -> Result<(), Problem> {
        self.skip_space();
        if depth > DEPTH_MAX {
            return Err(too_deep(self.position));
        }
        self.positions.note(key, self.position);
        match self.peek() {
            Some(b'{') => self.map(key, depth),
            Some(b'[') => self.list(key, depth),
            Some(b'"') => {
                self.string();
                Ok(())
            }
            _ => {
                while self.peek().is_some_and(|byte| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
                }) {
                    self.skip(1);
                }
                Ok(())
            }
        }
    }

    fn map(&mut self, key: &KeyPath, depth: usize) -> Result<(), Problem> {
        self.skip(1);
        while !self.is_next(b'}') && self.at < self.text.len() {
            let position = self.position;
            let name = key.key(&self.string());
            self.positions.note_key(&name, position)?;
            self.is_next(b':');
            self.value(&name, depth + 1)?;
            self.is_next(b',');
        }
        Ok(())
    }

    fn list(&mut self, key: &KeyPath, depth: usize) -> Result<(), Problem> {
        self.skip(1);
        let mut index = 0;
        while !self.is_next(b']') && self.at < self.text.len() {
            self.value(&key.index(index), depth + 1)?;
            index += 1;
            self.is_next(b',');
        }
        Ok(())
    }

    fn string(&mut self) -> String {
        let rest = &self.text.as_bytes()[self.at..];
        let mut length = 1;
        while length < rest.len() && rest[length] != b'"' {
            length += if rest[length] == b'\\' { 2 } else { 1 };
        }
        let end = (self.at + length + 1).min(self.text.len());
        let string = serde_json::from_str(&self.text[self.at..end]).unwrap_or_default();
        self.skip(length + 1);
        string
    }
}
