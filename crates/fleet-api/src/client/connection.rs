//! HTTP connections to one server, and those that are idle.
//!
//! A connection carries one request at a time. It tells apart what was certainly not sent.

use std::sync::Mutex;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use super::connector::Connector;
use super::error::ApiError;

/// Idle connections that are kept.
const IDLE_MAX: usize = 8;
/// The longest answer that is read whole; a page of a hundred units of a mebibyte is less.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

type Connection = SendRequest<Full<Bytes>>;

pub(super) struct Connections {
    connector: Connector,
    idle: Mutex<Vec<Connection>>,
}

/// A request; its body is JSON if it has one.
pub(super) struct Request {
    method: Method,
    target: String,
    body: Option<Bytes>,
}

/// The beginning of an answer; its body is still to come.
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) endpoint: String,
    retry_after: Option<Duration>,
    body: Incoming,
    connection: Connection,
}

/// What came of a request on a connection that may have been closed.
enum Sending {
    Answered(Head),
    /// Certainly not sent, and why.
    NotSent(hyper::Error),
}

/// An answer, whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// When the server wants to be asked again.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
    endpoint: String,
}

impl Request {
    pub(super) fn new(method: Method, target: String) -> Self {
        Self {
            method,
            target,
            body: None,
        }
    }

    pub(super) fn with_json(method: Method, target: String, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body)
            .unwrap_or_else(|_| unreachable!("messages have text for keys"));
        Self {
            method,
            target,
            body: Some(body.into()),
        }
    }
}

impl Answer {
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(&self.body).map_err(|error| ApiError::NotTheApi {
            endpoint: self.endpoint.clone(),
            reason: error.to_string(),
        })
    }
}

impl Head {
    /// The next piece of the body; nothing at its end.
    pub(super) async fn chunk(&mut self) -> Option<Result<Bytes, ApiError>> {
        loop {
            match self.body.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(error) => return Some(Err(lost(&self.endpoint, &error))),
            }
        }
    }
}

impl Connections {
    pub(super) fn new(connector: Connector) -> Self {
        Self {
            connector,
            idle: Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        self.connector.name()
    }

    /// Sends a request and waits for the answer's beginning.
    pub(super) async fn send(&self, request: &Request) -> Result<Head, ApiError> {
        // Lets the connections' tasks see what was closed meanwhile.
        tokio::task::yield_now().await;
        while let Some(connection) = self.take_idle() {
            // One that was closed a moment ago has sent nothing: then it is the next one's turn.
            match self.send_on(connection, request).await? {
                Sending::Answered(head) => return Ok(head),
                Sending::NotSent(_) => {}
            }
        }
        let (connection, end) = self.connect().await?;
        let why = match self.send_on(connection, request).await? {
            Sending::Answered(head) => return Ok(head),
            Sending::NotSent(why) => why,
        };
        // hyper tells of a failure once: the request that was waiting, or else who awaits the connection.
        let why = match end.await {
            Ok(Err(error)) => reason(&error),
            _ => reason(&why),
        };
        Err(ApiError::Lost {
            endpoint: self.name().to_owned(),
            reason: why,
        })
    }

    async fn send_on(
        &self,
        mut connection: Connection,
        request: &Request,
    ) -> Result<Sending, ApiError> {
        let http = self.http_request(request)?;
        if let Err(error) = connection.ready().await {
            return Ok(Sending::NotSent(error));
        }
        match connection.try_send_request(http).await {
            Ok(answer) => {
                let (parts, body) = answer.into_parts();
                Ok(Sending::Answered(Head {
                    status: parts.status,
                    endpoint: self.name().to_owned(),
                    retry_after: retry_after(&parts.headers),
                    body,
                    connection,
                }))
            }
            Err(error) if error.message().is_some() => Ok(Sending::NotSent(error.into_error())),
            Err(error) => Err(lost(self.name(), error.error())),
        }
    }

    fn http_request(&self, request: &Request) -> Result<hyper::Request<Full<Bytes>>, ApiError> {
        let refused = |reason: String| ApiError::Connect {
            endpoint: self.name().to_owned(),
            reason,
        };
        let body = request.body.clone().unwrap_or_default();
        let mut http = hyper::Request::new(Full::new(body));
        *http.method_mut() = request.method.clone();
        *http.uri_mut() = request
            .target
            .parse()
            .map_err(|error| refused(format!("{}: {error}", request.target)))?;
        let host = HeaderValue::from_str(self.connector.host());
        let headers = http.headers_mut();
        headers.insert(HOST, host.map_err(|error| refused(error.to_string()))?);
        if request.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok(http)
    }

    /// A new connection, and how it ends.
    async fn connect(&self) -> Result<(Connection, JoinHandle<hyper::Result<()>>), ApiError> {
        let failed = |reason: String| ApiError::Connect {
            endpoint: self.name().to_owned(),
            reason,
        };
        let stream = self.connector.open().await;
        let stream = stream.map_err(|error| failed(error.to_string()))?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(reason(&error)))?;
        Ok((sender, tokio::spawn(connection)))
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().ok()?;
        while let Some(connection) = idle.pop() {
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    /// Reads the rest of an answer; its connection becomes idle.
    pub(super) async fn finish(&self, mut head: Head) -> Result<Answer, ApiError> {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = head.chunk().await {
            bytes.extend_from_slice(&chunk?);
            if bytes.len() > ANSWER_BYTES_MAX {
                return Err(ApiError::NotTheApi {
                    endpoint: head.endpoint,
                    reason: format!("an answer is longer than {ANSWER_BYTES_MAX} bytes"),
                });
            }
        }
        // The connection's task has yet to see the end of the body; without a pause it is not ready.
        if head.connection.ready().await.is_ok()
            && let Ok(mut idle) = self.idle.lock()
            && idle.len() < IDLE_MAX
        {
            idle.push(head.connection);
        }
        Ok(Answer {
            status: head.status,
            retry_after: head.retry_after,
            body: bytes.freeze(),
            endpoint: head.endpoint,
        })
    }
}

/// Whole seconds; a date, which HTTP has too, is nothing that our server says.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}

fn lost(endpoint: &str, error: &hyper::Error) -> ApiError {
    ApiError::Lost {
        endpoint: endpoint.to_owned(),
        reason: reason(error),
    }
}

/// An error with all that caused it: hyper's own text leaves that out.
fn reason(error: &hyper::Error) -> String {
    let first: &dyn std::error::Error = error;
    let chain = std::iter::successors(Some(first), |error| error.source());
    let texts: Vec<String> = chain.map(ToString::to_string).collect();
    texts.join(": ")
}
