//! Connections to servers, and those that are idle.
//!
//! A connection carries one request at a time. It tells apart what was certainly not sent.
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::rt::{Read, Write};
use hyper::{HeaderMap, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::endpoint::Endpoint;
use crate::error::AttemptError;
use crate::request::{Repeat, Request};

/// Idle connections that are kept for one endpoint; more are closed.
const IDLE_MAX: usize = 16;

/// An HTTP connection on which nothing is under way.
type Connection = SendRequest<Full<Bytes>>;

/// Opens connections and keeps idle ones.
pub(crate) struct Connections {
    idle: Mutex<HashMap<Endpoint, Vec<Connection>>>,
    tls: Option<TlsConnector>,
    authorization: Option<HeaderValue>,
    connect_timeout: Duration,
    answer_bytes_max: usize,
}

/// The beginning of an answer; its body is still to come.
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    connection: Connection,
    endpoint: Endpoint,
}

/// An answer, whole.
pub(crate) struct Whole {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Connections {
    pub(crate) fn new(
        tls: Option<TlsConnector>,
        authorization: Option<HeaderValue>,
        connect_timeout: Duration,
        answer_bytes_max: usize,
    ) -> Self {
        Self {
            idle: Mutex::default(),
            tls,
            authorization,
            connect_timeout,
            answer_bytes_max,
        }
    }

    /// Sends a request and waits for the answer's beginning.
    pub(crate) async fn send(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        deadline: Option<Instant>,
    ) -> Result<Head, AttemptError> {
        if request.repeat != Repeat::Harmless {
            // Lets the connections' tasks see what was closed meanwhile: a write on such a connection
            // would have an unknown outcome for nothing.
            tokio::task::yield_now().await;
        }
        // An idle connection may have been closed a moment ago: then it is the next one's turn.
        while let Some(connection) = self.take_idle(endpoint) {
            match self.send_on(connection, endpoint, request, deadline).await {
                Err(AttemptError::NotSent(_)) => {}
                other => return other,
            }
        }
        let connection = self.connect(endpoint, deadline).await?;
        self.send_on(connection, endpoint, request, deadline).await
    }

    async fn send_on(
        &self,
        mut connection: Connection,
        endpoint: &Endpoint,
        request: &Request,
        deadline: Option<Instant>,
    ) -> Result<Head, AttemptError> {
        let http = self.http_request(endpoint, request);
        let work = async {
            if connection.ready().await.is_err() {
                return Err(AttemptError::NotSent(endpoint.clone()));
            }
            let sent = connection.try_send_request(http).await;
            sent.map_err(|error| match error.message() {
                Some(_) => AttemptError::NotSent(endpoint.clone()),
                None => AttemptError::Lost {
                    endpoint: endpoint.clone(),
                    reason: reason(error.error()),
                },
            })
        };
        let answer = match deadline {
            Some(deadline) => timeout_at(deadline, work)
                .await
                .map_err(|_| AttemptError::HeaderTimeout(endpoint.clone()))??,
            None => work.await?,
        };
        let (parts, body) = answer.into_parts();
        Ok(Head {
            status: parts.status,
            headers: parts.headers,
            body,
            connection,
            endpoint: endpoint.clone(),
        })
    }

    fn http_request(&self, endpoint: &Endpoint, request: &Request) -> hyper::Request<Full<Bytes>> {
        let mut http = hyper::Request::new(Full::new(request.body.clone()));
        *http.method_mut() = request.method.clone();
        *http.uri_mut() = request
            .target
            .parse()
            .unwrap_or_else(|_| unreachable!("targets are escaped when they are made"));
        let headers = http.headers_mut();
        if let Ok(host) = HeaderValue::from_str(&endpoint.authority()) {
            headers.insert(HOST, host);
        }
        if let Some(content_type) = request.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        http
    }

    async fn connect(
        &self,
        endpoint: &Endpoint,
        deadline: Option<Instant>,
    ) -> Result<Connection, AttemptError> {
        let failed = |reason: String| AttemptError::Connect {
            address: endpoint.authority(),
            reason,
        };
        let own = Instant::now() + self.connect_timeout;
        let until = deadline.map_or(own, |deadline| deadline.min(own));
        timeout_at(until, self.connect_unbounded(endpoint))
            .await
            .unwrap_or_else(|_| Err("i/o timeout".to_owned()))
            .map_err(failed)
    }

    async fn connect_unbounded(&self, endpoint: &Endpoint) -> Result<Connection, String> {
        let stream = TcpStream::connect((endpoint.host(), endpoint.port()))
            .await
            .map_err(|error| in_gos_words(&error))?;
        // Requests are small and waited for.
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        match &self.tls {
            Some(connector) if endpoint.is_secure() => {
                let name = ServerName::try_from(endpoint.host().to_owned())
                    .map_err(|error| error.to_string())?;
                let stream = connector.connect(name, stream).await;
                serve(TokioIo::new(
                    stream.map_err(|error| format!("TLS: {error}"))?,
                ))
                .await
            }
            _ => serve(TokioIo::new(stream)).await,
        }
    }

    fn take_idle(&self, endpoint: &Endpoint) -> Option<Connection> {
        let mut idle = self.idle.lock().ok()?;
        let connections = idle.get_mut(endpoint)?;
        while let Some(connection) = connections.pop() {
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn put_idle(&self, endpoint: Endpoint, connection: Connection) {
        let Ok(mut idle) = self.idle.lock() else {
            return;
        };
        let connections = idle.entry(endpoint).or_default();
        connections.retain(|connection| !connection.is_closed());
        if connections.len() < IDLE_MAX {
            connections.push(connection);
        }
    }

    /// Closes what is idle at endpoints that are gone.
    pub(crate) fn forget_others(&self, known: &[Endpoint]) {
        if let Ok(mut idle) = self.idle.lock() {
            idle.retain(|endpoint, _| known.contains(endpoint));
        }
    }

    /// Reads the rest of an answer; its connection becomes idle.
    pub(crate) async fn finish(&self, head: Head) -> Result<Whole, AttemptError> {
        let Head {
            status,
            headers,
            mut body,
            mut connection,
            endpoint,
        } = head;
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| AttemptError::Lost {
                endpoint: endpoint.clone(),
                reason: reason(&error),
            })?;
            if let Some(data) = frame.data_ref() {
                bytes.extend_from_slice(data);
            }
            if bytes.len() > self.answer_bytes_max {
                let limit = self.answer_bytes_max;
                return Err(AttemptError::TooLong { endpoint, limit });
            }
        }
        // The connection's task has yet to see the end of the body; without a pause it is not ready.
        if connection.ready().await.is_ok() {
            self.put_idle(endpoint, connection);
        }
        Ok(Whole {
            status,
            headers,
            body: bytes.freeze(),
        })
    }
}

impl Head {
    /// The next piece of the body; nothing at its end.
    pub(crate) async fn chunk(&mut self) -> Option<Result<Bytes, AttemptError>> {
        loop {
            match self.body.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(error) => {
                    return Some(Err(AttemptError::Lost {
                        endpoint: self.endpoint.clone(),
                        reason: reason(&error),
                    }));
                }
            }
        }
    }
}

/// Runs a connection in a task of its own until either side closes it.
async fn serve<T>(stream: T) -> Result<Connection, String>
where
    T: Read + Write + Send + Unpin + 'static,
{
    let (sender, connection) = handshake(stream).await.map_err(|error| reason(&error))?;
    tokio::spawn(async move {
        // How it ended is told to whoever waits on it.
        let _ended = connection.await;
    });
    Ok(sender)
}

/// An error with what caused it: hyper's own text leaves that out.
pub(crate) fn reason(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// etcd's client's words for the commonest failures, which scripts look for.
pub(crate) fn in_gos_words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        std::io::ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        std::io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        _ => error.to_string(),
    }
}
