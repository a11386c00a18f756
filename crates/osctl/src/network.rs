//! Whether the network is configured, from systemd-networkd's state files and `/sys`.
//!
//! It sends no packet: a machine is not unhealthy because its neighbours are. A cable that is
//! not plugged in does not matter either, as long as one link works.
//!
//! The files are those that `networkctl` reads through libsystemd: `links/IFINDEX` holds
//! `ADMIN_STATE=` and `OPER_STATE=` (systemd 257, `link_save` of `networkd-state-file.c`).
use machine_facts::error::{Fact, FactError};
use machine_facts::system_root::SystemRoot;

const INTERFACES: &str = "/sys/class/net";
const LINKS: &str = "/run/systemd/netif/links";
/// It exists while systemd-udevd has events to handle: the driver of a network card may be among
/// them.
const DEVICE_QUEUE: &str = "/run/udev/queue";

/// The network as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NetworkState {
    /// At least one link has a routable address, or is configured with any address.
    Configured,
    /// The machine has no network hardware, and no link that networkd manages.
    NoInterfaces,
    /// Not yet; says which link is how far.
    Pending(String),
    /// systemd-networkd gave up on links; says which.
    Failed(String),
}

/// A network interface other than the loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Link {
    name: String,
    hardware: bool,
    state: LinkState,
}

/// What systemd-networkd says about a link.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LinkState {
    /// Nothing yet.
    Unknown,
    /// The words of networkctl(1).
    Known {
        administrative: String,
        operational: String,
    },
}

impl NetworkState {
    /// Finds out.
    pub(crate) fn read(root: &SystemRoot) -> Fact<Self> {
        let mut links = Vec::new();
        for name in root.list(INTERFACES)? {
            if name != "lo" {
                links.extend(read_link(root, name)?);
            }
        }
        Ok(match judge(&links) {
            Self::NoInterfaces if root.exists(DEVICE_QUEUE) => {
                Self::Pending("devices are still being looked for".to_owned())
            }
            state => state,
        })
    }
}

/// `None` if the interface went away meanwhile.
fn read_link(root: &SystemRoot, name: String) -> Fact<Option<Link>> {
    let folder = format!("{INTERFACES}/{name}");
    let Some(index) = if_there(root.read_word(&format!("{folder}/ifindex")))? else {
        // Also `bonding_masters`, which is a file among the interfaces.
        return Ok(None);
    };
    let state = if_there(root.read_text(&format!("{LINKS}/{index}")))?;
    Ok(Some(Link {
        hardware: root.exists(&format!("{folder}/device")),
        state: state.map_or(LinkState::Unknown, |text| parse_state(&text)),
        name,
    }))
}

fn if_there<T>(fact: Fact<T>) -> Fact<Option<T>> {
    match fact {
        Ok(value) => Ok(Some(value)),
        Err(FactError::Read { source, .. }) if is_gone(&source) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

fn parse_state(text: &str) -> LinkState {
    let value = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        lines.find_map(|(name, value)| (name == key).then(|| value.to_owned()))
    };
    match (value("ADMIN_STATE"), value("OPER_STATE")) {
        (Some(administrative), Some(operational)) => LinkState::Known {
            administrative,
            operational,
        },
        _ => LinkState::Unknown,
    }
}

impl Link {
    fn administrative(&self) -> &str {
        match &self.state {
            LinkState::Unknown => "unknown to systemd-networkd",
            LinkState::Known { administrative, .. } => administrative,
        }
    }

    /// Bridges and tunnels count if networkd is told to care for them.
    fn counts(&self) -> bool {
        let managed = match &self.state {
            LinkState::Unknown => false,
            LinkState::Known { administrative, .. } => administrative != "unmanaged",
        };
        self.hardware || managed
    }

    fn works(&self) -> bool {
        match &self.state {
            LinkState::Unknown => false,
            LinkState::Known {
                administrative,
                operational,
            } => {
                // With a routable address it does not matter that IPv6 may still be on its way.
                matches!(
                    (administrative.as_str(), operational.as_str()),
                    ("configured" | "configuring", "routable") | ("configured", "degraded")
                )
            }
        }
    }

    fn describe(&self) -> String {
        let name = &self.name;
        match &self.state {
            LinkState::Unknown => format!("{name} is unknown to systemd-networkd"),
            LinkState::Known {
                administrative,
                operational,
            } => format!("{name} is {administrative} ({operational})"),
        }
    }
}

fn judge(links: &[Link]) -> NetworkState {
    let counting: Vec<_> = links.iter().filter(|link| link.counts()).collect();
    let describe = |links: &[&Link]| {
        let described: Vec<_> = links.iter().map(|link| link.describe()).collect();
        described.join(", ")
    };
    let failed: Vec<_> = counting
        .iter()
        .copied()
        .filter(|l| l.administrative() == "failed")
        .collect();
    if counting.is_empty() {
        NetworkState::NoInterfaces
    } else if !failed.is_empty() {
        NetworkState::Failed(describe(&failed))
    } else if counting.iter().any(|link| link.works()) {
        NetworkState::Configured
    } else {
        NetworkState::Pending(describe(&counting))
    }
}

#[cfg(test)]
mod tests;
