//! Whether a version that keeps failing must make way for the other one.
//!
//! systemd-boot counts the tries of a new version by itself, but a blessed one has no counter
//! any more: if it starts to fail, nothing but `/init` can end the loop. [`decide`] and [`plan`]
//! are pure; [`demote`] renames the entry on the ESP.
//!
//! Counters are only changed here for the running version, and only if another can be booted.
use disk_format::boot_entry::{BootEntry, Counter};

use crate::boot_loader::boot_path::{BootPath, Counting};
use crate::boot_loader::esp_entries;
use crate::report::error::ActionFailed;

/// This many failures in a row of a blessed version are taken for its fault.
pub(crate) const FAILURES_BEFORE_DEMOTION: u32 = 5;

/// What the earlier failures call for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Boot on: too few failures, or somebody else counts.
    Continue,
    /// Rename the entry, if [`plan`] finds another to fall back to.
    Demote,
}

/// How to demote, given what is on the ESP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Give the running version's entry the counter +0.
    Rename {
        /// Its file name now.
        from: String,
        /// Its file name then.
        to: String,
    },
    /// There is no other entry that the boot loader would prefer.
    NothingElseToBoot,
    /// The running version has no entry without a counter.
    NoOwnEntry,
}

/// Judges by the failures before this boot.
pub(crate) fn decide(boot_path: &BootPath, earlier_failures: u32) -> Decision {
    match boot_path {
        BootPath::Uefi {
            counting: Counting::Uncounted,
            ..
        } if earlier_failures >= FAILURES_BEFORE_DEMOTION => Decision::Demote,
        BootPath::Uefi { .. } | BootPath::Direct => Decision::Continue,
    }
}

/// Finds the running version's entry and checks that another one is bootable.
pub(crate) fn plan(version: &str, file_names: &[String]) -> Plan {
    let entries: Vec<(&String, BootEntry)> = file_names
        .iter()
        .filter_map(|name| Some((name, BootEntry::parse(name)?)))
        .collect();
    let Some((from, own)) = entries
        .iter()
        .find(|(_, entry)| entry.version == version && entry.counter == Counter::Uncounted)
    else {
        return Plan::NoOwnEntry;
    };
    if !entries
        .iter()
        .any(|(_, entry)| entry.version != version && !is_exhausted(entry))
    {
        return Plan::NothingElseToBoot;
    }
    let exhausted = Counter::Counted {
        tries_left: 0,
        tries_done: 0,
    };
    let to = BootEntry {
        version: own.version.clone(),
        counter: exhausted,
    }
    .file_name();
    Plan::Rename {
        from: (*from).clone(),
        to,
    }
}

fn is_exhausted(entry: &BootEntry) -> bool {
    matches!(entry.counter, Counter::Counted { tries_left: 0, .. })
}

/// Carries out [`plan`] on the ESP at this device node, durably.
pub(crate) fn demote(esp_path: &str, version: &str) -> Result<Plan, ActionFailed> {
    esp_entries::visit(esp_path, |names| {
        let plan = plan(version, names);
        if let Plan::Rename { from, to } = &plan {
            esp_entries::rename(from, to)?;
        }
        Ok(plan)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn only_a_blessed_version_that_keeps_failing_is_demoted() {
        let uefi = |counting| BootPath::Uefi {
            esp: Uuid::nil(),
            counting,
        };
        assert_eq!(decide(&uefi(Counting::Uncounted), 5), Decision::Demote);
        assert_eq!(decide(&uefi(Counting::Uncounted), 4), Decision::Continue);
        assert_eq!(decide(&uefi(Counting::Counted), 99), Decision::Continue);
        assert_eq!(decide(&BootPath::Direct, 99), Decision::Continue);
    }

    #[test]
    fn another_bootable_entry_is_required() {
        let rename = Plan::Rename {
            from: "keelson_2.efi".into(),
            to: "keelson_2+0.efi".into(),
        };
        assert_eq!(
            plan("2", &names(&["keelson_1.efi", "keelson_2.efi"])),
            rename
        );
        assert_eq!(
            plan("2", &names(&["keelson_2.efi", "keelson_3+1-2.efi"])),
            rename
        );
        assert_eq!(
            plan("2", &names(&["keelson_2.efi"])),
            Plan::NothingElseToBoot
        );
        let exhausted = names(&[
            "keelson_2.efi",
            "keelson_1+0-3.efi",
            "other.efi",
            "keelson_.efi",
        ]);
        assert_eq!(plan("2", &exhausted), Plan::NothingElseToBoot);
    }

    #[test]
    fn two_names_of_one_version_are_not_two_versions() {
        let both = names(&["keelson_2.efi", "keelson_2+3.efi"]);
        assert_eq!(plan("2", &both), Plan::NothingElseToBoot);
    }

    #[test]
    fn without_an_own_entry_nothing_is_renamed() {
        assert_eq!(plan("2", &names(&["keelson_1.efi"])), Plan::NoOwnEntry);
        assert_eq!(
            plan("2", &names(&["keelson_1.efi", "keelson_2+1-2.efi"])),
            Plan::NoOwnEntry
        );
    }
}
