//! Flags and durations as etcdctl's library reads them, which scripts rely on.
//!
//! It rewrites arguments before they are parsed; it does not judge them.
use std::ffi::OsString;
use std::time::Duration;

/// Turns `-recursive` into `--recursive`, `--sort=true` into `--sort`, and leaves `--sort=false` out.
pub(crate) fn normalize(given: Vec<OsString>, command: &clap::Command) -> Vec<OsString> {
    let mut flags = Flags::default();
    flags.collect(command);
    let mut arguments = given.into_iter();
    let mut normal: Vec<OsString> = arguments.next().into_iter().collect();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            normal.push(argument);
            normal.extend(arguments);
            break;
        }
        match argument.to_str() {
            Some(text) if text.starts_with('-') => normal.extend(flags.rewrite(text)),
            _ => normal.push(argument),
        }
    }
    normal
}

/// The long flags there are, of all commands.
#[derive(Default)]
struct Flags {
    switches: Vec<String>,
    valued: Vec<String>,
}

impl Flags {
    fn collect(&mut self, command: &clap::Command) {
        for argument in command.get_arguments() {
            let names = argument.get_long_and_visible_aliases().unwrap_or_default();
            let list = if argument.get_action().takes_values() {
                &mut self.valued
            } else {
                &mut self.switches
            };
            list.extend(names.into_iter().map(ToOwned::to_owned));
        }
        self.switches
            .extend(["help", "version"].map(ToOwned::to_owned));
        for command in command.get_subcommands() {
            self.collect(command);
        }
    }

    fn rewrite(&self, argument: &str) -> Option<OsString> {
        let name = argument.trim_start_matches('-');
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (name, None),
        };
        let is_among = |list: &[String]| name.len() > 1 && list.iter().any(|one| one == name);
        match value {
            Some("true" | "1" | "t" | "T" | "TRUE" | "True") if is_among(&self.switches) => {
                Some(format!("--{name}").into())
            }
            Some("false" | "0" | "f" | "F" | "FALSE" | "False") if is_among(&self.switches) => None,
            Some(value) if is_among(&self.valued) => Some(format!("--{name}={value}").into()),
            None if is_among(&self.switches) || is_among(&self.valued) => {
                Some(format!("--{name}").into())
            }
            _ => Some(argument.into()),
        }
    }
}

/// A duration such as `2s`, `1m30s` or `500ms`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is not a duration; write it like 2s, 500ms or 1m30s");
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest == "0" {
        return Ok(total);
    }
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(bad)?;
        let (number, unit_and_rest) = rest.split_at(digits);
        let end = unit_and_rest.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, after) = unit_and_rest.split_at(end.unwrap_or(unit_and_rest.len()));
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(bad()),
        };
        let number: f64 = number.parse().map_err(|_| bad())?;
        total += Duration::try_from_secs_f64(number * seconds).map_err(|_| bad())?;
        rest = after;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::arguments::Arguments;

    fn normal(line: &str) -> String {
        let given = line.split(' ').map(OsString::from).collect();
        let words: Vec<String> = normalize(given, &Arguments::command())
            .into_iter()
            .map(|word| word.into_string().expect("it was text"))
            .collect();
        words.join(" ")
    }

    #[test]
    fn flags_of_go_are_understood() {
        assert_eq!(
            normal("kvctl -endpoints=http://a:1 ls -recursive -p"),
            "kvctl --endpoints=http://a:1 ls --recursive -p"
        );
        assert_eq!(
            normal("kvctl --debug=true ls --sort=false"),
            "kvctl --debug ls"
        );
        assert_eq!(
            normal("kvctl set -ttl 5 a -unknown"),
            "kvctl set --ttl 5 a -unknown"
        );
        assert_eq!(normal("kvctl set -- -ttl -sort"), "kvctl set -- -ttl -sort");
    }

    #[test]
    fn durations_of_go_are_understood() {
        let milliseconds = |text| parse_duration(text).map(|found| found.as_millis());
        assert_eq!(milliseconds("2s"), Ok(2000));
        assert_eq!(milliseconds("1m30s"), Ok(90_000));
        assert_eq!(milliseconds("1.5h"), Ok(5_400_000));
        assert_eq!(milliseconds("500ms"), Ok(500));
        assert_eq!(milliseconds("0"), Ok(0));
        for bad in ["", "1", "s", "1x", "-1s", "1s2"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
