//! A plan as lines for people: what would be done, in the order in which it is done.
//!
//! Contents and hashes of passwords are not shown, only how large and where from.

use disk_format::state_disk::{DiskName, Encryption, StateDisk};
use serde::Serialize;

use crate::plan::{
    Contents, Disk, Effect, Enablement, File, FileSystem, Node, Plan, Source, Unit, User, Writing,
};
use crate::variables::Unknown;

/// One thing that would be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Action {
    /// To what kind of thing: `file`, `unit`, …
    pub kind: &'static str,
    /// To which.
    pub name: String,
    /// What.
    pub detail: String,
}

/// All of it.
pub fn outline(plan: &Plan) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut add = |kind, name: String, detail: String| {
        actions.push(Action { kind, name, detail });
    };
    for include in &plan.includes {
        let effect = match include.value.effect {
            Effect::Merge => "merged into this one",
            Effect::Replace => "used instead of this one",
        };
        add(
            "configuration",
            source(&include.value.contents),
            effect.to_owned(),
        );
    }
    if let Some(name) = &plan.hostname {
        add("hostname", name.value.clone(), "set".to_owned());
    }
    if let Some(zone) = &plan.time_zone {
        add("time zone", zone.value.clone(), "set".to_owned());
    }
    disks(plan, &mut add);
    for group in &plan.groups {
        let id = group
            .value
            .id
            .map_or_else(String::new, |id| format!(" with id {id}"));
        add("group", group.value.name.clone(), format!("made{id}"));
    }
    for user in &plan.users {
        add("user", user.value.name.clone(), user_detail(&user.value));
    }
    for one in &plan.directories {
        let mode = one
            .value
            .mode
            .map_or_else(|| "0755".to_owned(), |mode| mode.to_string());
        let detail = format!("{mode}{}", owners(&one.value.node));
        add("directory", one.value.node.path.clone(), detail);
    }
    for one in &plan.files {
        add("file", one.value.node.path.clone(), file_detail(&one.value));
    }
    for one in &plan.links {
        let kind = if one.value.is_hard {
            "hard link to"
        } else {
            "to"
        };
        let detail = format!("{kind} {}{}", one.value.target, owners(&one.value.node));
        add("link", one.value.node.path.clone(), detail);
    }
    for one in &plan.units {
        add("unit", one.value.name.to_string(), unit_detail(&one.value));
    }
    for one in &plan.commands {
        add("command", one.value.to_string(), "run once".to_owned());
    }
    actions.extend(variables(plan));
    actions
}

fn disks(plan: &Plan, add: &mut impl FnMut(&'static str, String, String)) {
    if let Some(state) = &plan.state {
        add(
            "state",
            state_name(state.value.site.name.as_ref()),
            state_detail(&state.value),
        );
    }
    for disk in &plan.disks {
        add("disk", disk.value.device.clone(), disk_detail(&disk.value));
    }
    for one in &plan.file_systems {
        let detail = file_system_detail(&one.value);
        add("file system", one.value.device.clone(), detail);
    }
}

fn state_name(name: Option<&DiskName>) -> String {
    match name {
        None => "the disk that is booted from".to_owned(),
        Some(DiskName::Serial(serial)) => format!("the disk with the serial number {serial}"),
        Some(DiskName::Wwid(wwid)) => format!("the disk with the WWID {wwid}"),
        Some(DiskName::PartitionLabel(label)) => format!("the partition with the label {label}"),
    }
}

fn state_detail(state: &StateDisk) -> String {
    let manner = if state.is_wiped {
        "made at the first boot, whatever is there"
    } else {
        "made at the first boot if nothing is there, else the boot stops"
    };
    let encryption = match (state.site.encryption, state.has_recovery_key) {
        (Encryption::None, _) => "",
        (Encryption::Tpm2, false) => ", encrypted by a key that only this machine's TPM has",
        (Encryption::Tpm2, true) => {
            ", encrypted by a key of this machine's TPM and one for recovery"
        }
    };
    format!("{manner}{encryption}; from then on the machine does not start without it")
}

/// Each once, with what it stands in. One that a shell shall see may be meant otherwise.
fn variables(plan: &Plan) -> Vec<Action> {
    let mut actions: Vec<Action> = Vec::new();
    for one in &plan.variables {
        let name = format!("${}", one.value.name);
        let missing = match one.value.unknown {
            Unknown::Refused => "refused without",
            Unknown::Left => "stays as it is without",
        };
        let place = format!("{} ({missing})", one.key);
        match actions.iter_mut().find(|action| action.name == name) {
            Some(action) if action.detail.contains(&place) => {}
            Some(action) => action.detail.extend([", ", place.as_str()]),
            None => actions.push(Action {
                kind: "variable",
                name,
                detail: format!(
                    "by the metadata service that gives this configuration, in {place}"
                ),
            }),
        }
    }
    actions
}

fn source(contents: &Contents) -> String {
    match &contents.source {
        Source::Inline(bytes) => format!("{} bytes", bytes.len()),
        Source::Remote(remote) => remote.url.clone(),
    }
}

fn disk_detail(disk: &Disk) -> String {
    let wiped = if disk.is_wiped { "a new table; " } else { "" };
    let partitions = disk.partitions.iter().map(|one| {
        let number = one.number.map(|number| number.to_string());
        let name = one.label.clone().or(number).unwrap_or_default();
        let size = one.size_mib;
        let size = size.map_or_else(|| "the rest".to_owned(), |mib| format!("{mib} MiB"));
        format!("{name} ({size})")
    });
    let partitions: Vec<_> = partitions.collect();
    format!("{wiped}partitions {}", partitions.join(", "))
}

fn file_system_detail(one: &FileSystem) -> String {
    let manner = if one.is_wiped {
        "made, whatever is there"
    } else {
        "made unless it is there"
    };
    format!("{}, {manner}", one.format)
}

fn owners(node: &Node) -> String {
    match (&node.user, &node.group) {
        (None, None) => String::new(),
        (user, group) => {
            let name = |account: &Option<_>| match account {
                None => "root".to_owned(),
                Some(account) => format!("{account}"),
            };
            format!(", of {}:{}", name(user), name(group))
        }
    }
}

fn user_detail(user: &User) -> String {
    let mut parts = vec!["made or changed".to_owned()];
    if let Some(id) = user.id {
        parts.push(format!("id {id}"));
    }
    if !user.groups.is_empty() {
        parts.push(format!("in {}", user.groups.join(", ")));
    }
    if user.password.is_some() {
        parts.push("a password".to_owned());
    }
    match user.ssh_keys.len() {
        0 => {}
        1 => parts.push("1 SSH key".to_owned()),
        count => parts.push(format!("{count} SSH keys")),
    }
    parts.join("; ")
}

fn file_detail(file: &File) -> String {
    let mode = file
        .mode
        .map_or_else(|| "0644".to_owned(), |mode| mode.to_string());
    let parts: Vec<_> = file.writing.parts().map(source).collect();
    let bytes = match &file.writing {
        Writing::Touch => "made if it is not there".to_owned(),
        Writing::Append(_) => format!("{} put to its end", parts.join(" and ")),
        Writing::Whole(_) | Writing::WholeAndAppend(..) => parts.join(" and "),
    };
    format!("{mode}{}, {bytes}", owners(&file.node))
}

fn unit_detail(unit: &Unit) -> String {
    let mut parts = Vec::new();
    if let Some(text) = &unit.contents {
        parts.push(format!("{} bytes", text.len()));
    }
    parts.push(match unit.enablement {
        Enablement::Preset => "enabled by preset".to_owned(),
        Enablement::Enabled if has_no_install(unit) => {
            "enabled, which has no effect: its file has no [Install]".to_owned()
        }
        Enablement::Enabled => "enabled".to_owned(),
        Enablement::Wanted => "started at every boot".to_owned(),
        Enablement::Disabled => "disabled".to_owned(),
        Enablement::Masked => "masked".to_owned(),
    });
    for drop_in in &unit.drop_ins {
        parts.push(format!("drop-in {}", drop_in.name));
    }
    parts.join("; ")
}

fn has_no_install(unit: &Unit) -> bool {
    let text = unit.contents.as_deref();
    text.is_some_and(|text| !text.lines().any(|line| line.trim() == "[Install]"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn lines(text: &str) -> Vec<String> {
        let (_, plan) = parse(text.as_bytes()).unwrap();
        let lines = outline(&plan).into_iter();
        lines
            .map(|one| format!("{} {}: {}", one.kind, one.name, one.detail))
            .collect()
    }

    #[test]
    fn variables_are_told_once_with_where_they_count() {
        let text = "#cloud-config\nhostname: $hostname\nwrite_files:\n- path: /etc/a\n  \
                    content: \"$private_ipv4 $private_ipv4 $HOME\"\n\
                    coreos:\n  fleet:\n    public-ip: $private_ipv4\n    metadata: \"zone=$region\"\n";
        let by = "by the metadata service that gives this configuration, in";
        let expected = [
            format!(
                "variable $private_ipv4: {by} coreos.fleet.public-ip (refused without), \
                 write_files[0].content (stays as it is without)"
            ),
            format!("variable $region: {by} coreos.fleet.metadata (refused without)"),
        ];
        // No host name has a `$`, and none counts there.
        assert!(parse(text.as_bytes()).is_err());
        let mut found = lines(&text.replacen("$hostname", "a", 1));
        found.retain(|line| line.starts_with("variable "));
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_disk_of_state_is_told_with_what_becomes_of_it() {
        let found = lines("[state]\nserial = 'A'\n");
        let rest = "made at the first boot if nothing is there, else the boot stops; \
                    from then on the machine does not start without it";
        assert_eq!(
            found,
            [format!("state the disk with the serial number A: {rest}")]
        );
        let found = lines("[state]\npartition-label = 'var'\nwipe = true\n");
        assert!(found[0].starts_with(
            "state the partition with the label var: made at the first boot, whatever"
        ));
    }
}
