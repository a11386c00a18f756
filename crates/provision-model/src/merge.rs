//! Two plans made one: a configuration, and one that it brings along, which wins where both say something.
//!
//! As Ignition merges: entries of the same path or name are one, field by field. Whether the whole can be is
//! for [`crate::rules`], once more.

use crate::key_path::KeyPath;
use crate::plan::{
    Disk, DropIn, Enablement, Fetching, File, Group, Node, Overwrite, Partition, Plan, Stated,
    Unit, User, Writing,
};

impl Plan {
    /// The same, its keys standing below another: where its text was brought along.
    #[must_use]
    pub fn below(mut self, key: &KeyPath) -> Self {
        prefix(self.includes.iter_mut().map(|one| &mut one.key), key);
        let authorities = self.fetching.authorities.iter_mut();
        prefix(authorities.map(|one| &mut one.key), key);
        prefix(self.hostname.iter_mut().map(|one| &mut one.key), key);
        prefix(self.time_zone.iter_mut().map(|one| &mut one.key), key);
        prefix(self.state.iter_mut().map(|one| &mut one.key), key);
        prefix(self.disks.iter_mut().map(|one| &mut one.key), key);
        prefix(self.file_systems.iter_mut().map(|one| &mut one.key), key);
        prefix(self.groups.iter_mut().map(|one| &mut one.key), key);
        prefix(self.users.iter_mut().map(|one| &mut one.key), key);
        prefix(self.directories.iter_mut().map(|one| &mut one.key), key);
        prefix(self.files.iter_mut().map(|one| &mut one.key), key);
        prefix(self.links.iter_mut().map(|one| &mut one.key), key);
        prefix(self.units.iter_mut().map(|one| &mut one.key), key);
        prefix(self.commands.iter_mut().map(|one| &mut one.key), key);
        prefix(self.variables.iter_mut().map(|one| &mut one.key), key);
        self
    }

    /// With another that wins.
    #[must_use]
    pub fn merged(mut self, other: Self) -> Self {
        self.drop_paths_of(&other);
        self.includes.extend(other.includes);
        fetching(&mut self.fetching, other.fetching);
        self.hostname = other.hostname.or(self.hostname);
        self.time_zone = other.time_zone.or(self.time_zone);
        self.state = other.state.or(self.state);
        let device = |one: &Disk| one.device.clone();
        merge(&mut self.disks, other.disks, device, disk);
        merge(
            &mut self.file_systems,
            other.file_systems,
            |one| one.device.clone(),
            |one, other| *one = other,
        );
        merge(
            &mut self.groups,
            other.groups,
            |one| one.name.clone(),
            group,
        );
        merge(&mut self.users, other.users, |one| one.name.clone(), user);
        let path = |node: &Node| node.path.clone();
        merge(
            &mut self.directories,
            other.directories,
            |one| path(&one.node),
            |one, other| {
                node(&mut one.node, other.node);
                one.mode = other.mode.or(one.mode);
            },
        );
        merge(&mut self.files, other.files, |one| path(&one.node), file);
        merge(
            &mut self.links,
            other.links,
            |one| path(&one.node),
            |one, other| {
                node(&mut one.node, other.node);
                (one.target, one.is_hard) = (other.target, other.is_hard);
            },
        );
        let name = |one: &Unit| one.name.to_string();
        merge(&mut self.units, other.units, name, unit);
        self.commands.extend(other.commands);
        self.variables.extend(other.variables);
        self
    }

    /// What becomes something of another kind is no longer what it was.
    fn drop_paths_of(&mut self, other: &Self) {
        let is_directory = |path: &str| other.directories.iter().any(|d| d.value.node.path == path);
        let is_file = |path: &str| other.files.iter().any(|f| f.value.node.path == path);
        let is_link = |path: &str| other.links.iter().any(|l| l.value.node.path == path);
        self.directories.retain(|one| {
            let path = &one.value.node.path;
            !is_file(path) && !is_link(path)
        });
        self.files.retain(|one| {
            let path = &one.value.node.path;
            !is_directory(path) && !is_link(path)
        });
        self.links.retain(|one| {
            let path = &one.value.node.path;
            !is_directory(path) && !is_file(path)
        });
    }
}

fn prefix<'a>(keys: impl Iterator<Item = &'a mut KeyPath>, before: &KeyPath) {
    for key in keys {
        *key = before.join(key);
    }
}

/// Entries of the same name become one, where it stands; others come to the end.
fn merge<T>(
    list: &mut Vec<Stated<T>>,
    others: Vec<Stated<T>>,
    name: impl Fn(&T) -> String,
    into: impl Fn(&mut T, T),
) {
    for other in others {
        let wanted = name(&other.value);
        match list.iter_mut().find(|one| name(&one.value) == wanted) {
            None => list.push(other),
            Some(one) => {
                into(&mut one.value, other.value);
                one.key = other.key;
            }
        }
    }
}

fn fetching(one: &mut Fetching, other: Fetching) {
    one.authorities.extend(other.authorities);
    one.head_seconds = other.head_seconds.or(one.head_seconds);
    one.total_seconds = other.total_seconds.or(one.total_seconds);
    one.http_proxy = other.http_proxy.or(one.http_proxy.take());
    one.https_proxy = other.https_proxy.or(one.https_proxy.take());
    union(&mut one.no_proxy, other.no_proxy);
}

fn union(one: &mut Vec<String>, other: Vec<String>) {
    for text in other {
        if !one.contains(&text) {
            one.push(text);
        }
    }
}

/// Partitions are told by number or label, and there are few: the other's come after.
fn disk(one: &mut Disk, other: Disk) {
    one.is_wiped |= other.is_wiped;
    for partition in other.partitions {
        let is_same = |known: &&mut Partition| match (known.number, partition.number) {
            (None, None) => known.label == partition.label,
            (one, other) => one == other,
        };
        match one.partitions.iter_mut().find(is_same) {
            Some(known) => *known = partition,
            None => one.partitions.push(partition),
        }
    }
}

fn group(one: &mut Group, other: Group) {
    one.id = other.id.or(one.id);
    one.is_system |= other.is_system;
    one.password = other.password.or(one.password.take());
}

fn user(one: &mut User, other: User) {
    one.id = other.id.or(one.id);
    one.is_system |= other.is_system;
    one.without_home |= other.without_home;
    one.full_name = other.full_name.or(one.full_name.take());
    one.home = other.home.or(one.home.take());
    one.shell = other.shell.or(one.shell.take());
    one.primary_group = other.primary_group.or(one.primary_group.take());
    one.password = other.password.or(one.password.take());
    union(&mut one.groups, other.groups);
    union(&mut one.ssh_keys, other.ssh_keys);
    union(&mut one.sudo, other.sudo);
}

fn node(one: &mut Node, other: Node) {
    one.user = other.user.or(one.user.take());
    one.group = other.group.or(one.group.take());
    if other.overwrite == Overwrite::Replace {
        one.overwrite = Overwrite::Replace;
    }
}

fn file(one: &mut File, other: File) {
    node(&mut one.node, other.node);
    one.mode = other.mode.or(one.mode);
    let old = std::mem::replace(&mut one.writing, Writing::Touch);
    one.writing = writing(old, other.writing);
}

/// New bytes take the place of old ones; what is appended comes after what was appended.
fn writing(one: Writing, other: Writing) -> Writing {
    let (whole, mut parts) = apart(one);
    let (other_whole, other_parts) = apart(other);
    parts.extend(other_parts);
    match (other_whole.or(whole), parts.is_empty()) {
        (None, true) => Writing::Touch,
        (None, false) => Writing::Append(parts),
        (Some(whole), true) => Writing::Whole(whole),
        (Some(whole), false) => Writing::WholeAndAppend(whole, parts),
    }
}

fn apart(writing: Writing) -> (Option<crate::plan::Contents>, Vec<crate::plan::Contents>) {
    match writing {
        Writing::Touch => (None, Vec::new()),
        Writing::Whole(whole) => (Some(whole), Vec::new()),
        Writing::Append(parts) => (None, parts),
        Writing::WholeAndAppend(whole, parts) => (Some(whole), parts),
    }
}

fn unit(one: &mut Unit, other: Unit) {
    one.contents = other.contents.or(one.contents.take());
    if other.enablement != Enablement::Preset {
        one.enablement = other.enablement;
    }
    for drop_in in other.drop_ins {
        let is_same = |known: &&mut DropIn| known.name == drop_in.name;
        match one.drop_ins.iter_mut().find(is_same) {
            Some(known) => known.contents = drop_in.contents,
            None => one.drop_ins.push(drop_in),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;
    use crate::plan::{Contents, Mode};

    fn plan(text: &str) -> Plan {
        parse(text.as_bytes()).unwrap().1
    }

    #[test]
    fn the_other_wins_field_by_field() {
        let one = plan(
            "hostname = 'a'\ntime-zone = 'UTC'\n\
             users = [{ name = 'u', shell = '/bin/sh', ssh-keys = ['ssh-ed25519 AAAA'] }]\n\
             files = [{ path = '/etc/a', contents = 'a', mode = 0o600 }]\n\
             units = [{ name = 'x.service', enable = true, drop-ins = [{ name = 'a.conf', contents = '' }] }]\n",
        );
        let other = plan(
            "hostname = 'b'\n\
             users = [{ name = 'u', groups = ['g'], ssh-keys = ['ssh-ed25519 AAAA', 'ssh-ed25519 AAAAB'] }, { name = 'v' }]\n\
             files = [{ path = '/etc/a', contents = 'b' }]\n\
             units = [{ name = 'x.service', drop-ins = [{ name = 'a.conf', contents = '[Unit]' }] }]\n",
        );
        let merged = one.merged(other.below(&KeyPath::top().key("include").index(0)));
        assert_eq!(merged.hostname.unwrap().value, "b");
        assert_eq!(merged.time_zone.unwrap().value, "UTC");
        assert_eq!(merged.users.len(), 2);
        let user = &merged.users[0];
        assert_eq!(user.key.to_string(), "include[0].users[0]");
        assert_eq!(user.value.shell.as_deref(), Some("/bin/sh"));
        assert_eq!((user.value.ssh_keys.len(), user.value.groups.len()), (2, 1));
        let file = &merged.files[0].value;
        assert_eq!(file.mode, Mode::new(0o600));
        assert_eq!(file.writing, Writing::Whole(Contents::inline("b")));
        let unit = &merged.units[0].value;
        assert_eq!(unit.enablement, Enablement::Enabled);
        assert_eq!(unit.drop_ins[0].contents, "[Unit]");
    }

    #[test]
    fn a_path_is_what_the_other_says() {
        let one = plan(
            "links = [{ path = '/etc/a', target = 'b' }]\ndirectories = [{ path = '/etc/c' }]\n",
        );
        let other = plan(
            "files = [{ path = '/etc/a', contents = 'x' }]\nlinks = [{ path = '/etc/c', target = 'd' }]\n",
        );
        let merged = one.merged(other);
        assert_eq!(
            (
                merged.links.len(),
                merged.files.len(),
                merged.directories.len()
            ),
            (1, 1, 0)
        );
        assert_eq!(merged.links[0].value.node.path, "/etc/c");
    }

    #[test]
    fn what_is_appended_adds_up() {
        let append = |text: &str| {
            plan(&format!(
                "files = [{{ path = '/etc/a', contents = '{text}', append = true }}]"
            ))
        };
        let merged = append("a").merged(append("b"));
        let parts = vec![Contents::inline("a"), Contents::inline("b")];
        assert_eq!(merged.files[0].value.writing, Writing::Append(parts));
    }
}
