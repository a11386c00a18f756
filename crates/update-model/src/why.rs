//! Why a machine is or isn't updating, in one sentence that names the command or file that changes it.
//!
//! Does not know the time, or what the channel says now: that is what the last check found.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::preparation::Drain;
use crate::progress::State;
use crate::reboot::{Lock, Verdict, decide};
use crate::record::{Attempts, LastCheck, Record};
use crate::settings::Settings;
use crate::settings::reboot_lock::RebootLock;

/// The sentence.
pub fn why(record: &Record, settings: &Settings, time_zone: &TimeZone, now: Timestamp) -> String {
    if let State::Staged(release) | State::Rebooting(release) = &record.state {
        let version = &release.version;
        if let Some(reason) = record.hold.of_version(version) {
            return format!(
                "{version} is installed but {reason}: it is not booted by itself, `osctl rollback` \
                 withdraws it, `systemctl reboot` boots it all the same"
            );
        }
        let lock = match settings.reboot_lock {
            RebootLock::None => &Lock::Unneeded,
            RebootLock::Store(_) | RebootLock::FleetLock(_) => &record.preparation.lock,
        };
        let verdict = decide(&settings.reboot, lock, time_zone, now);
        return match (&verdict, &record.preparation.drain) {
            (Verdict::Now | Verdict::AskForLock, Drain::Failed(reason)) => format!(
                "{version} is installed, but its reboot was put off since the machine could not be \
                 drained ({reason}); the next check tries again, `systemctl reboot` does it now"
            ),
            _ => staged(&version.to_string(), &verdict) + &still_failing(&record.attempts),
        };
    }
    if let State::AwaitingHealth(release) = &record.state {
        return format!(
            "{} runs since the last update and has yet to prove itself: `osctl status` shows its health",
            release.version
        );
    }
    if settings.sources.is_empty() {
        return "no source of releases is configured: name one as `sources` in \
                /etc/keelson/update.toml, or give one to `osctl update --from`"
            .to_owned();
    }
    if let Attempts::Failing {
        failures,
        reason,
        next,
    } = &record.attempts
    {
        let count = match failures {
            1 => "the last attempt".to_owned(),
            many => format!("the last {many} attempts"),
        };
        return format!(
            "{count} failed ({reason}) and the next is due at {next}: `osctl update` tries it now"
        );
    }
    match &record.last_check {
        LastCheck::Never => {
            "this machine has not looked for releases yet: `osctl update --check` does it now"
                .to_owned()
        }
        LastCheck::Decided(at, verdict) => format!("{verdict} (looked at {at})"),
    }
}

/// The rest of a sentence on what waits, if no newer release can be looked for.
fn still_failing(attempts: &Attempts) -> String {
    match attempts {
        Attempts::Fine => String::new(),
        Attempts::Failing { reason, .. } => format!("; looking for a newer one failed ({reason})"),
    }
}

fn staged(version: &str, verdict: &Verdict) -> String {
    let installed = format!("{version} is installed and");
    match verdict {
        Verdict::Now | Verdict::AskForLock => {
            format!("{installed} is booted at the next check: `systemctl reboot` does it now")
        }
        Verdict::WaitForOrder => {
            format!("{installed} waits for a reboot: `systemctl reboot` does it now")
        }
        Verdict::NoWindow => format!(
            "{installed} waits for a window, but none ever opens: see `reboot` in \
             /etc/keelson/update.toml, or `systemctl reboot`"
        ),
        Verdict::WaitForOthers(_) => format!(
            "{installed} {verdict}: `osctl lock status` shows who reboots, `systemctl reboot` does \
             not wait for them"
        ),
        Verdict::WaitForWindow(_) | Verdict::LockUnreachable(_) => {
            format!("{installed} {verdict}: `systemctl reboot` does it now")
        }
    }
}

#[cfg(test)]
mod tests {
    use disk_format::verity::RootHash;

    use super::*;
    use crate::progress::Release;
    use crate::reboot::{Strategy, Window};
    use crate::record::Hold;
    use crate::settings::reboot_lock::StoreLock;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const NOW: &str = "2026-11-28T12:00:00Z";

    fn settings() -> Settings {
        Settings {
            sources: vec!["http://a".to_owned()],
            ..Settings::default()
        }
    }

    fn say(record: &Record, settings: &Settings) -> String {
        why(record, settings, &TimeZone::UTC, at(NOW))
    }

    #[test]
    fn without_a_source_nothing_happens() {
        let text = say(&Record::default(), &Settings::default());
        assert!(text.contains("/etc/keelson/update.toml"), "{text}");
        let text = say(&Record::default(), &settings());
        assert!(text.contains("osctl update --check"), "{text}");
    }

    #[test]
    fn a_failure_says_when_it_is_tried_again() {
        let mut record = Record::default();
        record.enter(State::Idle.check().unwrap(), at(NOW));
        record.failed("no network", at(NOW)).unwrap();
        let text = say(&record, &settings());
        assert!(
            text.contains("no network") && text.contains("12:15"),
            "{text}"
        );
    }

    #[test]
    fn what_is_installed_says_what_it_waits_for() {
        let mut record = Record::default();
        let release = Release {
            version: "2".parse().unwrap(),
            root_hash: RootHash([2; 32]),
        };
        record.enter(State::Staged(release), at(NOW));
        assert!(say(&record, &settings()).contains("systemctl reboot"));
        let mut failing = record.clone();
        failing.attempt_failed("no network".to_owned(), at(NOW));
        let text = say(&failing, &settings());
        assert!(text.contains("systemctl reboot") && text.contains("no network"));
        let window = Window {
            days: Vec::new(),
            start: "02:00".parse().unwrap(),
            minutes: 60,
        };
        let with = |reboot| Settings {
            reboot,
            ..settings()
        };
        let text = say(&record, &with(Strategy::Windows(vec![window])));
        assert!(text.contains("2026-11-29T02:00:00Z"), "{text}");
        let text = say(&record, &with(Strategy::Windows(Vec::new())));
        assert!(text.contains("none ever opens"), "{text}");
        let text = say(&record, &with(Strategy::Immediate));
        assert!(text.contains("next check"), "{text}");
        record.hold = Hold::Halted {
            version: "2".parse().unwrap(),
            reason: "2 of 3 machines were bad with it".to_owned(),
        };
        let text = say(&record, &with(Strategy::Immediate));
        assert!(text.contains("is halted (2 of 3 machines"), "{text}");
        record.hold = Hold::None;

        let locked = Settings {
            reboot_lock: RebootLock::Store(StoreLock {
                group: "default".to_owned(),
            }),
            ..with(Strategy::Immediate)
        };
        record.preparation.lock = Lock::HeldByOthers(vec!["m2".to_owned()]);
        let text = say(&record, &locked);
        assert!(text.contains("m2") && text.contains("osctl lock"), "{text}");
        record.preparation.lock = Lock::Unreachable("no endpoint can serve".to_owned());
        let text = say(&record, &locked);
        assert!(text.contains("no endpoint can serve"), "{text}");
        record.preparation.lock = Lock::NotAsked;
        record.preparation.drain = Drain::Failed("50-fleet took too long".to_owned());
        let text = say(&record, &locked);
        assert!(text.contains("50-fleet took too long"), "{text}");
    }
}
