//! Which API a command line is for: `--v3`, `v3` as the first word, or the environment.
//!
//! It changes no other word.
use std::ffi::OsString;

use clap::CommandFactory;

use crate::arguments::Arguments;
use crate::v3;

/// One of etcd's APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    V2,
    V3,
}

/// Finds it, and gives the command line without what said so.
pub(crate) fn choose(given: Vec<OsString>, environment: Option<&str>) -> (Api, Vec<OsString>) {
    let own = given.iter().position(|word| word == "--");
    let own = own.unwrap_or(given.len());
    let said = |flag: &str| given[..own].iter().any(|word| word == flag);
    let without = |flag: &str| {
        let words = given.iter().enumerate();
        let kept = words.filter(|(place, word)| *place >= own || *word != flag);
        kept.map(|(_, word)| word.clone()).collect()
    };
    if said("--v2") {
        return (Api::V2, without("--v2"));
    }
    if said("--v3") {
        return (Api::V3, without("--v3"));
    }
    if let Some(place) = first_word(&given[..own]) {
        if given[place] == "v3" {
            let mut rest = given;
            rest.remove(place);
            return (Api::V3, rest);
        }
        if is_only_in_v2(&given[place]) {
            return (Api::V2, given);
        }
    }
    match environment {
        Some("3") => (Api::V3, given),
        _ => (Api::V2, given),
    }
}

/// Where the command stands: behind the program and the flags before it.
fn first_word(given: &[OsString]) -> Option<usize> {
    let mut place = 1;
    loop {
        let word = given.get(place)?.to_str()?;
        if !word.starts_with('-') {
            return Some(place);
        }
        let takes_next = !word.contains('=') && takes_value(word.trim_start_matches('-'));
        place += if takes_next { 2 } else { 1 };
    }
}

fn takes_value(flag: &str) -> bool {
    let is_it = |argument: &clap::Arg| {
        let long = argument.get_long_and_visible_aliases().unwrap_or_default();
        let short = argument.get_short_and_visible_aliases().unwrap_or_default();
        let is_short = short.iter().any(|one| flag.chars().eq([*one]));
        argument.get_action().takes_values() && (is_short || long.contains(&flag))
    };
    let commands = [Arguments::command(), v3::arguments::Arguments::command()];
    commands
        .iter()
        .any(|command| command.get_arguments().any(is_it))
}

/// `migrate`, `bench` and the like are no commands of an API, whatever the environment says.
fn is_only_in_v2(word: &OsString) -> bool {
    let has = |command: &clap::Command| command.find_subcommand(word).is_some();
    has(&Arguments::command()) && !has(&v3::arguments::Arguments::command())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(line: &str, environment: Option<&str>) -> (Api, String) {
        let given = line.split(' ').map(OsString::from).collect();
        let (api, rest) = choose(given, environment);
        let words: Vec<String> = rest
            .into_iter()
            .map(|word| word.into_string().expect("it was text"))
            .collect();
        (api, words.join(" "))
    }

    #[test]
    fn flags_words_and_the_environment_choose() {
        let v3 = |text: &str| (Api::V3, text.to_owned());
        let v2 = |text: &str| (Api::V2, text.to_owned());
        assert_eq!(chosen("kvctl get a", None), v2("kvctl get a"));
        assert_eq!(chosen("kvctl get --v3 a", None), v3("kvctl get a"));
        assert_eq!(chosen("kvctl v3 get v3", None), v3("kvctl get v3"));
        assert_eq!(
            chosen("kvctl --endpoints v3 v3 get", None),
            v3("kvctl --endpoints v3 get")
        );
        assert_eq!(chosen("kvctl put -- --v3", None), v2("kvctl put -- --v3"));
        assert_eq!(chosen("kvctl get a", Some("3")), v3("kvctl get a"));
        assert_eq!(chosen("kvctl --v2 get a", Some("3")), v2("kvctl get a"));
        assert_eq!(chosen("kvctl bench put", Some("3")), v2("kvctl bench put"));
        assert_eq!(
            chosen("kvctl -w json ls /", Some("3")),
            v2("kvctl -w json ls /")
        );
    }
}
