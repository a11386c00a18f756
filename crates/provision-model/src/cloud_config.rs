//! cloud-config, as cloud-init and CoreOS' coreos-cloudinit read it: YAML, scripts, lists of addresses, and
//! MIME messages of several of them.
//!
//! The keys are those of [`keys`]. Of the others, those that cloud-init knows are refused by name, with what
//! to do instead; unknown ones are problems too, where cloud-init would say nothing.

mod accounts;
mod coreos;
mod keys;
mod message;
mod write_files;

use serde_json::Value;

use crate::document::{Document, Positions};
use crate::key_path::KeyPath;
use crate::plan::{Command, Compression, Contents, Effect, Include, Plan, Remote, Source, Stated};
use crate::problem::{Position, Problem};
use crate::variables::{Filling, Unknown, Variables};
use keys::{Keys, Words};
use message::{Part, Type};

/// The plan of a text and where its keys stand, or all that is wrong with it.
pub fn plan(text: &str, variables: &Variables) -> Result<(Plan, Positions), Vec<Problem>> {
    let parts = message::parts(text)?;
    let is_alone = parts.len() == 1;
    let mut plan = Plan::default();
    let mut positions = Positions::default();
    let mut problems = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        let prefix = if is_alone {
            KeyPath::top()
        } else {
            KeyPath::top().key("part").index(index)
        };
        let mut reading = Reading {
            prefix,
            problems: Vec::new(),
            plan: &mut plan,
            variables,
        };
        let found = reading.part(&part);
        let mut new_problems = reading.problems;
        let before = part.lines_before;
        match found {
            Ok(found) => positions.add(&reading.prefix, before, found),
            Err(found) => {
                let shift = |problem| shifted(problem, &reading.prefix, before);
                new_problems.extend(found.into_iter().map(shift));
            }
        }
        positions.locate(&mut new_problems);
        problems.extend(new_problems);
    }
    if problems.is_empty() {
        return Ok((plan, positions));
    }
    Err(problems)
}

fn shifted(mut problem: Problem, prefix: &KeyPath, lines: usize) -> Problem {
    problem.key = prefix.join(&problem.key);
    if let Some(position) = &mut problem.position {
        position.line += lines;
    }
    problem
}

/// One part on its way into the plan.
struct Reading<'a> {
    prefix: KeyPath,
    problems: Vec<Problem>,
    plan: &'a mut Plan,
    variables: &'a Variables,
}

impl Reading<'_> {
    fn problem(&mut self, key: &KeyPath, text: impl Into<String>) {
        self.problems.push(Problem::new(key.clone(), text));
    }

    /// Problems that come back are about the part alone; those in `self` have the prefix.
    fn part(&mut self, part: &Part) -> Result<Positions, Vec<Problem>> {
        match part.kind {
            Type::Script => {
                let command = Command::Script(part.text.clone());
                self.plan
                    .commands
                    .push(Stated::new(command, self.prefix.clone()));
                Ok(Positions::default())
            }
            Type::Include => {
                self.include(&part.text);
                Ok(Positions::default())
            }
            Type::CloudConfig => {
                let document = Document::yaml(&part.text).map_err(|problem| vec![problem])?;
                self.document(&document)?;
                Ok(document.positions)
            }
        }
    }

    fn include(&mut self, text: &str) {
        let addresses = text.lines().map(str::trim);
        for address in addresses.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if !address.starts_with("http://") && !address.starts_with("https://") {
                let text = format!("{address:?} is no address of http or https");
                self.problem(&self.prefix.clone(), text);
                continue;
            }
            let contents = Contents {
                source: Source::Remote(Remote {
                    url: address.to_owned(),
                    headers: Vec::new(),
                }),
                compression: Compression::None,
                digest: None,
            };
            let effect = Effect::Merge;
            let include = Include { contents, effect };
            self.plan
                .includes
                .push(Stated::new(include, self.prefix.clone()));
        }
    }

    fn document(&mut self, document: &Document) -> Result<(), Vec<Problem>> {
        match &document.value {
            Value::Null => return Ok(()),
            Value::Object(map) => {
                let refused = refuse_known(map.keys());
                refused.map_err(|mut problems| {
                    document.positions.locate(&mut problems);
                    problems
                })?;
            }
            _ => {
                let start = Position { line: 1, column: 1 };
                return Err(vec![Problem::at(start, "the top must be a map of keys")]);
            }
        }
        let mut filling = Filling::default();
        let filled = document.filled(&FILLED, self.variables, &mut filling);
        let Filling { mut problems, used } = filling;
        if !problems.is_empty() {
            document.positions.locate(&mut problems);
            return Err(problems);
        }
        for one in used {
            let key = self.prefix.join(&one.key);
            self.plan.variables.push(Stated::new(one.value, key));
        }
        let keys: Keys = filled.read()?;
        self.keys(keys);
        Ok(())
    }

    fn keys(&mut self, keys: Keys) {
        let top = self.prefix.clone();
        if let Some(name) = keys.hostname {
            self.plan.hostname = Some(Stated::new(name, top.key("hostname")));
        } else if let Some(name) = keys.fqdn {
            self.plan.hostname = Some(Stated::new(name, top.key("fqdn")));
        }
        if let Some(zone) = keys.timezone {
            self.plan.time_zone = Some(Stated::new(zone, top.key("timezone")));
        }
        let key = top.key("groups");
        self.groups(keys.groups, &key);
        self.users(keys.users, &top.key("users"));
        self.default_users_keys(keys.ssh_authorized_keys, &top.key("ssh_authorized_keys"));
        for (index, file) in keys.write_files.into_iter().enumerate() {
            self.write_file(file, top.key("write_files").index(index));
        }
        for (index, words) in keys.runcmd.into_iter().enumerate() {
            let command = match words {
                Words::Line(line) => Command::Line(line),
                Words::List(words) => {
                    Command::Words(words.into_iter().map(|word| word.to_string()).collect())
                }
            };
            let key = top.key("runcmd").index(index);
            self.plan.commands.push(Stated::new(command, key));
        }
        if let Some(coreos) = keys.coreos {
            self.coreos(coreos, &top.key("coreos"));
        }
    }
}

/// Where variables count.
const FILLED: [(&str, Unknown); 2] = [("coreos", Unknown::Refused), ("write_files", Unknown::Left)];

/// What cloud-init has and this has not, with what to do instead.
const REFUSED: &[(&str, &str)] = &[
    (
        "apt",
        "the image is immutable: put the package into an image of your own",
    ),
    ("bootcmd", "write a unit that is ordered early enough"),
    ("ca_certs", "write the certificate below /etc/ssl/certs"),
    ("chpasswd", "give the user a `passwd` with its hash"),
    ("disk_setup", "partitioning is not supported yet"),
    ("fs_setup", "making file systems is not supported yet"),
    ("growpart", "the state partition grows by itself"),
    ("mounts", "write a .mount unit"),
    ("network", "write files below /etc/systemd/network"),
    ("ntp", "write a file below /etc/systemd/timesyncd.conf.d"),
    ("package_update", "the image is immutable: `osctl update`"),
    ("package_upgrade", "the image is immutable: `osctl update`"),
    (
        "packages",
        "the image is immutable: put the package into an image of your own",
    ),
    ("password", "give the user a `passwd` with its hash"),
    ("power_state", "use `runcmd`"),
    ("snap", "the image is immutable"),
    ("ssh_import_id", "write the keys as `ssh_authorized_keys`"),
    ("ssh_pwauth", "the image lets nobody in by a password"),
    ("swap", "write a .swap unit"),
];

fn refuse_known<'a>(keys: impl Iterator<Item = &'a String>) -> Result<(), Vec<Problem>> {
    let problem = |key: &String| {
        let (_, instead) = REFUSED.iter().find(|(name, _)| name == key)?;
        let text = format!("not supported: {instead}");
        Some(Problem::new(KeyPath::top().key(key), text))
    };
    let problems: Vec<_> = keys.filter_map(problem).collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}
