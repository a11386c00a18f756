//! The settings file: `fleet.toml`, or `fleet.conf` as fleet had it.
//!
//! In both an unknown key is an error with its line. It does not read the file.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::table::find;
use super::{Given, Layer, Source, UsageError};

/// Where the file of a Keelson machine stands.
pub(crate) const TOML_PATH: &str = "/etc/keelson/fleet.toml";
/// Where fleet's stood; read if the other is not there.
pub(crate) const CONF_PATH: &str = "/etc/fleet/fleet.conf";

/// Reads the text of the file at `path`: TOML if it is called so.
pub(crate) fn parse(path: &str, text: &str) -> Result<Layer, UsageError> {
    if Path::new(path).extension() == Some("toml".as_ref()) {
        parse_toml(path, text)
    } else {
        parse_conf(path, text)
    }
}

fn given(path: &str, line: usize, name: &str, value: String) -> Result<Given, UsageError> {
    let setting = find(name).ok_or_else(|| {
        let what = "there is no such setting; fleetd --help has them all";
        UsageError(format!("{path}:{line}: {name}: {what}"))
    })?;
    let path = path.to_owned();
    let source = Source::File { path, line };
    Ok(Given {
        setting,
        value,
        source,
    })
}

fn parse_toml(path: &str, text: &str) -> Result<Layer, UsageError> {
    let line_of = |offset: usize| 1 + text[..offset.min(text.len())].matches('\n').count();
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(span.start));
        let message = error.message().lines().next().unwrap_or("not TOML");
        UsageError(format!("{path}:{line}: {message}"))
    })?;
    let mut layer = Layer::new();
    for (key, value) in table.get_ref() {
        let line = line_of(key.span().start);
        let name = key.get_ref();
        let what = "neither text, nor a number, true, false, a list or a table of them";
        let value = as_text(value.get_ref())
            .ok_or_else(|| UsageError(format!("{path}:{line}: {name}: {what}")))?;
        layer.push(given(path, line, name, value)?);
    }
    Ok(layer)
}

/// As the command line would have it: lists and tables (`metadata`) with commas.
fn as_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(&number.as_str().replace('_', ""), number.radix())
                .ok()
                .map(|number| number.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().replace('_', "")),
        DeValue::Boolean(is_so) => Some(is_so.to_string()),
        DeValue::Array(parts) => {
            let parts: Option<Vec<String>> =
                parts.iter().map(|part| as_text(part.get_ref())).collect();
            Some(parts?.join(","))
        }
        DeValue::Table(pairs) => {
            let mut texts = Vec::new();
            for (key, value) in pairs {
                texts.push(format!("{}={}", key.get_ref(), as_text(value.get_ref())?));
            }
            Some(texts.join(","))
        }
        DeValue::Datetime(_) => None,
    }
}

/// `key=value`, lines that begin with `#` or `;` and headings (`[fleet]`) left out.
fn parse_conf(path: &str, text: &str) -> Result<Layer, UsageError> {
    let mut layer = Layer::new();
    for (line, content) in (1..).zip(text.lines().map(str::trim)) {
        let is_heading = content.starts_with('[') && content.ends_with(']');
        if content.is_empty() || content.starts_with(['#', ';']) || is_heading {
            continue;
        }
        let (name, value) = content.split_once('=').ok_or_else(|| {
            UsageError(format!(
                "{path}:{line}: `{content}`: write it like key=value"
            ))
        })?;
        let value = unquoted(value.trim()).to_owned();
        layer.push(given(path, line, name.trim(), value)?);
    }
    Ok(layer)
}

fn unquoted(text: &str) -> &str {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    // A list of quoted texts keeps its quotes: they are taken off one by one.
    inner.filter(|inner| !inner.contains('"')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(path: &str, text: &str) -> Vec<(&'static str, String)> {
        let layer = parse(path, text).expect("good settings");
        layer
            .into_iter()
            .map(|given| (given.setting.name, given.value))
            .collect()
    }

    #[test]
    fn both_forms_give_the_same() {
        let toml = "etcd-servers = [\"http://a:1\", \"http://b:2\"]\ntoken_limit = 50\n\
                    metadata = { region = \"eu\" }\netcd-request-timeout = 1.5\n";
        let conf = "# fleet's\n; too\n[fleet]\netcd_servers=http://a:1,http://b:2\n\
                    token_limit = 50\nmetadata=\"region=eu\"\netcd_request_timeout=1.5\n";
        let mut from_toml = pairs("a.toml", toml);
        let mut from_conf = pairs("fleet.conf", conf);
        from_toml.sort_unstable();
        from_conf.sort_unstable();
        assert_eq!(from_toml, from_conf);
        assert_eq!(
            from_toml[0],
            ("etcd-request-timeout", "1.5".to_owned()),
            "by name"
        );
    }

    #[test]
    fn a_list_keeps_its_quotes_for_later() {
        let found = pairs(
            "fleet.conf",
            "etcd_servers=[\"http://a:1\",\"http://b:2\"]\n",
        );
        assert_eq!(found[0].1, "[\"http://a:1\",\"http://b:2\"]");
    }

    #[test]
    fn mistakes_name_file_line_and_key() {
        for (path, text, begin) in [
            (
                "k.toml",
                "metadata = \"\"\nmetdata = 1\n",
                "k.toml:2: metdata: ",
            ),
            ("k.toml", "agent-ttl = \n", "k.toml:1: "),
            (
                "k.toml",
                "agent-ttl = 1979-05-27\n",
                "k.toml:1: agent-ttl: ",
            ),
            ("k.conf", "\nverbosty=1\n", "k.conf:2: verbosty: "),
            ("k.conf", "verbosity\n", "k.conf:1: `verbosity`: "),
        ] {
            let UsageError(message) = parse(path, text).expect_err(text);
            assert!(message.starts_with(begin), "{message}");
        }
    }
}
