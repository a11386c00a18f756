//! The status for people: aligned lines, the long hexadecimal numbers shortened.
//!
//! Programs read the JSON; these lines may change.
use std::fmt::Write as _;
use std::time::Duration;

use disk_format::boot_entry::{BootEntry, Counter};

use super::{Entry, Status};
use crate::reset_state::{self, ResetState};
use crate::state_space::{MOUNT_POINT, StateSpace};
use crate::verification::Verification;
use machine_facts::boot_facts::{BootFacts, BootPath};
use machine_facts::error::{Fact, FactError};
use machine_facts::health_report::HealthReport;
use machine_facts::release::Release;

const DIGITS_SHOWN: usize = 12;

/// All lines; `now` is the time since the kernel's start.
pub(crate) fn render(status: &Status, now: Duration) -> String {
    let mut out = or_unknown(&status.release, release);
    out.push('\n');
    let other_slot = match &status.boot {
        Ok(boot) => boot.other_slot().unwrap_or("?"),
        Err(_) => "?",
    };
    let other = or_unknown(&status.other_versions, |others| other_versions(others));
    for (label, text) in [
        ("Slot", slot(status)),
        ("Boot", boot(status)),
        ("Other slot", format!("{other_slot}: {other}")),
        ("State", or_unknown(&status.state, state)),
        (
            "Health",
            or_unknown(&status.health, |h| health(h.as_ref(), now)),
        ),
        (
            "Failed boots",
            or_unknown(&status.failed_boots, |n| failed_boots(*n)),
        ),
        ("Updates", or_unknown(&status.update, |u| u.why.clone())),
    ] {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{label:<14}{text}");
    }
    let configuration = or_unknown(&status.provision, |record| {
        record.as_ref().map(ToString::to_string).unwrap_or_default()
    });
    if !configuration.is_empty() {
        let _ = writeln!(out, "{:<14}{configuration}", "First boot");
    }
    if let Some(text) = status.reset.as_ref().ok().and_then(reset) {
        let _ = writeln!(out, "{:<14}{text}", "Reset");
    }
    out
}

fn or_unknown<T>(fact: &Fact<T>, show: impl FnOnce(&T) -> String) -> String {
    fact.as_ref().map_or_else(unknown, show)
}

fn unknown(error: &FactError) -> String {
    if error.needs_root() {
        return "unknown (needs root)".to_owned();
    }
    format!("unknown: {}", error.reason())
}

fn shortened(digits: &str) -> String {
    match digits.char_indices().nth(DIGITS_SHOWN) {
        Some((end, _)) => format!("{}…", &digits[..end]),
        None => digits.to_owned(),
    }
}

fn release(release: &Release) -> String {
    let Release {
        name,
        version,
        product,
        ..
    } = release;
    format!(
        "{name} {version} ({product}), build {}",
        shortened(&release.build_id)
    )
}

fn slot(status: &Status) -> String {
    let verification = or_unknown(&status.verification, |verification| match verification {
        Verification::Verified => "verified".to_owned(),
        Verification::Corrupted => "CORRUPTED".to_owned(),
        Verification::NotVerified(reason) => format!("NOT VERIFIED: {reason}"),
    });
    let verification = verification.replace("unknown", "verification unknown");
    or_unknown(&status.boot, |boot| {
        let hash = shortened(&boot.root_hash.to_string());
        let (slot, disk) = (boot.slot_name(), &boot.disk);
        format!("{slot} on {disk} (root hash {hash}, {verification})")
    })
}

fn boot(status: &Status) -> String {
    match (&status.entry, &status.boot) {
        (Ok(Entry::Direct), _) => "not counted (direct boot)".to_owned(),
        (Ok(Entry::Uefi(counter)), _) => format!("uefi, {}", counter_in_words(*counter)),
        (Err(error), Ok(boot)) => uncertain_boot(boot, error),
        (Err(_), Err(error)) => unknown(error),
    }
}

/// What `/init` knew, when the entry cannot be seen.
fn uncertain_boot(boot: &BootFacts, error: &FactError) -> String {
    let counted = match (boot.boot_path, boot.counted) {
        (BootPath::Direct, _) => "direct",
        (BootPath::Uefi, true) => "uefi, was counted when it booted",
        (BootPath::Uefi, false) => "uefi, was not counted when it booted",
    };
    format!("{counted}; entry {}", unknown(error))
}

fn counter_in_words(counter: Counter) -> String {
    match counter {
        Counter::Uncounted => "good (uncounted)".to_owned(),
        Counter::Counted {
            tries_left,
            tries_done,
        } => {
            let tries = if tries_left == 1 { "try" } else { "tries" };
            format!("counted: {tries_left} {tries} left, {tries_done} done")
        }
    }
}

fn other_versions(others: &[BootEntry]) -> String {
    if others.is_empty() {
        return "empty".to_owned();
    }
    let version = |entry: &BootEntry| {
        format!(
            "version {}, {}",
            entry.version,
            counter_in_words(entry.counter)
        )
    };
    others.iter().map(version).collect::<Vec<_>>().join("; ")
}

fn state(state: &StateSpace) -> String {
    format!(
        "{}, {} free, {} at {MOUNT_POINT}",
        size(state.size_bytes),
        size(state.free_bytes),
        state.device
    )
}

fn health(report: Option<&HealthReport>, now: Duration) -> String {
    let with_notes = |text: String, notes: &[String]| match notes {
        [] => text,
        _ => format!("{text} ({})", notes.join("; ")),
    };
    match report {
        None => "not checked in this boot".to_owned(),
        Some(HealthReport::Checking { reasons }) => format!("checking: {}", reasons.join("; ")),
        Some(HealthReport::Unhealthy { reasons, .. }) => {
            format!("unhealthy: {}", reasons.join("; "))
        }
        Some(HealthReport::Soaking {
            healthy_after_seconds,
            notes,
        }) => {
            let so_far = time_since(*healthy_after_seconds, now);
            with_notes(format!("healthy for {so_far}, still watched"), notes)
        }
        Some(HealthReport::Healthy {
            healthy_after_seconds,
            notes,
        }) => {
            let so_far = time_since(*healthy_after_seconds, now);
            with_notes(format!("healthy for {so_far}"), notes)
        }
    }
}

fn failed_boots(count: u32) -> String {
    match count {
        0 => "0".to_owned(),
        _ => format!("{count}, this one included until it is healthy"),
    }
}

/// Nothing to say of machines that are not about to be reset. Who may not know learns that from the failed
/// boots, which stand in the same place.
fn reset(reset: &ResetState) -> Option<String> {
    match reset {
        ResetState::None => None,
        ResetState::Ordered(order) => Some(format!(
            "at the next boot, keeping {}; `osctl reset --cancel` takes it back",
            reset_state::kept_in_words(order)
        )),
        ResetState::Remains => Some(format!(
            "done, but what it took away cannot be removed: see {} and the log of this boot",
            reset_state::remains()
        )),
    }
}

/// In the two largest units that say something.
fn time_since(seconds: f64, now: Duration) -> String {
    let elapsed = super::elapsed(seconds, now).as_secs();
    let (minutes, hours, days) = (elapsed / 60, elapsed / 3600, elapsed / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{elapsed} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// In GiB or MiB, with one decimal, rounded down.
fn size(bytes: u64) -> String {
    let (unit, unit_bytes) = match bytes >> 30 {
        0 => ("MiB", 1 << 20),
        _ => ("GiB", 1 << 30),
    };
    let tenths = u128::from(bytes) * 10 / unit_bytes;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_down() {
        assert_eq!(size(0), "0.0 MiB");
        assert_eq!(size((1 << 30) - 1), "1023.9 MiB");
        assert_eq!(size(15 * (1 << 30) + (1 << 28)), "15.2 GiB");
        assert_eq!(size(u64::MAX), "17179869183.9 GiB");
    }

    #[test]
    fn times_have_two_units_at_most() {
        let after = |now| time_since(0.5, Duration::from_secs(now));
        assert_eq!(after(0), "0 s");
        assert_eq!(after(60), "59 s");
        assert_eq!(after(61), "1 min");
        assert_eq!(after(3600 * 2 + 301), "2 h 5 min");
        assert_eq!(after(86400 * 3 + 3601), "3 d 1 h");
    }

    #[test]
    fn short_numbers_stay_whole() {
        assert_eq!(shortened("123456789012"), "123456789012");
        assert_eq!(shortened("1234567890123"), "123456789012…");
    }
}
