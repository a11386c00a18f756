//! From the configuration to what the replica is told: the first members are found, sockets and TLS
//! of members prepared.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use kv_cluster::{PeerTls, Settings, Start};
use kv_store::HistoryWindow;
use rustls::crypto::aws_lc_rs;

use crate::configuration::{
    Bootstrap, ClientCertificates, ClusterState, Configuration, Credentials, Limits, MemberOptions,
    ProxyOptions, TlsOptions, parse_cluster,
};
use crate::data_folder::{DISCOVERED, DISCOVERY_KEY, DataFolder};
use crate::discovery::{self, DiscoveryError, Members, Registration};
use crate::endpoint::Place;
use crate::listener::{self, Listening};
use crate::outbound::Asker;
use crate::tls::{self, ClientTls, ServerTls};

/// A question to a discovery URL waits so long; a watch of it too.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// What the process is to become.
pub(super) enum Beginning {
    Member(Box<Settings>),
    /// The discovered cluster needs no more members.
    Proxy(ProxyOptions),
}

/// TLS among members.
pub(super) struct PeerSecurity {
    server: Option<Arc<ServerTls>>,
    client: Option<Arc<ClientTls>>,
}

impl PeerSecurity {
    /// Reads the files.
    pub(super) fn new(
        configuration: &Configuration,
        options: &MemberOptions,
    ) -> Result<Self, tls::TlsError> {
        let wanted = &configuration.peer_tls;
        let hosts = options
            .listen_peer
            .iter()
            .filter_map(|one| match &one.place {
                Place::Tcp { host, .. } => Some(host.clone()),
                Place::Unix(_) => None,
            });
        let what = "for members";
        let server = tls::server(what, wanted, tls::SERVE_MEMBERS, hosts.collect())?;
        let client = match server {
            Some(_) => Some(tls::client("towards members", wanted, tls::ASK_MEMBERS)?),
            None => None,
        };
        Ok(Self {
            server: server.map(Arc::new),
            client: client.map(Arc::new),
        })
    }

    pub(super) fn server(&self) -> Option<Arc<ServerTls>> {
        self.server.clone()
    }

    fn into_providers(self) -> Option<PeerTls> {
        let (server, client) = (self.server?, self.client?);
        Some(PeerTls {
            server: Arc::new(move || server.current()),
            client: Arc::new(move || client.current()),
        })
    }
}

/// Prepares the replica's settings. It waits for others only where they have to be discovered.
pub(super) async fn begin(
    configuration: &Configuration,
    options: &MemberOptions,
    folder: &DataFolder,
    security: PeerSecurity,
) -> anyhow::Result<Beginning> {
    let mut peer_listeners = Vec::new();
    for listener in listener::open("listen-peer-urls", &options.listen_peer)? {
        if let Listening::Tcp(socket) = listener.socket {
            peer_listeners.push(socket);
        }
    }
    let (name, start) = if options.force_new_cluster {
        (known_name(configuration, folder), Start::ForceNew)
    } else if folder.holds_a_member() {
        let name = known_name(configuration, folder);
        let start = known_start(options, folder, &name);
        (name, start)
    } else {
        match first_start(configuration, options, folder).await? {
            First::Start(name, start) => (name, start),
            First::Proxy(options) => return Ok(Beginning::Proxy(options)),
        }
    };
    let mut settings = Settings::new(&name, folder.path());
    settings.peer_urls = peer_urls(options, folder, &name);
    settings.client_urls.clone_from(&options.advertise_client);
    settings.peer_listeners = peer_listeners;
    settings.peer_tls = security.into_providers();
    settings.cluster_token.clone_from(&options.cluster_token);
    settings.start = start;
    settings.heartbeat = options.heartbeat;
    settings.election_timeout = options.election_timeout;
    settings.snapshot_entries = options.snapshot_entries;
    settings.compaction = options.compaction;
    let limits = &configuration.limits;
    settings.request_bytes_max = limits.request_bytes;
    settings.store.window = history_window(limits);
    Ok(Beginning::Member(Box::new(settings)))
}

/// Where the others reach this member: as advertised. By SRV records it is the URL of its own record, which
/// may name a host where the flag has its address; certificates are checked against that.
fn peer_urls(options: &MemberOptions, folder: &DataFolder, name: &str) -> Vec<String> {
    let recorded = match options.bootstrap {
        Bootstrap::DnsSrv { .. } => discovered(folder)
            .and_then(|(_, members)| members.into_iter().find(|(member, _)| member == name)),
        _ => None,
    };
    recorded.map_or_else(|| options.advertise_peer.clone(), |(_, urls)| urls)
}

/// What the store keeps of its history.
pub(crate) fn history_window(limits: &Limits) -> HistoryWindow {
    HistoryWindow {
        bytes_max: limits.history_bytes,
        events_max: limits.history_events,
        age_max: limits.history_age,
    }
}

enum First {
    /// Under this name.
    Start(String, Start),
    Proxy(ProxyOptions),
}

/// The name that somebody chose, or that was discovered at the first start.
fn known_name(configuration: &Configuration, folder: &DataFolder) -> String {
    match discovered(folder) {
        Some((name, _)) if !configuration.name_is_given => name,
        _ => configuration.name.clone(),
    }
}

/// A folder that holds a member does not discover again: what it found then still counts, for the
/// cluster may not have been formed yet.
fn known_start(options: &MemberOptions, folder: &DataFolder, name: &str) -> Start {
    match &options.bootstrap {
        Bootstrap::Alone => Start::Single,
        Bootstrap::Static(members) => static_start(options, members.clone(), name),
        Bootstrap::Discovery { .. } | Bootstrap::DnsSrv { .. } => match discovered(folder) {
            Some((_, members)) => static_start(options, members, name),
            None => Start::Single,
        },
    }
}

/// What [`remember`] wrote.
fn discovered(folder: &DataFolder) -> Option<(String, Members)> {
    let text = folder.read(DISCOVERED)?;
    let (name, members) = text.split_once('\n')?;
    Some((name.to_owned(), parse_cluster(members.trim_end()).ok()?))
}

fn remember(folder: &DataFolder, name: &str, members: &Members) -> anyhow::Result<()> {
    let pairs = members.iter();
    let pairs = pairs.flat_map(|(name, urls)| urls.iter().map(move |url| format!("{name}={url}")));
    let list = pairs.collect::<Vec<_>>().join(",");
    folder
        .write(DISCOVERED, &format!("{name}\n{list}\n"))
        .context("cannot write into the data directory")
}

fn static_start(
    options: &MemberOptions,
    members: Vec<(String, Vec<String>)>,
    own_name: &str,
) -> Start {
    match options.cluster_state {
        ClusterState::New => Start::NewCluster { members },
        ClusterState::Existing => {
            let others = members.into_iter().filter(|(name, _)| name != own_name);
            let peers = others.flat_map(|(_, urls)| urls).collect();
            Start::JoinExisting { peers }
        }
    }
}

async fn first_start(
    configuration: &Configuration,
    options: &MemberOptions,
    folder: &DataFolder,
) -> anyhow::Result<First> {
    let name = configuration.name.clone();
    match &options.bootstrap {
        Bootstrap::Alone => Ok(First::Start(name, Start::Single)),
        Bootstrap::Static(members) => {
            let start = static_start(options, members.clone(), &name);
            Ok(First::Start(name, start))
        }
        Bootstrap::DnsSrv { domain, suffix } => {
            let given = configuration.name_is_given.then_some(name);
            let (name, members) = by_dns(options, domain, suffix, given).await?;
            remember(folder, &name, &members)?;
            let start = static_start(options, members, &name);
            Ok(First::Start(name, start))
        }
        Bootstrap::Discovery {
            url,
            http_proxy,
            falls_back_to_proxy,
        } => {
            let asker = discovery_asker(http_proxy.as_deref())?;
            let own = Registration {
                key: discovery_key(folder)?,
                name: name.clone(),
                peer_urls: options.advertise_peer.clone(),
            };
            match discovery::discover(&asker, url, &own).await {
                Ok(members) => {
                    remember(folder, &name, &members)?;
                    let start = static_start(options, members, &name);
                    Ok(First::Start(name, start))
                }
                Err(DiscoveryError::Full { members, .. }) if *falls_back_to_proxy => {
                    tracing::warn!("the discovered cluster is full: this is its proxy now");
                    let bootstrap = Bootstrap::Static(members);
                    Ok(First::Proxy(ProxyOptions::with_defaults(bootstrap)))
                }
                Err(error) => Err(error.into()),
            }
        }
    }
}

/// The list of the SRV records, and the name that they give to this member.
async fn by_dns(
    options: &MemberOptions,
    domain: &str,
    suffix: &str,
    given: Option<String>,
) -> anyhow::Result<(String, Members)> {
    let found = discovery::find_by_dns(domain, suffix, &options.advertise_peer).await?;
    let Some(own) = found.own_name else {
        bail!(
            "--discovery-srv={domain}: no record points to {}: correct --initial-advertise-peer-urls, or the records",
            options.advertise_peer.join(",")
        );
    };
    match given {
        Some(name) if name != own => bail!(
            "--name={name}: the SRV records of {domain} make this member {own:?}: start it with that name, or without one"
        ),
        _ => Ok((own, found.members)),
    }
}

/// The service is somebody else's: the system's CAs count there, not the cluster's.
fn discovery_asker(http_proxy: Option<&str>) -> anyhow::Result<Asker> {
    let options = TlsOptions {
        credentials: Credentials::None,
        client_certificates: ClientCertificates::NotAsked,
        names_users: false,
        authorities: None,
        versions: crate::configuration::TlsVersions {
            version_1_2: true,
            version_1_3: true,
        },
        cipher_suites: Vec::new(),
    };
    let http_proxy = http_proxy
        .map(|proxy| {
            proxy
                .parse()
                .with_context(|| format!("--discovery-proxy={proxy}"))
        })
        .transpose()?;
    // Without CAs only https cannot be asked; the error comes when it is.
    let tls = tls::client("towards the discovery URL", &options, tls::ASK_HTTP).ok();
    Ok(Asker {
        tls: tls.map(Arc::new),
        timeout: DISCOVERY_TIMEOUT,
        http_proxy,
    })
}

/// This member's key at the token: the same when it starts again before the cluster is complete.
fn discovery_key(folder: &DataFolder) -> anyhow::Result<String> {
    if let Some(key) = folder.read(DISCOVERY_KEY) {
        return Ok(key);
    }
    let mut random = [0; 8];
    let filled = aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut random);
    if filled.is_err() {
        bail!("the system gives no random numbers");
    }
    let mut key = String::new();
    for byte in random {
        // Writing to a string cannot fail.
        let _ = write!(key, "{byte:02x}");
    }
    folder
        .write(DISCOVERY_KEY, &key)
        .context("cannot write into the data directory")?;
    Ok(key)
}
