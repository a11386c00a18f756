//! Which lock a machine takes before it reboots into a release: the setting `reboot-lock`.
//!
//! How many machines may hold it stands where the lock is kept, not here: there is one truth for all.

use serde::Deserialize;

use super::InvalidSetting;
use super::store::{Store, is_url};
use crate::semaphore::is_group;

/// The lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum RebootLock {
    /// None: this machine reboots without regard to others.
    #[default]
    None,
    /// The one in the cluster's store, which the section `[store]` names.
    Store(StoreLock),
    /// One that a FleetLock server keeps.
    FleetLock(FleetLock),
}

/// A lock in the store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreLock {
    /// The machines that it is shared with.
    #[serde(default = "default_group")]
    pub group: String,
}

/// A FleetLock server's lock.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetLock {
    /// What `/v1/pre-reboot` follows.
    pub url: String,
    /// The machines that it is shared with.
    #[serde(default = "default_group")]
    pub group: String,
}

/// Zincati's.
fn default_group() -> String {
    "default".to_owned()
}

impl RebootLock {
    /// Whether the values can be, beside this store.
    pub fn check(&self, store: Option<&Store>) -> Result<(), InvalidSetting> {
        let invalid = |key, problem| Err(InvalidSetting { key, problem });
        let (key, group) = match self {
            Self::None => return Ok(()),
            Self::Store(_) if store.is_none() => {
                let problem = "the lock is in the store, and there is no section [store]";
                return invalid("reboot-lock.store", problem.to_owned());
            }
            Self::FleetLock(lock) if !is_url(&lock.url) => {
                let problem = format!("{:?} is no URL of http or https", lock.url);
                return invalid("reboot-lock.fleet-lock.url", problem);
            }
            Self::Store(lock) => ("reboot-lock.store.group", &lock.group),
            Self::FleetLock(lock) => ("reboot-lock.fleet-lock.group", &lock.group),
        };
        if !is_group(group) {
            let problem = format!("{group:?} is no name: that is of letters, digits, '-' and '.'");
            return invalid(key, problem);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_value_is_named() {
        let store = Store {
            endpoints: vec!["http://a".to_owned()],
            trusted_ca_file: None,
            client_certificate: None,
            credentials: None,
        };
        let in_store = |group: &str| {
            RebootLock::Store(StoreLock {
                group: group.to_owned(),
            })
        };
        let fleet_lock = |url: &str, group: &str| {
            RebootLock::FleetLock(FleetLock {
                url: url.to_owned(),
                group: group.to_owned(),
            })
        };
        assert_eq!(in_store("default").check(Some(&store)), Ok(()));
        assert_eq!(fleet_lock("http://a:1/b", "x").check(None), Ok(()));
        let wrong = |lock: RebootLock, store: Option<&Store>| lock.check(store).unwrap_err().key;
        assert_eq!(wrong(in_store("default"), None), "reboot-lock.store");
        assert_eq!(
            wrong(in_store("a/b"), Some(&store)),
            "reboot-lock.store.group"
        );
        assert_eq!(
            wrong(fleet_lock("a", "x"), None),
            "reboot-lock.fleet-lock.url"
        );
        assert_eq!(
            wrong(fleet_lock("http://a", "a b"), None),
            "reboot-lock.fleet-lock.group"
        );
    }
}
