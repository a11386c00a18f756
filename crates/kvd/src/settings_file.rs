//! The settings file: TOML, with the flags' names as keys.
//!
//! An unknown key is an error with its line. Values of every plain kind are taken; a list stands for
//! the flag's comma-separated text. It does not read the file.

use toml::de::{DeTable, DeValue};

use crate::flags::find;
use crate::settings::{Given, Layer, Source, UsageError};

/// Where the file of a Keelson machine stands; read if it is there.
pub(crate) const DEFAULT_PATH: &str = "/etc/keelson/kvd.toml";

/// Reads the text of the file at `path`.
pub(crate) fn parse(path: &str, text: &str) -> Result<Layer, UsageError> {
    let line_of = |offset: usize| 1 + text[..offset.min(text.len())].matches('\n').count();
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(span.start));
        let message = error
            .message()
            .lines()
            .next()
            .unwrap_or("not TOML")
            .to_owned();
        UsageError(format!("{path}:{line}: {message}"))
    })?;
    let mut layer = Layer::new();
    for (key, value) in table.get_ref() {
        let line = line_of(key.span().start);
        let name = key.get_ref();
        let mistake = |what: &str| UsageError(format!("{path}:{line}: {name}: {what}"));
        let flag = find(name)
            .filter(|flag| flag.name != "config-file")
            .ok_or_else(|| mistake("there is no such setting; kvd --help has them all"))?;
        let value = as_text(value.get_ref())
            .ok_or_else(|| mistake("neither text, nor a number, true, false or a list of them"))?;
        let path = path.to_owned();
        let source = Source::File { path, line };
        layer.push(Given {
            flag,
            value,
            source,
        });
    }
    Ok(layer)
}

/// As the command line would have it.
fn as_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(&number.as_str().replace('_', ""), number.radix())
                .ok()
                .map(|number| number.to_string())
        }
        DeValue::Boolean(position) => Some(position.to_string()),
        DeValue::Array(parts) => {
            let parts: Option<Vec<String>> =
                parts.iter().map(|part| as_text(part.get_ref())).collect();
            Some(parts?.join(","))
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_become_text() {
        let text = "# a member\nname = \"a\"\nelection-timeout = 2_000\ndebug = true\n\
                    listen-client-urls = [\"http://0.0.0.0:1\", \"unix:///run/kvd\"]\n";
        let layer = parse("kvd.toml", text).unwrap();
        let mut found: Vec<(&str, &str)> = layer
            .iter()
            .map(|given| (given.flag.name, given.value.as_str()))
            .collect();
        found.sort_unstable();
        let expected = [
            ("debug", "true"),
            ("election-timeout", "2000"),
            ("listen-client-urls", "http://0.0.0.0:1,unix:///run/kvd"),
            ("name", "a"),
        ];
        assert_eq!(found, expected);
        let name = layer.iter().find(|given| given.flag.name == "name");
        assert_eq!(name.unwrap().to_string(), "kvd.toml:2: name = a");
    }

    #[test]
    fn mistakes_name_file_line_and_key() {
        for (text, begin) in [
            ("name = \"a\"\nnmae = 1\n", "k:2: nmae: "),
            ("\n[name]\na = 1\n", "k:2: name: "),
            ("config-file = \"x\"\n", "k:1: config-file: "),
            ("name = 1.5\n", "k:1: name: "),
            ("name = \"a\nb = 1\n", "k:1: "),
            ("name = \"a\"\nname = \"b\"\n", "k:2: "),
        ] {
            let UsageError(message) = parse("k", text).unwrap_err();
            assert!(message.starts_with(begin), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
}
