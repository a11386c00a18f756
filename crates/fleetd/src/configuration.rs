//! What the daemon is told, with types.
//!
//! Every value is judged before anything starts; files that are named are opened by those who use them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use kv_client::Endpoint;
use systemd_unit::time_span::{self, TimeSpan};

use crate::settings::{Given, Settings, UsageError};

/// Everything that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Configuration {
    pub(crate) store: StoreOptions,
    /// What units can ask for of this machine.
    pub(crate) metadata: BTreeMap<String, String>,
    /// The address that others reach it by.
    pub(crate) public_ip: Option<IpAddr>,
    /// The time of the machine's lease.
    pub(crate) agent_ttl: Duration,
    /// How many entries a page has.
    pub(crate) page_limit: u16,
    pub(crate) runs_engine: bool,
    /// Where the API is offered by TLS; nowhere if empty.
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) tls: Option<TlsFiles>,
    /// How containers are registered; from a file of its own.
    pub(crate) registration: container_model::registration::Settings,
    pub(crate) is_verbose: bool,
}

/// How the store is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreOptions {
    pub(crate) servers: Vec<Endpoint>,
    pub(crate) user: Option<(String, String)>,
    pub(crate) tls: kv_client::Tls,
    /// Begins and ends with a slash.
    pub(crate) prefix: String,
    pub(crate) timeout: Duration,
}

/// PEM files for the API by TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) authorities: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Configuration {
    /// Gives the settings their types.
    pub(crate) fn new(settings: &Settings) -> Result<Self, UsageError> {
        let tls = tls_files(settings)?;
        let listen = addresses(settings.get("listen"))?;
        if !listen.is_empty() && tls.is_none() {
            let why = "TCP needs mutual TLS: set tls-cafile, tls-certfile and tls-keyfile too";
            return Err(settings.get("listen").mistake(why));
        }
        Ok(Self {
            store: store(settings)?,
            metadata: metadata(settings.get("metadata"))?,
            public_ip: optional(settings.get("public-ip"), "an IP address")?,
            agent_ttl: ttl(settings.get("agent-ttl"))?,
            page_limit: page_limit(settings.get("token-limit"))?,
            runs_engine: !switch(settings.get("disable-engine"))?,
            listen,
            tls,
            registration: container_model::registration::Settings::default(),
            is_verbose: number(settings.get("verbosity"))? > 0,
        })
    }
}

fn store(settings: &Settings) -> Result<StoreOptions, UsageError> {
    let given = settings.get("etcd-servers");
    let servers: Result<Vec<Endpoint>, UsageError> = list(&given.value)
        .map(|text| text.parse().map_err(|error| given.mistake(error)))
        .collect();
    let servers = servers?;
    if servers.is_empty() {
        return Err(given.mistake("name a server at least"));
    }
    let path =
        |name| Some(PathBuf::from(&settings.get(name).value)).filter(|p| !p.as_os_str().is_empty());
    let user = settings.get("etcd-username").value.clone();
    let password = settings.get("etcd-password").value.clone();
    let timeout = settings.get("etcd-request-timeout");
    Ok(StoreOptions {
        servers,
        user: (!user.is_empty()).then_some((user, password)),
        tls: kv_client::Tls {
            trusted_ca_file: path("etcd-cafile"),
            certificate_file: path("etcd-certfile"),
            key_file: path("etcd-keyfile"),
        },
        prefix: prefix(settings.get("etcd-key-prefix"))?,
        timeout: span(timeout)?,
    })
}

/// `[`, `]`, quotes and blanks are fleet's ways to write a list.
fn list(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    let parts = text
        .split(',')
        .map(|part| part.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\''));
    parts.filter(|part| !part.is_empty())
}

fn addresses(given: &Given) -> Result<Vec<SocketAddr>, UsageError> {
    let parse = |text: &str| {
        let parsed = text.parse();
        parsed.map_err(|_| given.mistake("write it like 0.0.0.0:49153 or [::]:49153"))
    };
    list(&given.value).map(parse).collect()
}

fn metadata(given: &Given) -> Result<BTreeMap<String, String>, UsageError> {
    let mut found = BTreeMap::new();
    for pair in list(&given.value) {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| given.mistake(format!("`{pair}`: write it like key=value")))?;
        let is_good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if key.is_empty() || !key.chars().all(is_good) {
            let why = "a key is made of letters, digits, `_`, `.` and `-`";
            return Err(given.mistake(format!("`{pair}`: {why}")));
        }
        found.insert(key.to_owned(), value.to_owned());
    }
    Ok(found)
}

fn prefix(given: &Given) -> Result<String, UsageError> {
    let text = given.value.trim_matches('/');
    if text.is_empty() {
        return Err(given.mistake("it must name a place of its own, such as /fleet/"));
    }
    Ok(format!("/{text}/"))
}

fn tls_files(settings: &Settings) -> Result<Option<TlsFiles>, UsageError> {
    let names = ["tls-cafile", "tls-certfile", "tls-keyfile"];
    let [authorities, certificate, key] = names.map(|name| settings.get(name));
    let given = [authorities, certificate, key];
    if given.iter().all(|one| one.value.is_empty()) {
        return Ok(None);
    }
    if let Some(missing) = given.iter().find(|one| one.value.is_empty()) {
        let why = "tls-cafile, tls-certfile and tls-keyfile go together: set all three";
        return Err(missing.mistake(why));
    }
    Ok(Some(TlsFiles {
        authorities: absolute(authorities)?,
        certificate: absolute(certificate)?,
        key: absolute(key)?,
    }))
}

fn absolute(given: &Given) -> Result<PathBuf, UsageError> {
    let path = PathBuf::from(&given.value);
    if path.is_absolute() {
        return Ok(path);
    }
    Err(given.mistake("it must be an absolute path"))
}

fn optional<T: FromStr>(given: &Given, what: &str) -> Result<Option<T>, UsageError> {
    if given.value.is_empty() {
        return Ok(None);
    }
    let parsed = given.value.parse().map(Some);
    parsed.map_err(|_| given.mistake(format!("it must be {what}")))
}

fn number(given: &Given) -> Result<u16, UsageError> {
    let parsed = given.value.parse();
    parsed.map_err(|_| given.mistake("it must be a number from 0 to 65535"))
}

fn page_limit(given: &Given) -> Result<u16, UsageError> {
    match number(given)? {
        0 => Err(given.mistake("a page has one entry at least")),
        limit => Ok(limit),
    }
}

fn switch(given: &Given) -> Result<bool, UsageError> {
    match given.value.as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(given.mistake("it must be true or false")),
    }
}

fn span(given: &Given) -> Result<Duration, UsageError> {
    match time_span::parse(&given.value) {
        Some(TimeSpan::Finite(span)) if !span.is_zero() => Ok(span),
        _ => Err(given.mistake("it must be a time such as 30s, and longer than nothing")),
    }
}

/// The store counts leases in whole seconds.
fn ttl(given: &Given) -> Result<Duration, UsageError> {
    let span = span(given)?;
    if span < Duration::from_secs(2) || span > Duration::from_hours(1) {
        return Err(given.mistake("it must be from 2s to 1h"));
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Source;
    use crate::settings::table::find;

    fn configured(pairs: &[(&str, &str)]) -> Result<Configuration, UsageError> {
        let given = |(name, value): &(&str, &str)| Given {
            setting: find(name).expect("a setting"),
            value: (*value).to_owned(),
            source: Source::CommandLine,
        };
        Configuration::new(&Settings::merge([pairs.iter().map(given).collect()]))
    }

    #[test]
    fn the_defaults_are_good() {
        let configuration = configured(&[]).expect("defaults");
        assert_eq!(configuration.store.prefix, "/keelson/fleet/");
        assert_eq!(configuration.agent_ttl, Duration::from_secs(30));
        assert!(configuration.runs_engine);
        assert_eq!(configuration.tls, None);
    }

    #[test]
    fn lists_are_read_as_fleet_wrote_them() {
        let configuration = configured(&[
            ("etcd_servers", "[\"http://a:1\", \"http://b:2\"]"),
            ("metadata", "region=eu, disk=ssd"),
            ("disable_engine", "true"),
        ]);
        let configuration = configuration.expect("good");
        assert_eq!(configuration.store.servers.len(), 2);
        assert_eq!(configuration.metadata["disk"], "ssd");
        assert!(!configuration.runs_engine);
    }

    #[test]
    fn mistakes_name_the_setting() {
        for (name, value) in [
            ("etcd-servers", ""),
            ("etcd-servers", "ftp://x"),
            ("metadata", "region"),
            ("metadata", "a b=c"),
            ("agent-ttl", "1s"),
            ("agent-ttl", "soon"),
            ("public-ip", "here"),
            ("token-limit", "0"),
            ("disable-engine", "perhaps"),
            ("listen", "0.0.0.0:1"),
            ("listen", "8080"),
            ("tls-keyfile", "/a"),
            ("etcd-key-prefix", "/"),
        ] {
            let error = configured(&[(name, value)]).expect_err(name).to_string();
            assert!(error.contains(name) || error.contains("tls-"), "{error}");
        }
    }
}
