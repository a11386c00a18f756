//! The bundle that crun reads: `config.json`, with everything that it refers to made before.
//!
//! What is in it is decided by `container-model`; here the machine and the image's files are looked at.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use container_model::environment::Variable;
use container_model::name::Name;
use container_model::network::Network;
use container_model::oci_spec::image::ImageConfiguration;
use container_model::oci_spec::runtime::LinuxSeccomp;
use container_model::options::ContainerOptions;
use container_model::seccomp::{self, Conditions, KernelVersion};
use container_model::security::SeccompOption;
use container_model::spec::{self, Surroundings};
use container_model::user::{ResolvedUser, resolve_group};
use container_model::user_namespace::{COUNT, IdRange};
use image_store::platform;

use super::folder::ContainerFolder;
use super::held::Held;
use super::pod::Pod;
use super::unit::Unit;
use super::user_namespace::UserNamespace;
use super::{capabilities, devices, files, image_files, monitor_words, root};
use crate::run_arguments::{Notify, RunArguments};

/// Debian's golang-github-containers-common has it.
const SECCOMP_PROFILE: &str = "/usr/share/containers/seccomp.json";

/// Writes the bundle into the container's folder.
pub(crate) fn write(
    folder: &ContainerFolder,
    options: &ContainerOptions,
    image: &ImageConfiguration,
    unit: &Unit,
    name: &Name,
    arguments: &RunArguments,
    held: &Held,
) -> anyhow::Result<()> {
    let host_name = match &held.pod {
        Some(pod) => pod.host_name()?,
        None => host_name(options, name)?,
    };
    let user = user(options, image)?;
    let bound = files::make(folder.path(), options, &host_name, held)?;
    if let Some(users) = &held.users {
        is_within(&user, users.range())?;
        files::own(folder.path(), &bound, users.range())?;
    }
    let around = Surroundings {
        root: root::MOUNT_POINT.into(),
        user,
        inherited: inherited(options),
        forced_environment: forced(unit, arguments.notify),
        cgroup: unit.cgroup().clone(),
        network_namespace: held.network_namespace(),
        shared: held.pod.as_ref().map(Pod::namespaces),
        user_namespace: held.users.as_ref().map(UserNamespace::path),
        seccomp: seccomp(options)?,
        devices: devices::find(options)?,
        volumes: held.volumes.folders.clone(),
        bound,
        oom_score_adjustment: oom_score_adjustment(),
        host_name,
    };
    let mut spec = spec::build(options, image, &around)?;
    if arguments.monitored.tty {
        monitor_words::add_terminal(&mut spec);
    }
    capabilities::limit(&mut spec, options);
    let path = folder.path().join("config.json");
    let text = serde_json::to_vec(&spec)?;
    std::fs::write(&path, text).with_context(|| path.display().to_string())
}

/// The container has no other numbers.
fn is_within(user: &ResolvedUser, range: IdRange) -> anyhow::Result<()> {
    let numbers = [user.uid, user.gid].into_iter();
    let mut numbers = numbers.chain(user.additional_gids.iter().copied());
    match numbers.find(|number| range.outside(*number).is_none()) {
        Some(number) => {
            bail!("the user or group {number} is not among the {COUNT} of --userns=auto")
        }
        None => Ok(()),
    }
}

/// In the machine's network it is the machine, by Docker's rule.
pub(super) fn host_name(options: &ContainerOptions, name: &Name) -> anyhow::Result<String> {
    if let Some(name) = &options.host_name {
        return Ok(name.as_str().to_owned());
    }
    if *options.network() == Network::Host {
        let text = std::fs::read_to_string("/proc/sys/kernel/hostname").context("the host name")?;
        return Ok(text.trim().to_owned());
    }
    // A container's name may be longer, and have a `_` or `.`.
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let text: String = name.as_str().chars().take(63).map(plain).collect();
    Ok(text.trim_matches('-').to_owned())
}

fn user(options: &ContainerOptions, image: &ImageConfiguration) -> anyhow::Result<ResolvedUser> {
    let root = Path::new(root::MOUNT_POINT);
    let passwd = image_files::read(root, "etc/passwd")?;
    let group = image_files::read(root, "etc/group")?;
    let mut user = spec::user(options, image)?.resolve(&passwd, &group)?;
    for name in &options.groups {
        user.additional_gids.push(resolve_group(&group, name)?);
    }
    Ok(user)
}

fn inherited(options: &ContainerOptions) -> HashMap<String, String> {
    let asked = options
        .environment
        .iter()
        .filter_map(|variable| match variable {
            Variable::Inherited(name) => Some(name.clone()),
            Variable::Set { .. } => None,
        });
    asked
        .filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)))
        .collect()
}

/// What systemd's protocols need inside; the container's first process is number 1 there.
fn forced(unit: &Unit, notify: Notify) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    let mut put = |name: &str, value: String| variables.push((name.to_owned(), value));
    if notify == Notify::Payload {
        put("NOTIFY_SOCKET", format!("{}/socket", files::NOTIFY_FOLDER));
        if let Ok(time) = std::env::var("WATCHDOG_USEC") {
            put("WATCHDOG_USEC", time);
        }
    }
    if unit.sockets() > 0 {
        put("LISTEN_FDS", unit.sockets().to_string());
        put("LISTEN_PID", "1".to_owned());
        if let Ok(names) = std::env::var("LISTEN_FDNAMES") {
            put("LISTEN_FDNAMES", names);
        }
    }
    variables
}

fn seccomp(options: &ContainerOptions) -> anyhow::Result<Option<LinuxSeccomp>> {
    let path = match &options.security.seccomp {
        _ if options.privileged => return Ok(None),
        SeccompOption::Unconfined => return Ok(None),
        SeccompOption::Default => SECCOMP_PROFILE,
        SeccompOption::Profile(path) => path,
    };
    let profile = std::fs::read_to_string(path).with_context(|| {
        format!("the seccomp profile {path} (--security-opt seccomp=unconfined goes without)")
    })?;
    let release =
        std::fs::read_to_string("/proc/sys/kernel/osrelease").context("the kernel's release")?;
    let conditions = Conditions {
        capabilities: &spec::capabilities(options),
        architecture: platform::architecture(),
        kernel: KernelVersion::parse(&release).context("the kernel's release")?,
    };
    seccomp::resolve(&profile, &conditions)
        .map(Some)
        .with_context(|| path.to_owned())
}

fn oom_score_adjustment() -> i32 {
    let text = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}
