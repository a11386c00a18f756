//! `[Container]` as the command line of `launch run`, and the whole unit around it.
//!
//! Every problem of a file is found before any is told.

use systemd_unit::words::{self, Escapes};
use systemd_unit::{UnitFile, UnitName, boolean};

use super::keys::{self, Check, Handling};
use super::problem::Problem;
use super::siblings::{Siblings, translate, unit_of};
use super::source::{Entry, QuadletFile, entries, last, list};
use super::{GeneratedUnit, install, pod, service};
use crate::mount::{MountSource, parse_volume};
use crate::network::{Network, NetworkOption};
use crate::reference::ImageReference;
use crate::user::UserOption;

const SECTION: &str = "Container";
const LAUNCH: &str = "/usr/bin/launch";

pub(super) fn generate(
    file: &QuadletFile,
    siblings: &Siblings,
) -> Result<GeneratedUnit, Vec<Problem>> {
    let mut problems = Vec::new();
    let entries = entries(file, &mut problems);
    let name = unit_name(file, &mut problems);
    check_places(&entries, &mut problems);
    let mut translation = Translation::new(file, SECTION, &entries, siblings, problems);
    let command = translation.command();
    let Translation {
        needs,
        mut problems,
        ..
    } = translation;
    let links = name
        .as_ref()
        .map(|name| install::links(name, &entries, &mut problems));
    let text = text(file, &entries, &command, &needs, &mut problems);
    match (name, links, text) {
        (Some(name), Some(links), Some(text)) if problems.is_empty() => Ok(GeneratedUnit {
            name: name.to_string(),
            text,
            links,
        }),
        _ => Err(problems),
    }
}

pub(super) fn about(file: &QuadletFile, text: impl Into<String>) -> Problem {
    Problem {
        file: file.name.clone(),
        line: None,
        key: None,
        text: text.into(),
    }
}

fn unit_name(file: &QuadletFile, problems: &mut Vec<Problem>) -> Option<UnitName> {
    let Some(stem) = file.name.strip_suffix(".container") else {
        problems.push(about(file, "the file's name must end with `.container`"));
        return None;
    };
    let name = UnitName::new(format!("{stem}.service"));
    name.map_err(|error| problems.push(about(file, error.to_string())))
        .ok()
}

/// Sections and keys that nobody knows.
fn check_places(entries: &[Entry], problems: &mut Vec<Problem>) {
    for entry in entries {
        match entry.section.as_str() {
            "Unit" => {}
            "Service" => service::check(entry, problems),
            "Install" => install::check(entry, problems),
            SECTION => check_key(entry, problems),
            "Quadlet" if entry.key == "DefaultDependencies" => {}
            // As in every file of systemd's, such a section is somebody else's.
            other if other.starts_with("X-") => {}
            other => problems.push(entry.problem(format!(
                "there is no section [{other}]: [Unit], [Container], [Service], [Install] and [Quadlet] are known"
            ))),
        }
    }
}

fn check_key(entry: &Entry, problems: &mut Vec<Problem>) {
    match keys::find(&entry.key) {
        Some(Handling::Refused(reason)) => {
            problems.push(entry.problem(format!("not supported: {reason}")));
        }
        Some(_) => {}
        None => {
            let hint = keys::similar(&entry.key);
            let hint = hint.map_or(String::new(), |key| format!("; `{key}` is meant?"));
            problems.push(entry.problem(format!("there is no such key{hint}")));
        }
    }
}

/// What must be there before.
#[derive(Default)]
pub(super) struct Needs {
    /// Paths of the machine that must be mounted.
    mounts: Vec<String>,
    /// Units that make networks and volumes, and pull images.
    pub(super) units: Vec<String>,
    /// The pod's unit, without which the container is not.
    pod: Option<String>,
}

/// A command line that grows.
pub(super) struct Translation<'a> {
    file: &'a QuadletFile,
    section: &'static str,
    entries: &'a [Entry],
    siblings: &'a Siblings,
    pub(super) words: Vec<String>,
    pub(super) needs: Needs,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Translation<'a> {
    pub(super) fn new(
        file: &'a QuadletFile,
        section: &'static str,
        entries: &'a [Entry],
        siblings: &'a Siblings,
        problems: Vec<Problem>,
    ) -> Self {
        Self {
            file,
            section,
            entries,
            siblings,
            words: Vec::new(),
            needs: Needs::default(),
            problems,
        }
    }
}

impl Translation<'_> {
    /// Every key that is an option.
    pub(super) fn options(&mut self, keys: &[(&str, Handling)]) {
        for (key, handling) in keys {
            match handling {
                Handling::One(option, check) => self.one(key, option, *check),
                Handling::Each(option, check) => self.each(key, option, *check),
                Handling::Words(option, check) => self.each_word(key, option, *check),
                Handling::Flag(option) => {
                    if self.boolean(key) == Some(true) {
                        self.words.push((*option).to_owned());
                    }
                }
                Handling::Special => self.special(key),
                Handling::Refused(_) => {}
            }
        }
    }

    fn command(&mut self) -> String {
        self.options(keys::KEYS);
        self.name_by_default();
        let image = self.image();
        let arguments = self.arguments();
        let quoted: Vec<String> = self.words.iter().map(|word| quoted(word)).collect();
        [
            &[format!("{LAUNCH} run")],
            &quoted[..],
            &[image],
            &arguments[..],
        ]
        .concat()
        .join(" ")
    }

    fn option(&mut self, option: &str, value: &str) {
        // One word each: a value may begin with a dash.
        self.words.push(format!("{option}={value}"));
    }

    pub(super) fn check(&mut self, entry: &Entry, value: &str, check: Check) -> bool {
        if entry.has_specifier() {
            return true;
        }
        match check(value) {
            Ok(()) => true,
            Err(error) => {
                self.problems.push(entry.problem(error.to_string()));
                false
            }
        }
    }

    fn one(&mut self, key: &str, option: &str, check: Check) {
        if let Some(entry) = last(self.entries, self.section, key)
            && self.check(entry, &entry.value, check)
        {
            self.option(option, &entry.value);
        }
    }

    fn each(&mut self, key: &str, option: &str, check: Check) {
        for entry in list(self.entries, self.section, key) {
            if self.check(entry, &entry.value, check) {
                self.option(option, &entry.value);
            }
        }
    }

    fn each_word(&mut self, key: &str, option: &str, check: Check) {
        for entry in list(self.entries, self.section, key) {
            match words::split(&entry.value, Escapes::Resolve) {
                Ok(words) => {
                    for word in words {
                        if self.check(entry, &word, check) {
                            self.option(option, &word);
                        }
                    }
                }
                Err(error) => self.problems.push(entry.problem(error.to_string())),
            }
        }
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        let entry = last(self.entries, self.section, key)?;
        let value = boolean::parse(&entry.value);
        if value.is_none() {
            let text = format!("`{}` is neither yes nor no", entry.value);
            self.problems.push(entry.problem(text));
        }
        value
    }

    fn special(&mut self, key: &str) {
        match key {
            "CgroupsMode" => self.only(
                key,
                &["split"],
                "the container is always in the unit's control group",
            ),
            "EnvironmentFile" => self.environment_files(key),
            "LogDriver" => self.only(
                key,
                &["journald", "passthrough"],
                "output goes to the journal",
            ),
            // Off unless it is asked for, as podman has it: images with sudo would fail.
            "NoNewPrivileges" => {
                let on = self.boolean(key).unwrap_or(false);
                self.option("--security-opt", &format!("no-new-privileges={on}"));
            }
            "Notify" => self.notify(key),
            "ReadOnlyTmpfs" => self.read_only_tmpfs(key),
            "SeccompProfile" => self.seccomp(key),
            // It holds anyway, either way of it: there is no SELinux.
            "SecurityLabelDisable" => {
                self.boolean(key);
            }
            "Unmask" => self.unmask(key),
            "User" => self.user(key),
            "Group" if last(self.entries, SECTION, "User").is_none() => self.group_alone(key),
            "Volume" => self.volumes(key),
            "Mount" => self.mounts(key),
            "Network" => self.networks(key),
            "Pod" => self.pod(key),
            "StartWithPod" => self.start_with_pod(key),
            // `Image`, `Exec` and `Group` have their place elsewhere.
            _ => {}
        }
    }

    /// On unless it is switched off, as podman has it.
    fn read_only_tmpfs(&mut self, key: &str) {
        let read_only = last(self.entries, SECTION, "ReadOnly");
        let is_read_only = read_only.and_then(|entry| boolean::parse(&entry.value)) == Some(true);
        if self.boolean(key) != Some(false) && is_read_only {
            self.words.push("--read-only-tmpfs".to_owned());
        }
    }

    /// A key whose values mean what is done anyway.
    pub(super) fn only(&mut self, key: &str, values: &[&str], reason: &str) {
        if let Some(entry) = last(self.entries, self.section, key)
            && !values.contains(&entry.value.as_str())
        {
            let text = format!("`{}` is not supported: {reason}", entry.value);
            self.problems.push(entry.problem(text));
        }
    }

    fn environment_files(&mut self, key: &str) {
        for entry in list(self.entries, SECTION, key) {
            if entry.value.starts_with('-') {
                let text = "a file that may be missing is not supported: write no `-` before it";
                self.problems.push(entry.problem(text));
                continue;
            }
            let path = self.beside(&entry.value);
            self.option("--env-file", &path);
        }
    }

    /// A path that is relative to the file.
    fn beside(&self, path: &str) -> String {
        let is_absolute = path.starts_with(['/', '%']);
        let path = path.strip_prefix("./").unwrap_or(path);
        if is_absolute {
            path.to_owned()
        } else {
            format!("{}/{path}", self.file.folder)
        }
    }

    fn notify(&mut self, key: &str) {
        let Some(entry) = last(self.entries, SECTION, key) else {
            return;
        };
        if entry.value == "healthy" {
            self.option("--notify", "healthy");
        } else if self.boolean(key) == Some(true) {
            self.option("--notify", "payload");
        }
    }

    fn seccomp(&mut self, key: &str) {
        if let Some(entry) = last(self.entries, SECTION, key) {
            let value = match entry.value.as_str() {
                "unconfined" => "unconfined".to_owned(),
                path => self.beside(path),
            };
            self.option("--security-opt", &format!("seccomp={value}"));
        }
    }

    fn unmask(&mut self, key: &str) {
        for entry in list(self.entries, SECTION, key) {
            if entry.value == "ALL" {
                self.option("--security-opt", "systempaths=unconfined");
            } else {
                let text = "which paths are hidden cannot be chosen one by one: `ALL` or nothing";
                self.problems.push(entry.problem(text));
            }
        }
    }

    fn user(&mut self, key: &str) {
        let Some(entry) = last(self.entries, SECTION, key) else {
            return;
        };
        let group = last(self.entries, SECTION, "Group");
        let value = match group {
            Some(group) => format!("{}:{}", entry.value, group.value),
            None => entry.value.clone(),
        };
        let check: Check = |text| text.parse::<UserOption>().map(|_| ());
        if self.check(entry, &value, check) {
            self.option("--user", &value);
        }
    }

    fn group_alone(&mut self, key: &str) {
        if let Some(entry) = last(self.entries, SECTION, key) {
            self.problems
                .push(entry.problem("it needs `User=` beside it"));
        }
    }

    fn volumes(&mut self, key: &str) {
        for entry in list(self.entries, SECTION, key) {
            let (source, rest) = entry.value.split_once(':').unwrap_or(("", &entry.value));
            let value = if source.ends_with(".volume") {
                let Some(name) = self.sibling(entry, source) else {
                    continue;
                };
                format!("{name}:{rest}")
            } else if source.starts_with('.') {
                format!("{}:{rest}", self.beside(source))
            } else {
                entry.value.clone()
            };
            if self.check(entry, &value, |text| parse_volume(text).map(|_| ())) {
                self.option("--volume", &value);
                if let Ok(mount) = parse_volume(&value)
                    && let MountSource::Bind { path, .. } = mount.source
                {
                    self.needs.mounts.push(path);
                }
            }
        }
    }

    /// The name that podman would give, without its prefix.
    fn name_by_default(&mut self) {
        if last(self.entries, SECTION, "ContainerName").is_none() {
            self.option("--name", "%N");
        }
    }

    /// What a file beside this one makes; its unit is started before.
    fn sibling(&mut self, entry: &Entry, file: &str) -> Option<String> {
        let (name, unit) = self.made_by(entry, file)?;
        if !self.needs.units.contains(&unit) {
            self.needs.units.push(unit);
        }
        Some(name)
    }

    /// What a file beside this one makes, and its unit.
    fn made_by(&mut self, entry: &Entry, file: &str) -> Option<(String, String)> {
        let found = self.siblings.name(file).zip(unit_of(file));
        if found.is_none() {
            let text = format!("there is no file {file}");
            self.problems.push(entry.problem(text));
        }
        found.map(|(name, unit)| (name.to_owned(), unit))
    }

    fn pod(&mut self, key: &str) {
        let Some(entry) = last(self.entries, SECTION, key) else {
            return;
        };
        let file = &entry.value;
        if file.strip_suffix(".pod").is_none() {
            let text = format!("`{file}` is no pod: the name of a file is wanted, `NAME.pod`");
            self.problems.push(entry.problem(text));
            return;
        }
        for key in pod::ITS_OWN {
            if let Some(entry) = last(self.entries, SECTION, key) {
                let text = format!("it is the pod's: write it into {file}");
                self.problems.push(entry.problem(text));
            }
        }
        if let Some(entry) = last(self.entries, SECTION, "UserNS") {
            self.problems.push(entry.problem(pod::USERS));
        }
        if let Some((name, unit)) = self.made_by(entry, file) {
            self.option("--pod", &name);
            self.needs.pod = Some(unit);
        }
    }

    /// What it says is for the pod's unit.
    fn start_with_pod(&mut self, key: &str) {
        self.boolean(key);
        if let Some(entry) = last(self.entries, SECTION, key)
            && last(self.entries, SECTION, "Pod").is_none()
        {
            self.problems
                .push(entry.problem("it needs `Pod=` beside it"));
        }
    }

    fn networks(&mut self, key: &str) {
        let mut said: Vec<Network> = Vec::new();
        for entry in list(self.entries, self.section, key) {
            let Some(value) = self.network_value(entry) else {
                continue;
            };
            if !self.check(entry, &value, |text| {
                text.parse::<NetworkOption>().map(|_| ())
            }) {
                continue;
            }
            self.option("--network", &value);
            // What has a specifier is only known later.
            let Ok(option) = value.parse::<NetworkOption>() else {
                continue;
            };
            if let Some(reason) = cannot_follow(&said, &option.network) {
                self.problems.push(entry.problem(reason));
            }
            said.push(option.network);
        }
    }

    /// With the name of what a file beside this one makes.
    fn network_value(&mut self, entry: &Entry) -> Option<String> {
        let (file, wishes) = match entry.value.split_once(':') {
            Some((file, wishes)) => (file, format!(":{wishes}")),
            None => (entry.value.as_str(), String::new()),
        };
        if !file.ends_with(".network") {
            return Some(entry.value.clone());
        }
        let name = self.sibling(entry, file)?;
        Some(format!("{name}{wishes}"))
    }

    fn mounts(&mut self, key: &str) {
        for entry in list(self.entries, SECTION, key) {
            let mut fields: Vec<String> = Vec::new();
            for field in entry.value.split(',') {
                let source = field
                    .split_once('=')
                    .filter(|(key, _)| ["source", "src"].contains(key));
                fields.push(match source {
                    Some((key, file)) if file.ends_with(".volume") => {
                        let name = self.sibling(entry, file).unwrap_or_default();
                        format!("{key}={name}")
                    }
                    _ => field.to_owned(),
                });
            }
            let value = fields.join(",");
            if self.check(entry, &value, keys::is_mount) {
                self.option("--mount", &value);
            }
        }
    }

    fn image(&mut self) -> String {
        let Some(entry) = last(self.entries, SECTION, "Image") else {
            self.problems
                .push(about(self.file, "[Container] has no `Image=`"));
            return String::new();
        };
        let is_file = !entry.value.contains('/');
        if let Some(reason) = super::refused_type(&entry.value).filter(|_| is_file) {
            self.problems.push(entry.problem(reason));
            return String::new();
        }
        let image = if is_file && entry.value.strip_suffix(".image").is_some() {
            self.sibling(entry, &entry.value).unwrap_or_default()
        } else {
            self.check(entry, &entry.value, keys::is::<ImageReference>);
            entry.value.clone()
        };
        quoted(&image)
    }

    /// As they stand: quotes, escapes, specifiers and variables are systemd's to read.
    fn arguments(&mut self) -> Vec<String> {
        let Some(entry) = last(self.entries, SECTION, "Exec") else {
            return Vec::new();
        };
        if let Err(error) = words::split(&entry.value, Escapes::Resolve) {
            self.problems.push(entry.problem(error.to_string()));
        }
        vec![entry.value.clone()]
    }
}

/// Why a network cannot be one beside others.
fn cannot_follow(others: &[Network], network: &Network) -> Option<String> {
    if others.contains(network) {
        return Some(format!("the network {network} is said twice"));
    }
    let mut all = others.iter().chain(std::iter::once(network));
    let alone = all.find(|one| one.name().is_none())?;
    let text = format!("with `{alone}` there is no other network");
    (!others.is_empty()).then_some(text)
}

/// A word of a command line in which systemd resolves specifiers and no variables.
pub(super) fn quoted(word: &str) -> String {
    words::quote(&word.replace('$', "$$"))
}

/// systemd's patience, in seconds: the monitor kills a payload that does not end, and then cleans up.
fn unit_stop_timeout(seconds: u32) -> String {
    const CLEANING: u32 = 30;
    seconds.saturating_add(CLEANING).to_string()
}

/// The whole unit: what is always so, then what the file says, so that the file's word is the last.
fn text(
    file: &QuadletFile,
    entries: &[Entry],
    command: &str,
    needs: &Needs,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    let mut options: Vec<(&str, &str, String)> = Vec::new();
    let source = format!("{}/{}", file.folder, file.name);
    options.push(("Unit", "SourcePath", source));
    for unit in ["containerd.socket", "network-online.target"] {
        if unit == "network-online.target" && !has_default_dependencies(entries) {
            continue;
        }
        options.push(("Unit", "Wants", unit.to_owned()));
        options.push(("Unit", "After", unit.to_owned()));
    }
    for unit in &needs.units {
        options.push(("Unit", "Requires", unit.clone()));
        options.push(("Unit", "After", unit.clone()));
    }
    if let Some(unit) = &needs.pod {
        options.push(("Unit", "BindsTo", unit.clone()));
        options.push(("Unit", "After", unit.clone()));
    }
    for path in &needs.mounts {
        options.push(("Unit", "RequiresMountsFor", words::quote(path)));
    }
    let copied = |section: &'static str| {
        let of = entries.iter().filter(move |entry| entry.section == section);
        of.map(move |entry| (section, entry.key.as_str(), entry.value.clone()))
    };
    let of_unit =
        copied("Unit").map(|(section, key, value)| (section, key, translate(key, &value)));
    options.extend(of_unit);
    for (key, value) in service::DEFAULTS {
        options.push(("Service", key, (*value).to_owned()));
    }
    if let Some(Ok(seconds)) = last(entries, SECTION, "StopTimeout").map(|one| one.value.parse()) {
        options.push(("Service", "TimeoutStopSec", unit_stop_timeout(seconds)));
    }
    options.extend(copied("Service"));
    options.push(("Service", "ExecStart", command.to_owned()));
    // If the payload does not end in time, systemd kills the monitor with it before that could clean up.
    let name = last(entries, SECTION, "ContainerName").map_or("%N", |entry| entry.value.as_str());
    let clean = format!("-{LAUNCH} clean {}", quoted(name));
    options.push(("Service", "ExecStopPost", clean));
    options.extend(copied("Install"));
    let written = options
        .iter()
        .map(|(section, key, value)| (*section, *key, value.as_str()));
    match UnitFile::from_options(written) {
        Ok(unit) => Some(unit.text().to_owned()),
        Err(error) => {
            problems.push(about(file, error.to_string()));
            None
        }
    }
}

pub(super) fn has_default_dependencies(entries: &[Entry]) -> bool {
    let entry = last(entries, "Quadlet", "DefaultDependencies");
    entry.and_then(|entry| boolean::parse(&entry.value)) != Some(false)
}
