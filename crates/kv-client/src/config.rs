//! What a client is told when it is made.
//!
//! Nothing here reads a file, except the certificates that are named.
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::credentials::Credentials;
use crate::endpoint::Endpoint;
use crate::error::ConfigError;
use crate::request::Request;

/// Called with each request just before it is sent, and where to.
pub type Observer = Arc<dyn Fn(&Endpoint, &Request) + Send + Sync>;

/// What a client is told when it is made.
#[derive(Clone)]
pub struct Config {
    /// Where to ask first; more are learnt by [`crate::Client::sync`].
    pub endpoints: Vec<Endpoint>,
    /// Who asks.
    pub credentials: Option<Credentials>,
    /// Files for TLS.
    pub tls: Tls,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one endpoint may take to begin its answer; watches are exempt.
    pub request_timeout: Duration,
    /// How long one call may take with all its attempts; watches are exempt.
    pub total_timeout: Duration,
    /// How long a watch may be silent before its server is asked whether it still lives.
    pub watch_probe_interval: Duration,
    /// A longer answer is refused.
    pub answer_bytes_max: usize,
    /// Told of each request that is sent.
    pub observer: Option<Observer>,
}

impl Config {
    /// Asks these endpoints, with etcdctl's time-outs.
    pub fn new<S: AsRef<str>>(endpoints: impl IntoIterator<Item = S>) -> Result<Self, ConfigError> {
        let endpoints: Result<Vec<Endpoint>, _> = endpoints
            .into_iter()
            .map(|one| one.as_ref().parse())
            .collect();
        Ok(Self {
            endpoints: endpoints?,
            credentials: None,
            tls: Tls::default(),
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(2),
            total_timeout: Duration::from_secs(5),
            watch_probe_interval: Duration::from_mins(1),
            answer_bytes_max: 256 << 20,
            observer: None,
        })
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Config")
            .field("endpoints", &self.endpoints)
            .field("credentials", &self.credentials)
            .field("tls", &self.tls)
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("total_timeout", &self.total_timeout)
            .field("watch_probe_interval", &self.watch_probe_interval)
            .field("answer_bytes_max", &self.answer_bytes_max)
            .finish_non_exhaustive()
    }
}

/// Files in PEM form for TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Who may vouch for servers; the system's bundle if nothing is said.
    pub trusted_ca_file: Option<PathBuf>,
    /// Our own certificate, with its chain.
    pub certificate_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
}
