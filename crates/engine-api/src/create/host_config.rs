//! `HostConfig`: what a container gets of the machine.

use container_model::mount;
use container_model::network::Network;
use container_model::port;
use container_model::security::SecurityOption;

use super::words::Words;
use crate::ApiError;
use crate::fields::Fields;
use crate::record::RestartPolicy;

/// What is not an option of `launch run`.
pub(super) struct Lifetime {
    pub(super) restart: RestartPolicy,
    pub(super) is_removed_at_end: bool,
}

/// The client's own, and defaults that launcherd's containers have anyway.
const NOTES: &[&str] = &["ContainerIDFile", "ConsoleSize"];

pub(super) fn read(fields: &mut Fields, words: &mut Words) -> Result<Lifetime, ApiError> {
    fields.ignore(NOTES);
    only_defaults(fields)?;
    let restart = restart(fields)?;
    let is_removed_at_end = fields.flag("AutoRemove")?;
    if is_removed_at_end && restart != RestartPolicy::No {
        return Err(fields.refuse("AutoRemove", "it does not go with a restart policy"));
    }
    mounts(fields, words)?;
    network(fields, words)?;
    security(fields, words)?;
    resources(fields, words)?;
    devices(fields, words)?;
    let path = fields.path("Annotations");
    for (name, value) in fields.text_map("Annotations")? {
        let annotation = words.add("annotation", &path, &format!("{name}={value}"))?;
        words.values.annotations.push(annotation);
    }
    if fields.flag("Init")? {
        words.push("init", "");
        words.values.init = true;
    }
    Ok(Lifetime {
        restart,
        is_removed_at_end,
    })
}

/// Fields of which only what holds anyway may be asked for.
fn only_defaults(fields: &mut Fields) -> Result<(), ApiError> {
    fields.one_of("VolumeDriver", &["local"])?;
    fields.one_of("IpcMode", &["private"])?;
    fields.one_of("CgroupnsMode", &["private"])?;
    fields.one_of("UsernsMode", &["host"])?;
    fields.one_of("Isolation", &["default"])?;
    fields.one_of("Runtime", &["crun"])?;
    let mut log = fields.object("LogConfig")?;
    log.one_of("Type", &["journald"])?;
    log.finish()?;
    // -1 is the API's way to say that there is none.
    let swappiness = fields.number("MemorySwappiness")?;
    if swappiness > 0 {
        return Err(fields.refuse("MemorySwappiness", "it is not supported by launcherd"));
    }
    Ok(())
}

fn restart(fields: &mut Fields) -> Result<RestartPolicy, ApiError> {
    let mut policy = fields.object("RestartPolicy")?;
    let name = policy.text("Name")?.unwrap_or_default();
    let count = policy.number("MaximumRetryCount")?;
    let restart = RestartPolicy::parse(&name, count);
    let restart = restart.map_err(|reason| policy.refuse("Name", reason))?;
    policy.finish()?;
    Ok(restart)
}

fn mounts(fields: &mut Fields, words: &mut Words) -> Result<(), ApiError> {
    let path = fields.path("Binds");
    for text in fields.texts("Binds")?.unwrap_or_default() {
        words.add_volume(&path, &text)?;
    }
    let path = fields.path("Tmpfs");
    for (target, options) in fields.text_map("Tmpfs")? {
        let text = if options.is_empty() {
            target
        } else {
            format!("{target}:{options}")
        };
        let mount = mount::parse_tmpfs(&text);
        let mount = words.judged("tmpfs", &path, &text, mount)?;
        words.values.mounts.push(mount);
    }
    for mount in fields.objects("Mounts")? {
        one_mount(mount, words)?;
    }
    let path = fields.path("ShmSize");
    let size = fields.number("ShmSize")?;
    if size != 0 {
        words.values.shared_memory = Some(words.add("shm-size", &path, &size.to_string())?);
    }
    words.values.read_only = fields.flag("ReadonlyRootfs")?;
    if words.values.read_only {
        words.push("read-only", "");
    }
    Ok(())
}

fn one_mount(mut fields: Fields, words: &mut Words) -> Result<(), ApiError> {
    let mut parts = Vec::new();
    for (name, key) in [("Type", "type"), ("Source", "source"), ("Target", "target")] {
        if let Some(text) = fields.text(name)? {
            // The option's grammar has no way to write them.
            if text.contains([',', '"']) {
                return Err(fields.refuse(name, "commas and quotation marks are not supported"));
            }
            parts.push(format!("{key}={text}"));
        }
    }
    if fields.flag("ReadOnly")? {
        parts.push("readonly".to_owned());
    }
    fields.one_of(
        "Consistency",
        &["default", "consistent", "cached", "delegated"],
    )?;
    let mut bind = fields.object("BindOptions")?;
    if let Some(propagation) = bind.text("Propagation")? {
        parts.push(format!("bind-propagation={propagation}"));
    }
    bind.finish()?;
    let mut volume = fields.object("VolumeOptions")?;
    volume.object("DriverConfig")?.one_of("Name", &["local"])?;
    volume.finish()?;
    let mut memory = fields.object("TmpfsOptions")?;
    let size = memory.number("SizeBytes")?;
    if size > 0 {
        parts.push(format!("tmpfs-size={size}"));
    }
    let mode = memory.number("Mode")?;
    if mode > 0 {
        parts.push(format!("tmpfs-mode={mode:o}"));
    }
    memory.finish()?;
    let path = fields.path("");
    fields.finish()?;
    let text = parts.join(",");
    let mount = mount::parse_mount(&text);
    let mount = words.judged("mount", path.trim_end_matches('.'), &text, mount)?;
    words.values.mounts.push(mount);
    Ok(())
}

/// Which network it is, or which is the first one.
pub(super) fn network_mode(fields: &mut Fields, words: &mut Words) -> Result<(), ApiError> {
    let path = fields.path("NetworkMode");
    let mode = fields.text("NetworkMode")?;
    let mode = mode.unwrap_or_else(|| "default".to_owned());
    let network = mode.parse::<Network>();
    let network = network.map_err(|error| ApiError::bad_request(format!("{path}: {error}")))?;
    words.values.networks = vec![network.into()];
    Ok(())
}

fn network(fields: &mut Fields, words: &mut Words) -> Result<(), ApiError> {
    let path = fields.path("PortBindings");
    for (port, bindings) in fields.entries("PortBindings")? {
        for text in published(&port, &bindings) {
            let ports = port::parse(&text);
            let ports = words.judged("publish", &path, &text, ports)?;
            words.values.ports.extend(ports);
        }
    }
    let path = fields.path("Dns");
    for text in fields.texts("Dns")?.unwrap_or_default() {
        let address = words.add("dns", &path, &text)?;
        words.values.dns_servers.push(address);
    }
    for domain in fields.texts("DnsSearch")?.unwrap_or_default() {
        words.push("dns-search", &domain);
        words.values.dns_domains.push(domain);
    }
    for option in fields.texts("DnsOptions")?.unwrap_or_default() {
        words.push("dns-option", &option);
        words.values.dns_options.push(option);
    }
    let path = fields.path("ExtraHosts");
    for text in fields.texts("ExtraHosts")?.unwrap_or_default() {
        let host = words.add("add-host", &path, &text)?;
        words.values.hosts.push(host);
    }
    Ok(())
}

/// A port's bindings as `--publish` has them.
fn published(port: &str, bindings: &serde_json::Value) -> Vec<String> {
    let serde_json::Value::Array(bindings) = bindings else {
        return Vec::new();
    };
    let text = |binding: &serde_json::Value, name: &str| {
        let value = binding.get(name).and_then(serde_json::Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let one = |binding: &serde_json::Value| {
        let (address, host) = (text(binding, "HostIp"), text(binding, "HostPort"));
        match (address.as_str(), host.as_str()) {
            ("", "") => port.to_owned(),
            ("", host) => format!("{host}:{port}"),
            (address, host) if address.contains(':') => format!("[{address}]:{host}:{port}"),
            (address, host) => format!("{address}:{host}:{port}"),
        }
    };
    bindings.iter().map(one).collect()
}

fn security(fields: &mut Fields, words: &mut Words) -> Result<(), ApiError> {
    words.values.privileged = fields.flag("Privileged")?;
    if words.values.privileged {
        words.push("privileged", "");
    }
    for (name, flag) in [("CapAdd", "cap-add"), ("CapDrop", "cap-drop")] {
        let path = fields.path(name);
        for text in fields.texts(name)?.unwrap_or_default() {
            let capability = words.add(flag, &path, &text)?;
            match flag {
                "cap-add" => words.values.added_capabilities.push(capability),
                _ => words.values.dropped_capabilities.push(capability),
            }
        }
    }
    for text in fields.texts("GroupAdd")?.unwrap_or_default() {
        words.push("group-add", &text);
        words.values.groups.push(text);
    }
    // As with Docker: images that use sudo or su work.
    let mut wanted = vec!["no-new-privileges=false".to_owned()];
    wanted.extend(fields.texts("SecurityOpt")?.unwrap_or_default());
    // The client's form of systempaths=unconfined: nothing is masked, nothing read-only.
    let masked = [fields.texts("MaskedPaths")?, fields.texts("ReadonlyPaths")?];
    match masked {
        [None, None] => {}
        [Some(masked), Some(read_only)] if masked.is_empty() && read_only.is_empty() => {
            wanted.push("systempaths=unconfined".to_owned());
        }
        _ => {
            return Err(fields.refuse(
                "MaskedPaths",
                "paths of one's own are not supported by launcherd",
            ));
        }
    }
    let path = fields.path("SecurityOpt");
    for text in wanted {
        let option: SecurityOption = words.add("security-opt", &path, &text)?;
        words.values.security.apply(option);
    }
    let path = fields.path("Sysctls");
    for (name, value) in fields.text_map("Sysctls")? {
        let sysctl = words.add("sysctl", &path, &format!("{name}={value}"))?;
        words.values.sysctls.push(sysctl);
    }
    Ok(())
}

/// Limits, which may also change later.
pub(super) fn resources(fields: &mut Fields, words: &mut Words) -> Result<(), ApiError> {
    let mut given = |name: &str| -> Result<Option<(String, i64)>, ApiError> {
        let value = fields.number(name)?;
        Ok((value != 0).then(|| (fields.path(name), value)))
    };
    if let Some((path, bytes)) = given("Memory")? {
        words.values.resources.memory = Some(words.add("memory", &path, &bytes.to_string())?);
    }
    if let Some((path, bytes)) = given("MemoryReservation")? {
        let size = words.add("memory-reservation", &path, &bytes.to_string())?;
        words.values.resources.memory_reservation = Some(size);
    }
    if let Some((path, bytes)) = given("MemorySwap")? {
        let swap = words.add("memory-swap", &path, &bytes.to_string())?;
        words.values.resources.memory_swap = Some(swap);
    }
    if let Some((path, billionths)) = given("NanoCpus")? {
        let (whole, rest) = (billionths / 1_000_000_000, billionths % 1_000_000_000);
        let text = format!("{whole}.{rest:09}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        words.values.resources.cpus = Some(words.add("cpus", &path, text)?);
    }
    if let Some((path, shares)) = given("CpuShares")? {
        words.values.resources.cpu_shares =
            Some(words.add("cpu-shares", &path, &shares.to_string())?);
    }
    if let Some((path, count)) = given("PidsLimit")?.filter(|(_, count)| *count > 0) {
        words.values.resources.pids = Some(words.add("pids-limit", &path, &count.to_string())?);
    }
    let path = fields.path("CpusetCpus");
    if let Some(text) = fields.text("CpusetCpus")? {
        words.values.resources.cpuset_cpus = Some(words.add("cpuset-cpus", &path, &text)?);
    }
    Ok(())
}

fn devices(fields: &mut Fields, words: &mut Words) -> Result<(), ApiError> {
    let path = fields.path("Devices");
    for mut device in fields.objects("Devices")? {
        let names = ["PathOnHost", "PathInContainer", "CgroupPermissions"];
        let mut parts = Vec::new();
        for name in names {
            parts.extend(device.text(name)?);
        }
        device.finish()?;
        let device = words.add("device", &path, &parts.join(":"))?;
        words.values.devices.push(device);
    }
    let path = fields.path("Ulimits");
    for mut limit in fields.objects("Ulimits")? {
        let name = limit.text("Name")?.unwrap_or_default();
        let (soft, hard) = (limit.number("Soft")?, limit.number("Hard")?);
        limit.finish()?;
        let limit = words.add("ulimit", &path, &format!("{name}={soft}:{hard}"))?;
        words.values.ulimits.push(limit);
    }
    Ok(())
}
