//! The users and groups of a root: `passwd`, `group`, `shadow` and `gshadow` as one.
//!
//! All changes are made in memory, where they can be refused; [`Accounts::files`] are written later, by
//! whoever has checked everything else, too. Homes and keys are described, not made.

mod groups;
mod ids;
mod table;
mod users;

use std::io;

use machine_facts::provision_record::{Change, Step};
use provision_model::plan::{self, Plan};

use crate::findings::Findings;
use crate::root::{Owner, Root};
use table::Table;

/// The files, in the order in which they are written: a user is there once all else of it is.
const FILES: [&str; 4] = ["/etc/shadow", "/etc/gshadow", "/etc/group", "/etc/passwd"];
/// Debian's group of those that may read hashes of passwords.
const SHADOW_GROUP: &str = "shadow";

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    passwd: Table,
    group: Table,
    shadow: Table,
    gshadow: Table,
    /// What was done so far.
    pub(crate) steps: Vec<Step>,
}

/// Why there are no accounts.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}")]
pub struct AccountsError {
    path: &'static str,
    source: io::Error,
}

/// One of the files as it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountFile {
    pub(crate) path: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// If it is not there yet.
    pub(crate) mode: u32,
    /// If it is not there yet.
    pub(crate) owner: Owner,
}

/// A user of the plan, with what has to be in the root for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) user: String,
    pub(crate) path: String,
    pub(crate) owner: Owner,
    /// Whether it is made if it is not there.
    pub(crate) is_made: bool,
}

impl Accounts {
    /// Those of a root; files that are not there are empty.
    pub(crate) fn read(root: &Root) -> Result<Self, AccountsError> {
        let table = |path: &'static str| match root.read_text(path) {
            Ok(text) => Ok(Table::parse(&text.unwrap_or_default())),
            Err(source) => Err(AccountsError { path, source }),
        };
        let [shadow, gshadow, group, passwd] = FILES;
        Ok(Self {
            passwd: table(passwd)?,
            group: table(group)?,
            shadow: table(shadow)?,
            gshadow: table(gshadow)?,
            steps: Vec::new(),
        })
    }

    /// Adds what a plan wants; the homes of its users, in its order.
    pub(crate) fn add(&mut self, plan: &Plan, findings: &mut Findings) -> Vec<Home> {
        let reserved = ids::reserved(plan);
        for group in &plan.groups {
            let added = self.add_group(&group.value, &reserved);
            findings.take(&group.key, added);
        }
        let mut homes = Vec::new();
        for user in &plan.users {
            let added = self.add_user(&user.value, plan, &reserved);
            homes.extend(findings.take(&user.key, added));
        }
        homes
    }

    fn step(&mut self, change: Change, what: String) {
        self.steps.push(Step { change, what });
    }

    /// The files as they shall be.
    pub(crate) fn files(&self) -> Vec<AccountFile> {
        let tables = [&self.shadow, &self.gshadow, &self.group, &self.passwd];
        let shadow_group = self.group_id(SHADOW_GROUP);
        let files = FILES.into_iter().zip(tables);
        files
            .map(|(path, table)| {
                let is_secret = path.ends_with("shadow");
                let (mode, group) = match (is_secret, shadow_group) {
                    (false, _) => (0o644, 0),
                    (true, Some(group)) => (0o640, group),
                    (true, None) => (0o600, 0),
                };
                AccountFile {
                    path,
                    bytes: table.text().into_bytes(),
                    mode,
                    owner: Owner { user: 0, group },
                }
            })
            .collect()
    }

    /// The number of a user.
    pub(crate) fn user_id(&self, name: &str) -> Option<u32> {
        self.passwd.field(name, 2)?.parse().ok()
    }

    /// The number of a group.
    pub(crate) fn group_id(&self, name: &str) -> Option<u32> {
        self.group.field(name, 2)?.parse().ok()
    }

    /// The number of a plan's user.
    pub(crate) fn user(&self, account: &plan::Account) -> Result<u32, String> {
        match account {
            plan::Account::Id(id) => Ok(*id),
            plan::Account::Name(name) => self
                .user_id(name)
                .or((name == "root").then_some(0))
                .ok_or_else(|| format!("there is no user {name}")),
        }
    }

    /// The number of a plan's group.
    pub(crate) fn group(&self, account: &plan::Account) -> Result<u32, String> {
        match account {
            plan::Account::Id(id) => Ok(*id),
            plan::Account::Name(name) => self
                .group_id(name)
                .or((name == "root").then_some(0))
                .ok_or_else(|| format!("there is no group {name}")),
        }
    }

    /// Both names, or one if they are the same; numbers where there is no name.
    pub(crate) fn names(&self, owner: Owner) -> String {
        let name = |table: &Table, id: u32| {
            let id = id.to_string();
            let name = table.names_with(2, &id).next().map(str::to_owned);
            name.unwrap_or(if id == "0" { "root".to_owned() } else { id })
        };
        let (user, group) = (
            name(&self.passwd, owner.user),
            name(&self.group, owner.group),
        );
        if user == group {
            user
        } else {
            format!("{user}:{group}")
        }
    }
}

#[cfg(test)]
mod tests;
