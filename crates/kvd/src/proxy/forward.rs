//! One request, forwarded: to the first member that takes it, or refused with the reason.
//!
//! A request that no member has received goes to the next one. One that may have been received is
//! sent again only if it changes nothing; of any other the client is told that nobody knows.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;

use super::members::Directory;
use super::relay::{Answer, Relay};
use crate::configuration::ProxyOptions;
use crate::endpoint::Endpoint;
use crate::outbound::{OutboundError, connect};
use crate::tls::ClientTls;

/// A connection to a member.
pub(super) type Sender = SendRequest<Full<Bytes>>;

/// Idle connections kept for each member.
const IDLE_MAX: usize = 64;
/// Room for a form around the largest value.
const FORM_BYTES: usize = 64 << 10;
/// Where etcd's proxy tells its members.
const OWN_PATH: &str = "/v2/config/local/proxy";
/// Headers that are about one connection only.
static HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Idle connections to members.
#[derive(Default)]
pub(super) struct Connections {
    idle: Mutex<HashMap<Endpoint, Vec<Sender>>>,
}

impl Connections {
    /// Keeps a connection whose answer is through.
    pub(super) fn put(&self, endpoint: Endpoint, sender: Sender) {
        let mut idle = self.idle.lock();
        let senders = idle.entry(endpoint).or_default();
        if senders.len() < IDLE_MAX && !sender.is_closed() {
            senders.push(sender);
        }
    }

    /// An idle connection that still stands.
    async fn take(&self, endpoint: &Endpoint) -> Option<Sender> {
        loop {
            let mut sender = self.idle.lock().get_mut(endpoint)?.pop()?;
            if sender.ready().await.is_ok() {
                return Some(sender);
            }
        }
    }
}

/// What is forwarded, kept so that it can be sent again.
struct Asked {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    /// Whether it may be sent twice.
    fn is_safe(&self) -> bool {
        [Method::GET, Method::HEAD, Method::OPTIONS].contains(&self.method)
    }

    fn is_watch(&self) -> bool {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        query
            .split('&')
            .any(|pair| pair.starts_with("wait=") || pair.starts_with("stream="))
    }

    fn request(&self, endpoint: &Endpoint) -> Option<Request<Full<Bytes>>> {
        let body = Full::new(self.body.clone());
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(self.target.as_str())
            .body(body)
            .ok()?;
        *request.headers_mut() = self.headers.clone();
        let host = HeaderValue::from_str(&endpoint.authority()).ok()?;
        request.headers_mut().insert(HOST, host);
        Some(request)
    }
}

/// What came of an attempt.
enum Attempt {
    Answered(Response<Incoming>, Sender),
    /// The member has not received the request.
    NotSent(String),
    /// It may have.
    Unknown(String),
}

/// Forwards requests.
pub(super) struct Forwarder {
    options: ProxyOptions,
    body_bytes_max: usize,
    directory: Arc<Directory>,
    tls: Arc<ClientTls>,
    connections: Arc<Connections>,
}

impl Forwarder {
    pub(super) fn new(
        options: ProxyOptions,
        request_bytes_max: usize,
        directory: Arc<Directory>,
        tls: Arc<ClientTls>,
    ) -> Self {
        Self {
            options,
            body_bytes_max: request_bytes_max.saturating_add(FORM_BYTES),
            directory,
            tls,
            connections: Arc::default(),
        }
    }

    /// The answer to a client's request.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        address: Option<IpAddr>,
    ) -> Response<Answer> {
        if request.uri().path() == OWN_PATH && request.method() == Method::GET {
            let urls = self.directory.known().client_urls();
            let body = serde_json::json!({ "endpoints": urls }).to_string();
            return own(StatusCode::OK, body);
        }
        let only_reads = [Method::GET, Method::HEAD, Method::OPTIONS];
        if self.options.readonly && !only_reads.contains(request.method()) {
            let message = "this proxy forwards reads only";
            return refusal(StatusCode::NOT_IMPLEMENTED, message);
        }
        match self.collect(request, address).await {
            Ok(asked) => self.forward(&asked).await,
            Err(refused) => refused,
        }
    }

    /// Reads the whole request.
    async fn collect(
        &self,
        request: Request<Incoming>,
        address: Option<IpAddr>,
    ) -> Result<Asked, Response<Answer>> {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, self.body_bytes_max);
        let body = body.collect().await.map_err(|_| {
            let message = "the request is too large, or broke off";
            refusal(StatusCode::PAYLOAD_TOO_LARGE, message)
        })?;
        let target = parts.uri.path_and_query().map_or("/", |one| one.as_str());
        Ok(Asked {
            method: parts.method,
            target: target.to_owned(),
            headers: end_to_end(parts.headers, address),
            body: body.to_bytes(),
        })
    }

    async fn forward(&self, asked: &Asked) -> Response<Answer> {
        let candidates = self.directory.candidates();
        if candidates.is_empty() {
            let message = "proxy: zero endpoints currently available";
            return refusal(StatusCode::SERVICE_UNAVAILABLE, message);
        }
        let mut last = String::new();
        for endpoint in candidates {
            match self.attempt(asked, &endpoint).await {
                Attempt::Answered(answer, sender) => {
                    return self.relay(asked, answer, endpoint, sender);
                }
                Attempt::NotSent(reason) => last = reason,
                Attempt::Unknown(reason) if asked.is_safe() => last = reason,
                Attempt::Unknown(reason) => {
                    self.directory.mark_failed(&endpoint);
                    let message = format!("the request may have been carried out: {reason}");
                    return refusal(StatusCode::BAD_GATEWAY, &message);
                }
            }
            tracing::debug!("{endpoint} failed: {last}");
            self.directory.mark_failed(&endpoint);
        }
        let message = format!("no member answers: {last}");
        refusal(StatusCode::BAD_GATEWAY, &message)
    }

    async fn attempt(&self, asked: &Asked, endpoint: &Endpoint) -> Attempt {
        let Some(mut request) = asked.request(endpoint) else {
            return Attempt::NotSent("the request cannot be written".to_owned());
        };
        let mut idle = self.connections.take(endpoint).await;
        loop {
            let is_new = idle.is_none();
            let mut sender = match idle.take() {
                Some(sender) => sender,
                None => match self.connect(endpoint).await {
                    Ok(sender) => sender,
                    Err(error) => return Attempt::NotSent(error.to_string()),
                },
            };
            let sent = sender.try_send_request(request);
            let answer = match self.options.read_timeout {
                None => sent.await,
                Some(limit) => match tokio::time::timeout(limit, sent).await {
                    Ok(answer) => answer,
                    Err(_) => {
                        return Attempt::Unknown(format!("{endpoint} did not answer in time"));
                    }
                },
            };
            match answer {
                Ok(answer) => return Attempt::Answered(answer, sender),
                Err(mut error) => match error.take_message() {
                    // The member closed an idle connection: a new one is tried.
                    Some(unsent) if !is_new => request = unsent,
                    Some(_) => return Attempt::NotSent(error.into_error().to_string()),
                    None => {
                        let reason = format!("{endpoint}: {}", error.into_error());
                        return Attempt::Unknown(reason);
                    }
                },
            }
        }
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Sender, OutboundError> {
        let timeout = self.options.dial_timeout;
        let limit = self.options.write_timeout;
        connect(endpoint, Some(&*self.tls), timeout, limit).await
    }

    fn relay(
        &self,
        asked: &Asked,
        answer: Response<Incoming>,
        endpoint: Endpoint,
        sender: Sender,
    ) -> Response<Answer> {
        let (mut parts, body) = answer.into_parts();
        remove_hop_by_hop(&mut parts.headers);
        let mut connection = Some((endpoint, sender));
        // A body without frames is never polled to its end.
        if body.is_end_stream()
            && let Some((endpoint, sender)) = connection.take()
        {
            self.connections.put(endpoint, sender);
        }
        let silence = self.options.read_timeout;
        let relay = Relay {
            body,
            is_watch: asked.is_watch(),
            connection,
            connections: Arc::clone(&self.connections),
            silence: silence.map(|limit| (limit, Box::pin(tokio::time::sleep(limit)))),
        };
        Response::from_parts(parts, Answer::Relayed(Box::new(relay)))
    }
}

/// The headers that are for the member, and where the request comes from.
fn end_to_end(mut headers: HeaderMap, address: Option<IpAddr>) -> HeaderMap {
    remove_hop_by_hop(&mut headers);
    // The body was read as a whole, whichever way it came.
    headers.remove(CONTENT_LENGTH);
    if let Some(host) = address {
        let before = headers.get("x-forwarded-for");
        let before = before.and_then(|value| value.to_str().ok());
        let chain = before.map_or(host.to_string(), |before| format!("{before}, {host}"));
        if let Ok(chain) = HeaderValue::from_str(&chain) {
            headers.insert("x-forwarded-for", chain);
        }
    }
    headers
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_lowercase())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

fn refusal(status: StatusCode, message: &str) -> Response<Answer> {
    own(
        status,
        serde_json::json!({ "message": message }).to_string(),
    )
}

fn own(status: StatusCode, body: String) -> Response<Answer> {
    let mut response = Response::new(Answer::Own(Full::new(Bytes::from(body))));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        pairs.collect()
    }

    #[test]
    fn headers_of_the_connection_stay_behind() {
        let given = headers(&[
            ("connection", "close, X-Own"),
            ("x-own", "1"),
            ("transfer-encoding", "chunked"),
            ("authorization", "Basic a"),
            ("x-forwarded-for", "10.0.0.1"),
        ]);
        let found = end_to_end(given, Some(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])));
        let expected = headers(&[
            ("authorization", "Basic a"),
            ("x-forwarded-for", "10.0.0.1, ::1"),
        ]);
        assert_eq!(found, expected);
        assert_eq!(end_to_end(HeaderMap::new(), None), HeaderMap::new());
    }

    #[test]
    fn watches_are_told_from_reads() {
        let asked = |target: &str| Asked {
            method: Method::GET,
            target: target.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        assert!(asked("/v2/keys/a?recursive=true&wait=true").is_watch());
        assert!(!asked("/v2/keys/wait=true").is_watch());
    }
}
