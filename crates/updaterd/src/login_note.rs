//! A line at login when updates do not do what they should, in a file that `pam_motd` shows.
//!
//! It stands in one of the folders that `pam_motd` looks into by itself, for SSH and the console alike, and
//! there until the next boot, which writes it anew. Says nothing when all is well.

use std::fs;

use machine_facts::system_root::SystemRoot;
use update_model::progress::Memory;
use update_model::record::{Attempts, Hold, Record};
use update_model::version::Version;

const PATH: &str = "/run/motd.d/60-keelson-update";

/// Puts the line there, or takes it away. That it cannot is no reason to stop an update.
pub fn show(root: &SystemRoot, record: &Record) {
    let shown = match line(record) {
        Some(line) => root.replace(PATH, &format!("{line}\n")),
        None => match fs::remove_file(root.path(PATH)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    };
    if let Err(error) = shown {
        eprintln!("updaterd: cannot change the line at login, {PATH}: {error}");
    }
}

fn line(record: &Record) -> Option<String> {
    if let Attempts::Failing { reason, .. } = &record.attempts {
        return Some(format!("Updates fail: {reason}. `osctl why` says more."));
    }
    match &record.hold {
        Hold::None => given_up(&record.memory).map(|(version, reason)| {
            format!("Version {version} was given up: {reason}. `osctl history` says more.")
        }),
        Hold::Halted { version, reason } => Some(format!(
            "The rollout of version {version} is halted: {reason}. `osctl why` says more."
        )),
        Hold::StoreUnreachable { version, reason } => Some(format!(
            "Version {version} is not taken: {reason}. `osctl why` says more."
        )),
    }
}

/// The newest version that was bad here, until it or a newer one is good. The state does not tell: it is about
/// the last look at the releases.
fn given_up(memory: &Memory) -> Option<(&Version, &String)> {
    let newest = memory.bad.iter().next_back();
    newest.filter(|(version, _)| memory.floor.as_ref().is_none_or(|good| *version >= good))
}

#[cfg(test)]
mod tests {
    use super::*;
    use update_model::progress::State;

    #[test]
    fn the_line_is_there_as_long_as_attempts_fail() {
        let folder = tempfile::tempdir().unwrap();
        let root = SystemRoot::new(folder.path());
        let mut record = Record::default();
        let now = jiff::Timestamp::UNIX_EPOCH;
        record.enter(State::Idle.check().unwrap(), now);
        record.failed("no network", now).unwrap();
        show(&root, &record);
        let text = root.read_text(PATH).unwrap();
        assert!(text.contains("no network"), "{text}");
        record.attempt_succeeded(jiff::Timestamp::UNIX_EPOCH);
        record.state = State::Idle;
        record.hold = Hold::Halted {
            version: "2".parse().unwrap(),
            reason: "2 of 3 machines were bad with it".to_owned(),
        };
        show(&root, &record);
        let text = root.read_text(PATH).unwrap();
        assert!(text.contains("2 is halted: 2 of 3 machines"), "{text}");
        record.hold = Hold::None;
        show(&root, &record);
        show(&root, &record);
        assert!(!root.exists(PATH));
    }

    #[test]
    fn a_version_that_was_given_up_is_told_until_a_newer_one_is_good() {
        let mut record = Record::default();
        record.memory.floor = Some("1".parse().unwrap());
        assert_eq!(line(&record), None);
        let bad = "it did not boot".to_owned();
        record.memory.bad.insert("2".parse().unwrap(), bad);
        record.state = State::Idle;
        let text = line(&record).unwrap();
        assert!(
            text.starts_with("Version 2 was given up: it did not boot."),
            "{text}"
        );
        // It was good at first, and rolled back.
        record.memory.floor = Some("2".parse().unwrap());
        assert!(line(&record).is_some());
        record.memory.floor = Some("3".parse().unwrap());
        assert_eq!(line(&record), None);
    }
}
