//! Settings with types, and what must hold between them.
//!
//! A pure function of [`Settings`] and the environment's state folder: no file is opened, no name
//! resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use kv_cluster::Compaction;

use crate::endpoint::{Endpoint, Place};
use crate::settings::{Settings, UsageError};

mod security;

pub(crate) use security::{ClientCertificates, Credentials, TlsOptions, TlsVersions};

/// How a member finds the first members, if its data folder is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bootstrap {
    /// Nobody else: a cluster of one.
    Alone,
    /// Names and peer URLs, this member's among them.
    Static(Vec<(String, Vec<String>)>),
    /// At a token's URL.
    Discovery {
        url: String,
        /// An HTTP proxy to reach it by.
        http_proxy: Option<String>,
        /// Whether to become a proxy when the cluster is full.
        falls_back_to_proxy: bool,
    },
    /// By SRV records.
    DnsSrv { domain: String, suffix: String },
}

/// Whether the cluster is to be formed or exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClusterState {
    New,
    Existing,
}

/// What a member is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberOptions {
    pub(crate) listen_peer: Vec<Endpoint>,
    pub(crate) advertise_peer: Vec<String>,
    pub(crate) advertise_client: Vec<String>,
    pub(crate) bootstrap: Bootstrap,
    pub(crate) cluster_state: ClusterState,
    pub(crate) cluster_token: String,
    pub(crate) force_new_cluster: bool,
    pub(crate) heartbeat: Duration,
    pub(crate) election_timeout: Duration,
    /// Entries after which the log is shortened.
    pub(crate) snapshot_entries: u64,
    /// How much of the past is kept for v3.
    pub(crate) compaction: Compaction,
}

/// What a proxy is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProxyOptions {
    pub(crate) bootstrap: Bootstrap,
    /// Only reads are forwarded.
    pub(crate) readonly: bool,
    pub(crate) failure_wait: Duration,
    pub(crate) refresh_interval: Duration,
    pub(crate) dial_timeout: Duration,
    /// None: no limit.
    pub(crate) write_timeout: Option<Duration>,
    /// None: no limit.
    pub(crate) read_timeout: Option<Duration>,
}

impl ProxyOptions {
    /// For a member that turned out not to be needed.
    pub(crate) fn with_defaults(bootstrap: Bootstrap) -> Self {
        Self {
            bootstrap,
            readonly: false,
            failure_wait: Duration::from_secs(5),
            refresh_interval: Duration::from_secs(30),
            dial_timeout: Duration::from_secs(1),
            write_timeout: Some(Duration::from_secs(5)),
            read_timeout: None,
        }
    }
}

/// What this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    Member(MemberOptions),
    Proxy(ProxyOptions),
}

/// What bounds clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) request_bytes: usize,
    pub(crate) connections: usize,
    /// None: no limit.
    pub(crate) history_events: Option<u64>,
    pub(crate) history_bytes: u64,
    /// None: no limit.
    pub(crate) history_age: Option<Duration>,
}

/// What clients are answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manners {
    pub(crate) linearizable_reads: bool,
    /// Origins; `*` is all.
    pub(crate) cors_origins: BTreeSet<String>,
    /// Names in `Host` without TLS; `*` is all.
    pub(crate) host_names: BTreeSet<String>,
}

/// Everything kvd is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Configuration {
    pub(crate) name: String,
    /// Whether somebody chose the name.
    pub(crate) name_is_given: bool,
    pub(crate) data_folder: PathBuf,
    pub(crate) listen_client: Vec<Endpoint>,
    pub(crate) listen_metrics: Vec<Endpoint>,
    pub(crate) mode: Mode,
    pub(crate) client_tls: TlsOptions,
    pub(crate) peer_tls: TlsOptions,
    pub(crate) limits: Limits,
    pub(crate) manners: Manners,
    /// In the words of tracing.
    pub(crate) log_level: &'static str,
}

impl Configuration {
    /// Gives the settings types. `state_folder` is what systemd made for the service, if it did.
    pub(crate) fn new(
        settings: &Settings,
        state_folder: Option<PathBuf>,
    ) -> Result<Self, UsageError> {
        let name = settings.text("name").to_owned();
        if name.is_empty() || name.contains(['=', ',']) {
            return wrong(settings, "name", "a member's name, without = and commas");
        }
        let data_folder = match settings.text("data-dir") {
            "" => state_folder.unwrap_or_else(|| PathBuf::from(format!("{name}.kvd"))),
            given => PathBuf::from(given),
        };
        let mode = match settings.text("proxy") {
            "off" => Mode::Member(member_options(settings, &name)?),
            "on" => Mode::Proxy(proxy_options(settings, false)?),
            "readonly" => Mode::Proxy(proxy_options(settings, true)?),
            _ => return wrong(settings, "proxy", "on, off or readonly"),
        };
        let configuration = Self {
            name_is_given: settings.is_given("name"),
            name,
            data_folder,
            listen_client: endpoints(settings, "listen-client-urls")?,
            listen_metrics: endpoints(settings, "listen-metrics-urls")?,
            mode,
            client_tls: security::client_tls(settings)?,
            peer_tls: security::peer_tls(settings)?,
            limits: limits(settings),
            manners: manners(settings),
            log_level: log_level(settings)?,
        };
        configuration.check_tls(settings)?;
        Ok(configuration)
    }

    /// A URL with TLS needs a certificate; a certificate without such a URL is a mistake too.
    fn check_tls(&self, settings: &Settings) -> Result<(), UsageError> {
        let mut listeners = vec![(
            "listen-client-urls",
            &self.listen_client,
            &self.client_tls,
            "",
        )];
        if let Mode::Member(member) = &self.mode {
            listeners.push((
                "listen-peer-urls",
                &member.listen_peer,
                &self.peer_tls,
                "peer-",
            ));
        }
        for (name, endpoints, tls, prefix) in listeners {
            let wants_tls = endpoints.iter().any(|endpoint| endpoint.tls);
            let given = settings.get(name);
            if wants_tls && tls.credentials == Credentials::None {
                return Err(UsageError(format!(
                    "{given}: https needs --{prefix}cert-file and --{prefix}key-file, or --{prefix}auto-tls"
                )));
            }
            if !wants_tls && tls.credentials != Credentials::None {
                return Err(UsageError(format!(
                    "{given}: no URL is https, so the certificate of --{prefix}cert-file would protect nothing"
                )));
            }
        }
        Ok(())
    }
}

/// Refuses a value.
fn wrong<T>(settings: &Settings, name: &str, expected: &str) -> Result<T, UsageError> {
    let given = settings.get(name);
    Err(UsageError(format!("{given}: not {expected}")))
}

fn endpoints(settings: &Settings, name: &str) -> Result<Vec<Endpoint>, UsageError> {
    let parse = |text: &str| {
        text.parse()
            .map_err(|e| UsageError(format!("{}: {e}", settings.get(name))))
    };
    settings.list(name).into_iter().map(parse).collect()
}

fn member_options(settings: &Settings, name: &str) -> Result<MemberOptions, UsageError> {
    let listen_peer = endpoints(settings, "listen-peer-urls")?;
    if let Some(unix) = listen_peer
        .iter()
        .find(|one| matches!(one.place, Place::Unix(_)))
    {
        return Err(UsageError(format!(
            "{}: members talk over http and https only, not {unix}",
            settings.get("listen-peer-urls")
        )));
    }
    for name in ["listen-peer-urls", "listen-client-urls"] {
        if settings.list(name).is_empty() {
            return wrong(settings, name, "a URL; one is needed");
        }
    }
    let advertise_peer = advertised(settings, "initial-advertise-peer-urls", "listen-peer-urls")?;
    let advertise_client = advertised(settings, "advertise-client-urls", "listen-client-urls")?;
    let cluster_state = match settings.text("initial-cluster-state") {
        "new" => ClusterState::New,
        "existing" => ClusterState::Existing,
        _ => return wrong(settings, "initial-cluster-state", "new or existing"),
    };
    let bootstrap = bootstrap(settings)?;
    if let Bootstrap::Static(members) = &bootstrap {
        check_listed(settings, members, name, &advertise_peer)?;
    }
    if cluster_state == ClusterState::Existing && bootstrap == Bootstrap::Alone {
        return Err(UsageError(
            "--initial-cluster-state=existing: name the members to join with --initial-cluster"
                .to_owned(),
        ));
    }
    let compaction = compaction(settings)?;
    let heartbeat = Duration::from_millis(settings.number("heartbeat-interval"));
    let election_timeout = Duration::from_millis(settings.number("election-timeout"));
    check_timing(settings, heartbeat, election_timeout)?;
    if settings.number("snapshot-count") == 0 {
        return wrong(settings, "snapshot-count", "above zero");
    }
    Ok(MemberOptions {
        listen_peer,
        advertise_peer,
        advertise_client,
        bootstrap,
        cluster_state,
        cluster_token: settings.text("initial-cluster-token").to_owned(),
        force_new_cluster: settings.switch("force-new-cluster"),
        heartbeat,
        election_timeout,
        snapshot_entries: settings.number("snapshot-count"),
        compaction,
    })
}

/// etcd's bounds: below, a slow disk makes elections; above, nobody wants to wait.
fn check_timing(
    settings: &Settings,
    heartbeat: Duration,
    election_timeout: Duration,
) -> Result<(), UsageError> {
    if heartbeat.is_zero() {
        return wrong(settings, "heartbeat-interval", "above zero");
    }
    if election_timeout < heartbeat.saturating_mul(5) {
        let expected = "five heartbeats or more: see --heartbeat-interval";
        return wrong(settings, "election-timeout", expected);
    }
    if election_timeout > Duration::from_secs(50) {
        return wrong(settings, "election-timeout", "50000 milliseconds or less");
    }
    Ok(())
}

/// What is advertised: as given, or where we listen, if others can reach that.
fn advertised(
    settings: &Settings,
    name: &str,
    listen_name: &str,
) -> Result<Vec<String>, UsageError> {
    let given = endpoints(settings, name)?;
    let chosen = if given.is_empty() {
        endpoints(settings, listen_name)?
    } else {
        given
    };
    if let Some(wildcard) = chosen.iter().find(|one| one.is_wildcard()) {
        return Err(UsageError(format!(
            "{wildcard} is no address that others can connect to: say --{name}=URL"
        )));
    }
    Ok(chosen.iter().map(ToString::to_string).collect())
}

fn bootstrap(settings: &Settings) -> Result<Bootstrap, UsageError> {
    let given: Vec<&str> = ["initial-cluster", "discovery", "discovery-srv"]
        .into_iter()
        .filter(|name| !settings.text(name).is_empty())
        .collect();
    match given[..] {
        [] => Ok(Bootstrap::Alone),
        ["initial-cluster"] => Ok(Bootstrap::Static(initial_cluster(settings)?)),
        ["discovery"] => {
            let falls_back_to_proxy = match settings.text("discovery-fallback") {
                "proxy" => true,
                "exit" => false,
                _ => return wrong(settings, "discovery-fallback", "proxy or exit"),
            };
            let http_proxy = Some(settings.text("discovery-proxy"))
                .filter(|proxy| !proxy.is_empty())
                .map(str::to_owned);
            Ok(Bootstrap::Discovery {
                url: settings.text("discovery").trim_end_matches('/').to_owned(),
                http_proxy,
                falls_back_to_proxy,
            })
        }
        ["discovery-srv"] => Ok(Bootstrap::DnsSrv {
            domain: settings.text("discovery-srv").to_owned(),
            suffix: settings.text("discovery-srv-name").to_owned(),
        }),
        _ => Err(UsageError(format!(
            "--{} are given together: choose one way to find the first members",
            given.join(" and --")
        ))),
    }
}

/// `NAME=URL,NAME=URL,…`; a name with several URLs stands several times.
fn initial_cluster(settings: &Settings) -> Result<Vec<(String, Vec<String>)>, UsageError> {
    let given = settings.get("initial-cluster");
    let mistake = |what: String| UsageError(format!("{given}: {what}"));
    parse_cluster(&given.value).map_err(mistake)
}

/// Reads a list of members; the error says what is wrong with it.
pub(crate) fn parse_cluster(text: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let parts = text.split(',').map(str::trim);
    for part in parts.filter(|part| !part.is_empty()) {
        let (name, url) = part
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| format!("{part:?} is not NAME=URL"))?;
        let endpoint: Endpoint = url
            .parse()
            .map_err(|e: crate::endpoint::EndpointError| e.to_string())?;
        let url = endpoint.to_string();
        let taken = members.iter().find(|(_, urls)| urls.contains(&url));
        if let Some((other, _)) = taken {
            return Err(format!("{url} stands for {other:?} and for {name:?}"));
        }
        members.entry(name.to_owned()).or_default().push(url);
    }
    Ok(members.into_iter().collect())
}

/// This member must be in the list, with the URLs it advertises.
fn check_listed(
    settings: &Settings,
    members: &[(String, Vec<String>)],
    name: &str,
    advertised: &[String],
) -> Result<(), UsageError> {
    let given = settings.get("initial-cluster");
    let Some((_, urls)) = members.iter().find(|(one, _)| one == name) else {
        return Err(UsageError(format!(
            "{given}: this member, {name:?}, is not listed: add {name}={} or correct --name",
            advertised.first().map_or("URL", String::as_str)
        )));
    };
    let listed: BTreeSet<&String> = urls.iter().collect();
    if listed != advertised.iter().collect() {
        return Err(UsageError(format!(
            "{given}: {name:?} is listed at {}, but advertises {}: make --initial-advertise-peer-urls the same",
            urls.join(","),
            advertised.join(",")
        )));
    }
    Ok(())
}

fn proxy_options(settings: &Settings, readonly: bool) -> Result<ProxyOptions, UsageError> {
    let milliseconds = |name| Duration::from_millis(settings.number(name));
    let limit = |name| Some(milliseconds(name)).filter(|limit| !limit.is_zero());
    let bootstrap = bootstrap(settings)?;
    if bootstrap == Bootstrap::Alone {
        return Err(UsageError(
            "--proxy: name the members with --initial-cluster, --discovery or --discovery-srv"
                .to_owned(),
        ));
    }
    if settings.switch("force-new-cluster") {
        return Err(UsageError(
            "--force-new-cluster: a proxy has no data to make a cluster of".to_owned(),
        ));
    }
    let refresh_interval = milliseconds("proxy-refresh-interval");
    if refresh_interval.is_zero() {
        return wrong(settings, "proxy-refresh-interval", "above zero");
    }
    Ok(ProxyOptions {
        bootstrap,
        readonly,
        failure_wait: milliseconds("proxy-failure-wait"),
        refresh_interval,
        dial_timeout: milliseconds("proxy-dial-timeout"),
        write_timeout: limit("proxy-write-timeout"),
        read_timeout: limit("proxy-read-timeout"),
    })
}

/// As etcd reads it: a bare number is hours, or revisions.
fn compaction(settings: &Settings) -> Result<Compaction, UsageError> {
    let (mode, text) = ("auto-compaction-mode", "auto-compaction-retention");
    let retention = settings.text(text);
    let number = retention.parse::<u32>().ok();
    let compaction = match settings.text(mode) {
        "periodic" => number
            .map(|hours| Duration::from_hours(1) * hours)
            .or_else(|| crate::duration::parse(retention))
            .map(Compaction::Age),
        "revision" => number.map(|count| Compaction::Revisions(count.into())),
        _ => return wrong(settings, mode, "periodic or revision"),
    };
    match compaction {
        None => wrong(
            settings,
            text,
            "hours, a time such as 30m, or a number of revisions",
        ),
        Some(Compaction::Age(Duration::ZERO) | Compaction::Revisions(0)) => Ok(Compaction::Manual),
        Some(compaction) => Ok(compaction),
    }
}

fn limits(settings: &Settings) -> Limits {
    let size = |name| usize::try_from(settings.number(name)).unwrap_or(usize::MAX);
    let age = crate::duration::parse(settings.text("history-age"));
    Limits {
        request_bytes: size("max-request-bytes"),
        connections: size("max-connections"),
        history_events: Some(settings.number("history-events")).filter(|most| *most > 0),
        history_bytes: settings.number("history-bytes"),
        history_age: age.filter(|age| !age.is_zero()),
    }
}

fn manners(settings: &Settings) -> Manners {
    let set = |name| settings.list(name).into_iter().map(str::to_owned).collect();
    Manners {
        linearizable_reads: settings.switch("linearizable-reads"),
        cors_origins: set("cors"),
        host_names: set("host-whitelist"),
    }
}

fn log_level(settings: &Settings) -> Result<&'static str, UsageError> {
    if settings.switch("debug") {
        return Ok("debug");
    }
    match crate::logging::level(settings.text("log-level")) {
        Some(level) => Ok(level),
        None => wrong(
            settings,
            "log-level",
            "debug, info, warn, error, panic or fatal",
        ),
    }
}

#[cfg(test)]
mod tests;
