//! TOML, by the toml crate's tables with spans.

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{DEPTH_MAX, Document, Positions, too_deep};
use crate::key_path::KeyPath;
use crate::problem::{Position, Problem};

pub(super) fn read(text: &str) -> Result<Document, Problem> {
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        Problem::at(Position::of(text, offset), error.message())
    })?;
    let mut reader = Reader {
        text,
        positions: Positions::default(),
    };
    let value = reader.table(table.get_ref(), &KeyPath::top(), 0)?;
    Ok(Document {
        value,
        positions: reader.positions,
    })
}

struct Reader<'a> {
    text: &'a str,
    positions: Positions,
}

impl Reader<'_> {
    fn table(
        &mut self,
        table: &DeTable<'_>,
        key: &KeyPath,
        depth: usize,
    ) -> Result<Value, Problem> {
        let mut map = Map::new();
        for (name, value) in table {
            let path = key.key(name.get_ref());
            self.positions
                .note(&path, Position::of(self.text, name.span().start));
            let value = self.value(value, &path, depth + 1)?;
            map.insert(name.get_ref().to_string(), value);
        }
        Ok(Value::Object(map))
    }

    fn value(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        key: &KeyPath,
        depth: usize,
    ) -> Result<Value, Problem> {
        let position = Position::of(self.text, value.span().start);
        if depth > DEPTH_MAX {
            return Err(too_deep(position));
        }
        self.positions.note(key, position);
        let wrong = |text: &str| Problem {
            position: Some(position),
            key: key.clone(),
            text: text.to_owned(),
        };
        Ok(match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(is) => Value::Bool(*is),
            DeValue::Datetime(time) => Value::String(time.to_string()),
            DeValue::Integer(integer) => {
                let number = i64::from_str_radix(integer.as_str(), integer.radix());
                Value::Number(number.map_err(|_| wrong("the number is too large"))?.into())
            }
            DeValue::Float(float) => {
                let number = float.as_str().parse().ok().and_then(Number::from_f64);
                Value::Number(number.ok_or_else(|| wrong("not a number that can be used"))?)
            }
            DeValue::Array(list) => {
                let values = list.iter().enumerate();
                let values = values.map(|(i, value)| self.value(value, &key.index(i), depth + 1));
                Value::Array(values.collect::<Result<_, _>>()?)
            }
            DeValue::Table(table) => self.table(table, key, depth)?,
        })
    }
}
