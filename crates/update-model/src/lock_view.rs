//! What `osctl lock status` shows of the cluster's reboot lock.
//!
//! Does not find it out.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use crate::reboot::Lock;
use crate::semaphore::Semaphore;

/// The lock as a machine sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockView {
    /// The group that it is of.
    pub group: String,
    /// This machine's id.
    pub machine: String,
    /// What this machine had of it when it last asked.
    pub last_seen: Lock,
    /// Where it is kept.
    #[serde(flatten)]
    pub kept: Kept,
}

/// Where a lock is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// In the cluster's store.
    InStore(Semaphore),
    /// By the FleetLock server at this URL, which tells nothing of others.
    ByFleetLock(String),
}

/// For people, in lines.
impl Display for LockView {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match &self.kept {
            Kept::InStore(semaphore) => {
                let (taken, slots) = (semaphore.holders.len(), semaphore.slots);
                writeln!(
                    formatter,
                    "group {}: {taken} of {slots} slots taken",
                    self.group
                )?;
                for (machine, holder) in &semaphore.holders {
                    let own = if *machine == self.machine {
                        "  (this machine)"
                    } else {
                        ""
                    };
                    writeln!(formatter, "{machine}  since {}{own}", holder.since)?;
                }
                Ok(())
            }
            Kept::ByFleetLock(url) => {
                writeln!(
                    formatter,
                    "group {}: kept by {url}, which tells no holders",
                    self.group
                )?;
                let own = match &self.last_seen {
                    Lock::Held => "holds a slot",
                    Lock::Unreachable(_) => "may hold a slot: its last request had no answer",
                    Lock::Unneeded | Lock::NotAsked | Lock::HeldByOthers(_) => "holds no slot",
                };
                writeln!(formatter, "this machine {own}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn holders_are_listed_and_this_machine_is_marked() {
        let mut semaphore = Semaphore {
            slots: 2,
            ..Semaphore::default()
        };
        semaphore.take("a", Timestamp::UNIX_EPOCH).unwrap();
        semaphore.take("b", Timestamp::UNIX_EPOCH).unwrap();
        let view = LockView {
            group: "default".to_owned(),
            machine: "b".to_owned(),
            last_seen: Lock::Held,
            kept: Kept::InStore(semaphore),
        };
        assert_eq!(
            view.to_string(),
            "group default: 2 of 2 slots taken\na  since 1970-01-01T00:00:00Z\n\
             b  since 1970-01-01T00:00:00Z  (this machine)\n"
        );
        let text = serde_json::to_string(&view).unwrap();
        assert!(text.contains("\"in_store\":{\"slots\":2"), "{text}");
        assert_eq!(serde_json::from_str::<LockView>(&text).unwrap(), view);

        let elsewhere = LockView {
            kept: Kept::ByFleetLock("http://a".to_owned()),
            ..view
        };
        let text = elsewhere.to_string();
        assert!(text.contains("this machine holds a slot"), "{text}");
        let text = serde_json::to_string(&elsewhere).unwrap();
        assert_eq!(serde_json::from_str::<LockView>(&text).unwrap(), elsewhere);
    }
}
