//! Whether the root is verified as it is read: what the kernel says, not what `/init` claims.
//!
//! It reads no block of the root itself; dm-verity does at every read.
use disk_format::verity::RootHash;

use crate::device_mapper::{Question, Target};
use crate::mount_table::{Mount, MountTable};
use machine_facts::boot_facts::BootFacts;
use machine_facts::error::Fact;
use machine_facts::system_root::SystemRoot;

/// The name that `/init` gives the root's device.
const NAME: &str = "root";
/// Where the root hash stands among the words of a verity target's table
/// (Documentation/admin-guide/device-mapper/verity.rst of the kernel).
const ROOT_HASH_WORD: usize = 8;

/// The state of the running root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verification {
    /// Every block that was read fits the root hash this machine was booted with.
    Verified,
    /// The kernel has met a block that does not.
    Corrupted,
    /// Blocks are not checked, or not against the right hash; says why.
    NotVerified(String),
}

/// Asks about a device-mapper device by its name; see [`crate::device_mapper::query`].
pub(crate) type Query<'a> = &'a dyn Fn(&str, Question) -> Fact<Target>;

/// Finds out.
pub(crate) fn read(
    root: &SystemRoot,
    mounts: &MountTable,
    boot: &BootFacts,
    query: Query<'_>,
) -> Fact<Verification> {
    let mount = mounts.at("/")?;
    if let Some(reason) = wrong_device(root, mount, boot)? {
        return Ok(Verification::NotVerified(reason));
    }
    let table = query(NAME, Question::Table)?;
    let status = query(NAME, Question::Status)?;
    Ok(judge(&table, &status, &boot.root_hash))
}

/// What is wrong with the device `/` is on, as far as anybody may see.
fn wrong_device(root: &SystemRoot, mount: &Mount, boot: &BootFacts) -> Fact<Option<String>> {
    if !boot.verity {
        return Ok(Some("/init opened the root without dm-verity".to_owned()));
    }
    if mount.file_system != "erofs" {
        let kind = &mount.file_system;
        return Ok(Some(format!("/ is a file system of the kind {kind}")));
    }
    let folder = format!("/sys/dev/block/{}/dm", mount.device_numbers);
    match root.read_word(&format!("{folder}/name")) {
        Ok(name) if name == NAME => Ok(None),
        Ok(name) => Ok(Some(format!("/ is on the device {name:?}, not {NAME:?}"))),
        Err(error) if error.is_missing_file() => Ok(Some(plain_device(mount))),
        Err(error) => Err(error),
    }
}

fn plain_device(mount: &Mount) -> String {
    format!("/ is on {}, which is no device-mapper device", mount.source)
}

fn judge(table: &Target, status: &Target, root_hash: &RootHash) -> Verification {
    if table.kind != "verity" || status.kind != "verity" {
        let kind = &table.kind;
        return Verification::NotVerified(format!("the root's device is of the kind {kind}"));
    }
    let used = table.text.split(' ').nth(ROOT_HASH_WORD);
    if used.and_then(|text| text.parse().ok()) != Some(*root_hash) {
        let used = used.unwrap_or_default();
        return Verification::NotVerified(format!(
            "the root is checked against another root hash, {used}"
        ));
    }
    match status.text.as_bytes().first() {
        Some(b'V') => Verification::Verified,
        Some(b'C') => Verification::Corrupted,
        _ => Verification::NotVerified(format!("dm-verity reports {:?}", status.text)),
    }
}

#[cfg(test)]
mod tests;
