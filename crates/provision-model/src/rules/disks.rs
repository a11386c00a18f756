//! What holds for disks and file systems on every machine.

use super::Problems;
use crate::plan::Plan;

pub(super) fn check(plan: &Plan, problems: &mut Problems) {
    let disks = plan.disks.iter().map(|one| (&one.key, &one.value.device));
    let systems = plan.file_systems.iter();
    let systems = systems.map(|one| (&one.key, &one.value.device));
    for (key, device) in disks.chain(systems) {
        if !device.starts_with("/dev/") {
            problems.add(key, format!("{device:?} is no device, such as /dev/vdb"));
        }
    }
    for one in &plan.file_systems {
        if let Some(path) = &one.value.path {
            check_mount_point(path, plan, problems);
        }
    }
}

/// It is mounted by a unit, later: what is written before would lie below it, unseen.
fn check_mount_point(mount_point: &str, plan: &Plan, problems: &mut Problems) {
    let folder = format!("{}/", mount_point.trim_end_matches('/'));
    let directories = plan
        .directories
        .iter()
        .map(|one| (&one.key, &one.value.node));
    let files = plan.files.iter().map(|one| (&one.key, &one.value.node));
    let links = plan.links.iter().map(|one| (&one.key, &one.value.node));
    for (key, node) in directories.chain(files).chain(links) {
        if node.path.starts_with(&folder) {
            let text = format!(
                "{} is on the file system of {mount_point}, which is not mounted yet: let a unit write it",
                node.path
            );
            problems.add(key, text);
        }
    }
}
