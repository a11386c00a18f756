//! A line at login when updates do not do what they should, in a file that `pam_motd` shows.
//!
//! Says nothing when all is well.

use std::fs;

use machine_facts::system_root::SystemRoot;
use update_model::progress::{Bad, State};
use update_model::record::{Attempts, Hold, Record};

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
    if let State::Bad(Bad {
        release, reason, ..
    }) = &record.state
    {
        return Some(format!(
            "Version {} was given up: {reason}. `osctl history` says more.",
            release.version
        ));
    }
    match &record.hold {
        Hold::None => None,
        Hold::Halted { version, reason } => Some(format!(
            "The rollout of version {version} is halted: {reason}. `osctl why` says more."
        )),
        Hold::StoreUnreachable { version, reason } => Some(format!(
            "Version {version} is not taken: {reason}. `osctl why` says more."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use update_model::progress::Failed;

    #[test]
    fn the_line_is_there_as_long_as_attempts_fail() {
        let folder = tempfile::tempdir().unwrap();
        let root = SystemRoot::new(folder.path());
        let mut record = Record::default();
        let failed = Failed {
            release: None,
            reason: "no network".to_owned(),
        };
        record.enter(State::Failed(failed), jiff::Timestamp::UNIX_EPOCH);
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
}
