//! What is Linux's own in a specification: namespaces, limits, devices, what is hidden.
//!
//! Namespaces of users and networks are others' to make.

use oci_spec::runtime::{
    Linux, LinuxBuilder, LinuxCpu, LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup,
    LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxMemory, LinuxNamespace, LinuxNamespaceBuilder,
    LinuxNamespaceType, LinuxPidsBuilder, LinuxResources,
};

use super::{Cgroup, DeviceKind, DeviceNode, SpecError, Surroundings};
use crate::network::Network;
use crate::options::ContainerOptions;
use crate::resources::{CPU_PERIOD, MemorySwap, PidsLimit, Resources};
use crate::security::SystemPaths;

/// Docker's: what tells of the machine, or is dangerous to read.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
/// Docker's: what would change the machine.
const READ_ONLY: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];
/// Docker's cgroup v1 shares for a group that has its default weight.
const SHARES_MIN: u64 = 2;

pub(super) fn section(
    options: &ContainerOptions,
    around: &Surroundings,
) -> Result<Linux, SpecError> {
    let is_open = options.privileged || options.security.system_paths == SystemPaths::Unconfined;
    let paths = |list: &[&str]| -> Vec<String> {
        let list = if is_open { &[] } else { list };
        list.iter().copied().map(ToOwned::to_owned).collect()
    };
    let sysctls = options.sysctls.iter();
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces(options.network(), around)?)
        .masked_paths(paths(MASKED))
        .readonly_paths(paths(READ_ONLY))
        .sysctl(
            sysctls
                .map(|one| (one.name.clone(), one.value.clone()))
                .collect::<std::collections::HashMap<_, _>>(),
        )
        .devices(devices(&around.devices)?)
        .build()?;
    linux.set_seccomp(around.seccomp.clone().filter(|_| !options.privileged));
    match &around.cgroup {
        Cgroup::Inherited => linux.set_resources(None),
        Cgroup::Own(path) => linux
            .set_cgroups_path(Some(path.into()))
            .set_resources(Some(resources(options, around)?)),
    };
    // Mounts that a `shared` bind makes must be able to leave the container.
    linux.set_rootfs_propagation(Some(propagation(options).to_owned()));
    Ok(linux)
}

fn propagation(options: &ContainerOptions) -> &'static str {
    use crate::mount::{MountSource, Propagation};
    let of = |source: &MountSource| match source {
        MountSource::Bind { propagation, .. } => Some(*propagation),
        _ => None,
    };
    let found: Vec<Propagation> = options
        .mounts
        .iter()
        .filter_map(|m| of(&m.source))
        .collect();
    let has = |one: &[Propagation]| found.iter().any(|p| one.contains(p));
    if has(&[Propagation::Shared, Propagation::RecursiveShared]) {
        "rshared"
    } else if has(&[Propagation::Slave, Propagation::RecursiveSlave]) {
        "rslave"
    } else {
        "rprivate"
    }
}

fn namespaces(network: &Network, around: &Surroundings) -> Result<Vec<LinuxNamespace>, SpecError> {
    let kinds = [
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Cgroup,
    ];
    let one = |kind| LinuxNamespaceBuilder::default().typ(kind).build();
    let mut all = kinds.into_iter().map(one).collect::<Result<Vec<_>, _>>()?;
    if let Some(shared) = &around.shared {
        for namespace in &mut all {
            let path = match namespace.typ() {
                LinuxNamespaceType::Ipc => &shared.ipc,
                LinuxNamespaceType::Uts => &shared.uts,
                _ => continue,
            };
            namespace.set_path(Some(path.clone()));
        }
    }
    if *network != Network::Host {
        let mut own = one(LinuxNamespaceType::Network)?;
        own.set_path(around.network_namespace.clone());
        all.push(own);
    }
    if let Some(path) = &around.user_namespace {
        let mut own = one(LinuxNamespaceType::User)?;
        own.set_path(Some(path.clone()));
        all.push(own);
    }
    Ok(all)
}

fn device_type(kind: DeviceKind) -> LinuxDeviceType {
    match kind {
        DeviceKind::Character => LinuxDeviceType::C,
        DeviceKind::Block => LinuxDeviceType::B,
    }
}

fn devices(nodes: &[DeviceNode]) -> Result<Vec<LinuxDevice>, SpecError> {
    let one = |node: &DeviceNode| {
        LinuxDeviceBuilder::default()
            .path(node.path.clone())
            .typ(device_type(node.kind))
            .major(node.major)
            .minor(node.minor)
            .file_mode(node.mode)
            .uid(node.uid)
            .gid(node.gid)
            .build()
    };
    let all: Result<Vec<_>, _> = nodes.iter().map(one).collect();
    Ok(all?)
}

fn resources(
    options: &ContainerOptions,
    around: &Surroundings,
) -> Result<LinuxResources, SpecError> {
    let mut found = LinuxResources::default();
    found.set_devices(Some(device_rules(options, &around.devices)?));
    let limits = &options.resources;
    found.set_memory(memory(limits)).set_cpu(cpu(limits));
    if let Some(limit) = limits.pids {
        let limit = match limit {
            PidsLimit::Unlimited => -1,
            PidsLimit::Max(limit) => i64::from(limit),
        };
        found.set_pids(Some(LinuxPidsBuilder::default().limit(limit).build()?));
    }
    Ok(found)
}

/// All devices, or none but those that were asked for; the runtime adds `/dev/null` and its like.
fn device_rules(
    options: &ContainerOptions,
    nodes: &[DeviceNode],
) -> Result<Vec<LinuxDeviceCgroup>, SpecError> {
    let all = LinuxDeviceCgroupBuilder::default()
        .allow(options.privileged)
        .access("rwm")
        .build()?;
    let mut rules = vec![all];
    for node in nodes {
        rules.push(
            LinuxDeviceCgroupBuilder::default()
                .allow(true)
                .typ(device_type(node.kind))
                .major(node.major)
                .minor(node.minor)
                .access(node.permissions.clone())
                .build()?,
        );
    }
    Ok(rules)
}

fn memory(limits: &Resources) -> Option<LinuxMemory> {
    let bytes =
        |size: crate::resources::MemorySize| i64::try_from(size.bytes()).unwrap_or(i64::MAX);
    let swap = match (limits.memory_swap, limits.memory) {
        (Some(MemorySwap::Unlimited), _) => Some(-1),
        (Some(MemorySwap::Total(total)), _) => Some(bytes(total)),
        // Docker's rule: as much swap again as memory.
        (None, Some(memory)) => Some(bytes(memory).saturating_mul(2)),
        (None, None) => None,
    };
    let mut memory = LinuxMemory::default();
    memory
        .set_limit(limits.memory.map(bytes))
        .set_reservation(limits.memory_reservation.map(bytes))
        .set_swap(swap);
    (memory != LinuxMemory::default()).then_some(memory)
}

fn cpu(limits: &Resources) -> Option<LinuxCpu> {
    let mut cpu = LinuxCpu::default();
    cpu.set_quota(limits.cpus.map(crate::resources::Cpus::quota))
        .set_period(limits.cpus.map(|_| CPU_PERIOD))
        .set_shares(limits.cpu_shares.map(|shares| shares.max(SHARES_MIN)))
        .set_cpus(
            limits
                .cpuset_cpus
                .as_ref()
                .map(|set| set.as_str().to_owned()),
        );
    (cpu != LinuxCpu::default()).then_some(cpu)
}
