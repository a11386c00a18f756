//! `POST networks/NAME/connect` and `disconnect`: the networks that a container is in, for its next start and, while it
//! runs, at once.
//!
//! Which networks there are is `networks`' to say.

use std::path::{Path, PathBuf};

use container_model::host_entry::usable_servers;
use container_model::name::Name;
use container_model::network::{BRIDGE, Connection, Network, NetworkOption};
use container_model::options::HostName;
use container_network::{Error, Networks};
use engine_api::fields::Fields;
use engine_api::{ApiError, Record, endpoint};
use monitor_protocol::FOLDER;

use crate::answer::{Answer, internal, no_content};
use crate::engine::{self, Engine};
use crate::networks::refused;

/// Adds a network to those of a container.
pub(crate) async fn connect(engine: &Engine, network: &Name, body: &[u8]) -> Answer {
    let mut fields = Fields::parse(body)?;
    let container = fields.text("Container")?.unwrap_or_default();
    let mut endpoint = endpoint::parse(fields.object("EndpointConfig")?)?;
    fields.finish()?;
    let record = engine.records.find(&container)?;
    let _one_at_a_time = engine.lock(&record.id).await;
    let mut record = engine.records.find(&record.id)?;
    let mut networks = record.networks();
    judge(&record, &networks)?;
    if networks
        .iter()
        .any(|one| one.network.name().as_ref() == Some(network))
    {
        return Err(ApiError {
            status: 403,
            message: format!(
                "container {} is already in the network {network}",
                record.name
            ),
        });
    }
    if network.as_str() != BRIDGE {
        endpoint
            .aliases
            .extend(own_name(&record.name, &endpoint.aliases));
    }
    if engine.state(&record).await?.is_running() {
        let id = id(&record)?;
        let namespace = namespace(&record)?;
        let (name, asked) = (network.clone(), endpoint.clone());
        let join = move || Networks::default().join(&id, &name, &asked, &namespace);
        let joined = blocking(join).await?;
        resolve_by(&record.id, &joined).map_err(|error| internal(&error.into()))?;
    }
    let network: Network = network.as_str().parse().unwrap_or(Network::Bridge);
    networks.push(NetworkOption { network, endpoint });
    record.set_networks(&networks);
    engine.records.change(record)?;
    no_content()
}

/// Takes a network away from those of a container.
pub(crate) async fn disconnect(engine: &Engine, network: &Name, body: &[u8]) -> Answer {
    let mut fields = Fields::parse(body)?;
    let container = fields.text("Container")?.unwrap_or_default();
    // It is about containers of which nobody knows any more: those leave nothing here.
    let _force = fields.flag("Force")?;
    fields.finish()?;
    let record = engine.records.find(&container)?;
    let _one_at_a_time = engine.lock(&record.id).await;
    let mut record = engine.records.find(&record.id)?;
    let mut networks = record.networks();
    judge(&record, &networks)?;
    let before = networks.len();
    networks.retain(|one| one.network.name().as_ref() != Some(network));
    if networks.len() == before {
        return Err(ApiError {
            status: 403,
            message: format!(
                "container {} is not connected to network {network}",
                record.name
            ),
        });
    }
    if engine.state(&record).await?.is_running() {
        let (id, name) = (id(&record)?, network.clone());
        blocking(move || Networks::default().leave(&id, &name)).await?;
    }
    if networks.is_empty() {
        let publishes = record
            .launch
            .iter()
            .any(|word| word.starts_with("--publish="));
        if publishes {
            return Err(ApiError::conflict(format!(
                "{} publishes ports by the network {network}, which is its only one: connect it to another one before",
                record.name
            )));
        }
        networks.push(Network::None.into());
    }
    record.set_networks(&networks);
    engine.records.change(record)?;
    no_content()
}

/// Those in the machine's network stay there, as with Docker. Who is in none may come into one.
fn judge(record: &Record, networks: &[NetworkOption]) -> Result<(), ApiError> {
    match networks.first().map(|one| &one.network) {
        Some(Network::Host) => Err(ApiError::conflict(format!(
            "{} is in the machine's network: it can be in no other one",
            record.name
        ))),
        _ => Ok(()),
    }
}

/// The name that others of a network find a container by, if it can be one and is not among those that it has.
pub(crate) fn own_name(name: &str, aliases: &[HostName]) -> Option<HostName> {
    let parsed: Option<HostName> = name.parse().ok();
    parsed.filter(|name| !aliases.contains(name))
}

fn id(record: &Record) -> Result<Name, ApiError> {
    let name: Result<Name, _> = record.id.parse();
    name.map_err(|_| ApiError::not_found(format!("No such container: {}", record.id)))
}

/// Where the interfaces of a container that runs are.
fn namespace(record: &Record) -> Result<PathBuf, ApiError> {
    let process = engine::payload(&record.id);
    let process =
        process.ok_or_else(|| ApiError::conflict(format!("{} starts just now", record.name)))?;
    Ok(format!("/proc/{process}/ns/net").into())
}

/// netavark takes its time.
async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(act).await;
    let done = done.map_err(|error| internal(&error.into()))?;
    done.map_err(|error| refused(&error))
}

/// A container that nobody resolves names of its networks for asks a resolver of this one from now on, which asks others
/// for what it does not know. The file is the container's own, and stays the same one.
fn resolve_by(id: &str, joined: &Connection) -> std::io::Result<()> {
    let path = Path::new(FOLDER).join(id).join("resolv.conf");
    let resolvers = joined.network.resolvers();
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let all = Networks::default().connections().unwrap_or_default();
    let own = all.iter().filter(|one| one.container.as_str() == id);
    let known: Vec<_> = own
        .filter(|one| one.network.name != joined.network.name)
        .flat_map(|one| one.network.resolvers())
        .collect();
    let (asked, _) = usable_servers(&text);
    if resolvers.is_empty() || asked.iter().any(|server| known.contains(server)) {
        return Ok(());
    }
    let servers = resolvers.iter().map(|one| format!("nameserver {one}\n"));
    let others = text.lines().filter(|line| !line.starts_with("nameserver"));
    let lines = servers.chain(others.map(|line| format!("{line}\n")));
    std::fs::write(&path, lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_said_once() {
        let has: [HostName; 1] = ["web".parse().unwrap()];
        assert_eq!(own_name("web", &has), None);
        assert_eq!(own_name("db", &has), "db".parse().ok());
        assert_eq!(own_name("a..b", &[]), None);
    }
}
