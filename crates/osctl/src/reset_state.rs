//! Whether a reset of state is ordered, or one has left something behind.
//!
//! It orders none; that is [`crate::commands::reset`].
use disk_format::meta::{Identity, Kept, RESET_REMAINS, ResetOrder};

use crate::boot_record;
use crate::state_space::MOUNT_POINT;
use machine_facts::boot_facts::BootFacts;
use machine_facts::error::Fact;
use machine_facts::system_root::SystemRoot;

/// What a reset is about to do, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ResetState {
    /// Nothing.
    None,
    /// The next boot does it.
    Ordered(ResetOrder),
    /// It was done, but what it took away could not be removed; every boot tries again.
    Remains,
}

impl ResetState {
    /// Reads the boot record, and looks into state.
    pub(crate) fn read(root: &SystemRoot, boot: &BootFacts) -> Fact<Self> {
        if let Some(order) = boot_record::read(root, boot)?.reset() {
            return Ok(Self::Ordered(order.clone()));
        }
        if root.exists(&remains()) {
            return Ok(Self::Remains);
        }
        Ok(Self::None)
    }
}

/// Where it is, on the machine.
pub(crate) fn remains() -> String {
    format!("{MOUNT_POINT}/{RESET_REMAINS}")
}

/// What an order leaves, for people: without a verb.
pub(crate) fn kept_in_words(order: &ResetOrder) -> String {
    let ResetOrder::Clear(Kept { identity, paths }) = order else {
        return "nothing, not even what is known of updates".to_owned();
    };
    let identity = match identity {
        Identity::Kept => Some("machine id and SSH host keys".to_owned()),
        Identity::New => None,
    };
    let paths = paths.iter().map(ToString::to_string);
    let words: Vec<String> = identity.into_iter().chain(paths).collect();
    if words.is_empty() {
        return "nothing".to_owned();
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_listed() {
        let order = |identity, paths: &[&str]| {
            let paths = paths.iter().map(|path| path.parse().unwrap()).collect();
            ResetOrder::Clear(Kept { identity, paths })
        };
        let words = kept_in_words(&order(Identity::Kept, &["/home", "/var/log"]));
        assert_eq!(words, "machine id and SSH host keys, /home, /var/log");
        assert_eq!(kept_in_words(&order(Identity::New, &[])), "nothing");
        assert!(kept_in_words(&ResetOrder::Erase).starts_with("nothing, "));
    }
}
