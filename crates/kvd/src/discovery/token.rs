//! etcd's discovery protocol: members register under a token in some etcd or kvd, and wait until as
//! many are there as its `_config/size` says.
//!
//! The first to register, in the order of their creation, are the cluster; who comes later finds it
//! full. Nothing is removed here: a token forms one cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::Deserialize;

use crate::configuration::parse_cluster;
use crate::outbound::{Answer, Asker, OutboundError};

/// Between two looks when a watch cannot be kept.
const RETRY_PAUSE: Duration = Duration::from_secs(2);
/// Reachable or not, after so many failures in a row the cause is told to the one who waits.
const FAILURES_PER_WARNING: u32 = 5;

/// A cluster, as names and peer URLs.
pub(crate) type Members = Vec<(String, Vec<String>)>;

/// Why no cluster was found; says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiscoveryError {
    /// The service does not answer.
    #[error("--discovery={url}: {source}")]
    Unreachable { url: String, source: OutboundError },
    /// It answers with something else.
    #[error("--discovery={url}: unexpected answer {status} to {what}; is it a token's URL?")]
    Answer {
        url: String,
        status: StatusCode,
        what: &'static str,
    },
    /// No size at the token.
    #[error(
        "--discovery={url}: the token has no size: set one with curl -X PUT {url}/_config/size -d value=3"
    )]
    NoSize { url: String },
    /// As many members as the size says are there already.
    #[error(
        "--discovery={url}: the cluster has its {size} members already: use another token, or join with --initial-cluster-state=existing"
    )]
    Full {
        url: String,
        size: usize,
        /// Who they are.
        members: Members,
    },
    /// What members wrote does not go together.
    #[error("--discovery={url}: {reason}")]
    Members { url: String, reason: String },
}

#[derive(Deserialize)]
struct KeyAnswer {
    node: KeyNode,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyNode {
    #[serde(default)]
    key: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    nodes: Vec<KeyNode>,
    #[serde(default)]
    created_index: u64,
}

/// What is registered at a token.
struct Registered {
    size: usize,
    /// Keys and values, the first to come first.
    members: Vec<(String, String)>,
    /// The index of the last that is there.
    index: u64,
}

/// What a member writes under the token.
#[derive(Debug)]
pub(crate) struct Registration {
    /// Its key: random, and the same again when it starts anew before the cluster is complete.
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) peer_urls: Vec<String>,
}

impl Registration {
    fn value(&self) -> String {
        let pairs = self.peer_urls.iter();
        let pairs: Vec<String> = pairs.map(|url| format!("{}={url}", self.name)).collect();
        pairs.join(",")
    }
}

/// Registers this member and waits until the cluster is complete.
pub(crate) async fn discover(
    asker: &Asker,
    url: &str,
    own: &Registration,
) -> Result<Members, DiscoveryError> {
    let registered = look(asker, url).await?;
    let is_there = |one: &Registered| one.members.iter().any(|(key, _)| *key == own.key);
    if !is_there(&registered) {
        if registered.members.len() >= registered.size {
            return Err(full(url, &registered));
        }
        register(asker, url, own).await?;
    }
    let mut failures = 0;
    loop {
        match look(asker, url).await {
            Ok(registered) => {
                failures = 0;
                let size = registered.size;
                let place = registered
                    .members
                    .iter()
                    .position(|(key, _)| *key == own.key);
                if place.is_some_and(|place| place >= size) {
                    return Err(full(url, &registered));
                }
                if registered.members.len() >= size && place.is_some() {
                    let members = members_of(url, &registered)?;
                    return check_own(url, members, own);
                }
                let found = registered.members.len();
                tracing::info!("{found} of {size} members are at the discovery URL");
                wait_for_change(asker, url, registered.index + 1).await;
            }
            Err(DiscoveryError::Unreachable { source, .. }) => {
                failures += 1;
                if failures % FAILURES_PER_WARNING == 1 {
                    tracing::warn!("the discovery URL is asked again: {source}");
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The members at a token, complete or not, for a proxy.
pub(crate) async fn members_at(asker: &Asker, url: &str) -> Result<Members, DiscoveryError> {
    members_of(url, &look(asker, url).await?)
}

async fn ask(
    asker: &Asker,
    base: &str,
    method: Method,
    path: &str,
    form: Option<String>,
) -> Result<Answer, DiscoveryError> {
    let answer = asker.ask(method, &format!("{base}{path}"), form).await;
    answer.map_err(|source| DiscoveryError::Unreachable {
        url: base.to_owned(),
        source,
    })
}

fn parse(url: &str, answer: &Answer, what: &'static str) -> Result<KeyNode, DiscoveryError> {
    let parsed = serde_json::from_slice(&answer.body).ok();
    let parsed: Option<KeyAnswer> = parsed.filter(|_| answer.status.is_success());
    parsed
        .map(|parsed| parsed.node)
        .ok_or_else(|| DiscoveryError::Answer {
            url: url.to_owned(),
            status: answer.status,
            what,
        })
}

async fn look(asker: &Asker, url: &str) -> Result<Registered, DiscoveryError> {
    let answer = ask(asker, url, Method::GET, "/_config/size?quorum=true", None).await?;
    let no_size = || DiscoveryError::NoSize {
        url: url.to_owned(),
    };
    if answer.status == StatusCode::NOT_FOUND {
        return Err(no_size());
    }
    let size = parse(url, &answer, "GET _config/size")?.value;
    let size = size
        .parse()
        .ok()
        .filter(|size| *size > 0)
        .ok_or_else(no_size)?;
    let answer = ask(asker, url, Method::GET, "?quorum=true", None).await?;
    let mut nodes = parse(url, &answer, "GET of the token")?.nodes;
    nodes.sort_by_key(|node| node.created_index);
    let index = nodes.last().map_or(0, |node| node.created_index);
    let members = nodes
        .into_iter()
        .filter_map(|node| {
            let (_, key) = node.key.rsplit_once('/')?;
            (!key.starts_with('_')).then(|| (key.to_owned(), node.value))
        })
        .collect();
    Ok(Registered {
        size,
        members,
        index,
    })
}

async fn register(asker: &Asker, url: &str, own: &Registration) -> Result<(), DiscoveryError> {
    let value = percent_encode(&own.value());
    let path = format!("/{}?prevExist=false", own.key);
    let form = Some(format!("value={value}"));
    let answer = ask(asker, url, Method::PUT, &path, form).await?;
    // It is there already if an earlier answer was lost.
    if answer.status.is_success() || answer.status == StatusCode::PRECONDITION_FAILED {
        return Ok(());
    }
    Err(DiscoveryError::Answer {
        url: url.to_owned(),
        status: answer.status,
        what: "the registration",
    })
}

/// Everything but what a form leaves alone.
fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// Until somebody registers at this index or later, or the time of a question is up.
async fn wait_for_change(asker: &Asker, url: &str, index: u64) {
    let watch = format!("{url}?wait=true&recursive=true&waitIndex={index}");
    let changed = asker.ask(Method::GET, &watch, None).await;
    // Refused, when so much was written since that the index is forgotten: then by asking again.
    let is_refused = |answer: &Answer| !answer.status.is_success();
    if changed.as_ref().is_ok_and(is_refused)
        || matches!(changed, Err(OutboundError::Connect { .. }))
    {
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

fn members_of(url: &str, registered: &Registered) -> Result<Members, DiscoveryError> {
    let first = registered.members.iter().take(registered.size);
    let mut names = BTreeMap::new();
    for (key, value) in first.clone() {
        let name = value.split_once('=').map_or("", |(name, _)| name);
        if let Some(other) = names.insert(name, key) {
            return Err(DiscoveryError::Members {
                url: url.to_owned(),
                reason: format!(
                    "two members are named {name:?} ({other} and {key}): give each its own --name and use a new token"
                ),
            });
        }
    }
    let values: Vec<&str> = first.map(|(_, value)| value.as_str()).collect();
    parse_cluster(&values.join(",")).map_err(|reason| DiscoveryError::Members {
        url: url.to_owned(),
        reason,
    })
}

fn check_own(url: &str, members: Members, own: &Registration) -> Result<Members, DiscoveryError> {
    if members.iter().any(|(name, _)| *name == own.name) {
        return Ok(members);
    }
    Err(DiscoveryError::Members {
        url: url.to_owned(),
        reason: format!(
            "this data directory is registered under another name than {:?}: start it with that name, or with an empty one and a new token",
            own.name
        ),
    })
}

fn full(url: &str, registered: &Registered) -> DiscoveryError {
    match members_of(url, registered) {
        Ok(members) => DiscoveryError::Full {
            url: url.to_owned(),
            size: registered.size,
            members,
        },
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests;
