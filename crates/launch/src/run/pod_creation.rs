//! A pod is made: its place in a network, its namespaces, and the files that its containers have.
//!
//! It runs as the main process of the pod's unit, and ends: systemd keeps the unit, and holds ports and name for it.

use std::fs::{DirBuilder, File};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use container_model::name::Name;
use container_model::network::Network;
use container_model::options::ContainerOptions;
use container_model::resources::MemorySize;
use container_network::Attachment;
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, mount, mount_bind};

use super::folder::hold_name;
use super::pod::{IPC, NETWORK, Pod, SHARED_MEMORY, UTS};
use super::unit::Unit;
use super::{bundle, files, held, network};

/// Where systemd is told what to hold.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
/// What the generated unit has room for, less the name.
const DESCRIPTORS_MAX: usize = 1000;
/// Docker's, in bytes.
const SHARED_MEMORY_SIZE: u64 = 64 * 1024 * 1024;
const IP: &str = "/usr/sbin/ip";

/// Makes it; what a pod of that name left is removed before.
pub(crate) fn create(name: &Name, options: &ContainerOptions) -> anyhow::Result<()> {
    options.check()?;
    if std::env::var_os(NOTIFY_SOCKET).is_none() {
        bail!(
            "a pod's ports and name are held by systemd for the pod's unit: write {name}.pod into /etc/containers/systemd, \
             and start {name}-pod.service"
        );
    }
    let unit = Unit::of_this_process()?;
    let pod = Pod::named(name);
    let holder = pod.holder()?;
    let Some(lock) = hold_name(&holder)? else {
        bail!("there is a pod {name} already, or a container {holder}: use another PodName=");
    };
    held::give_back(&holder)?;
    let made = fill(&pod, options, &unit, &lock);
    if made.is_err() {
        let _given_back = held::give_back(&holder);
    }
    made
}

/// Removes a pod whose containers are gone.
pub(crate) fn remove(name: &Name) -> anyhow::Result<()> {
    held::give_back(&Pod::named(name).holder()?)
}

fn fill(pod: &Pod, options: &ContainerOptions, unit: &Unit, lock: &File) -> anyhow::Result<()> {
    let attachment = network::connect(&pod.holder()?, unit, options, None)?;
    let folder = pod.folder();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| folder.display().to_string())?;
    let host_name = bundle::host_name(options, pod.name())?;
    let is_alone = attachment.is_none() && *options.network() == Network::None;
    hold_namespaces(folder, &host_name, is_alone).context("the pod's namespaces")?;
    if let Some(attachment) = &attachment {
        pin(&attachment.namespace_path(), &folder.join(NETWORK))?;
    }
    mount_shared_memory(&folder.join(SHARED_MEMORY), options)?;
    files::write_names(folder, options, &host_name, attachment.as_ref())?;
    let descriptors = attachment.iter().flat_map(Attachment::descriptors);
    let descriptors: Vec<BorrowedFd<'_>> = descriptors.chain([lock.as_fd()]).collect();
    if descriptors.len() > DESCRIPTORS_MAX {
        bail!("so many ports cannot be published by one pod: a few hundred can");
    }
    service_manager::hold(&descriptors).context("systemd does not hold the pod's ports")?;
    pod.complete()
}

/// New namespaces, held by files. The thread that makes them is in them, and ends.
fn hold_namespaces(folder: &Path, host_name: &str, with_network: bool) -> anyhow::Result<()> {
    let (folder, host_name) = (folder.to_owned(), host_name.to_owned());
    let made = std::thread::spawn(move || -> anyhow::Result<()> {
        unshare(CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS)?;
        rustix::system::sethostname(host_name.as_bytes())?;
        if with_network {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let done = Command::new(IP).args(["link", "set", "lo", "up"]).status();
            if !done.context(IP)?.success() {
                bail!("{IP} does not bring the loopback interface up");
            }
            pin("/proc/thread-self/ns/net", &folder.join(NETWORK))?;
        }
        pin("/proc/thread-self/ns/ipc", &folder.join(IPC))?;
        pin("/proc/thread-self/ns/uts", &folder.join(UTS))
    });
    match made.join() {
        Ok(made) => made,
        Err(_) => bail!("the thread that makes them panicked"),
    }
}

/// A namespace stays while it is mounted somewhere.
fn pin(namespace: &str, path: &Path) -> anyhow::Result<()> {
    let context = || path.display().to_string();
    File::create(path).with_context(context)?;
    mount_bind(namespace, path).with_context(context)
}

/// What `shm_open` uses belongs together like the rest of the memory that processes share.
fn mount_shared_memory(path: &Path, options: &ContainerOptions) -> anyhow::Result<()> {
    let context = || path.display().to_string();
    std::fs::create_dir(path).with_context(context)?;
    let size = options.shared_memory;
    let size = size.map_or(SHARED_MEMORY_SIZE, MemorySize::bytes);
    let settings = std::ffi::CString::new(format!("mode=1777,size={size}"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("shm", path, "tmpfs", flags, settings.as_c_str()).with_context(context)
}
