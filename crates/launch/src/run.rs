//! `launch run`: everything before the monitor, in the order in which it can be undone.
//!
//! The policy is asked before containerd is, the name is taken before anything has it, and what a failure
//! leaves is removed at once. It ends by becoming the monitor, with the container's root mounted in a
//! namespace that no other process has.

mod bundle;
mod capabilities;
mod devices;
mod files;
mod folder;
mod held;
mod image_files;
mod monitor_words;
mod network;
mod pod;
mod pod_creation;
mod registration;
mod root;
pub(crate) mod terminal;
mod unit;
mod user_namespace;
mod volumes;

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use container_model::mount::{MountSource, Propagation};
use container_model::name::Name;
use container_model::oci_spec::image::ImageConfiguration;
use container_model::options::ContainerOptions;
use container_model::registration::Asked;
use image_store::store::{Image, RootMount, Store};
use image_store::unpack::Unpacked;
use image_store::{policy, unpack, uses};

use crate::cli::CleanArguments;
use crate::pull;
use crate::record;
use crate::run_arguments::{Notify, RunArguments};
use folder::ContainerFolder;
use held::Held;
use pod::Pod;
pub(crate) use pod_creation::{create as create_pod, remove as remove_pod};
use unit::Unit;

const MONITOR: &str = "/usr/lib/keelson/launch-monitor";

/// A container that only its monitor is missing to.
#[derive(Debug)]
pub(crate) struct Prepared {
    words: Vec<String>,
    folder: ContainerFolder,
    held: Held,
}

/// Makes everything ready for the monitor.
pub(crate) async fn prepare(arguments: &RunArguments) -> anyhow::Result<Prepared> {
    let mut options = arguments.options()?;
    let pod = arguments.pod.as_ref().map(Pod::find).transpose()?;
    if let Some(pod) = &pod {
        options = pod.joined(options)?;
    }
    options.check()?;
    refuse(&options)?;
    let asked = registration::asked(arguments, &options)?;
    // Before anything is asked or taken; what it wants of a signature comes with the image.
    policy::judge(&arguments.image)?;
    let unit = Unit::of_this_process()?;
    unit.check(&options)?;
    let name = name(arguments, &unit)?;
    let store = Store::connect_briefly().await?;
    let _swept = sweep(&store).await;
    let folder = ContainerFolder::take(&name)?;
    // What one of that name left that was killed with its monitor.
    held::give_back(&name)?;
    registration::remove(&name)?;
    let wanted = Wanted {
        options: &options,
        asked: &asked,
        pod,
    };
    let prepared = fill(arguments, wanted, &unit, &name, &store, folder).await;
    if prepared.is_err() {
        let _unmounted = root::unmount_here();
        let _given_back = held::give_back(&name);
        let _removed = remove_root(&store, &name).await;
        let _removed = ContainerFolder::remove(&name);
    }
    prepared
}

/// What the model knows and this program does not do.
fn refuse(options: &ContainerOptions) -> anyhow::Result<()> {
    for mount in &options.mounts {
        match &mount.source {
            MountSource::Bind { propagation, .. }
                if matches!(
                    propagation,
                    Propagation::Shared | Propagation::RecursiveShared
                ) =>
            {
                bail!(
                    "the propagation `{propagation}` is not supported: mounts of a container stay its own"
                );
            }
            _ => {}
        }
    }
    Ok(())
}

fn name(arguments: &RunArguments, unit: &Unit) -> anyhow::Result<Name> {
    match (&arguments.name, unit.name()) {
        (Some(name), _) => Ok(name.clone()),
        (None, Some(unit)) => {
            // `@` and `\` of units are no part of Docker's names.
            let plain = |c: char| {
                if c.is_ascii_alphanumeric() || "_.-".contains(c) {
                    c
                } else {
                    '_'
                }
            };
            let name: String = unit.chars().map(plain).collect();
            name.parse().with_context(|| {
                format!("the unit's name {unit} cannot be the container's: use --name")
            })
        }
        (None, None) => Ok(format!("launch-{}", std::process::id()).parse()?),
    }
}

/// The containers that something is left of in `/run`, and that nobody holds.
pub(crate) fn has_leftovers() -> bool {
    let mut names = ContainerFolder::all();
    names.extend(held::holders());
    names.extend(registration::announced());
    let is_abandoned = |name: &Name| ContainerFolder::hold_abandoned(name).is_some();
    // Whoever sweeps just now takes all of it.
    let sweeping = folder::sweeping().ok().flatten();
    sweeping.is_some_and(|_sweeping| names.iter().any(is_abandoned))
}

/// Removes what containers left whose monitor, or whose launcher, was killed, unless somebody does so just now, and gives
/// their names. It is nobody's fault here if that fails.
pub(crate) async fn sweep(store: &Store) -> Vec<Name> {
    let mut swept = Vec::new();
    let Ok(Some(_sweeping)) = folder::sweeping() else {
        return swept;
    };
    let mut names = ContainerFolder::all();
    names.extend(held::holders());
    names.extend(registration::announced());
    let roots = store.container_roots().await.unwrap_or_default();
    names.extend(roots.iter().filter_map(|name| name.parse().ok()));
    names.sort();
    names.dedup();
    for name in names {
        // Nobody takes the name meanwhile.
        if let Some(_held) = ContainerFolder::hold_abandoned(&name) {
            let is_kept = record::is_kept(&name) && !ContainerFolder::exists(&name);
            let _given_back = held::give_back(&name);
            let _removed = registration::remove(&name);
            let _removed = remove_root(store, &name).await;
            let _removed = ContainerFolder::remove(&name);
            // The files of a container that launcherd keeps are no leftover.
            if !is_kept {
                swept.push(name);
            }
        }
    }
    swept
}

/// Removes a writable root, unless it belongs to a container that launcherd keeps.
async fn remove_root(store: &Store, name: &Name) -> anyhow::Result<()> {
    if record::is_kept(name) {
        return Ok(());
    }
    Ok(store.remove_container_root(name.as_str()).await?)
}

/// What the command line says, understood.
struct Wanted<'a> {
    options: &'a ContainerOptions,
    asked: &'a Asked,
    pod: Option<Pod>,
}

async fn fill(
    arguments: &RunArguments,
    wanted: Wanted<'_>,
    unit: &Unit,
    name: &Name,
    store: &Store,
    folder: ContainerFolder,
) -> anyhow::Result<Prepared> {
    let reference = &arguments.image;
    let image = pull::image(store, reference, arguments.pull, &arguments.pulling).await?;
    uses::note(&image.digest);
    let (unpacked, root) = unpacked_root(store, &image, name)
        .await
        .with_context(|| reference.to_string())?;
    root::mount_privately(&root)?;
    let Wanted {
        options,
        asked,
        pod,
    } = wanted;
    let options = &with_image_volumes(options, &unpacked.configuration);
    let held = Held::take(name, unit, options, pod)?;
    // Volumes were filled with what the image has, as it is for everybody.
    if let Some(users) = &held.users {
        root::mount_mapped(&root, users)?;
    }
    let stop_signal = container_model::spec::stop_signal(options, &unpacked.configuration)?;
    bundle::write(
        &folder,
        options,
        &unpacked.configuration,
        unit,
        name,
        arguments,
        &held,
    )?;
    let health = arguments
        .monitored
        .health()
        .settings(unpacked.health.as_ref())?;
    let about = registration::Announced {
        unit,
        shown_name: arguments.shown_name.as_ref().unwrap_or(name),
        image: &image,
        configuration: &unpacked.configuration,
        options,
        held: &held,
        has_checks: health.is_some(),
    };
    let is_registered = registration::write(&folder, asked, &about)?;
    let more = monitor_words::words(arguments, unit, name, health)?;
    let mut words = vec![
        format!("--name={name}"),
        format!("--bundle={}", path_text(folder.path())?),
        format!("--image={reference}"),
        format!("--cgroup-manager={}", unit.cgroup_manager()),
        format!("--stop-signal={}", stop_signal.number()),
        format!("--stop-timeout={}", arguments.stop_timeout),
        format!("--readiness={}", readiness(arguments.notify)),
        format!("--sockets={}", unit.sockets()),
        format!("--launcher={}", path_text(&std::env::current_exe()?)?),
        format!("--registered={is_registered}"),
    ];
    words.extend(more);
    Ok(Prepared {
        words,
        folder,
        held,
    })
}

/// What the image says, and the container's root over its layers.
async fn unpacked_root(
    store: &Store,
    image: &Image,
    name: &Name,
) -> anyhow::Result<(Unpacked, RootMount)> {
    let is_kept = record::is_kept(name);
    let described = unpack::describe(store, image).await?;
    let (name, top) = (name.as_str(), &described.unpacked.top);
    // Almost always the layers are there, and nothing needs to be kept from being collected meanwhile.
    if let Some(root) = store.container_root(name, top, is_kept).await? {
        return Ok((described.unpacked, root));
    }
    let lease = store.lease("run").await?;
    let root = async {
        unpack::unpack_described(lease.store(), &described, &|_, _, _| {}).await?;
        lease.store().container_root(name, top, is_kept).await
    };
    let root = root.await;
    let ended = lease.end().await;
    let root = root?.context("the image's layers were removed while it was started")?;
    ended?;
    Ok((described.unpacked, root))
}

/// The options, with the volumes that the image wants to have.
fn with_image_volumes(options: &ContainerOptions, image: &ImageConfiguration) -> ContainerOptions {
    let mut options = options.clone();
    let wanted = container_model::spec::image_volumes(&options, image);
    options.mounts.extend(wanted);
    options
}

fn path_text(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))
}

fn readiness(notify: Notify) -> &'static str {
    match notify {
        Notify::Start => "start",
        Notify::Payload => "payload",
        Notify::Healthy => "healthy",
    }
}

impl Prepared {
    /// Becomes the monitor. It returns only if that fails.
    pub(crate) fn become_monitor(self) -> anyhow::Result<()> {
        // The monitor holds the name from now on.
        self.folder.keep_across_exec()?;
        self.held.keep_across_exec()?;
        let error = Command::new(MONITOR).args(&self.words).exec();
        let name = self.folder.name().clone();
        let _given_back = held::give_back(&name);
        let _removed = ContainerFolder::remove(&name);
        Err(error).context(MONITOR)
    }
}

/// Removes what a container left. It runs where the root is still mounted.
pub(crate) async fn clean(arguments: &CleanArguments) -> anyhow::Result<()> {
    let name = &arguments.name;
    let _held = match ContainerFolder::hold_abandoned(name) {
        // The caller has it.
        None if arguments.by_monitor => None,
        None => bail!("the container {name} is running"),
        held => held,
    };
    root::unmount_here()?;
    held::give_back(name)?;
    registration::remove(name)?;
    ContainerFolder::remove(name)?;
    if record::is_kept(name) {
        return Ok(());
    }
    // containerd collects what is removed soon after, of all containers that end then at once.
    let store = Store::connect_briefly().await?;
    Ok(store.remove_container_root(name.as_str()).await?)
}
