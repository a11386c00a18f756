//! What becomes of a configuration where it was found, once it is applied. What fails is told: the machine is configured.

use std::io;
use std::path::Path;

use anyhow::Context as _;
use machine_facts::provision_record::{GIVEN, Outcome, Record};
use provision::{Afterwards, Found, Root, given};
use rustix::mount::MountFlags;

use crate::attached::{MOUNT_POINT, with_mounted};

/// Where the EFI system partition is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Esp<'a> {
    /// On this device, which nobody has mounted.
    Device(&'a Path),
    /// Mounted here, or as soon as somebody looks.
    Folder(&'a Path),
}

/// Erases what can be, after what was done with it.
pub(crate) fn settle(root: &Root, found: &Found, record: &Record, esp: Option<Esp<'_>>) {
    let is_applied = record.outcome == Outcome::Applied;
    let (true, Afterwards::ErasedFromEsp, Some(esp)) = (is_applied, found.afterwards, esp) else {
        return;
    };
    match erase(root, found, esp) {
        Ok(()) => println!(
            "provision: erased {}; {GIVEN} has it, for a reset",
            found.source
        ),
        Err(error) => println!("provision: {} stays there: {error:#}", found.source),
    }
}

/// First it is kept.
fn erase(root: &Root, found: &Found, esp: Esp<'_>) -> anyhow::Result<()> {
    given::keep(root, found).with_context(|| format!("cannot write {GIVEN}"))?;
    let erased = match esp {
        Esp::Folder(folder) => given::erase(folder, &found.name),
        Esp::Device(device) => erase_on(device, &found.name),
    };
    erased.context("cannot erase it")
}

fn erase_on(device: &Path, name: &str) -> io::Result<()> {
    let erase = || given::erase(Path::new(MOUNT_POINT), name);
    with_mounted(device, "vfat", MountFlags::empty(), erase)?
}
