//! Calls: which endpoint is asked, what is tried again, and what an answer means.
//!
//! It does not guess: a change whose outcome is unknown is reported as such.
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::HeaderMap;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::answer::{Answer, AnswerBody};
use crate::config::{Config, Observer, Tls};
use crate::connection::{Connections, Head, Whole};
use crate::credentials::Credentials;
use crate::endpoint::Endpoint;
use crate::error::{Attempt, AttemptError, ConfigError, Error, EtcdError};
use crate::request::{Repeat, Request};
use crate::tls;
use crate::write::Write;

/// A client. Clones share connections and what is known of the cluster.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    /// The endpoints of the configuration: the way back when all that were learnt are gone.
    seeds: Vec<Endpoint>,
    known: Mutex<Known>,
    connections: Connections,
    observer: Option<Observer>,
    request_timeout: Duration,
    total_timeout: Duration,
    watch_probe_interval: Duration,
}

struct Known {
    endpoints: Vec<Endpoint>,
    /// The one that answered last.
    pinned: usize,
}

/// What one endpoint said, before it is judged.
struct Reply {
    endpoint: Endpoint,
    whole: Whole,
    /// Whether an earlier try of the same request may have been carried out.
    is_repetition: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Client")
            .field("endpoints", &self.endpoints())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client. It talks to nobody before it is asked something.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        if config.endpoints.is_empty() {
            return Err(ConfigError::NoEndpoints);
        }
        let authorization = config
            .credentials
            .as_ref()
            .map(Credentials::header)
            .transpose()?;
        // Members may publish https where we were told http only; so whenever files are named.
        let needs_tls =
            config.endpoints.iter().any(Endpoint::is_secure) || config.tls != Tls::default();
        let tls = needs_tls
            .then(|| tls::connector(&config.tls, None))
            .transpose()?;
        let connections = Connections::new(
            tls,
            authorization,
            config.connect_timeout,
            config.answer_bytes_max,
        );
        let known = Known {
            endpoints: config.endpoints.clone(),
            pinned: 0,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                seeds: config.endpoints,
                known: Mutex::new(known),
                connections,
                observer: config.observer,
                request_timeout: config.request_timeout,
                total_timeout: config.total_timeout,
                watch_probe_interval: config.watch_probe_interval,
            }),
        })
    }

    /// The endpoints that are asked, as far as they are known now.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.known().endpoints.clone()
    }

    /// Asks these endpoints from now on. Without any, nothing changes.
    pub fn set_endpoints(&self, endpoints: Vec<Endpoint>) {
        let mut known = self.known();
        if endpoints.is_empty() || known.endpoints == endpoints {
            return;
        }
        self.shared.connections.forget_others(&endpoints);
        *known = Known {
            endpoints,
            pinned: 0,
        };
    }

    /// Changes one key.
    pub async fn write(&self, write: &Write) -> Result<Answer, Error> {
        self.call_keys(&write.request()).await
    }

    /// Asks about keys, and understands the answer.
    pub(crate) async fn call_keys(&self, request: &Request) -> Result<Answer, Error> {
        Ok(self.call_keys_with_headers(request).await?.0)
    }

    /// Asks about keys; gives the headers too.
    pub(crate) async fn call_keys_with_headers(
        &self,
        request: &Request,
    ) -> Result<(Answer, HeaderMap), Error> {
        let reply = self.exchange(request).await?;
        match understand(&reply.endpoint, &reply.whole) {
            // The first try may have been the very reason of the refusal.
            Err(Error::Etcd(error)) if reply.is_repetition => {
                let attempt = Attempt {
                    error: AttemptError::Server {
                        endpoint: reply.endpoint.clone(),
                        status: reply.whole.status.as_u16(),
                        message: error.to_string(),
                    },
                    endpoint: reply.endpoint,
                };
                Err(Error::OutcomeUnknown(vec![attempt]))
            }
            other => Ok((other?, reply.whole.headers)),
        }
    }

    /// Asks about anything else; gives the body of a good answer.
    pub(crate) async fn call(&self, request: &Request) -> Result<(Endpoint, Whole), Error> {
        let reply = self.exchange(request).await?;
        if reply.whole.status.is_success() {
            return Ok((reply.endpoint, reply.whole));
        }
        Err(refusal(&reply.whole))
    }

    /// Asks about anything else; gives what the JSON of a good answer says.
    pub(crate) async fn call_json<T: for<'a> Deserialize<'a>>(
        &self,
        request: &Request,
    ) -> Result<T, Error> {
        let (endpoint, whole) = self.call(request).await?;
        parse(&endpoint, &whole)
    }

    /// Asks one endpoint alone, once.
    pub(crate) async fn call_at<T: for<'a> Deserialize<'a>>(
        &self,
        endpoint: &Endpoint,
        request: &Request,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + self.shared.request_timeout;
        let whole = self.attempt(endpoint, request, deadline).await;
        let whole = whole.map_err(|error| unavailable(endpoint, error))?;
        if whole.status.is_success() || whole.status.is_server_error() {
            return parse(endpoint, &whole);
        }
        Err(refusal(&whole))
    }

    /// Begins a request whose answer comes bit by bit, at one endpoint.
    pub(crate) async fn begin(
        &self,
        endpoint: &Endpoint,
        request: &Request,
    ) -> Result<Head, AttemptError> {
        self.observe(endpoint, request);
        let deadline = Instant::now() + self.shared.request_timeout;
        let sending = self
            .shared
            .connections
            .send(endpoint, request, Some(deadline));
        sending.await
    }

    /// Waits for the rest of an answer that was begun.
    pub(crate) async fn finish(&self, head: Head) -> Result<Whole, AttemptError> {
        self.shared.connections.finish(head).await
    }

    pub(crate) fn watch_probe_interval(&self) -> Duration {
        self.shared.watch_probe_interval
    }

    /// The endpoint that answered last.
    pub(crate) fn pinned(&self) -> Endpoint {
        let known = self.known();
        known.endpoints[known.pinned].clone()
    }

    /// Turns to the next endpoint, if this one is still the favourite.
    pub(crate) fn turn_away_from(&self, endpoint: &Endpoint) {
        let mut known = self.known();
        if known.endpoints[known.pinned] == *endpoint {
            known.pinned = (known.pinned + 1) % known.endpoints.len();
        }
    }

    /// The endpoints in the order in which they are tried: those known, then those of the
    /// configuration that are not among them.
    fn order(&self) -> Vec<Endpoint> {
        let known = self.known();
        let mut order = known.endpoints.clone();
        order.rotate_left(known.pinned);
        let more = self
            .shared
            .seeds
            .iter()
            .filter(|seed| !order.contains(seed));
        let more: Vec<Endpoint> = more.cloned().collect();
        order.extend(more);
        order
    }

    /// Sends a request to one endpoint after the other until one answers.
    async fn exchange(&self, request: &Request) -> Result<Reply, Error> {
        let total = self.shared.total_timeout;
        let last = Instant::now() + total;
        let mut attempts: Vec<Attempt> = Vec::new();
        for endpoint in self.order() {
            let deadline = last.min(Instant::now() + self.shared.request_timeout);
            let is_repetition = request.repeat == Repeat::Conditional && may_have_effect(&attempts);
            let error = match self.attempt(&endpoint, request, deadline).await {
                Ok(whole) if !whole.status.is_server_error() => {
                    self.pin(&endpoint);
                    return Ok(Reply {
                        endpoint,
                        whole,
                        is_repetition,
                    });
                }
                Ok(whole) => server_error(&endpoint, &whole),
                Err(error) => error,
            };
            let goes_on = error.is_without_effect() || request.repeat != Repeat::Once;
            attempts.push(Attempt { endpoint, error });
            if !goes_on || Instant::now() >= last {
                break;
            }
        }
        if request.repeat != Repeat::Harmless && may_have_effect(&attempts) {
            return Err(Error::OutcomeUnknown(attempts));
        }
        if Instant::now() >= last {
            return Err(Error::TimedOut(total));
        }
        Err(Error::Unavailable(attempts))
    }

    async fn attempt(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        deadline: Instant,
    ) -> Result<Whole, AttemptError> {
        self.observe(endpoint, request);
        let connections = &self.shared.connections;
        let head = connections.send(endpoint, request, Some(deadline)).await?;
        // A long answer may take longer than its beginning, not longer than the whole call.
        let until = Instant::now() + self.shared.total_timeout;
        timeout_at(until, connections.finish(head))
            .await
            .unwrap_or_else(|_| Err(AttemptError::HeaderTimeout(endpoint.clone())))
    }

    fn observe(&self, endpoint: &Endpoint, request: &Request) {
        if let Some(observer) = &self.shared.observer {
            observer(endpoint, request);
        }
    }

    fn pin(&self, endpoint: &Endpoint) {
        let mut known = self.known();
        if let Some(place) = known.endpoints.iter().position(|one| one == endpoint) {
            known.pinned = place;
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        // Whoever panicked while holding it left it whole: it is only ever assigned.
        self.shared
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn may_have_effect(attempts: &[Attempt]) -> bool {
    attempts.iter().any(|one| !one.error.is_without_effect())
}

/// What an answer about keys says.
pub(crate) fn understand(endpoint: &Endpoint, whole: &Whole) -> Result<Answer, Error> {
    if !whole.status.is_success() {
        return Err(refusal(whole));
    }
    let header = |name: &str| whole.headers.get(name)?.to_str().ok();
    let body: AnswerBody = parse(endpoint, whole)?;
    Ok(Answer {
        action: body.action,
        node: body.node,
        previous: body.previous,
        index: header("x-etcd-index")
            .and_then(|text| text.parse().ok())
            .unwrap_or_default(),
        cluster_id: header("x-etcd-cluster-id").unwrap_or_default().to_owned(),
    })
}

fn parse<T: for<'a> Deserialize<'a>>(endpoint: &Endpoint, whole: &Whole) -> Result<T, Error> {
    serde_json::from_slice(&whole.body).map_err(|error| Error::InvalidAnswer {
        endpoint: endpoint.clone(),
        reason: error.to_string(),
    })
}

/// What a refusal says: etcd's numbered error, a message, or a line of text.
fn refusal(whole: &Whole) -> Error {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    if let Ok(error) = serde_json::from_slice::<EtcdError>(&whole.body) {
        return Error::Etcd(error);
    }
    let message = serde_json::from_slice::<Message>(&whole.body).map_or_else(
        |_| String::from_utf8_lossy(&whole.body).trim().to_owned(),
        |found| found.message,
    );
    Error::Refused {
        status: whole.status.as_u16(),
        message: if message.is_empty() {
            whole.status.to_string()
        } else {
            message
        },
    }
}

fn server_error(endpoint: &Endpoint, whole: &Whole) -> AttemptError {
    AttemptError::Server {
        endpoint: endpoint.clone(),
        status: whole.status.as_u16(),
        message: refusal(whole).to_string(),
    }
}

fn unavailable(endpoint: &Endpoint, error: AttemptError) -> Error {
    Error::Unavailable(vec![Attempt {
        endpoint: endpoint.clone(),
        error,
    }])
}
