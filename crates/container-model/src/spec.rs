//! The OCI runtime specification of a container: an image's configuration and options become what a
//! runtime is told, with Docker's defaults.
//!
//! Whatever has to be looked up on the machine or in the image's files comes as [`Surroundings`]. The
//! network and the users are in namespaces that are passed in, and no hook is set.

mod linux;
mod mounts;

use std::collections::HashMap;
use std::path::PathBuf;

use oci_spec::OciSpecError;
use oci_spec::image::{Config, ImageConfiguration};
use oci_spec::runtime::{
    LinuxCapabilitiesBuilder, LinuxSeccomp, PosixRlimit, PosixRlimitBuilder, Process,
    ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};
use thiserror::Error;

use crate::capability;
use crate::command;
use crate::environment;
use crate::malformed::Malformed;
use crate::mount::{Access, Mount, MountSource, absolute};
use crate::name::Name;
use crate::options::ContainerOptions;
use crate::signal::Signal;
use crate::user::{ResolvedUser, UserOption};

/// What Docker's containers look for programs in.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The version of the specification whose fields are used.
const VERSION: &str = "1.0.2";
/// Where the init of `--init` is bound to.
pub const INIT_TARGET: &str = "/run/keelson-init";

/// What of the machine, the unit and the image's files is needed.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The mounted root file system.
    pub root: PathBuf,
    /// Who runs, as looked up.
    pub user: ResolvedUser,
    /// The container's host name.
    pub host_name: String,
    /// Values of variables that are inherited.
    pub inherited: HashMap<String, String>,
    /// Variables that the launcher sets, such as `NOTIFY_SOCKET`; nothing of the image or the options is above them.
    pub forced_environment: Vec<(String, String)>,
    /// Where the payload's processes are counted.
    pub cgroup: Cgroup,
    /// The network namespace that was made for the container; with a network of its own and none, the runtime makes one.
    pub network_namespace: Option<PathBuf>,
    /// What of the others is shared; all are the container's own without it.
    pub shared: Option<SharedNamespaces>,
    /// The user namespace that was made for the container; the machine's if none.
    pub user_namespace: Option<PathBuf>,
    /// Which system calls are allowed; all if none.
    pub seccomp: Option<LinuxSeccomp>,
    /// Devices of the machine that the container gets.
    pub devices: Vec<DeviceNode>,
    /// Folders of volumes: of named ones by name, of nameless ones by target.
    pub volumes: HashMap<VolumeKey, PathBuf>,
    /// Files and folders of the machine that the launcher puts into the container.
    pub bound: Vec<BoundFile>,
    /// The unit's, which a child would otherwise not have: the monitor has one of its own.
    pub oom_score_adjustment: i32,
}

/// Namespaces that several containers have together, beside the network's. The host name is theirs then, and not set for
/// one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedNamespaces {
    /// System V IPC and POSIX queues.
    pub ipc: PathBuf,
    /// The host name.
    pub uts: PathBuf,
}

/// Where the payload is in the hierarchy of control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cgroup {
    /// Where the runtime is; nothing can be limited.
    Inherited,
    /// A group of its own, from the hierarchy's root.
    Own(String),
}

/// Which volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum VolumeKey {
    /// By name.
    Named(Name),
    /// By where it is mounted.
    Anonymous(String),
}

/// A file or folder that the launcher made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundFile {
    /// On the machine.
    pub source: PathBuf,
    /// In the container.
    pub target: String,
    /// Whether the container may write to it.
    pub access: Access,
}

/// A device, as the kernel counts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceNode {
    /// In the container.
    pub path: String,
    /// What it is.
    pub kind: DeviceKind,
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// Permission bits of the file.
    pub mode: u32,
    /// The file's owner.
    pub uid: u32,
    /// The file's group.
    pub gid: u32,
    /// Some of `r`, `w` and `m`.
    pub permissions: String,
}

/// The two kinds of device files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// Read and written byte by byte.
    Character,
    /// Read and written block by block.
    Block,
}

/// Why there is no specification.
#[derive(Debug, Error)]
pub enum SpecError {
    /// Neither the image nor anybody else names a program.
    #[error("the image names no command, and none was given")]
    NoCommand,
    /// An image's working directory or the option.
    #[error("the working directory cannot be used: {0}")]
    WorkingDirectory(String),
    /// A volume whose folder was not passed.
    #[error("the volume for `{0}` has no folder")]
    NoVolume(String),
    /// Values that make no specification.
    #[error("the runtime specification is incomplete: {0}")]
    Incomplete(#[from] OciSpecError),
}

/// The user that is to be looked up: the option, else the image's.
pub fn user(
    options: &ContainerOptions,
    image: &ImageConfiguration,
) -> Result<UserOption, Malformed> {
    match &options.user {
        Some(user) => Ok(user.clone()),
        None => match image
            .config()
            .as_ref()
            .and_then(|config| config.user().as_ref())
        {
            Some(text) => text.parse(),
            None => Ok(UserOption::default()),
        },
    }
}

/// The signal that ends the container in order: the option, else the image's, else SIGTERM.
pub fn stop_signal(
    options: &ContainerOptions,
    image: &ImageConfiguration,
) -> Result<Signal, Malformed> {
    let of_image = image
        .config()
        .as_ref()
        .and_then(|config| config.stop_signal().as_ref());
    match (options.stop_signal, of_image) {
        (Some(signal), _) => Ok(signal),
        (None, Some(text)) => text.parse(),
        (None, None) => Ok(Signal::TERM),
    }
}

/// Nameless volumes that the image wants where nobody mounts something else. What is no path is left out, as nothing can
/// be there.
pub fn image_volumes(options: &ContainerOptions, image: &ImageConfiguration) -> Vec<Mount> {
    let volumes = image
        .config()
        .as_ref()
        .and_then(|config| config.volumes().as_ref());
    let mut wanted: Vec<Mount> = Vec::new();
    for target in volumes.into_iter().flatten() {
        let Ok(target) = absolute(target) else {
            continue;
        };
        let mut there = options.mounts.iter().chain(&wanted);
        if !there.any(|mount| mount.target == target) {
            wanted.push(Mount {
                target,
                source: MountSource::AnonymousVolume,
                access: Access::ReadWrite,
            });
        }
    }
    wanted
}

/// What the runtime is told.
pub fn build(
    options: &ContainerOptions,
    image: &ImageConfiguration,
    around: &Surroundings,
) -> Result<Spec, SpecError> {
    let config = image.config().clone().unwrap_or_default();
    let root = RootBuilder::default()
        .path(around.root.clone())
        .readonly(options.read_only)
        .build()?;
    let mut spec = SpecBuilder::default()
        .version(VERSION)
        .root(root)
        .hostname(around.host_name.clone())
        .process(process(options, &config, around)?)
        .mounts(mounts::all(options, around)?)
        .linux(linux::section(options, around)?)
        .annotations(annotations(options, &config))
        .build()?;
    if around.shared.is_some() {
        spec.set_hostname(None);
    }
    Ok(spec)
}

fn process(
    options: &ContainerOptions,
    config: &Config,
    around: &Surroundings,
) -> Result<Process, SpecError> {
    let user = UserBuilder::default()
        .uid(around.user.uid)
        .gid(around.user.gid)
        .additional_gids(around.user.additional_gids.clone())
        .build()?;
    let mut process = ProcessBuilder::default()
        .terminal(false)
        .user(user)
        .args(words(options, config)?)
        .env(environment_of(options, config, around))
        .cwd(working_directory(options, config)?)
        .no_new_privileges(options.security.no_new_privileges && !options.privileged)
        .rlimits(limits(options)?)
        .oom_score_adj(around.oom_score_adjustment)
        .build()?;
    let held = capabilities(options);
    let mut sets = LinuxCapabilitiesBuilder::default()
        .bounding(held.clone())
        .effective(held.clone())
        .permitted(held)
        .build()?;
    // As Docker since the inheritable set was found to survive an exec by another user.
    sets.set_inheritable(None).set_ambient(None);
    process.set_capabilities(Some(sets));
    Ok(process)
}

/// What the container may do; also what seccomp profiles ask for.
pub fn capabilities(options: &ContainerOptions) -> oci_spec::runtime::Capabilities {
    if options.privileged {
        return capability::all();
    }
    capability::effective(&options.added_capabilities, &options.dropped_capabilities)
}

fn words(options: &ContainerOptions, config: &Config) -> Result<Vec<String>, SpecError> {
    let entrypoint = config.entrypoint().as_deref().unwrap_or_default();
    let command = config.cmd().as_deref().unwrap_or_default();
    let words = command::words(&options.entrypoint, &options.arguments, entrypoint, command);
    if words.is_empty() {
        return Err(SpecError::NoCommand);
    }
    if !options.init {
        return Ok(words);
    }
    let init = [INIT_TARGET.to_owned(), "--".to_owned()];
    Ok(init.into_iter().chain(words).collect())
}

fn environment_of(
    options: &ContainerOptions,
    config: &Config,
    around: &Surroundings,
) -> Vec<String> {
    let mut image = vec![
        format!("PATH={DEFAULT_PATH}"),
        format!("HOSTNAME={}", around.host_name),
    ];
    image.extend(config.env().iter().flatten().cloned());
    let is_named = |entry: &String| entry.starts_with("HOME=");
    if !image.iter().any(is_named) {
        image.push(format!("HOME={}", around.user.home));
    }
    let forced = around.forced_environment.iter();
    let forced = forced.map(|(name, value)| environment::Variable::Set {
        name: name.clone(),
        value: value.clone(),
    });
    let changes: Vec<_> = options.environment.iter().cloned().chain(forced).collect();
    environment::merge(&image, &changes, |name| around.inherited.get(name).cloned())
}

fn working_directory(options: &ContainerOptions, config: &Config) -> Result<PathBuf, SpecError> {
    let of_image = config.working_dir().as_deref();
    let text = options.working_directory.as_deref().or(of_image);
    let text = text.filter(|text| !text.is_empty()).unwrap_or("/");
    absolute(text)
        .map(PathBuf::from)
        .map_err(SpecError::WorkingDirectory)
}

fn limits(options: &ContainerOptions) -> Result<Vec<PosixRlimit>, SpecError> {
    let one = |limit: &crate::ulimit::Ulimit| {
        PosixRlimitBuilder::default()
            .typ(limit.kind)
            .soft(limit.soft)
            .hard(limit.hard)
            .build()
    };
    let limits: Result<Vec<_>, _> = options.ulimits.iter().map(one).collect();
    Ok(limits?)
}

/// Labels of the image, then those of the options, then annotations; the last of a name counts.
fn annotations(options: &ContainerOptions, config: &Config) -> HashMap<String, String> {
    let mut all = config.labels().clone().unwrap_or_default();
    for label in options.labels.iter().chain(&options.annotations) {
        all.insert(label.name.clone(), label.value.clone());
    }
    all
}

#[cfg(test)]
mod tests;
