//! Users and groups.
//!
//! Which ids are free is known on the machine only.

use std::fmt;

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its number, if it matters.
    pub id: Option<u32>,
    /// Whether it is the system's, with a number below 1000.
    pub is_system: bool,
    /// As in `/etc/gshadow`.
    pub password: Option<PasswordHash>,
}

/// A user. What is `None` stays as it is if the user is there already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// Its number, if it matters.
    pub id: Option<u32>,
    /// Whether it is the system's, with a number below 1000.
    pub is_system: bool,
    /// What it is called in full.
    pub full_name: Option<String>,
    /// Where it lives.
    pub home: Option<String>,
    /// Whether that directory is not made.
    pub without_home: bool,
    /// What it logs in to.
    pub shell: Option<String>,
    /// The group that is in its entry, instead of one of its own name.
    pub primary_group: Option<String>,
    /// Groups it is in, too.
    pub groups: Vec<String>,
    /// As in `/etc/shadow`.
    pub password: Option<PasswordHash>,
    /// Lines of `authorized_keys`.
    pub ssh_keys: Vec<String>,
    /// Lines of `sudoers` after the name, such as `ALL=(ALL) NOPASSWD:ALL`.
    pub sudo: Vec<String>,
}

/// A hash as crypt(3) makes it; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}
