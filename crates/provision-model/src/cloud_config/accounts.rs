//! Users and groups of a cloud-config.
//!
//! Keys that are given to no user are root's, which is who logs in to the image.

use super::Reading;
use super::keys::{self, Names, Sudo};
use crate::key_path::KeyPath;
use crate::plan::{Group, PasswordHash, Stated, User};

/// Who keys without a user are for.
const DEFAULT_USER: &str = "root";

impl Reading<'_> {
    pub(super) fn groups(&mut self, groups: Vec<keys::Group>, key: &KeyPath) {
        for (index, one) in groups.into_iter().enumerate() {
            let key = key.index(index);
            match one {
                keys::Group::Name(name) => self.group(name, key),
                keys::Group::Members(groups) => {
                    for (name, members) in groups {
                        self.group(name.clone(), key.clone());
                        for member in members.into_iter().flatten() {
                            self.member(&member, &name, &key);
                        }
                    }
                }
            }
        }
    }

    fn group(&mut self, name: String, key: KeyPath) {
        let group = Group {
            name,
            id: None,
            is_system: false,
            password: None,
        };
        self.plan.groups.push(Stated::new(group, key));
    }

    fn member(&mut self, user: &str, group: &str, key: &KeyPath) {
        self.user_of(user, key).groups.push(group.to_owned());
    }

    /// The user of that name in the plan, made if there is none.
    fn user_of(&mut self, name: &str, key: &KeyPath) -> &mut User {
        let users = &mut self.plan.users;
        let index = users.iter().position(|user| user.value.name == name);
        let index = index.unwrap_or_else(|| {
            let user = User {
                name: name.to_owned(),
                ..User::default()
            };
            users.push(Stated::new(user, key.clone()));
            users.len() - 1
        });
        &mut users[index].value
    }

    pub(super) fn users(&mut self, users: Vec<keys::User>, key: &KeyPath) {
        for (index, one) in users.into_iter().enumerate() {
            let key = key.index(index);
            match one {
                keys::User::Name(name) if name == "default" => {}
                keys::User::Name(name) => {
                    self.user_of(&name, &key);
                }
                keys::User::Described(user) => self.user(*user, key),
            }
        }
    }

    fn user(&mut self, one: keys::UserKeys, key: KeyPath) {
        if one.no_user_group && one.primary_group.is_none() {
            let text = "needs `primary_group`: every user has a group";
            self.problem(&key.key("no_user_group"), text);
        }
        if matches!(one.sudo, Some(Sudo::Whether(true))) {
            self.problem(
                &key.key("sudo"),
                "true is no rule: such as ALL=(ALL) NOPASSWD:ALL",
            );
        }
        // Members named by a group before this may have made the user.
        let known = self
            .plan
            .users
            .iter()
            .position(|user| user.value.name == one.name);
        let mut groups = known.map_or_else(Vec::new, |at| self.plan.users.remove(at).value.groups);
        groups.extend(names(one.groups));
        let user = User {
            name: one.name,
            id: one.uid,
            is_system: one.system,
            full_name: one.gecos,
            home: one.homedir,
            without_home: one.no_create_home,
            shell: one.shell,
            primary_group: one.primary_group,
            groups,
            password: one.passwd.map(PasswordHash),
            ssh_keys: one.ssh_authorized_keys,
            sudo: match one.sudo {
                None | Some(Sudo::Whether(_)) => Vec::new(),
                Some(Sudo::Line(line)) => vec![line],
                Some(Sudo::Lines(lines)) => lines,
            },
        };
        self.plan.users.push(Stated::new(user, key));
    }

    pub(super) fn default_users_keys(&mut self, keys: Vec<String>, key: &KeyPath) {
        if !keys.is_empty() {
            self.user_of(DEFAULT_USER, key).ssh_keys.extend(keys);
        }
    }
}

fn names(names: Option<Names>) -> Vec<String> {
    match names {
        None => Vec::new(),
        Some(Names::List(names)) => names,
        Some(Names::Text(text)) => {
            let names = text.split(',').map(str::trim);
            names
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect()
        }
    }
}
