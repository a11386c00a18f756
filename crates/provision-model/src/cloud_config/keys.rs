//! The keys of a cloud-config and their types.
//!
//! What they come to is in the plan.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

/// The top.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_field_names)] // cloud-init's
pub(super) struct Keys {
    pub(super) hostname: Option<String>,
    pub(super) fqdn: Option<String>,
    pub(super) timezone: Option<String>,
    pub(super) ssh_authorized_keys: Vec<String>,
    pub(super) groups: Vec<Group>,
    pub(super) users: Vec<User>,
    pub(super) write_files: Vec<WriteFile>,
    pub(super) runcmd: Vec<Words>,
    pub(super) coreos: Option<CoreOs>,
    /// nss-myhostname resolves the machine's own name, whatever stands here.
    #[allow(dead_code)] // it asks for what is so anyway
    pub(super) manage_etc_hosts: Option<serde_json::Value>,
}

/// A group, alone or with members.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Group {
    Name(String),
    Members(BTreeMap<String, Option<Vec<String>>>),
}

/// A user, or the word `default`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum User {
    Name(String),
    Described(Box<UserKeys>),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)] // cloud-init's
pub(super) struct UserKeys {
    pub(super) name: String,
    pub(super) uid: Option<u32>,
    pub(super) gecos: Option<String>,
    #[serde(alias = "home")]
    pub(super) homedir: Option<String>,
    #[serde(default, alias = "no-create-home")]
    pub(super) no_create_home: bool,
    #[serde(default, alias = "no-user-group")]
    pub(super) no_user_group: bool,
    #[serde(default, alias = "no-log-init")]
    #[allow(dead_code)] // there is no lastlog to be kept small
    pub(super) no_log_init: bool,
    #[serde(alias = "primary-group")]
    pub(super) primary_group: Option<String>,
    pub(super) groups: Option<Names>,
    #[serde(alias = "hashed_passwd")]
    pub(super) passwd: Option<String>,
    #[serde(default)]
    #[allow(dead_code)] // no password is set unless it is given
    pub(super) lock_passwd: Option<bool>,
    pub(super) shell: Option<String>,
    pub(super) sudo: Option<Sudo>,
    #[serde(default, alias = "ssh-authorized-keys")]
    pub(super) ssh_authorized_keys: Vec<String>,
    #[serde(default)]
    pub(super) system: bool,
}

/// A list, or one text with commas.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Names {
    Text(String),
    List(Vec<String>),
}

/// One line, several, or `false` for none.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Sudo {
    Whether(bool),
    Line(String),
    Lines(Vec<String>),
}

#[derive(Debug, Deserialize)]
pub(super) struct WriteFile {
    pub(super) path: String,
    #[serde(default)]
    pub(super) content: String,
    pub(super) encoding: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) permissions: Option<Permissions>,
    #[serde(default)]
    pub(super) append: bool,
    /// Files are written after users are made in any case.
    #[serde(default)]
    #[allow(dead_code)] // it asks for what is so anyway
    pub(super) defer: bool,
}

/// `'0644'`, or the same without quotes.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Permissions {
    Octal(String),
    Number(i64),
}

/// A command.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Words {
    Line(String),
    List(Vec<Word>),
}

/// A word of a command; YAML takes some for numbers.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Word {
    Text(String),
    Number(serde_json::Number),
    Boolean(bool),
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Boolean(is) => is.fmt(f),
        }
    }
}

/// What coreos-cloudinit had of its own.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CoreOs {
    pub(super) etcd: BTreeMap<String, Word>,
    pub(super) etcd2: BTreeMap<String, Word>,
    pub(super) fleet: BTreeMap<String, Word>,
    pub(super) update: Option<Update>,
    pub(super) units: Vec<Unit>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Update {
    pub(super) reboot_strategy: Option<Word>,
    pub(super) group: Option<String>,
    pub(super) server: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Unit {
    pub(super) name: String,
    pub(super) content: Option<String>,
    pub(super) command: Option<String>,
    pub(super) enable: Option<bool>,
    #[serde(default)]
    pub(super) mask: bool,
    #[serde(default)]
    pub(super) runtime: bool,
    #[serde(default)]
    pub(super) drop_ins: Vec<DropIn>,
}

#[derive(Debug, Deserialize)]
pub(super) struct DropIn {
    pub(super) name: String,
    pub(super) content: String,
}
