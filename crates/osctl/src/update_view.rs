//! Where updates of this machine are, from their record, the settings and what was chosen.
//!
//! Asks nobody: what the channel offers now is seen by `osctl update --check`.
use jiff::Timestamp;
use jiff::tz::TimeZone;
use machine_facts::error::Fact;
use machine_facts::system_root::SystemRoot;
use machine_facts::update_files;
use serde::Serialize;
use update_model::record::{Attempts, Hold};
use update_model::version::Version;
use update_model::why::why;

/// For people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct UpdateView {
    /// The state's name.
    pub(crate) state: &'static str,
    /// The version that the state is about.
    pub(crate) version: Option<Version>,
    /// Why the cluster holds a release back, if it does: `halted` or `store-unreachable`.
    pub(crate) held_back: Option<&'static str>,
    /// Attempts that failed in a row, up to now.
    pub(crate) failing_attempts: u32,
    /// Why the machine is or isn't updating.
    pub(crate) why: String,
    /// Whose releases are taken.
    pub(crate) channel: String,
    /// The version that the machine shall be at.
    pub(crate) pinned: Option<Version>,
}

impl UpdateView {
    /// Reads the files.
    pub(crate) fn read(root: &SystemRoot) -> Fact<Self> {
        let settings = update_files::read_settings(root)?;
        let choices = update_files::read_choices(root)?;
        let record = update_files::read_record(root)?;
        let release = record.state.release();
        Ok(Self {
            state: record.state.name(),
            version: release.map(|release| release.version.clone()),
            held_back: match &record.hold {
                Hold::None => None,
                Hold::Halted { .. } => Some("halted"),
                Hold::StoreUnreachable { .. } => Some("store-unreachable"),
            },
            failing_attempts: match record.attempts {
                Attempts::Fine => 0,
                Attempts::Failing { failures, .. } => failures,
            },
            why: why(&record, &settings, &TimeZone::system(), Timestamp::now()),
            channel: choices.channel.unwrap_or(settings.channel),
            pinned: choices.pinned,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine_facts::update_files::{write_choices, write_record};
    use update_model::progress::{Release, State};
    use update_model::record::Record;
    use update_model::settings::Choices;

    #[test]
    fn what_was_chosen_wins_over_the_settings() {
        let folder = tempfile::tempdir().unwrap();
        let root = SystemRoot::new(folder.path());
        let view = UpdateView::read(&root).unwrap();
        assert_eq!((view.state, view.channel.as_str()), ("idle", "stable"));
        let choices = Choices {
            channel: Some("edge".to_owned()),
            pinned: Some("2".parse().unwrap()),
        };
        write_choices(&root, &choices).unwrap();
        let release = Release {
            version: "2".parse().unwrap(),
            root_hash: disk_format::verity::RootHash([1; 32]),
        };
        let mut record = Record::default();
        record.enter(State::Staged(release), Timestamp::UNIX_EPOCH);
        write_record(&root, &record).unwrap();
        let view = UpdateView::read(&root).unwrap();
        assert_eq!((view.state, view.channel.as_str()), ("staged", "edge"));
        assert_eq!(view.version, view.pinned);
        assert!(view.why.contains("systemctl reboot"), "{}", view.why);
    }
}
