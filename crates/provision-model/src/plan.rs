//! What is to be done at the first boot.
//!
//! Lists keep the order of the configuration. Whether a plan may be applied is for [`crate::rules`].

mod account;
mod contents;
mod disk;
mod node;
mod unit;
mod variable;

use std::fmt;

pub use account::{Group, PasswordHash, User};
pub use contents::{Algorithm, Compression, Contents, ContentsError, Digest, Remote, Source};
pub use disk::{Disk, FileSystem, FileSystemFormat, Partition};
pub use node::{Account, Directory, File, Link, Mode, Node, Overwrite, Writing};
pub use unit::{DropIn, Enablement, Unit};
pub use variable::VariableUse;

use disk_format::state_disk::StateDisk;

use crate::key_path::KeyPath;

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Other configurations, to be fetched before this plan is applied.
    pub includes: Vec<Stated<Include>>,
    /// How they and remote files are fetched.
    pub fetching: Fetching,
    /// The machine's name.
    pub hostname: Option<Stated<String>>,
    /// As `Europe/Berlin`.
    pub time_zone: Option<Stated<String>>,
    /// The disk that state is on, if not the one that is booted from; `/init` makes it.
    pub state: Option<Stated<StateDisk>>,
    /// Tables of partitions to be there.
    pub disks: Vec<Stated<Disk>>,
    /// File systems to be there.
    pub file_systems: Vec<Stated<FileSystem>>,
    /// Groups to be there.
    pub groups: Vec<Stated<Group>>,
    /// Users to be there.
    pub users: Vec<Stated<User>>,
    /// Directories to be there.
    pub directories: Vec<Stated<Directory>>,
    /// Files to be there.
    pub files: Vec<Stated<File>>,
    /// Links to be there.
    pub links: Vec<Stated<Link>>,
    /// Units, new ones and those of the image.
    pub units: Vec<Stated<Unit>>,
    /// Commands run once, in order, after all else and with the network.
    pub commands: Vec<Stated<Command>>,
    /// Variables whose values are in all this.
    pub variables: Vec<Stated<VariableUse>>,
}

/// Something wanted, and the key that wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated<T> {
    /// What.
    pub value: T,
    /// Where it stands in the configuration.
    pub key: KeyPath,
}

impl<T> Stated<T> {
    /// A value that stands at `key`.
    pub fn new(value: T, key: KeyPath) -> Self {
        Self { value, key }
    }
}

/// Another configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// Its text.
    pub contents: Contents,
    /// What it does to this one.
    pub effect: Effect,
}

/// What an included configuration does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is added; where both have an opinion, the included one's holds.
    Merge,
    /// It takes this one's place.
    Replace,
}

/// How what is remote is fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetching {
    /// Certificates of authorities (PEM) to be trusted beside the image's.
    pub authorities: Vec<Stated<Contents>>,
    /// Longest wait for an answer's head, in seconds.
    pub head_seconds: Option<u32>,
    /// Longest time for one fetch with all attempts, in seconds.
    pub total_seconds: Option<u32>,
    /// Proxy of `http:` addresses.
    pub http_proxy: Option<String>,
    /// Proxy of `https:` addresses.
    pub https_proxy: Option<String>,
    /// Hosts that are asked without a proxy.
    pub no_proxy: Vec<String>,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Program and arguments.
    Words(Vec<String>),
    /// A line for the shell.
    Line(String),
    /// A script, with its `#!` line.
    Script(String),
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(words) => {
                let words: Vec<_> = words
                    .iter()
                    .map(|w| systemd_unit::words::quote(w))
                    .collect();
                f.write_str(&words.join(" "))
            }
            Self::Line(line) => f.write_str(line),
            Self::Script(text) => {
                let interpreter = text.lines().next().unwrap_or_default();
                write!(
                    f,
                    "a script of {} lines ({interpreter})",
                    text.lines().count()
                )
            }
        }
    }
}
