//! What of a container is to be registered in the key-value store: judged before anything is taken, and written into
//! the container's folder once its ports are known.
//!
//! The monitor announces it, and fleetd talks with the store.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use anyhow::Context as _;
use container_model::environment::Variable;
use container_model::name::Name;
use container_model::oci_spec::image::ImageConfiguration;
use container_model::options::ContainerOptions;
use container_model::port::{self, Protocol, PublishedPort};
use container_model::registration::{
    ANNOUNCED, Announcement, Asked, ContainerPorts, FILE, Health, Reach, SETTINGS, Settings,
    services,
};
use image_store::store::Image;

use super::folder::ContainerFolder;
use super::held::Held;
use super::pod::published;
use super::unit::Unit;
use crate::run_arguments::RunArguments;

/// Registrator's variables begin so.
const VARIABLE: &str = "SERVICE_";
/// Where `proc_pid_stat(5)` has the time of a process's start, counted behind the name in brackets.
const START_FIELD: usize = 19;

/// What is asked for, after it was found to be possible with the ports that are to be published.
pub(super) fn asked(arguments: &RunArguments, options: &ContainerOptions) -> anyhow::Result<Asked> {
    let environment = environment(options);
    let of_labels = options.labels.iter().map(|label| label.name.as_str());
    let names = environment.iter().map(|(name, _)| name.as_str());
    let has_variables = of_labels
        .chain(names)
        .any(|name| name.starts_with(VARIABLE));
    let settings = settings()?;
    let with_variables = has_variables && settings.variables;
    let asked = Asked::new(
        &arguments.register,
        &options.labels,
        &environment,
        with_variables,
    )?;
    let ports = ContainerPorts {
        network: options.network(),
        published: &options.ports,
        exposed: None,
        reach: reach(&settings, None),
    };
    services(&asked, ports)?;
    Ok(asked)
}

/// A container's own address is known once it is in its first network.
fn reach(settings: &Settings, address: Option<IpAddr>) -> Reach {
    if settings.internal {
        Reach::Container(address)
    } else {
        Reach::Machine
    }
}

/// What the image exposes, as `80` or `53/udp`; what cannot be understood is exposed to nobody.
fn exposed(image: &ImageConfiguration) -> Vec<(u16, Protocol)> {
    let config = image.config().as_ref();
    let texts = config.and_then(|config| config.exposed_ports().as_ref());
    let read = texts
        .into_iter()
        .flatten()
        .filter_map(|text| port::parse(text).ok());
    let exposed = read.flatten().map(|port| (port.container, port.protocol));
    let mut ports: Vec<(u16, Protocol)> = exposed.collect();
    ports.sort_unstable_by_key(|(port, protocol)| (*port, protocol.as_str()));
    ports
}

fn settings() -> anyhow::Result<Settings> {
    match std::fs::read_to_string(SETTINGS) {
        Ok(text) => Settings::parse(&text).context(SETTINGS),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Settings::default()),
        Err(error) => Err(error).context(SETTINGS),
    }
}

/// Variables with the values that the container sees.
fn environment(options: &ContainerOptions) -> Vec<(String, String)> {
    let value = |variable: &Variable| match variable {
        Variable::Set { name, value } => Some((name.clone(), value.clone())),
        Variable::Inherited(name) => Some((name.clone(), std::env::var(name).ok()?)),
    };
    options.environment.iter().filter_map(value).collect()
}

/// A container whose announcement is to be written.
pub(super) struct Announced<'a> {
    pub(super) unit: &'a Unit,
    /// By which people know it.
    pub(super) shown_name: &'a Name,
    pub(super) image: &'a Image,
    pub(super) configuration: &'a ImageConfiguration,
    pub(super) options: &'a ContainerOptions,
    pub(super) held: &'a Held,
    pub(super) has_checks: bool,
}

/// Writes the announcement, if anything is asked for. Whether it was.
pub(super) fn write(
    folder: &ContainerFolder,
    asked: &Asked,
    about: &Announced<'_>,
) -> anyhow::Result<bool> {
    if asked.is_empty() {
        return Ok(false);
    }
    let bound = about.held.ports();
    let published: Vec<PublishedPort> = bound.iter().map(published).collect();
    let ports = ContainerPorts {
        network: about.options.network(),
        published: &published,
        exposed: Some(&exposed(about.configuration)),
        reach: reach(&settings()?, about.held.address()),
    };
    let services = services(asked, ports)?;
    if services.is_empty() {
        return Ok(false);
    }
    let unit = about.unit.name().map(|name| format!("{name}.service"));
    let announcement = Announcement {
        container: about.shown_name.clone(),
        // It becomes the monitor.
        process: std::process::id(),
        process_started: process_started()?,
        unit,
        image: about.image.name.clone(),
        digest: about.image.digest.to_string(),
        health: if about.has_checks {
            Health::Healthy
        } else {
            Health::Unchecked
        },
        services,
    };
    let path = folder.path().join(FILE);
    let text = serde_json::to_vec(&announcement)?;
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    std::fs::create_dir_all(ANNOUNCED).context(ANNOUNCED)?;
    Ok(true)
}

/// Of this process, in the kernel's ticks since the boot.
fn process_started() -> anyhow::Result<u64> {
    const STAT: &str = "/proc/self/stat";
    let text = std::fs::read_to_string(STAT).context(STAT)?;
    let fields = text.rsplit_once(')').map(|(_, rest)| rest);
    let field = fields.and_then(|rest| rest.split_whitespace().nth(START_FIELD));
    field.context(STAT)?.parse().context(STAT)
}

/// A container that is gone is not announced; that it never was is no error.
pub(super) fn remove(name: &Name) -> anyhow::Result<()> {
    let path = Path::new(ANNOUNCED).join(format!("{name}.json"));
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

/// The containers that are announced.
pub(super) fn announced() -> Vec<Name> {
    let entries = std::fs::read_dir(ANNOUNCED).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter_map(|name| name.strip_suffix(".json")?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_expose_ports() {
        let text = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},
            "config":{"ExposedPorts":{"80":{},"53/udp":{},"x/tcp":{},"9/carrier":{}}}}"#;
        let image: ImageConfiguration = serde_json::from_str(text).unwrap();
        assert_eq!(exposed(&image), [(53, Protocol::Udp), (80, Protocol::Tcp)]);
    }

    #[test]
    fn a_process_knows_when_it_was_started() {
        let started = process_started().unwrap();
        assert!(started > 0);
        assert_eq!(started, process_started().unwrap());
    }
}
