//! Where updates of this machine are, from their record, the settings and what was chosen.
//!
//! Asks nobody: what the channel offers now is seen by `osctl update --check`.
use jiff::Timestamp;
use jiff::tz::TimeZone;
use machine_facts::error::Fact;
use machine_facts::system_root::SystemRoot;
use machine_facts::update_files;
use serde::Serialize;
use update_model::progress::{Fetching, State, Writing};
use update_model::version::Version;
use update_model::why::why;

/// For people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct UpdateView {
    /// The state's name.
    pub(crate) state: &'static str,
    /// The version that the state is about.
    pub(crate) version: Option<Version>,
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
        let (state, version) = named(&record.state);
        Ok(Self {
            state,
            version,
            why: why(&record, &settings, &TimeZone::system(), Timestamp::now()),
            channel: choices.channel.unwrap_or(settings.channel),
            pinned: choices.pinned,
        })
    }
}

fn named(state: &State) -> (&'static str, Option<Version>) {
    let (name, release) = match state {
        State::Idle => ("idle", None),
        State::Checking => ("checking", None),
        State::Preflight(release) => ("preflight", Some(release)),
        State::Fetching(Fetching { release, .. }) => ("fetching", Some(release)),
        State::Writing(Writing { release, .. }) => ("writing", Some(release)),
        State::Staged(release) => ("staged", Some(release)),
        State::Rebooting(release) => ("rebooting", Some(release)),
        State::AwaitingHealth(release) => ("awaiting-health", Some(release)),
        State::Good(release) => ("good", Some(release)),
        State::Bad(failed) => ("bad", failed.release.as_ref()),
        State::Failed(failed) => ("failed", failed.release.as_ref()),
    };
    (name, release.map(|release| release.version.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine_facts::update_files::{write_choices, write_record};
    use update_model::progress::Release;
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
