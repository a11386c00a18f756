//! A unit with its drop-ins, in the order in which systemd applies them.
//!
//! The texts are handed in, each with the folder it was in. Aliases are not followed, and that `/etc`
//! comes before `/run` and `/usr` is for whoever reads the folders.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::assignment::Assignment;
use crate::file::{SyntaxError, UnitFile};
use crate::name::{NameKind, UnitName};

/// How many drop-ins one unit may have.
pub const COUNT_MAX: usize = 256;

/// A file beside a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DropIn<'a> {
    /// The folder without what it is in: `foo.service.d`.
    pub folder: &'a str,
    /// The file in it: `10-memory.conf`.
    pub file: &'a str,
    /// What it holds. An empty one masks those of its name in less specific folders.
    pub text: &'a str,
}

/// Why drop-ins cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DropInError {
    /// A text is no unit file.
    #[error("{source_name}: {error}")]
    Syntax {
        /// `foo.service.d/10-memory.conf`, or the unit's name.
        source_name: String,
        /// Where and why.
        error: SyntaxError,
    },
    /// More than [`COUNT_MAX`].
    #[error("`{0}` has more than {COUNT_MAX} drop-ins")]
    TooMany(UnitName),
}

/// A unit and the drop-ins that count for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedUnit {
    parts: Vec<(String, UnitFile)>,
}

/// The folders that hold drop-ins for a unit, the most specific first: those of an instance before
/// its template's, longer prefixes before shorter ones, `service.d` at last.
pub fn folders(name: &UnitName) -> Vec<String> {
    let unit_type = name.unit_type().as_str();
    let mut found = Vec::new();
    let mut prefix = name.prefix();
    loop {
        match name.kind() {
            NameKind::Plain => found.push(format!("{prefix}.{unit_type}.d")),
            NameKind::Template => found.push(format!("{prefix}@.{unit_type}.d")),
            NameKind::Instance(instance) => {
                found.push(format!("{prefix}@{instance}.{unit_type}.d"));
                found.push(format!("{prefix}@.{unit_type}.d"));
            }
        }
        match prefix.trim_end_matches('-').rfind('-') {
            Some(dash) => prefix = &prefix[..=dash],
            None => break,
        }
    }
    found.push(format!("{unit_type}.d"));
    found
}

impl MergedUnit {
    /// Puts a unit and its drop-ins in order. Those for other units, and files that do not end with
    /// `.conf`, are left out.
    ///
    /// # Errors
    /// If a text that counts is no unit file, or there are too many.
    pub fn new(name: &UnitName, unit: UnitFile, files: &[DropIn<'_>]) -> Result<Self, DropInError> {
        let folders = folders(name);
        let mut chosen: BTreeMap<&str, (usize, &DropIn<'_>)> = BTreeMap::new();
        for file in files.iter().filter(|file| is_drop_in(file.file)) {
            let Some(rank) = folders.iter().position(|folder| folder == file.folder) else {
                continue;
            };
            let best = chosen.entry(file.file).or_insert((rank, file));
            if rank < best.0 {
                *best = (rank, file);
            }
        }
        if chosen.len() > COUNT_MAX {
            return Err(DropInError::TooMany(name.clone()));
        }
        let mut parts = vec![(name.to_string(), unit)];
        for (_, file) in chosen.into_values() {
            let source_name = format!("{}/{}", file.folder, file.file);
            let parsed = UnitFile::parse(file.text);
            let parsed = parsed.map_err(|error| DropInError::Syntax {
                source_name: source_name.clone(),
                error,
            })?;
            parts.push((source_name, parsed));
        }
        Ok(Self { parts })
    }

    /// The unit, then its drop-ins, each with its name.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &UnitFile)> {
        self.parts.iter().map(|(name, file)| (name.as_str(), file))
    }

    /// Every assignment in the order in which systemd reads them.
    pub fn assignments(&self) -> impl Iterator<Item = Assignment<'_>> {
        self.parts.iter().flat_map(|(_, file)| file.assignments())
    }
}

/// systemd looks at the end of the name only, in lower case.
fn is_drop_in(file: &str) -> bool {
    file.strip_suffix(".conf").is_some()
}
