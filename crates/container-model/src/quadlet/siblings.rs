//! Files that other files name, and what is made by them is called: `.network`, `.volume`, `.image` and `.pod` files; and which
//! containers are in which pod.
//!
//! `web.network` is made by `web-network.service`, as podman has it, and the network is called `web` unless the file
//! says otherwise. An image is called what its file says.

use std::collections::BTreeMap;

use systemd_unit::boolean;

use super::source::{QuadletFile, entries, last};

/// Endings of files, with what their section and the key of a name is.
const KINDS: &[(&str, &str, &str)] = &[
    ("image", "Image", "Image"),
    ("network", "Network", "NetworkName"),
    ("pod", "Pod", "PodName"),
    ("volume", "Volume", "VolumeName"),
];

/// Files that are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Siblings {
    /// Names of what they make.
    made: BTreeMap<String, String>,
    /// Units of containers that start with a pod, by the pod's file.
    members: BTreeMap<String, Vec<String>>,
}

impl Siblings {
    /// Of all files; those of other kinds count for nothing.
    pub fn of<'a>(files: impl IntoIterator<Item = &'a QuadletFile>) -> Self {
        let mut all = Self::default();
        for file in files {
            if let Some(name) = resource_name(file) {
                all.made.insert(file.name.clone(), name);
            }
            if let Some((pod, unit)) = membership(file) {
                all.members.entry(pod).or_default().push(unit);
            }
        }
        all
    }

    /// What a file's network, volume, image or pod is called.
    pub(super) fn name(&self, file: &str) -> Option<&str> {
        self.made.get(file).map(String::as_str)
    }

    /// Units of containers that a pod's unit starts.
    pub(super) fn started_with(&self, pod: &str) -> &[String] {
        self.members.get(pod).map_or(&[], Vec::as_slice)
    }
}

/// The pod that starts a container, and the container's unit. Nobody knows which instances of a template there are.
fn membership(file: &QuadletFile) -> Option<(String, String)> {
    let stem = file.name.strip_suffix(".container")?;
    if stem.ends_with('@') {
        return None;
    }
    let all = entries(file, &mut Vec::new());
    let pod = last(&all, "Container", "Pod")?.value.clone();
    let starts = last(&all, "Container", "StartWithPod");
    let starts = starts.and_then(|entry| boolean::parse(&entry.value));
    (starts != Some(false)).then(|| (pod, format!("{stem}.service")))
}

/// Whether others may name a file.
pub(super) fn is_sibling(file: &str) -> bool {
    kind(file).is_some()
}

fn kind(file: &str) -> Option<(&str, &'static (&'static str, &'static str, &'static str))> {
    let (stem, ending) = file.rsplit_once('.')?;
    let kind = KINDS.iter().find(|(known, _, _)| *known == ending)?;
    (!stem.is_empty()).then_some((stem, kind))
}

/// What the file's network, volume, image or pod is called.
pub(super) fn resource_name(file: &QuadletFile) -> Option<String> {
    let (stem, (_, section, key)) = kind(&file.name)?;
    // Problems are told when the file itself is judged.
    let all = entries(file, &mut Vec::new());
    let told = last(&all, section, key).map(|entry| entry.value.clone());
    Some(told.unwrap_or_else(|| stem.to_owned()))
}

/// The unit that a file of Quadlet's becomes, by its name; none of other files.
pub fn unit_of(file: &str) -> Option<String> {
    if let Some((stem, (ending, _, _))) = kind(file) {
        return Some(format!("{stem}-{ending}.service"));
    }
    file.strip_suffix(".container")
        .map(|stem| format!("{stem}.service"))
}

/// A setting of [Unit], with files of Quadlet's turned into their units where units are named.
pub(super) fn translate(key: &str, value: &str) -> String {
    const KEYS: &[&str] = &[
        "After",
        "Before",
        "BindsTo",
        "Conflicts",
        "OnFailure",
        "OnSuccess",
        "PartOf",
        "Requires",
        "Requisite",
        "Upholds",
        "Wants",
    ];
    if !KEYS.contains(&key) {
        return value.to_owned();
    }
    let words = value.split_whitespace();
    let words: Vec<String> = words
        .map(|word| unit_of(word).unwrap_or_else(|| word.to_owned()))
        .collect();
    words.join(" ")
}
