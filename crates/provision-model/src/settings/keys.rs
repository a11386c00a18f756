//! The keys of our TOML and their types.
//!
//! What they come to is in the plan.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::plan;

/// Kernel settings by name.
pub(super) type Sysctl = BTreeMap<String, SysctlValue>;

/// What says contents, of a file or a credential; the reader holds them against each other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) text: Option<String>,
    pub(super) base64: Option<String>,
    pub(super) source: Option<String>,
    pub(super) digest: Option<String>,
    pub(super) is_gzip: bool,
}

impl Contents {
    /// Whether nothing says any.
    pub(super) fn is_none(&self) -> bool {
        (&self.text, &self.base64, &self.source) == (&None, &None, &None)
    }
}

/// A table with the keys of [`Contents`] beside its own. serde's `flatten` would not say which keys are unknown.
macro_rules! with_contents {
    ($name:ident { $($(#[$attribute:meta])* $key:ident: $kind:ty),+ $(,)? }) => {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub(super) struct $name {
            $($(#[$attribute])* pub(super) $key: $kind,)+
            contents: Option<String>,
            contents_base64: Option<String>,
            source: Option<String>,
            digest: Option<String>,
            #[serde(default)]
            gzip: bool,
        }

        impl $name {
            /// Takes them out.
            pub(super) fn take_contents(&mut self) -> Contents {
                Contents {
                    text: self.contents.take(),
                    base64: self.contents_base64.take(),
                    source: self.source.take(),
                    digest: self.digest.take(),
                    is_gzip: self.gzip,
                }
            }
        }
    };
}

/// The top.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Settings {
    pub(super) hostname: Option<String>,
    pub(super) time_zone: Option<String>,
    pub(super) commands: Vec<Vec<String>>,
    pub(super) sysctl: Sysctl,
    pub(super) include: Vec<Include>,
    pub(super) groups: Vec<Group>,
    pub(super) users: Vec<User>,
    pub(super) directories: Vec<Directory>,
    pub(super) files: Vec<File>,
    pub(super) links: Vec<Link>,
    pub(super) units: Vec<Unit>,
    pub(super) cluster: Option<Cluster>,
    pub(super) credentials: Vec<Credential>,
    pub(super) state: Option<State>,
}

/// What the key of state is sealed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Encrypt {
    Tpm2,
}

/// One of the names at most.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct State {
    pub(super) serial: Option<String>,
    pub(super) wwid: Option<String>,
    pub(super) partition_label: Option<String>,
    #[serde(default)]
    pub(super) wipe: bool,
    pub(super) encrypt: Option<Encrypt>,
    #[serde(default)]
    pub(super) recovery_key: bool,
}

with_contents!(Credential { name: String });

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Cluster {
    pub(super) name: Option<String>,
    pub(super) address: Option<String>,
    pub(super) members: BTreeMap<String, String>,
    pub(super) discovery: Option<String>,
    pub(super) dns: Option<String>,
    pub(super) token: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) tls: Option<ClusterTls>,
}

/// PEM.
#[derive(Debug, Deserialize)]
pub(super) struct ClusterTls {
    pub(super) authority: String,
    pub(super) certificate: String,
    pub(super) key: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Include {
    pub(super) source: String,
    pub(super) digest: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) id: Option<u32>,
    #[serde(default)]
    pub(super) system: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct User {
    pub(super) name: String,
    pub(super) id: Option<u32>,
    #[serde(default)]
    pub(super) system: bool,
    pub(super) full_name: Option<String>,
    pub(super) home: Option<String>,
    #[serde(default)]
    pub(super) without_home: bool,
    pub(super) shell: Option<String>,
    pub(super) primary_group: Option<String>,
    #[serde(default)]
    pub(super) groups: Vec<String>,
    pub(super) password_hash: Option<String>,
    #[serde(default)]
    pub(super) ssh_keys: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Directory {
    pub(super) path: String,
    pub(super) mode: Option<i64>,
    pub(super) user: Option<Account>,
    pub(super) group: Option<Account>,
    #[serde(default)]
    pub(super) overwrite: bool,
}

with_contents!(File {
    path: String,
    #[serde(default)]
    append: bool,
    mode: Option<i64>,
    user: Option<Account>,
    group: Option<Account>,
    #[serde(default)]
    overwrite: bool,
});

#[derive(Debug, Deserialize)]
pub(super) struct Link {
    pub(super) path: String,
    pub(super) target: String,
    #[serde(default)]
    pub(super) hard: bool,
    pub(super) user: Option<Account>,
    pub(super) group: Option<Account>,
    #[serde(default)]
    pub(super) overwrite: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Unit {
    pub(super) name: String,
    pub(super) contents: Option<String>,
    pub(super) enable: Option<bool>,
    #[serde(default)]
    pub(super) mask: bool,
    #[serde(default)]
    pub(super) drop_ins: Vec<DropIn>,
}

#[derive(Debug, Deserialize)]
pub(super) struct DropIn {
    pub(super) name: String,
    pub(super) contents: String,
}

/// By number or by name.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Account {
    Id(u32),
    Name(String),
}

impl From<Account> for plan::Account {
    fn from(account: Account) -> Self {
        match account {
            Account::Id(id) => Self::Id(id),
            Account::Name(name) => Self::Name(name),
        }
    }
}

/// A number or a text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum SysctlValue {
    Number(i64),
    Text(String),
}

impl fmt::Display for SysctlValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}
