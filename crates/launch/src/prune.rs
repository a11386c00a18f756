//! `launch prune`: images that nothing uses, and what killed containers and pulls left.
//!
//! By hand everything goes that nobody needs; with `--policy` a timer calls it, and it removes images only if the disk is
//! fuller than `housekeeping.toml` allows, until it is not. Which may go, and in which order, is decided in
//! `container_model::housekeeping`; who needs an image is found out in `prune::needs`.

mod needs;
mod parts;

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use container_model::housekeeping::{self, Candidate, Disk, Settings};
use container_model::name::Name;
use image_store::store::{Image, Store};
use image_store::{room, uses};
use serde::Serialize;

use crate::cli::PruneArguments;
use crate::resource_command::print_json;
use crate::run;
use needs::Needs;
use parts::Parts;

/// What was removed, or would be.
#[derive(Debug, Serialize)]
struct Report {
    dry_run: bool,
    /// Names of images.
    images: Vec<Removed>,
    /// Images that stay, with the reason.
    kept: Vec<Kept>,
    /// Containers that were killed, of which something was left.
    containers: Vec<Name>,
    /// Leases of pulls and the like that were killed.
    leases: usize,
    /// Bytes: by what the file system says before and after; of a dry run by the images' sizes as they are fetched.
    freed: u64,
    disk: DiskReport,
}

#[derive(Debug, Serialize)]
struct DiskReport {
    path: &'static str,
    size: u64,
    available: u64,
}

#[derive(Debug, Serialize)]
struct Removed {
    name: String,
    digest: String,
    unused_for_seconds: u64,
}

#[derive(Debug, Serialize)]
struct Kept {
    name: String,
    because: String,
}

/// What is wanted.
#[derive(Debug, Clone, Copy)]
struct Goal {
    keep_used_within: Duration,
    /// Until the disk has so much room; everything without.
    until: Option<Until>,
}

#[derive(Debug, Clone, Copy)]
struct Until {
    high: u8,
    low: u8,
}

pub(crate) async fn run(arguments: &PruneArguments) -> anyhow::Result<()> {
    let goal = goal(arguments)?;
    if let Some(until) = goal.until {
        // A machine with room does not wake containerd for it.
        let has_room = !room::disk()?.is_over(until.high);
        if has_room && !run::has_leftovers() && !arguments.json && !arguments.dry_run {
            return Ok(());
        }
    }
    let report = prune(&Store::connect().await?, goal, arguments.dry_run).await?;
    if arguments.json {
        return print_json(&report);
    }
    print(&report, goal);
    Ok(())
}

fn goal(arguments: &PruneArguments) -> anyhow::Result<Goal> {
    if !arguments.policy {
        return Ok(Goal {
            keep_used_within: arguments.keep_used_within.unwrap_or_default(),
            until: None,
        });
    }
    let settings = match std::fs::read_to_string(housekeeping::FILE) {
        Ok(text) => Settings::parse(&text).context(housekeeping::FILE)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Settings::default(),
        Err(error) => return Err(error).context(housekeeping::FILE),
    };
    Ok(Goal {
        keep_used_within: settings.keep_used_within,
        until: Some(Until {
            high: settings.high_percent,
            low: settings.low_percent,
        }),
    })
}

async fn prune(store: &Store, goal: Goal, is_dry: bool) -> anyhow::Result<Report> {
    let before = room::disk()?;
    let containers = if is_dry {
        Vec::new()
    } else {
        run::sweep(store).await
    };
    let leases = leases(store, goal, is_dry).await?;
    if !is_dry && (leases > 0 || !containers.is_empty()) {
        store.collect_garbage().await?;
    }
    let images = store.images().await?;
    let candidates = candidates(store, &images).await?;
    let mut report = Report {
        dry_run: is_dry,
        images: Vec::new(),
        kept: kept(&candidates),
        containers,
        leases,
        freed: 0,
        disk: DiskReport {
            path: room::FOLDER,
            size: before.size,
            available: before.available,
        },
    };
    let mut disk = room::disk()?;
    let mut would_go = Parts::default();
    if goal.until.is_none_or(|until| disk.is_over(until.high)) {
        for candidate in housekeeping::order(&candidates, goal.keep_used_within) {
            if goal.until.is_some_and(|until| !disk.is_over(until.low)) {
                break;
            }
            let image = images.iter().find(|image| image.name == candidate.name);
            let Some(image) = image else { continue };
            disk = if is_dry {
                with_more_room(disk, would_go.add(store, image).await)
            } else {
                store.remove_name(&image.name).await?;
                room::disk()?
            };
            report.images.push(Removed {
                name: image.name.clone(),
                digest: image.digest.to_string(),
                unused_for_seconds: candidate.unused_for.as_secs(),
            });
        }
    }
    report.freed = if is_dry {
        would_go.bytes()
    } else {
        disk.available.saturating_sub(before.available)
    };
    finish(&mut report, goal, disk);

    if !is_dry {
        let gone = |image: &&Image| !report.images.iter().any(|one| one.name == image.name);
        uses::keep_only(images.iter().filter(gone).map(|image| &image.digest));
    }
    Ok(report)
}

/// Leases of who is gone. A pull that was killed is gone on with by the next one, so the policy leaves its lease to end by
/// itself, after a day.
async fn leases(store: &Store, goal: Goal, is_dry: bool) -> anyhow::Result<usize> {
    let is_pulled = |id: &String| id.starts_with("launch-pull-");
    let mut leases = store.abandoned_leases(None).await?;
    leases.retain(|id| goal.until.is_none() || !is_pulled(id));
    let count = leases.len();
    if !is_dry {
        for lease in leases {
            store.end_lease(lease).await?;
        }
    }
    Ok(count)
}

async fn candidates(store: &Store, images: &[Image]) -> anyhow::Result<Vec<Candidate>> {
    let needs = Needs::look();
    let named_at = store.named_at().await?;
    let now = SystemTime::now();
    let candidate = |image: &Image| {
        let times = [
            uses::last(&image.digest),
            named_at.get(&image.name).copied(),
        ];
        let last = times.into_iter().flatten().max();
        Candidate {
            name: image.name.clone(),
            // Without any time, and with one that is still to come, it is a new one.
            unused_for: last
                .and_then(|last| now.duration_since(last).ok())
                .unwrap_or_default(),
            needed: needs.of(image),
        }
    };
    Ok(images.iter().map(candidate).collect())
}

/// As the disk would be.
fn with_more_room(disk: Disk, more: u64) -> Disk {
    Disk {
        available: disk.available.saturating_add(more).min(disk.size),
        ..disk
    }
}

fn kept(candidates: &[Candidate]) -> Vec<Kept> {
    let needed = candidates.iter().filter_map(|one| {
        let because = one.needed.clone()?;
        Some(Kept {
            name: one.name.clone(),
            because,
        })
    });
    needed.collect()
}

fn finish(report: &mut Report, goal: Goal, after: Disk) {
    report.disk.available = after.available;
    if let Some(until) = goal.until.filter(|until| after.is_over(until.high)) {
        eprintln!(
            "launch: {} is {} % full, and no image is left that {} lets go (more than {} %): remove volumes, containers \
             or other files",
            room::FOLDER,
            after.used_percent(),
            housekeeping::FILE,
            until.high
        );
    }
}

fn print(report: &Report, goal: Goal) {
    for image in &report.images {
        println!("{}\t{}", image.name, image.digest);
    }
    for container in &report.containers {
        println!("what the container {container} left");
    }
    if report.leases > 0 {
        println!("what {} killed pulls or starts left", report.leases);
    }
    let disk = Disk {
        size: report.disk.size,
        available: report.disk.available,
    };
    let enough = goal.until.filter(|until| !disk.is_over(until.high));
    if let Some(until) = enough.filter(|_| report.dry_run && report.images.is_empty()) {
        println!(
            "no image would go: {} is {} % full, and images go when it is more than {} %",
            report.disk.path,
            disk.used_percent(),
            until.high
        );
        return;
    }
    let mebibytes = report.freed.div_ceil(1024 * 1024);
    let verb = if report.dry_run { "would be" } else { "are" };
    println!("{mebibytes} MiB {verb} free that were not");
    if report.dry_run {
        for one in &report.kept {
            println!("kept: {}: {}", one.name, one.because);
        }
    }
}
