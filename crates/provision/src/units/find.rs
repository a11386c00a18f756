//! Where the root has a unit's file, as systemd looks for it.
//!
//! What generators make at boot is not there yet.

use std::io;

use systemd_unit::UnitName;

use crate::root::{Kind, Root, join};

/// Where the owner's units are.
pub(super) const ETC: &str = "/etc/systemd/system";
/// Where units are, the first counts. What is in `/run` is gone by the time that matters.
const FOLDERS: &[&str] = &[
    ETC,
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
];

/// A unit's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// At this path, with this text.
    File { path: String, text: String },
    /// It cannot be started.
    Masked,
}

/// The file of a unit, or of its template; `None` if there is none.
pub(super) fn find(root: &Root, name: &UnitName) -> io::Result<Option<Found>> {
    let template = name.template();
    let names = [Some(name), template.as_ref()];
    for name in names.into_iter().flatten() {
        for folder in FOLDERS {
            let path = join(folder, name.as_str());
            if let Some(found) = at(root, path)? {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

fn at(root: &Root, path: String) -> io::Result<Option<Found>> {
    let Some(seen) = root.look(&path)? else {
        return Ok(None);
    };
    if seen.kind == Kind::Link("/dev/null".to_owned()) {
        return Ok(Some(Found::Masked));
    }
    let text = root.read_text(&path)?;
    Ok(text.map(|text| Found::File { path, text }))
}
