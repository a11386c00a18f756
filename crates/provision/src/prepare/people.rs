//! Users and groups of a plan, with what they have in the root: homes, keys, rules of sudo.
//!
//! What they log in to has to be there: a shell that is not would let nobody in.

use provision_model::KeyPath;
use provision_model::plan::{Plan, User};

use super::Preparation;
use crate::accounts::Home;
use crate::contents::Bytes;
use crate::operation::{Attributes, FileWork, HomeWork, KeysWork, Operation};
use crate::root::{Kind, Owner, join};

/// Where sudo reads rules.
const SUDO_RULES: &str = "/etc/sudoers.d";
/// What reads them.
const SUDO: &str = "/usr/bin/sudo";

impl Preparation<'_> {
    pub(super) fn people(&mut self, plan: &Plan) {
        let homes = self.accounts.add(plan, &mut self.findings);
        if !plan.users.is_empty() || !plan.groups.is_empty() {
            let (files, steps) = (self.accounts.files(), self.accounts.steps.clone());
            self.operations.push(Operation::Accounts(files, steps));
        }
        for user in &plan.users {
            let (user, key) = (&user.value, &user.key);
            if let Some(home) = homes.iter().find(|home| home.user == user.name) {
                self.home(user, home, key);
            }
            self.shell(user, plan, key);
            self.sudo(user, key);
        }
    }

    fn home(&mut self, user: &User, home: &Home, key: &KeyPath) {
        if !home.is_made && user.ssh_keys.is_empty() {
            return;
        }
        let Some(path) = self.place(&home.path, key) else {
            return;
        };
        let seen = self.root.look(&path);
        let seen = seen.map_err(|error| format!("{path} cannot be looked at: {error}"));
        let Some(seen) = self.findings.take(key, seen) else {
            return;
        };
        match seen.map(|seen| seen.kind) {
            Some(Kind::Directory) => {}
            None if home.is_made => {}
            None => {
                let text = format!(
                    "{path} is not made: the SSH keys of {} have no place",
                    user.name
                );
                return self.findings.add(key, text);
            }
            Some(kind) => {
                let text = format!("the home directory {path} is {}", kind.name());
                return self.findings.add(key, text);
            }
        }
        if home.is_made {
            self.operations.push(Operation::Home(HomeWork {
                path: path.clone(),
                owner: home.owner,
            }));
        }
        if !user.ssh_keys.is_empty() {
            self.keys(user, home, path, key);
        }
    }

    fn keys(&mut self, user: &User, home: &Home, path: String, key: &KeyPath) {
        let folder = join(&path, ".ssh");
        let file = join(&folder, "authorized_keys");
        for (path, wanted) in [(&folder, Kind::Directory), (&file, Kind::File)] {
            let seen = self.root.look(path).ok().flatten();
            if let Some(seen) = seen.filter(|seen| seen.kind != wanted) {
                let text = format!("{path} is {}, not {}", seen.kind.name(), wanted.name());
                return self.findings.add(key, text);
            }
        }
        self.operations.push(Operation::Keys(KeysWork {
            user: user.name.clone(),
            path,
            owner: home.owner,
            lines: user.ssh_keys.clone(),
        }));
    }

    fn shell(&mut self, user: &User, plan: &Plan, key: &KeyPath) {
        let Some(shell) = user.shell.as_ref().filter(|shell| !shell.is_empty()) else {
            return;
        };
        let files = plan.files.iter().map(|file| &file.value.node.path);
        let links = plan.links.iter().map(|link| &link.value.node.path);
        if !self.root.exists(shell) && !files.chain(links).any(|path| path == shell) {
            let text = format!("the image has no {shell} for {} to log in to", user.name);
            self.findings.add(key, text);
        }
    }

    fn sudo(&mut self, user: &User, key: &KeyPath) {
        if user.sudo.is_empty() {
            return;
        }
        if !self.root.exists(SUDO) {
            let text = format!(
                "the image has no sudo: leave the rules of {} out, and log in as root with a key",
                user.name
            );
            return self.findings.add(key, text);
        }
        let Some(path) = self.take_place(&join(SUDO_RULES, &format!("50-{}", user.name)), key)
        else {
            return;
        };
        let mut text = String::new();
        for rule in &user.sudo {
            text.extend([user.name.as_str(), " ", rule, "\n"]);
        }
        self.operations.push(Operation::File(FileWork {
            path,
            bytes: Bytes::Whole(text.into_bytes()),
            attributes: Attributes::fixed(0o440, Owner::default()),
            replaces: true,
        }));
    }
}
