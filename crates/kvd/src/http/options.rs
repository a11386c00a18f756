//! What the face for clients is told at its start.
//!
//! Reading it from flags and files is elsewhere.
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Changes how much is logged; the error is a text for the client.
pub type SetLogLevel = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// What the face for clients is told at its start.
#[derive(Clone)]
pub struct HttpOptions {
    /// A plain GET is as new as the request, as with `quorum=true`. etcd's may be old.
    pub linearizable_reads: bool,
    /// The largest request body, in bytes.
    pub request_bytes_max: usize,
    /// Connections served at once; more are told so and closed.
    pub connections_max: usize,
    /// Writes that may be under way at once; more are refused, as etcd does over 5000.
    pub in_flight_max: usize,
    /// How long the head or the body of a request may take to arrive. A connection without a request
    /// for so long is closed, too.
    pub receive_timeout: Duration,
    /// How long a health check may take.
    pub health_timeout: Duration,
    /// A client certificate's common name is a user, if no password is given.
    pub client_cert_auth: bool,
    /// Web pages that may use the answers (CORS); etcd's `--cors`.
    pub origins: AllowList,
    /// Names that the `Host` header of a request without TLS may have; etcd's `--host-whitelist`.
    pub hosts: AllowList,
    /// For `PUT /config/local/log`.
    pub set_log_level: SetLogLevel,
}

impl Default for HttpOptions {
    /// etcd's defaults.
    fn default() -> Self {
        Self {
            linearizable_reads: false,
            request_bytes_max: 1_572_864,
            connections_max: 20_000,
            in_flight_max: 5000,
            receive_timeout: Duration::from_mins(2),
            health_timeout: Duration::from_secs(1),
            client_cert_auth: false,
            origins: AllowList::All,
            hosts: AllowList::All,
            set_log_level: Arc::new(|_| Err("the log level is fixed".to_owned())),
        }
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpOptions")
            .field("linearizable_reads", &self.linearizable_reads)
            .field("request_bytes_max", &self.request_bytes_max)
            .field("connections_max", &self.connections_max)
            .field("origins", &self.origins)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// Names that are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowList {
    /// All (`*`).
    All,
    /// These alone.
    Only(BTreeSet<String>),
}

impl AllowList {
    /// From names; `*` among them allows all.
    pub fn new<T: Into<String>>(names: impl IntoIterator<Item = T>) -> Self {
        let names: BTreeSet<String> = names.into_iter().map(Into::into).collect();
        if names.contains("*") {
            Self::All
        } else {
            Self::Only(names)
        }
    }

    /// Whether this name is allowed.
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}
