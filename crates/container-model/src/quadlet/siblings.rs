//! Files that other files name, and what is made by them is called: `.network`, `.volume` and `.image` files.
//!
//! `web.network` is made by `web-network.service`, as podman has it, and the network is called `web` unless the file
//! says otherwise. An image is called what its file says.

use std::collections::BTreeMap;

use super::source::{QuadletFile, entries, last};

/// Endings of files, with what their section and the key of a name is.
const KINDS: &[(&str, &str, &str)] = &[
    ("image", "Image", "Image"),
    ("network", "Network", "NetworkName"),
    ("volume", "Volume", "VolumeName"),
];

/// Files that are there, with the names of what they make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Siblings(BTreeMap<String, String>);

impl Siblings {
    /// Of all files; those of other kinds count for nothing.
    pub fn of<'a>(files: impl IntoIterator<Item = &'a QuadletFile>) -> Self {
        let named = |file: &QuadletFile| Some((file.name.clone(), resource_name(file)?));
        Self(files.into_iter().filter_map(named).collect())
    }

    /// What a file's network, volume or image is called.
    pub(super) fn name(&self, file: &str) -> Option<&str> {
        self.0.get(file).map(String::as_str)
    }
}

/// Whether others may name a file.
pub fn is_sibling(file: &str) -> bool {
    kind(file).is_some()
}

fn kind(file: &str) -> Option<(&str, &'static (&'static str, &'static str, &'static str))> {
    let (stem, ending) = file.rsplit_once('.')?;
    let kind = KINDS.iter().find(|(known, _, _)| *known == ending)?;
    (!stem.is_empty()).then_some((stem, kind))
}

/// What the file's network, volume or image is called.
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
