//! The command line: clap built from the table of settings.
//!
//! It decides what to do and collects the layer of flags; the values are judged when the layers are
//! merged.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, Command};

use crate::settings::table::{Kind, SETTINGS, Setting, Treatment};
use crate::settings::{Given, Layer, Source, UsageError};

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Run.
    Serve(Sources),
    /// Judge the settings and the files they name, and be done.
    Check(Sources),
    /// Guard units while no fleetd runs.
    Guard,
    /// Print this and be done: help or version.
    Print(String),
}

/// Flags, and the settings file if one is named.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) file: Option<String>,
    pub(crate) flags: Layer,
}

const AFTER_HELP: &str = "\
Every setting may be given as a flag, as a variable of the environment (--agent-ttl is FLEET_AGENT_TTL)
or in the settings file: /etc/keelson/fleet.toml, or /etc/fleet/fleet.conf as fleet had it. Flags win
over the environment, the environment over the file.

The API is served on the sockets that systemd passes on (fleet.socket), and by mutual TLS where
--listen says. A certificate's role is its subject's organizational unit: fleet-read, fleet-operate,
fleet-admin, or fleet-peer for other machines.

Signals: TERM ends fleetd and leaves units alone; HUP reads metadata, certificates and the log level
again.

Exit code: 0, 1 if it could not start or go on, 2 if the command line or a setting is wrong.";

fn command() -> Command {
    let config = Arg::new("config")
        .long("config")
        .env("FLEET_CONFIG")
        .value_name("FILE")
        .help("The settings file");
    Command::new("fleetd")
        .about("Runs systemd units on a cluster: engine and agent of one machine")
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(AFTER_HELP)
        .max_term_width(100)
        .args_override_self(true)
        .arg(config.global(true))
        .args(SETTINGS.iter().map(argument))
        .subcommand(Command::new("check-config").about("Judge the settings and be done"))
        .subcommand(Command::new("guard").about(
            "While no fleetd runs, end units with OnPartition=stop in time: systemd starts it",
        ))
        .disable_help_subcommand(true)
}

fn argument(setting: &'static Setting) -> Arg {
    let mut help = setting.help.to_owned();
    if !setting.default.is_empty() && setting.kind == Kind::Value {
        help = format!("{help} [default: {}]", setting.default);
    }
    if let Treatment::Ignored(why) = setting.treatment {
        help = format!("{help} (no effect: {why})");
    }
    let argument = Arg::new(setting.name)
        .long(setting.name)
        .global(true)
        .help(help);
    match setting.kind {
        Kind::Value => argument.value_name("VALUE"),
        Kind::Switch => argument
            .value_name("BOOL")
            .num_args(0..=1)
            .default_missing_value("true")
            .require_equals(true),
    }
}

/// fleet's names have underscores.
fn with_dashes(word: OsString) -> OsString {
    let Some(text) = word.to_str().filter(|text| text.starts_with("--")) else {
        return word;
    };
    match text.split_once('=') {
        Some((name, value)) => format!("{}={value}", name.replace('_', "-")).into(),
        None => text.replace('_', "-").into(),
    }
}

/// Reads the command line, without the program's name.
pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Request, UsageError> {
    let words = std::iter::once(OsString::from("fleetd")).chain(words.map(with_dashes));
    let matches = match command().try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => return Ok(Request::Print(error.to_string())),
        Err(error) => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            let first = first.trim_start_matches("error: ");
            return Err(UsageError(format!("{first}; see fleetd --help")));
        }
    };
    let matches_of = matches.subcommand();
    if matches_of.is_some_and(|(name, _)| name == "guard") {
        return Ok(Request::Guard);
    }
    let from = matches_of.map_or(&matches, |(_, inner)| inner);
    let mut sources = Sources {
        file: from.get_one::<String>("config").cloned(),
        flags: Layer::new(),
    };
    for setting in SETTINGS {
        let is_given = from.value_source(setting.name) == Some(ValueSource::CommandLine);
        let value = from.get_one::<String>(setting.name).filter(|_| is_given);
        sources.flags.extend(value.map(|value| Given {
            setting,
            value: value.clone(),
            source: Source::CommandLine,
        }));
    }
    Ok(match matches_of {
        Some(_) => Request::Check(sources),
        None => Request::Serve(sources),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Request, UsageError> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn flags_become_a_layer() {
        let words = ["--agent_ttl=3s", "--config", "/x.toml", "--disable-engine"];
        let Ok(Request::Serve(sources)) = read(&words) else {
            panic!("good words");
        };
        assert_eq!(sources.file.as_deref(), Some("/x.toml"));
        let mut flags: Vec<String> = sources.flags.iter().map(ToString::to_string).collect();
        flags.sort_unstable();
        assert_eq!(flags, ["--agent-ttl=3s", "--disable-engine=true"]);
    }

    #[test]
    fn a_check_takes_flags_too() {
        let words = ["check-config", "--metadata", "a=b"];
        let Ok(Request::Check(sources)) = read(&words) else {
            panic!("good words");
        };
        assert_eq!(sources.flags.len(), 1);
    }

    #[test]
    fn help_is_printed_and_mistakes_are_one_line() {
        assert!(
            matches!(read(&["--help"]), Ok(Request::Print(text)) if text.contains("--agent-ttl"))
        );
        assert!(matches!(read(&["--version"]), Ok(Request::Print(_))));
        let error = read(&["--agent-tll=3s"]).expect_err("no such flag");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
}
