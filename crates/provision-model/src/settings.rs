//! Keelson's own configuration of the first boot, in TOML.
//!
//! ```toml
//! hostname = "node1"
//! time-zone = "Europe/Berlin"
//! commands = [["/usr/bin/touch", "/var/lib/was-here"]]
//! sysctl = { "net.ipv4.ip_forward" = 1 }
//!
//! [[users]]
//! name = "core"
//! ssh-keys = ["ssh-ed25519 AAAA… core@example.com"]
//!
//! [[files]]
//! path = "/etc/motd"
//! contents = "hello\n"
//! mode = 0o644
//!
//! [[credentials]]                       # /etc/credstore/api.token, for LoadCredential=api.token
//! name = "api.token"
//! contents = "…"
//!
//! [state]                               # /var, /home and the rest on another disk than the one that is booted from
//! serial = "DATA1"
//!
//! [[units]]
//! name = "hello.service"
//! enable = true
//! contents = "[Service]\nExecStart=/usr/bin/echo hello\n[Install]\nWantedBy=multi-user.target\n"
//! ```
//!
//! The keys are those of [`keys`]; unknown ones are problems. `[cluster]` is that of [`cluster`].

mod cluster;
mod credentials;
mod keys;
mod state;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use systemd_unit::UnitName;

use crate::document::Document;
use crate::key_path::KeyPath;
use crate::plan::{
    Account, Command, Compression, Contents, Digest, Directory, DropIn, Effect, Enablement, File,
    Group, Include, Link, Mode, Node, Overwrite, PasswordHash, Plan, Remote, Source, Stated, Unit,
    User, Writing,
};
use crate::problem::Problem;
use crate::variables::{Filling, Unknown, Variables};
use keys::Settings;

pub use state::state_disk;

/// Where kernel settings are written.
const SYSCTL_FILE: &str = "/etc/sysctl.d/50-first-boot.conf";

/// The plan of a document, or all that is wrong with it.
pub fn plan(document: &Document, variables: &Variables) -> Result<Plan, Vec<Problem>> {
    let mut filling = Filling::default();
    let cluster = [("cluster", Unknown::Refused)];
    let document = document.filled(&cluster, variables, &mut filling);
    let settings: Settings = document.read()?;
    let mut reading = Reading {
        problems: filling.problems,
        plan: Plan {
            variables: filling.used,
            ..Plan::default()
        },
    };
    reading.whole(settings);
    if reading.problems.is_empty() {
        return Ok(reading.plan);
    }
    Err(reading.problems)
}

struct Reading {
    problems: Vec<Problem>,
    plan: Plan,
}

/// Each element with its key below `name`.
fn listed<T>(name: &str, list: Vec<T>) -> impl Iterator<Item = (KeyPath, T)> {
    let key = KeyPath::top().key(name);
    list.into_iter()
        .enumerate()
        .map(move |(index, one)| (key.index(index), one))
}

impl Reading {
    fn whole(&mut self, settings: Settings) {
        let top = KeyPath::top();
        let plan = &mut self.plan;
        plan.hostname = settings
            .hostname
            .map(|name| Stated::new(name, top.key("hostname")));
        plan.time_zone = settings
            .time_zone
            .map(|zone| Stated::new(zone, top.key("time-zone")));
        for (key, words) in listed("commands", settings.commands) {
            plan.commands.push(Stated::new(Command::Words(words), key));
        }
        plan.groups.extend(
            listed("groups", settings.groups).map(|(key, one)| Stated::new(group(one), key)),
        );
        plan.users
            .extend(listed("users", settings.users).map(|(key, one)| Stated::new(user(one), key)));
        for (key, one) in listed("include", settings.include) {
            let effect = Effect::Merge;
            if let Some(contents) = self.remote(one.source, one.digest, false, &key) {
                let include = Include { contents, effect };
                self.plan.includes.push(Stated::new(include, key));
            }
        }
        for (key, one) in listed("directories", settings.directories) {
            let directory = self.directory(one, &key);
            self.plan.directories.push(Stated::new(directory, key));
        }
        for (key, one) in listed("files", settings.files) {
            let file = self.file(one, &key);
            self.plan.files.push(Stated::new(file, key));
        }
        for (key, one) in listed("links", settings.links) {
            self.plan.links.push(Stated::new(link(one), key));
        }
        for (key, one) in listed("units", settings.units) {
            self.unit(one, key);
        }
        for (key, one) in listed("credentials", settings.credentials) {
            self.credential(one, key);
        }
        if let Some(state) = settings.state {
            self.state(state, top.key("state"));
        }
        self.sysctl(&settings.sysctl, &top.key("sysctl"));
        if let Some(cluster) = &settings.cluster {
            self.cluster(cluster);
        }
    }

    fn problem(&mut self, key: &KeyPath, text: impl Into<String>) {
        self.problems.push(Problem::new(key.clone(), text));
    }

    fn mode(&mut self, bits: Option<i64>, key: &KeyPath) -> Option<Mode> {
        let bits = bits?;
        let mode = Mode::new(bits);
        if mode.is_none() {
            let text = format!("{bits} is no mode: they are written as 0o644");
            self.problem(&key.key("mode"), text);
        }
        mode
    }

    fn directory(&mut self, one: keys::Directory, key: &KeyPath) -> Directory {
        Directory {
            mode: self.mode(one.mode, key),
            node: node(one.path, one.user, one.group, one.overwrite),
        }
    }

    fn file(&mut self, mut one: keys::File, key: &KeyPath) -> File {
        let contents = self.contents(one.take_contents(), key);
        let writing = match (contents, one.append) {
            (None, _) => Writing::Touch,
            (Some(contents), false) => Writing::Whole(contents),
            (Some(contents), true) => Writing::Append(vec![contents]),
        };
        File {
            mode: self.mode(one.mode, key),
            node: node(one.path, one.user, one.group, one.overwrite),
            writing,
        }
    }

    fn contents(&mut self, one: keys::Contents, key: &KeyPath) -> Option<Contents> {
        match (one.text, one.base64, one.source) {
            (None, None, None) => None,
            (Some(text), None, None) => Some(Contents::inline(text.as_bytes())),
            (None, Some(text), None) => match STANDARD.decode(text) {
                Ok(bytes) => Some(Contents::inline(bytes)),
                Err(error) => {
                    self.problem(&key.key("contents-base64"), error.to_string());
                    None
                }
            },
            (None, None, Some(url)) => self.remote(url, one.digest, one.is_gzip, key),
            _ => {
                let text = "has more than one of contents, contents-base64 and source";
                self.problem(key, text);
                None
            }
        }
    }

    fn remote(
        &mut self,
        url: String,
        digest: Option<String>,
        is_gzip: bool,
        key: &KeyPath,
    ) -> Option<Contents> {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            // It may be contents by mistake, which no console shall show.
            self.problem(&key.key("source"), "not an address of http or https");
            return None;
        }
        let digest = match digest.map(|text| Digest::parse(&text).ok_or(text)) {
            None => None,
            Some(Ok(digest)) => Some(digest),
            Some(Err(text)) => {
                let text = format!("{text:?} is neither sha256- nor sha512- with its digits");
                self.problem(&key.key("digest"), text);
                return None;
            }
        };
        let headers = Vec::new();
        let compression = if is_gzip {
            Compression::Gzip
        } else {
            Compression::None
        };
        Some(Contents {
            source: Source::Remote(Remote { url, headers }),
            compression,
            digest,
        })
    }

    fn unit(&mut self, one: keys::Unit, key: KeyPath) {
        let enablement = match (one.enable, one.mask) {
            (Some(true), true) => {
                self.problem(&key, "is both enabled and masked");
                return;
            }
            (_, true) => Enablement::Masked,
            (Some(true), _) => Enablement::Enabled,
            (Some(false), _) => Enablement::Disabled,
            (None, _) => Enablement::Preset,
        };
        let drop_ins = one.drop_ins.into_iter().map(|one| DropIn {
            name: one.name,
            contents: one.contents,
        });
        match UnitName::new(one.name) {
            Err(error) => self.problem(&key.key("name"), error.to_string()),
            Ok(name) => self.plan.units.push(Stated::new(
                Unit {
                    name,
                    contents: one.contents,
                    enablement,
                    drop_ins: drop_ins.collect(),
                },
                key,
            )),
        }
    }

    fn sysctl(&mut self, sysctl: &keys::Sysctl, key: &KeyPath) {
        if sysctl.is_empty() {
            return;
        }
        let mut text = String::new();
        for (name, value) in sysctl {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/*".contains(&byte);
            if name.is_empty() || !name.bytes().all(is_name) {
                self.problem(&key.key(name), "no name of a kernel setting");
            }
            let value = value.to_string();
            if value.contains('\n') {
                self.problem(&key.key(name), "the value has a line break");
            }
            text.extend([name, " = ", &value, "\n"]);
        }
        let file = File {
            node: Node::new(SYSCTL_FILE),
            mode: None,
            writing: Writing::Whole(Contents::inline(text)),
        };
        self.plan.files.push(Stated::new(file, key.clone()));
    }
}

fn node(
    path: String,
    user: Option<keys::Account>,
    group: Option<keys::Account>,
    overwrite: bool,
) -> Node {
    Node {
        path,
        user: user.map(Account::from),
        group: group.map(Account::from),
        overwrite: if overwrite {
            Overwrite::Replace
        } else {
            Overwrite::Refuse
        },
    }
}

fn link(one: keys::Link) -> Link {
    Link {
        node: node(one.path, one.user, one.group, one.overwrite),
        target: one.target,
        is_hard: one.hard,
    }
}

fn group(one: keys::Group) -> Group {
    Group {
        name: one.name,
        id: one.id,
        is_system: one.system,
        password: None,
    }
}

fn user(one: keys::User) -> User {
    User {
        name: one.name,
        id: one.id,
        is_system: one.system,
        full_name: one.full_name,
        home: one.home,
        without_home: one.without_home,
        shell: one.shell,
        primary_group: one.primary_group,
        groups: one.groups,
        password: one.password_hash.map(PasswordHash),
        ssh_keys: one.ssh_keys,
        sudo: Vec::new(),
    }
}
