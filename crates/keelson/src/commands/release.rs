//! `keelson release`: from a built image to a release directory, and checking one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use image_build::error::chain;
use image_build::lock::{PackagesLock, TREE_TOOLS, kernel_tree};
use image_build::output::BuiltImage;
use jiff::{SignedDuration, Timestamp};
use release_build::directory::ReleaseDirectory;
use release_build::keys::KeyFolders;
use release_build::publication::Lifetimes;
use release_build::release::{Image, ReleaseOptions, Released, refresh, release};
use update_client::check::{Finding, check};
use update_client::repository::{Expiry, Repository};
use update_client::source::DirectorySource;
use update_model::changelog::{Change, Package};
use update_model::rollout::{Rollout, Wave};

use crate::release_cli::{LifetimeArguments, ReleaseArguments, Waves};

/// The only architecture that images are built for.
const ARCHITECTURE: &str = "x86-64";

/// Runs the command.
pub(crate) fn run(arguments: &ReleaseArguments) -> anyhow::Result<ExitCode> {
    if arguments.check {
        return run_check(arguments);
    }
    let keys = arguments
        .keys
        .clone()
        .context("--keys is missing: make some with `keelson keys create`")?;
    let (directory, keys) = places(&arguments.directory, keys);
    if arguments.refresh {
        refresh(
            &directory,
            &keys,
            lifetimes(&arguments.lifetimes),
            now(arguments)?,
        )?;
        eprintln!("{} is signed again", directory.path.display());
        return Ok(ExitCode::SUCCESS);
    }
    let image = image(arguments)?;
    let options = options(arguments)?;
    let steps = |name: &str, took: std::time::Duration, summary: &str| {
        eprintln!("{name:<10} {:>6.1} s  {summary}", took.as_secs_f64());
    };
    let released = release(&directory, &keys, &image, &options, &steps)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&released)?);
    } else {
        print(&released, &directory.path);
    }
    Ok(ExitCode::SUCCESS)
}

/// Where a release directory and its keys are; the root's are not needed.
pub(crate) fn places(directory: &Path, keys: PathBuf) -> (ReleaseDirectory, KeyFolders) {
    let directory = ReleaseDirectory {
        path: directory.to_owned(),
        keys: keys.clone(),
    };
    let keys = KeyFolders {
        root_folder: keys.clone(),
        folder: keys,
    };
    (directory, keys)
}

/// How long metadata holds.
pub(crate) fn lifetimes(arguments: &LifetimeArguments) -> Lifetimes {
    let days = |days: u16| SignedDuration::from_hours(i64::from(days) * 24);
    Lifetimes {
        targets: days(arguments.targets_days),
        snapshot: days(arguments.timestamp_days),
    }
}

/// A rollout that begins now.
pub(crate) fn rollout(waves: Option<&Waves>, now: Timestamp) -> anyhow::Result<Rollout> {
    let wave = |(percent, after_seconds): &(u8, u32)| Wave {
        after_seconds: *after_seconds,
        percent: *percent,
    };
    let rollout = Rollout {
        start: now,
        waves: waves.into_iter().flatten().map(wave).collect(),
    };
    rollout.check().context("--waves")?;
    Ok(rollout)
}

fn now(arguments: &ReleaseArguments) -> anyhow::Result<Timestamp> {
    let seconds = arguments
        .timestamp
        .unwrap_or_else(|| Timestamp::now().as_second());
    Timestamp::from_second(seconds).context("--timestamp")
}

fn options(arguments: &ReleaseArguments) -> anyhow::Result<ReleaseOptions> {
    let now = now(arguments)?;
    let minimum_version = arguments.minimum_version.as_deref();
    let minimum_version = minimum_version.map(str::parse).transpose();
    Ok(ReleaseOptions {
        channels: arguments.channels.clone(),
        rollout: rollout(arguments.waves.as_ref(), now)?,
        barrier: arguments.barrier,
        minimum_version: minimum_version.context("--minimum-version")?,
        deltas: arguments.deltas,
        level: arguments.level,
        frame_length: usize::from(arguments.frame_size) * 1024 / 4096 * 4096,
        lifetimes: lifetimes(&arguments.lifetimes),
        now,
    })
}

fn image(arguments: &ReleaseArguments) -> anyhow::Result<Image> {
    let manifest = BuiltImage::load(&arguments.image)?.manifest;
    let lock = PackagesLock::load(&arguments.lock)?;
    let kernel = kernel_tree(&manifest.product);
    let is_inside =
        |tree: &str| tree != TREE_TOOLS && (!tree.starts_with("kernel-") || tree == kernel);
    let mut packages: Vec<Package> = lock
        .packages
        .into_iter()
        .filter(|package| is_inside(&package.tree))
        .map(|package| Package {
            name: package.name,
            version: package.version,
        })
        .collect();
    packages.sort();
    packages.dedup();
    Ok(Image {
        product: manifest.product,
        architecture: ARCHITECTURE.to_owned(),
        version: manifest.version.parse()?,
        root_hash: manifest.root_hash.parse()?,
        root: manifest.root,
        verity: manifest.verity,
        uki: manifest.uki,
        packages,
    })
}

fn print(released: &Released, directory: &Path) {
    let manifest = &released.manifest;
    if let Some(changelog) = &manifest.changelog {
        eprintln!("\nchanged since {}:", changelog.since);
        for Change { name, from, to } in &changelog.packages {
            let version =
                |version: &Option<String>| version.clone().unwrap_or_else(|| "none".to_owned());
            eprintln!("  {name} {} to {}", version(from), version(to));
        }
        if changelog.packages.is_empty() {
            eprintln!("  no package");
        }
    }
    eprintln!(
        "\nKeelson {} for {}: {}, channels {}",
        manifest.version,
        manifest.product,
        directory.display(),
        released.channels.join(", ")
    );
}

fn run_check(arguments: &ReleaseArguments) -> anyhow::Result<ExitCode> {
    let trusted = match (&arguments.trust, &arguments.keys) {
        (Some(file), _) => file.clone(),
        (None, Some(keys)) => keys.join("1.root.json"),
        (None, None) => {
            let own = arguments.directory.join("metadata/1.root.json");
            eprintln!(
                "trusting {}: --trust or --keys name another root",
                own.display()
            );
            own
        }
    };
    let root =
        std::fs::read(&trusted).with_context(|| format!("cannot read {}", trusted.display()))?;
    if let Some(folder) = &arguments.seen {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let source = Arc::new(DirectorySource::new(&arguments.directory));
    let seen = arguments.seen.as_deref();
    let repository = Repository::load(source.clone(), &root, seen, Expiry::Enforced)?;
    let mut findings = Vec::new();
    let bad = check(&repository, &*source, &root, &mut |finding| {
        let (good, text) = match &finding {
            Finding::Good(text) => (true, text.clone()),
            Finding::Bad(error) => (false, chain(error)),
        };
        if !arguments.json {
            eprintln!("{}  {text}", if good { "good" } else { "BAD " });
        }
        findings.push(serde_json::json!({ "good": good, "text": text }));
    });
    if arguments.json {
        let expires = repository.expires();
        println!(
            "{:#}",
            serde_json::json!({ "bad": bad, "expires": expires, "findings": findings })
        );
    }
    if bad > 0 {
        anyhow::bail!(
            "{bad} of {} findings in {} are bad",
            findings.len(),
            arguments.directory.display()
        );
    }
    eprintln!(
        "\n{} findings, all good; signatures hold until {}",
        findings.len(),
        repository.expires()
    );
    Ok(ExitCode::SUCCESS)
}
