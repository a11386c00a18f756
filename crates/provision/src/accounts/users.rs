//! Users: made with a group of their own, or changed in what the plan says.
//!
//! A user that is there keeps number, group and home, which files on the disk depend on: others are refused.

use std::collections::BTreeSet;

use machine_facts::provision_record::Change;
use provision_model::plan::{Plan, User};

use super::groups;
use super::{Accounts, Home};
use crate::root::Owner;

/// No password fits, and nothing takes the account for a closed one: keys let in.
const NO_PASSWORD: &str = "*";
/// What people log in to.
const SHELL: &str = "/bin/bash";
/// What the system's users cannot log in to.
const NO_SHELL: &str = "/usr/sbin/nologin";

/// Where people live.
const HOMES: &str = "/home";

/// Fields of `passwd`.
const GROUP: usize = 3;
const FULL_NAME: usize = 4;
const HOME: usize = 5;
const SHELL_FIELD: usize = 6;

impl Accounts {
    pub(super) fn add_user(
        &mut self,
        user: &User,
        plan: &Plan,
        reserved: &BTreeSet<u32>,
    ) -> Result<Home, String> {
        let groups = user.groups.iter().chain(&user.primary_group);
        for group in groups {
            if self.group_id(group).is_none() {
                return Err(format!("there is no group {group} for {}", user.name));
            }
        }
        if self.user_id(&user.name).is_some() {
            self.change_user(user)
        } else {
            self.make_user(user, plan, reserved)
        }
    }

    fn make_user(
        &mut self,
        user: &User,
        plan: &Plan,
        reserved: &BTreeSet<u32>,
    ) -> Result<Home, String> {
        let name = user.name.as_str();
        let id = self.new_user_id(user, plan, reserved)?;
        let group = self.primary_group(user, id, plan, reserved)?;
        let home = user
            .home
            .clone()
            .unwrap_or_else(|| format!("{HOMES}/{name}"));
        let shell = if user.is_system { NO_SHELL } else { SHELL };
        let shell = user.shell.as_deref().unwrap_or(shell);
        let full_name = user.full_name.as_deref().unwrap_or_default();
        let (user_id, group_id) = (id.to_string(), group.to_string());
        let fields = [name, "x", &user_id, &group_id, full_name, &home, shell];
        self.passwd.put(&fields);
        let password = user.password.as_ref().map(|hash| hash.0.as_str());
        let password = password.unwrap_or(NO_PASSWORD);
        // Without a day of the last change nothing expires.
        let fields = [name, password, "", "0", "99999", "7", "", "", ""];
        self.shadow.put(&fields);
        for group in &user.groups {
            self.join_group(group, name);
        }
        self.step(Change::Created, description(user, id));
        let wants_home = !user.is_system || user.home.is_some() || !user.ssh_keys.is_empty();
        Ok(Home {
            user: name.to_owned(),
            path: home,
            owner: Owner { user: id, group },
            is_made: wants_home && !user.without_home,
        })
    }

    fn new_user_id(
        &self,
        user: &User,
        plan: &Plan,
        reserved: &BTreeSet<u32>,
    ) -> Result<u32, String> {
        let Some(id) = user.id else {
            // As the group of the plan that has its name, if that can be.
            let group = plan.groups.iter().find(|one| one.value.name == user.name);
            let id = group.and_then(|_| self.group_id(&user.name));
            let is_free = |id: &u32| self.passwd.names_with(2, &id.to_string()).next().is_none();
            return match id.filter(is_free) {
                Some(id) => Ok(id),
                None => self.free_id(user.is_system, reserved),
            };
        };
        match self.passwd.names_with(2, &id.to_string()).next() {
            None => Ok(id),
            Some(other) => Err(format!("the number {id} is that of the user {other}")),
        }
    }

    /// The group the plan names, or one of the user's own name.
    fn primary_group(
        &mut self,
        user: &User,
        id: u32,
        plan: &Plan,
        reserved: &BTreeSet<u32>,
    ) -> Result<u32, String> {
        let name = user.name.as_str();
        if let Some(group) = &user.primary_group {
            return self
                .group_id(group)
                .ok_or_else(|| format!("there is no group {group}"));
        }
        if let Some(group) = self.group_id(name) {
            // One of the system's would give its files to the user unasked.
            if plan.groups.iter().any(|one| one.value.name == name) {
                return Ok(group);
            }
            return Err(format!(
                "a group {name} is there already: name a primary group for the user"
            ));
        }
        let is_taken = self.group.names_with(2, &id.to_string()).next().is_some();
        let group = if is_taken {
            self.free_id(user.is_system, reserved)?
        } else {
            id
        };
        self.make_group(name, group, groups::NO_PASSWORD);
        Ok(group)
    }

    fn change_user(&mut self, user: &User) -> Result<Home, String> {
        let name = user.name.as_str();
        let home = self.refuse_what_files_depend_on(user)?;
        let mut is_other = false;
        if let Some(hash) = &user.password {
            if self.shadow.get(name).is_none() {
                let fields = [name, NO_PASSWORD, "", "0", "99999", "7", "", "", ""];
                self.shadow.put(&fields);
            }
            is_other |= self.shadow.set(name, 1, &hash.0);
        }
        let fields = [
            (FULL_NAME, user.full_name.as_ref()),
            (SHELL_FIELD, user.shell.as_ref()),
        ];
        for (field, value) in fields {
            is_other |= value.is_some_and(|value| self.passwd.set(name, field, value));
        }
        for group in &user.groups {
            is_other |= self.join_group(group, name);
        }
        let change = if is_other {
            Change::Changed
        } else {
            Change::Unchanged
        };
        self.step(change, description(user, home.owner.user));
        Ok(home)
    }

    /// What stays, or which of it the plan would change.
    fn refuse_what_files_depend_on(&self, user: &User) -> Result<Home, String> {
        let name = user.name.as_str();
        let field = |index| self.passwd.field(name, index).unwrap_or_default();
        let number = |index| field(index).parse::<u32>().unwrap_or_default();
        let (id, group, home) = (number(2), number(GROUP), field(HOME));
        if let Some(other) = user.id.filter(|other| *other != id) {
            return Err(format!(
                "the user {name} is there with number {id}, not {other}"
            ));
        }
        if let Some(other) = user.home.as_deref().filter(|other| *other != home) {
            return Err(format!(
                "the user {name} is there with its home at {home}, not {other}"
            ));
        }
        let primary = user.primary_group.as_deref();
        if let Some(other) = primary.filter(|other| self.group_id(other) != Some(group)) {
            return Err(format!(
                "the user {name} is there with group {group}, not {other}"
            ));
        }
        Ok(Home {
            user: name.to_owned(),
            path: home.to_owned(),
            owner: Owner { user: id, group },
            is_made: !user.ssh_keys.is_empty() && !user.without_home,
        })
    }
}

/// As steps tell of it.
fn description(user: &User, id: u32) -> String {
    let mut text = format!("user {} ({id}", user.name);
    if !user.groups.is_empty() {
        text.push_str(", in ");
        text.push_str(&user.groups.join(", "));
    }
    text + ")"
}
