//! YAML, from saphyr's events.
//!
//! Plain scalars are YAML 1.1's (`yes` is true, `0644` is octal), as in PyYAML, by which cloud-init reads.
//! Anchors, aliases and tags are refused by name: a reader of a configuration should not expand things.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};
use serde_json::{Map, Number, Value};

use super::{DEPTH_MAX, Document, Positions, too_deep};
use crate::key_path::KeyPath;
use crate::problem::{Position, Problem};

pub(super) fn read(text: &str) -> Result<Document, Problem> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        positions: Positions::default(),
    };
    let value = reader.document()?;
    Ok(Document {
        value,
        positions: reader.positions,
    })
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    positions: Positions,
}

fn position(marker: &Marker) -> Position {
    Position {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Value, Problem> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(Value::Null),
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => {}
                event => {
                    let value = self.node(event, span, &KeyPath::top(), 0)?;
                    return self.end().map(|()| value);
                }
            }
        }
    }

    /// Sees to it that nothing follows.
    fn end(&mut self) -> Result<(), Problem> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentStart(_), span) => {
                    let text = "a second document begins here: one is read";
                    return Err(Problem::at(position(&span.start), text));
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Problem> {
        let syntax = |error: ScanError| Problem::at(position(error.marker()), error.info());
        match self.parser.next_event() {
            Some(event) => event.map_err(syntax),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(
        &mut self,
        event: Event<'a>,
        span: Span,
        key: &KeyPath,
        depth: usize,
    ) -> Result<Value, Problem> {
        let place = position(&span.start);
        let refuse = |text: &str| {
            Err(Problem {
                position: Some(place),
                key: key.clone(),
                text: text.to_owned(),
            })
        };
        if depth > DEPTH_MAX {
            return Err(too_deep(place));
        }
        self.positions.note(key, place);
        match event {
            Event::Scalar(_, _, 1.., _)
            | Event::SequenceStart(1.., _)
            | Event::MappingStart(1.., _)
            | Event::Alias(_) => refuse("anchors and aliases are not supported: write it out"),
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                refuse("tags are not supported: for bytes there is `encoding: b64`")
            }
            Event::Scalar(text, ScalarStyle::Plain, ..) => Ok(plain(&text)),
            Event::Scalar(text, ..) => Ok(Value::String(text.into_owned())),
            Event::SequenceStart(..) => self.list(key, depth),
            Event::MappingStart(..) => self.map(key, depth),
            _ => refuse("a value is missing"),
        }
    }

    fn list(&mut self, key: &KeyPath, depth: usize) -> Result<Value, Problem> {
        let mut values = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd | Event::StreamEnd) {
                return Ok(Value::Array(values));
            }
            values.push(self.node(event, span, &key.index(values.len()), depth + 1)?);
        }
    }

    fn map(&mut self, key: &KeyPath, depth: usize) -> Result<Value, Problem> {
        let mut map = Map::new();
        loop {
            let (event, span) = self.next()?;
            let name = match event {
                Event::MappingEnd | Event::StreamEnd => return Ok(Value::Object(map)),
                Event::Scalar(name, _, 0, None) => name.into_owned(),
                _ => {
                    let place = position(&span.start);
                    return Err(Problem::at(place, "a key must be a plain text"));
                }
            };
            let path = key.key(&name);
            self.positions.note_key(&path, position(&span.start))?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, &path, depth + 1)?;
            map.insert(name, value);
        }
    }
}

/// A scalar without quotes, by the types of YAML 1.1 that configurations use.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    if let Some(integer) = integer(text) {
        return Value::Number(integer.into());
    }
    let is_float = text.contains('.') && text.bytes().all(|b| b"0123456789.+-eE".contains(&b));
    let float = text.parse().ok().filter(|_| is_float);
    match float.and_then(Number::from_f64) {
        Some(number) => Value::Number(number),
        None => Value::String(text.to_owned()),
    }
}

fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, &digits[2..]),
        [b'0', b'o', ..] => (8, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    i64::from_str_radix(digits, radix).ok().map(|n| sign * n)
}
