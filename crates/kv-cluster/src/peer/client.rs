//! Calls to the other members, by their ids.
//!
//! It knows where they are from the membership, and keeps one connection for each kind of traffic.
//! It never repeats a call.
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::{Request, Response, StatusCode};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::member::{ClusterId, MemberId};
use crate::peer::connect::{CallError, PeerBody, answer, connect, whole};
use crate::peer::traffic::Traffic;
use crate::peer::wire::{CLUSTER_HEADER, FROM_HEADER, TO_HEADER};
use crate::settings::{Link, PeerTls};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// A kind of traffic, with a connection of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// Votes, heartbeats, read indexes: small and urgent.
    Control,
    /// The log.
    Log,
    /// Snapshots.
    Snapshot,
    /// Commands and changes of members on their way to the leader.
    Forward,
}

/// A connection that is there, is being made, or could not be made. It is made by a task of its
/// own, so that calls with little time do not begin it anew again and again.
type Connection = Shared<BoxFuture<'static, Result<SendRequest<PeerBody>, Unconnected>>>;

/// Why there is no connection.
#[derive(Debug, Clone)]
enum Unconnected {
    NoAddress,
    Failed { url: String, error: Arc<io::Error> },
}

impl From<Unconnected> for CallError {
    fn from(unconnected: Unconnected) -> Self {
        match unconnected {
            Unconnected::NoAddress => Self::NoAddress,
            Unconnected::Failed { url, error } => Self::NotConnected {
                url,
                source: io::Error::new(error.kind(), error),
            },
        }
    }
}

/// All other members. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    inner: Arc<Inner>,
}

struct Inner {
    own: MemberId,
    cluster: ClusterId,
    tls: Option<PeerTls>,
    link: Arc<dyn Link>,
    addresses: Mutex<BTreeMap<MemberId, Vec<String>>>,
    connections: Mutex<HashMap<(MemberId, Lane), Connection>>,
    traffic: Traffic,
    removed: watch::Sender<bool>,
    heard: Mutex<Instant>,
    silence: watch::Sender<bool>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Peers of {} in {}", self.own, self.cluster)
    }
}

impl Peers {
    /// Knows nobody yet.
    pub(crate) fn new(
        own: MemberId,
        cluster: ClusterId,
        tls: Option<PeerTls>,
        link: Arc<dyn Link>,
    ) -> Self {
        let inner = Inner {
            own,
            cluster,
            tls,
            link,
            addresses: Mutex::default(),
            connections: Mutex::default(),
            traffic: Traffic::default(),
            removed: watch::Sender::new(false),
            heard: Mutex::new(Instant::now()),
            silence: watch::Sender::new(false),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// This member.
    pub(crate) fn own(&self) -> MemberId {
        self.inner.own
    }

    /// This cluster.
    pub(crate) fn cluster(&self) -> ClusterId {
        self.inner.cluster
    }

    /// The counters.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.inner.traffic
    }

    /// Becomes true when another member says that this one was removed.
    pub(crate) fn removed(&self) -> watch::Receiver<bool> {
        self.inner.removed.subscribe()
    }

    /// The leader was heard.
    pub(crate) fn hear_leader(&self) {
        *self.inner.heard.lock() = Instant::now();
        self.inner.silence.send_if_modified(std::mem::take);
    }

    /// Whether the leader was not heard for so long. [`Peers::silence`] tells when it is again.
    pub(crate) fn misses_leader(&self, patience: Duration) -> bool {
        let missed = self.inner.heard.lock().elapsed() > patience;
        if missed {
            // Nobody waits for this, only for its end.
            self.inner.silence.send_if_modified(|silent| {
                *silent = true;
                false
            });
        }
        missed
    }

    /// Becomes false when the leader is heard again.
    pub(crate) fn silence(&self) -> watch::Receiver<bool> {
        self.inner.silence.subscribe()
    }

    /// Where a member is, from now on. Its connections are opened anew if that changed.
    pub(crate) fn locate(&self, id: MemberId, urls: &[String]) {
        let mut addresses = self.inner.addresses.lock();
        if addresses.get(&id).is_some_and(|known| known == urls) {
            return;
        }
        addresses.insert(id, urls.to_vec());
        drop(addresses);
        self.inner.connections.lock().retain(|(to, _), _| *to != id);
    }

    /// These are all there are.
    pub(crate) fn keep_only(&self, ids: &[MemberId]) {
        self.inner.addresses.lock().retain(|id, _| ids.contains(id));
        self.inner
            .connections
            .lock()
            .retain(|(id, _), _| ids.contains(id));
    }

    /// Whether a message may pass, either way.
    pub(crate) fn link_passes(&self, other: MemberId) -> bool {
        let (link, own) = (&self.inner.link, self.inner.own);
        link.passes(own, other) && link.passes(other, own)
    }

    /// Asks a member. The answer's body, if it is an answer.
    pub(crate) async fn call(
        &self,
        to: MemberId,
        lane: Lane,
        path: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, CallError> {
        let deadline = tokio::time::Instant::now() + timeout;
        // Nothing was sent as long as there is no connection: that is worth knowing.
        if tokio::time::timeout_at(deadline, self.sender(to, lane))
            .await
            .is_err()
        {
            return Err(CallError::NotConnected {
                url: format!("member {to}"),
                source: io::ErrorKind::TimedOut.into(),
            });
        }
        let call = async { answer(self.open(to, lane, path, whole(body)).await?).await };
        let result = tokio::time::timeout_at(deadline, call)
            .await
            .unwrap_or(Err(CallError::TimedOut));
        if !self.link_passes(to) {
            return Err(CallError::TimedOut);
        }
        match &result {
            Err(CallError::Broken(_)) => self.forget(to, lane),
            Err(CallError::Refused { status, .. }) => self.note_refusal(*status),
            _ => {}
        }
        result
    }

    /// Asks a member with a body that is sent as it comes. The head of the answer.
    pub(crate) async fn open(
        &self,
        to: MemberId,
        lane: Lane,
        path: &str,
        body: PeerBody,
    ) -> Result<Response<Incoming>, CallError> {
        if !self.inner.link.passes(self.inner.own, to) {
            return Err(CallError::TimedOut);
        }
        let mut sender = self.sender(to, lane).await?;
        let request = Request::post(format!("http://peer{path}"))
            .header(CLUSTER_HEADER, self.inner.cluster.to_string())
            .header(FROM_HEADER, self.inner.own.to_string())
            .header(TO_HEADER, to.to_string())
            .body(body)
            .map_err(|error| CallError::Broken(error.into()))?;
        let response = sender.send_request(request).await;
        response.map_err(|error| {
            self.forget(to, lane);
            CallError::Broken(error.into())
        })
    }

    /// Closes a connection that does not answer.
    pub(crate) fn forget(&self, to: MemberId, lane: Lane) {
        self.inner.connections.lock().remove(&(to, lane));
    }

    /// Another member refused: it may be because this one was removed.
    pub(crate) fn note_refusal(&self, status: StatusCode) {
        if status == StatusCode::GONE {
            self.inner.removed.send_if_modified(|removed| {
                let first = !*removed;
                *removed = true;
                first
            });
        }
    }

    async fn sender(&self, to: MemberId, lane: Lane) -> Result<SendRequest<PeerBody>, CallError> {
        Ok(self.connection(to, lane).await?)
    }

    fn connection(&self, to: MemberId, lane: Lane) -> Connection {
        let mut connections = self.inner.connections.lock();
        if let Some(connection) = connections.get(&(to, lane)) {
            let usable = match connection.peek() {
                None => true,
                Some(Ok(sender)) => !sender.is_closed(),
                Some(Err(_)) => false,
            };
            if usable {
                return connection.clone();
            }
        }
        let urls = self.inner.addresses.lock().get(&to).cloned();
        let connecting = connect_to_any(urls.unwrap_or_default(), self.inner.tls.clone());
        let connection = connecting.boxed().shared();
        tokio::spawn(connection.clone());
        connections.insert((to, lane), connection.clone());
        connection
    }
}

async fn connect_to_any(
    urls: Vec<String>,
    tls: Option<PeerTls>,
) -> Result<SendRequest<PeerBody>, Unconnected> {
    let mut result = Err(Unconnected::NoAddress);
    for url in urls {
        let connecting = tokio::time::timeout(CONNECT, connect(&url, tls.as_ref()));
        match connecting
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        {
            Ok(sender) => return Ok(sender),
            Err(error) => {
                let error = Arc::new(error);
                result = Err(Unconnected::Failed { url, error });
            }
        }
    }
    result
}
