//! The command line: clap built from the table of flags, with etcd's single dashes taken too.
//!
//! It decides what to do and collects the layer of flags; the values are judged when the layers are
//! merged.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use clap_complete::Shell;

use crate::flags::{FLAGS, Flag, Kind, Treatment, find};
use crate::settings::{Given, Layer, Source, UsageError};

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Run with these flags.
    Serve(Layer),
    /// Make a data folder of this file, with these flags.
    Restore(PathBuf, Layer),
    /// Print this and be done: help or version.
    Print(String),
    /// Print a completion script.
    Completions(Shell),
}

/// The versions that `--version` names: our own, and what we speak.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (the APIs of etcd 3.4, v2 and v3)"
);

const AFTER_HELP: &str = "\
Every flag may be written with one dash or two, as an environment variable (--data-dir is
ETCD_DATA_DIR), or as a key of the settings file (data-dir = \"…\"). Flags win over the environment,
the environment over the file.

Without any flag: one member, alone, for clients at http://127.0.0.1:2379.

Signals: TERM hands the leadership over, finishes requests and ends; HUP reads certificates, CAs and
the log level again.

Exit code: 0, 1 if it could not start or go on, 2 if the command line or a setting is wrong.";

/// Flags that matter to a restored folder.
const RESTORE_FLAGS: [&str; 5] = [
    "name",
    "data-dir",
    "initial-advertise-peer-urls",
    "advertise-client-urls",
    "config-file",
];

const RESTORE_HELP: &str = "\
The folder must be empty or absent. It becomes the only member of a new cluster: start it, then add
others with `kvctl member add`. As everywhere, flags win over the environment and the settings file.

Example:
  kvctl backup kvd.snapshot
  kvd restore kvd.snapshot --data-dir /var/lib/kvd/restored";

fn restore() -> Command {
    let file = Arg::new("file")
        .required(true)
        .value_name("FILE")
        .value_hint(ValueHint::FilePath)
        .value_parser(clap::value_parser!(PathBuf))
        .help("What `kvctl backup` saved");
    let flags = RESTORE_FLAGS.iter().filter_map(|name| find(name));
    Command::new("restore")
        .about("Make the data directory of a new cluster from a backup")
        .after_help(RESTORE_HELP)
        .args_override_self(true)
        .arg(file)
        .args(flags.map(argument))
}

/// The definition for clap: flags under their headings, and the commands that do not serve.
pub(crate) fn command() -> Command {
    let completions = Command::new("completions")
        .about("Print a completion script for a shell")
        .arg(
            Arg::new("shell")
                .required(true)
                .value_parser(clap::value_parser!(Shell)),
        );
    Command::new("kvd")
        .about("A replicated key-value store with the APIs of etcd, v2 and v3.")
        .version(VERSION)
        .after_help(AFTER_HELP)
        .max_term_width(100)
        .args_override_self(true)
        .args(FLAGS.iter().map(argument))
        .subcommand(restore())
        .subcommand(completions)
        .disable_help_subcommand(true)
        .subcommand_negates_reqs(true)
}

fn argument(flag: &'static Flag) -> Arg {
    let mut help = flag.help.to_owned();
    if !flag.default.is_empty() && flag.kind != Kind::Switch {
        help = format!("{help} [default: {}]", flag.default);
    }
    match flag.treatment {
        Treatment::Used => {}
        Treatment::Ignored(reason) => help = format!("{help} (no effect: {reason})"),
        Treatment::Fixed(_, reason) => help = format!("{help} ({reason})"),
    }
    let argument = Arg::new(flag.name)
        .long(flag.name)
        .help_heading(flag.group)
        .action(ArgAction::Set)
        .help(help)
        .hide_short_help(flag.treatment != Treatment::Used);
    let is_file = flag.name.ends_with("-file");
    match flag.kind {
        Kind::Switch => argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("true|false"),
        Kind::Number => argument.value_name("NUMBER"),
        Kind::Duration => argument.value_name("TIME"),
        Kind::Text if is_file => argument.value_name("FILE").value_hint(ValueHint::FilePath),
        Kind::Text if flag.name.ends_with("-dir") => {
            argument.value_name("DIR").value_hint(ValueHint::DirPath)
        }
        Kind::Text => argument.value_name("VALUE"),
    }
}

/// Reads the words after the program's name.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Request, UsageError> {
    let words = words.into_iter().map(with_two_dashes);
    let with_name = std::iter::once(OsString::from("kvd")).chain(words);
    match command().try_get_matches_from(with_name) {
        Ok(matches) => Ok(request(&matches)),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Request::Print(error.to_string()))
            }
            _ => Err(UsageError(one_line(&error))),
        },
    }
}

fn request(matches: &ArgMatches) -> Request {
    match matches.subcommand() {
        Some(("restore", restore)) => {
            let file = restore.get_one::<PathBuf>("file").cloned();
            Request::Restore(file.unwrap_or_default(), layer(restore))
        }
        Some((_, completions)) => {
            let shell = completions.get_one::<Shell>("shell").copied();
            Request::Completions(shell.unwrap_or(Shell::Bash))
        }
        None => Request::Serve(layer(matches)),
    }
}

fn layer(matches: &ArgMatches) -> Layer {
    let given = FLAGS.iter().filter_map(|flag| {
        // A command that is not about serving has few of them.
        let value = matches.try_get_one::<String>(flag.name).ok()??.clone();
        let source = Source::CommandLine;
        Some(Given {
            flag,
            value,
            source,
        })
    });
    given.collect()
}

/// Go takes `-name` for `--name`; only names that are known, so that values may begin with a dash.
fn with_two_dashes(word: OsString) -> OsString {
    let Some(text) = word.to_str() else {
        return word;
    };
    let Some(rest) = text.strip_prefix('-').filter(|rest| !rest.starts_with('-')) else {
        return word;
    };
    let name = rest.split_once('=').map_or(rest, |(name, _)| name);
    if find(name).is_some() || ["version", "help"].contains(&name) {
        let mut long = OsString::from("--");
        long.push(OsStr::new(rest));
        return long;
    }
    word
}

/// clap explains in paragraphs; a daemon's log wants one line.
fn one_line(error: &clap::Error) -> String {
    let rendered = error.to_string();
    let first = rendered.lines().next().unwrap_or_default();
    let message = first.strip_prefix("error: ").unwrap_or(first);
    let similar = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand]
        .iter()
        .find_map(|kind| error.get(*kind));
    match similar {
        Some(similar) => format!("{message}: did you mean {similar}?"),
        None => format!("{message}: see kvd --help"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Request, UsageError> {
        parse(words.iter().map(OsString::from))
    }

    fn given(words: &[&str]) -> Vec<(&'static str, String)> {
        match parsed(words) {
            Ok(Request::Serve(layer)) => layer
                .into_iter()
                .map(|given| (given.flag.name, given.value))
                .collect(),
            other => panic!("{words:?}: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn flags_have_one_dash_or_two_and_the_last_counts() {
        let name = |value: &str| vec![("name", value.to_owned())];
        for words in [
            &["--name", "a"][..],
            &["--name=a"],
            &["-name", "a"],
            &["-name=a"],
            &["-name=b", "--name=a"],
            &["--name=b", "--name", "a"],
        ] {
            assert_eq!(given(words), name("a"), "{words:?}");
        }
        assert_eq!(given(&["--name", "-"]), name("-"));
        assert_eq!(given(&[]), []);
    }

    #[test]
    fn a_backup_is_restored_with_the_flags_that_matter() {
        let words = ["restore", "a.snapshot", "-data-dir", "d", "--name=m"];
        let Ok(Request::Restore(file, layer)) = parsed(&words) else {
            panic!("not taken");
        };
        assert_eq!(file, PathBuf::from("a.snapshot"));
        let names: Vec<_> = layer.iter().map(|given| given.flag.name).collect();
        assert_eq!(names, ["name", "data-dir"]);
        assert!(parsed(&["restore", "--data-dir", "d"]).is_err());
        assert!(parsed(&["restore", "a.snapshot", "--proxy=on"]).is_err());
    }

    #[test]
    fn switches_are_true_when_bare() {
        let force = |value: &str| vec![("force-new-cluster", value.to_owned())];
        assert_eq!(given(&["-force-new-cluster"]), force("true"));
        assert_eq!(given(&["--force-new-cluster=false"]), force("false"));
    }

    #[test]
    fn help_names_every_flag_and_version_says_what_is_spoken() {
        let Ok(Request::Print(help)) = parsed(&["--help"]) else {
            panic!("no help");
        };
        for flag in FLAGS {
            assert!(help.contains(&format!("--{}", flag.name)), "{}", flag.name);
        }
        for word in ["-version", "--version"] {
            let Ok(Request::Print(version)) = parsed(&[word]) else {
                panic!("{word}: no version");
            };
            assert!(version.starts_with("kvd 0."), "{version}");
        }
    }

    #[test]
    fn mistakes_are_one_line() {
        for (words, part) in [
            (&["--nmae", "a"][..], "--name"),
            (&["--name"], "a value is required"),
            (&["gateway"], "gateway"),
            (&["--nothing-like-it"], "--nothing-like-it"),
        ] {
            let UsageError(message) = parsed(words).unwrap_err();
            assert!(message.contains(part), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
}
