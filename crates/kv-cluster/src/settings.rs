//! What a member is told at its start.
//!
//! Parsing flags and files into it is the daemon's affair.
use std::fmt;
use std::net::{TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::{ClientConfig, ServerConfig};

use crate::compaction::Compaction;
use crate::error::StartError;
use crate::member::MemberId;

/// Everything a member is told at its start.
#[derive(Debug)]
pub struct Settings {
    /// Its name, unique in the cluster.
    pub name: String,
    /// Where log, store and identity are kept. Created if absent.
    pub data_dir: PathBuf,
    /// Where the other members reach it (advertised): `http://host:port` or `https://host:port`.
    pub peer_urls: Vec<String>,
    /// Where clients reach it (advertised).
    pub client_urls: Vec<String>,
    /// Sockets on which the other members are answered; see [`listen`].
    pub peer_listeners: Vec<TcpListener>,
    /// TLS between members; without, everything is plain.
    pub peer_tls: Option<PeerTls>,
    /// Tells clusters apart that are formed of the same names and URLs.
    pub cluster_token: String,
    /// What to do if the data folder is empty, or to force.
    pub start: Start,
    /// The leader's heartbeat.
    pub heartbeat: Duration,
    /// Without a heartbeat for this long, a member asks for votes (up to twice as long, at random).
    pub election_timeout: Duration,
    /// The largest command, in bytes as encoded.
    pub request_bytes_max: usize,
    /// Commands that may wait for the log at once; more are refused.
    pub waiting_commands_max: usize,
    /// Bytes of commands that may wait for the log at once; more are refused.
    pub waiting_bytes_max: usize,
    /// The store is made durable, and the log may be shortened, after so many entries.
    pub snapshot_entries: u64,
    /// The same, after so many bytes of entries.
    pub snapshot_bytes: u64,
    /// Entries kept behind a snapshot for members that are slow.
    pub keep_entries: u64,
    /// How much of the past is kept for reads and watches of v3.
    pub compaction: Compaction,
    /// How the store is kept, the history's window among it.
    pub store: kv_store::Options,
    /// How the log is kept. Its largest payload is raised to what entries need.
    pub log: raft_log::Options,
    /// For tests that cut the network.
    pub link: Arc<dyn Link>,
}

impl Settings {
    /// A single member on its own, with etcd's defaults.
    pub fn new(name: &str, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            data_dir: data_dir.into(),
            peer_urls: vec!["http://localhost:2380".to_owned()],
            client_urls: vec!["http://localhost:2379".to_owned()],
            peer_listeners: Vec::new(),
            peer_tls: None,
            cluster_token: "etcd-cluster".to_owned(),
            start: Start::Single,
            heartbeat: Duration::from_millis(100),
            election_timeout: Duration::from_secs(1),
            request_bytes_max: 1_572_864,
            waiting_commands_max: 16_384,
            waiting_bytes_max: 64 << 20,
            snapshot_entries: 20_000,
            snapshot_bytes: 64 << 20,
            keep_entries: 5_000,
            compaction: Compaction::default(),
            store: kv_store::Options::default(),
            log: raft_log::Options::default(),
            link: Arc::new(OpenLink),
        }
    }

    /// How long a proposal or a linearizable read may take: etcd's five seconds and two elections.
    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + 2 * self.election_timeout
    }
}

/// What to do with an empty data folder. A folder that holds a member already simply restarts it,
/// except that [`Start::ForceNew`] needs one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// A new cluster of this member alone.
    Single,
    /// A new cluster of these members, the same list on all of them. All must be running before the
    /// cluster is formed.
    NewCluster {
        /// Names and peer URLs, this member's included.
        members: Vec<(String, Vec<String>)>,
    },
    /// Join a cluster that was told of this member by [`crate::Replica::add_member`].
    JoinExisting {
        /// Peer URLs of members that can be asked.
        peers: Vec<String>,
    },
    /// Give up all other members, and be a cluster of one with what this folder holds. For the last
    /// survivor only.
    ForceNew,
}

/// TLS between members. The providers are asked for every connection, so that certificates can be
/// exchanged without a restart.
#[derive(Clone)]
pub struct PeerTls {
    /// For incoming connections. ALPN must offer `h2` and `http/1.1`.
    pub server: Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>,
    /// For outgoing connections. ALPN must offer `h2`.
    pub client: Arc<dyn Fn() -> Arc<ClientConfig> + Send + Sync>,
}

impl fmt::Debug for PeerTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PeerTls")
    }
}

/// Whether messages pass between members: a seam for tests that cut the network.
pub trait Link: fmt::Debug + Send + Sync + 'static {
    /// Asked for every message; one that may not pass is as if the cable were cut.
    fn passes(&self, from: MemberId, to: MemberId) -> bool;
}

/// Everything passes.
#[derive(Debug, Clone, Copy)]
pub struct OpenLink;

impl Link for OpenLink {
    fn passes(&self, _from: MemberId, _to: MemberId) -> bool {
        true
    }
}

/// Opens the sockets for peer URLs such as `http://0.0.0.0:2380`.
pub fn listen(urls: &[String]) -> Result<Vec<TcpListener>, StartError> {
    let mut listeners = Vec::new();
    for url in urls {
        let failed = |source| StartError::Listen {
            url: url.clone(),
            source,
        };
        let uri: hyper::Uri = url
            .parse()
            .map_err(|_| StartError::PeerUrl { url: url.clone() })?;
        let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
            return Err(StartError::PeerUrl { url: url.clone() });
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let addresses: Vec<_> = (host, port).to_socket_addrs().map_err(failed)?.collect();
        listeners.push(TcpListener::bind(addresses.as_slice()).map_err(failed)?);
    }
    Ok(listeners)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listens_on_urls_with_a_port_only() {
        assert!(matches!(
            listen(&["http://127.0.0.1".to_owned()]),
            Err(StartError::PeerUrl { .. })
        ));
        let listeners = listen(&["http://127.0.0.1:0".to_owned(), "http://[::1]:0".to_owned()]);
        assert!(listeners.is_ok_and(|open| !open.is_empty()));
    }
}
