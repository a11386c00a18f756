//! Groups: made, or left as they are if they are there.
//!
//! Nobody is taken out of a group, and no group changes its number: files belong to it.

use std::collections::BTreeSet;

use machine_facts::provision_record::Change;
use provision_model::plan::Group;

use super::Accounts;

/// No password lets anybody into the group.
pub(super) const NO_PASSWORD: &str = "!";

impl Accounts {
    pub(super) fn add_group(
        &mut self,
        group: &Group,
        reserved: &BTreeSet<u32>,
    ) -> Result<(), String> {
        let name = group.name.as_str();
        let Some(id) = self.group_id(name) else {
            let id = self.new_group_id(group, reserved)?;
            let password = group.password.as_ref().map(|hash| hash.0.as_str());
            self.make_group(name, id, password.unwrap_or(NO_PASSWORD));
            return Ok(());
        };
        if let Some(other) = group.id.filter(|other| *other != id) {
            return Err(format!(
                "the group {name} is there with number {id}, not {other}"
            ));
        }
        let password = group.password.as_ref().map(|hash| hash.0.as_str());
        if password.is_some() && self.gshadow.get(name).is_none() {
            self.gshadow.put(&[name, NO_PASSWORD, "", ""]);
        }
        let is_other = password.is_some_and(|hash| self.gshadow.set(name, 1, hash));
        let change = if is_other {
            Change::Changed
        } else {
            Change::Unchanged
        };
        self.step(change, format!("group {name} ({id})"));
        Ok(())
    }

    fn new_group_id(&self, group: &Group, reserved: &BTreeSet<u32>) -> Result<u32, String> {
        let Some(id) = group.id else {
            return self.free_id(group.is_system, reserved);
        };
        match self.group.names_with(2, &id.to_string()).next() {
            None => Ok(id),
            Some(other) => Err(format!("the number {id} is that of the group {other}")),
        }
    }

    pub(super) fn make_group(&mut self, name: &str, id: u32, password: &str) {
        self.group.put(&[name, "x", &id.to_string(), ""]);
        self.gshadow.put(&[name, password, "", ""]);
        self.step(Change::Created, format!("group {name} ({id})"));
    }

    /// Whether the user was not in it.
    pub(super) fn join_group(&mut self, group: &str, user: &str) -> bool {
        let is_new = self.group.add_member(group, 3, user);
        self.gshadow.add_member(group, 3, user);
        is_new
    }
}
