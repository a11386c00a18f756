//! When a machine may reboot into a release: at once, in a weekly window, or when the cluster's lock allows.
//!
//! Does not know the time, the time zone or who holds a lock: all are passed in.

use std::fmt::{self, Display, Formatter};
use std::ops::Range;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

/// When reboots happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Strategy {
    /// Whenever a release is ready.
    Immediate,
    /// In these windows only.
    Windows(Vec<Window>),
    /// Only when somebody says so.
    Manual,
}

/// A time of the week, local.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// On which days it begins; none at all means every day.
    #[serde(default)]
    pub days: Vec<Day>,
    /// When it begins, local time.
    pub start: Time,
    /// How long it is, in minutes; at most a week.
    pub minutes: u16,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // their names say it
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl From<Weekday> for Day {
    fn from(day: Weekday) -> Self {
        match day {
            Weekday::Monday => Self::Monday,
            Weekday::Tuesday => Self::Tuesday,
            Weekday::Wednesday => Self::Wednesday,
            Weekday::Thursday => Self::Thursday,
            Weekday::Friday => Self::Friday,
            Weekday::Saturday => Self::Saturday,
            Weekday::Sunday => Self::Sunday,
        }
    }
}

/// What is known of the cluster's lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lock {
    /// This machine needs none.
    Unneeded,
    /// This machine has not asked yet, or has given it back.
    #[default]
    NotAsked,
    /// This machine holds it.
    Held,
    /// Others hold all of it.
    HeldByOthers(Vec<String>),
    /// This machine asked, and whether it got it is not known, for this reason.
    Unreachable(String),
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Reboot.
    Now,
    /// Ask for the cluster's lock, then decide again.
    AskForLock,
    /// Decide again when this window opens.
    WaitForWindow(Timestamp),
    /// Decide again when one of these is done.
    WaitForOthers(Vec<String>),
    /// Ask for the lock again later: whoever keeps it does not answer, for this reason.
    LockUnreachable(String),
    /// Windows are set, but none ever opens.
    NoWindow,
    /// Wait to be told.
    WaitForOrder,
}

/// Whether the machine may reboot now. The lock is asked for only while it could be used.
pub fn decide(strategy: &Strategy, lock: &Lock, time_zone: &TimeZone, now: Timestamp) -> Verdict {
    match strategy {
        Strategy::Manual => return Verdict::WaitForOrder,
        Strategy::Immediate => {}
        Strategy::Windows(windows) => match next_window(windows, time_zone, now) {
            None => return Verdict::NoWindow,
            Some(window) if window.start > now => return Verdict::WaitForWindow(window.start),
            Some(_) => {}
        },
    }
    match lock {
        Lock::Unneeded | Lock::Held => Verdict::Now,
        Lock::NotAsked => Verdict::AskForLock,
        Lock::HeldByOthers(holders) => Verdict::WaitForOthers(holders.clone()),
        Lock::Unreachable(reason) => Verdict::LockUnreachable(reason.clone()),
    }
}

/// Longest window.
const MINUTES_MAX: u16 = 7 * 24 * 60;

/// The window that is open, or else the next one to open; overlapping ones count one by one.
///
/// A start that a change of the clocks leaves out is as much later as the clocks were moved; one that
/// comes twice is the first.
pub fn next_window(
    windows: &[Window],
    time_zone: &TimeZone,
    now: Timestamp,
) -> Option<Range<Timestamp>> {
    let today = now.to_zoned(time_zone.clone()).date();
    let days = (-8..=8).filter_map(|offset: i64| today.checked_add(offset.days()).ok());
    let mut all = Vec::new();
    for date in days {
        let day = Day::from(date.weekday());
        for window in windows {
            if window.days.is_empty() || window.days.contains(&day) {
                let start = date
                    .to_datetime(window.start)
                    .to_zoned(time_zone.clone())
                    .ok()?;
                let length = SignedDuration::from_mins(window.minutes.min(MINUTES_MAX).into());
                let end = start.timestamp().checked_add(length).ok()?;
                all.push(start.timestamp()..end);
            }
        }
    }
    all.into_iter()
        .filter(|window| window.end > now)
        .min_by_key(|window| window.start)
}

/// As the end of "the reboot …".
impl Display for Verdict {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => formatter.write_str("happens now"),
            Self::AskForLock => formatter.write_str("waits for the cluster's lock"),
            Self::WaitForWindow(start) => write!(formatter, "waits for the window at {start}"),
            Self::WaitForOthers(holders) => {
                write!(formatter, "waits for {} to be done", holders.join(", "))
            }
            Self::LockUnreachable(reason) => {
                write!(
                    formatter,
                    "waits for the cluster's reboot lock, which cannot be asked for ({reason})"
                )
            }
            Self::NoWindow => formatter.write_str("never happens: no window ever opens"),
            Self::WaitForOrder => formatter.write_str("waits for `systemctl reboot`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn window(days: &[Day], start: &str, minutes: u16) -> Window {
        Window {
            days: days.to_vec(),
            start: start.parse().unwrap(),
            minutes,
        }
    }

    fn opens(windows: &[Window], now: &str) -> String {
        let window = next_window(windows, &berlin(), now.parse().unwrap()).unwrap();
        window.start.to_string()
    }

    #[test]
    fn windows_are_local() {
        let windows = [window(&[Day::Saturday], "02:00", 120)];
        // 2026-11-28 is a Saturday; winter time is an hour ahead of UTC.
        assert_eq!(
            opens(&windows, "2026-11-26T12:00:00Z"),
            "2026-11-28T01:00:00Z"
        );
        assert_eq!(
            opens(&windows, "2026-11-28T02:59:59Z"),
            "2026-11-28T01:00:00Z"
        );
        assert_eq!(
            opens(&windows, "2026-11-28T03:00:00Z"),
            "2026-12-05T01:00:00Z"
        );
        assert_eq!(
            opens(&windows, "2026-07-02T12:00:00Z"),
            "2026-07-04T00:00:00Z"
        );
    }

    #[test]
    fn a_window_may_cross_midnight_and_change_of_clocks() {
        let windows = [window(&[], "23:00", 180)];
        assert_eq!(
            opens(&windows, "2026-11-29T00:30:00Z"),
            "2026-11-28T22:00:00Z"
        );
        // At 02:00 of 2026-03-29 clocks go to 03:00: 02:30 does not exist.
        let skipped = [window(&[Day::Sunday], "02:30", 30)];
        assert_eq!(
            opens(&skipped, "2026-03-28T12:00:00Z"),
            "2026-03-29T01:30:00Z"
        );
    }

    #[test]
    fn the_lock_is_asked_for_inside_the_window_only() {
        let strategy = Strategy::Windows(vec![window(&[Day::Saturday], "02:00", 120)]);
        let verdict =
            |lock: Lock, now: &str| decide(&strategy, &lock, &berlin(), now.parse().unwrap());
        let (before, inside) = ("2026-11-28T00:59:00Z", "2026-11-28T01:00:00Z");
        assert_eq!(
            verdict(Lock::NotAsked, before),
            Verdict::WaitForWindow(inside.parse().unwrap())
        );
        assert_eq!(verdict(Lock::NotAsked, inside), Verdict::AskForLock);
        assert_eq!(verdict(Lock::Held, inside), Verdict::Now);
        let others = vec!["m2".to_owned()];
        assert_eq!(
            verdict(Lock::HeldByOthers(others.clone()), inside),
            Verdict::WaitForOthers(others)
        );
        let unreachable = Lock::Unreachable("no route".to_owned());
        let text = verdict(unreachable, inside).to_string();
        assert!(text.contains("no route"), "{text}");
    }

    #[test]
    fn without_windows_no_reboot() {
        let now = "2026-11-28T01:00:00Z".parse().unwrap();
        let verdict = decide(
            &Strategy::Windows(Vec::new()),
            &Lock::Unneeded,
            &berlin(),
            now,
        );
        assert_eq!(verdict, Verdict::NoWindow);
        assert_eq!(
            decide(&Strategy::Manual, &Lock::Held, &berlin(), now),
            Verdict::WaitForOrder
        );
        assert_eq!(
            decide(&Strategy::Immediate, &Lock::Unneeded, &berlin(), now),
            Verdict::Now
        );
    }
}
