//! Watches that go on over broken connections and other members, without a gap or a repetition.
//!
//! Each event is asked for by the index after the one before (a long poll), since etcd's streams end
//! silently when they overflow and cannot be resumed in the middle. When the server no longer has
//! the history in between, the watch says so ([`WatchEvent::Reset`]) with what is there now, read
//! from a majority, and goes on from there.
//!
//! An event is what one index changed. It does not merge events or drop any, and it keeps none.
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::answer::{Answer, Node};
use crate::client::{Client, understand};
use crate::connection::{Head, Whole};
use crate::endpoint::Endpoint;
use crate::error::{AttemptError, Error, EtcdError};
use crate::read::{ReadOptions, read_request};
use crate::request::{Repeat, Request, key_target};

/// The first pause after nobody could be reached; it doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchOptions {
    /// Everything below the path too.
    pub recursive: bool,
    /// Where to begin.
    pub start: Start,
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the first change after the first contact with a server.
    Now,
    /// With the first change after this index, in the past or not.
    After(u64),
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchEvent {
    /// A change.
    Change(Answer),
    /// Changes were missed, and cannot be told one by one any more: the history does not reach back
    /// so far, or this is another cluster. This is what is there instead; changes after `index`
    /// follow.
    Reset {
        /// What stands at the path, with all below it if the watch is recursive.
        node: Option<Node>,
        /// When.
        index: u64,
    },
}

/// A watch. It works only while it is asked for the next event.
#[derive(Debug)]
pub struct Watcher {
    client: Client,
    path: String,
    recursive: bool,
    position: Position,
    cluster_id: Option<String>,
    pause: Duration,
    last_failure: Option<AttemptError>,
}

/// How far a watch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// No server was reached yet.
    Now,
    /// The next event has this index or a later one.
    From(u64),
    /// The history is gone.
    Lost,
}

/// How one poll ended.
enum Polled {
    Event(Box<Answer>),
    Cleared,
    OtherCluster,
}

/// Why one poll gave nothing.
enum Failed {
    /// Somebody else may do better.
    Endpoint(AttemptError),
    /// Nobody will.
    Final(Error),
}

impl Client {
    /// Watches a key, or a directory.
    pub fn watch(&self, path: &str, options: WatchOptions) -> Watcher {
        Watcher {
            client: self.clone(),
            path: path.to_owned(),
            recursive: options.recursive,
            position: match options.start {
                Start::Now => Position::Now,
                Start::After(index) => Position::From(index + 1),
            },
            cluster_id: None,
            pause: PAUSE_FIRST,
            last_failure: None,
        }
    }
}

impl Watcher {
    /// Waits for the next event, as long as it takes: servers that fail are tried again for ever.
    ///
    /// An error is final: the server refuses the watch. Whoever stops waiting (drops the future)
    /// and calls again loses nothing.
    pub async fn next(&mut self) -> Result<WatchEvent, Error> {
        loop {
            if self.position == Position::Lost {
                if let Some(reset) = self.list_anew().await? {
                    return Ok(reset);
                }
                continue;
            }
            let endpoint = self.client.pinned();
            match self.poll(&endpoint).await {
                Ok(Polled::Event(answer)) => {
                    self.pause = PAUSE_FIRST;
                    self.position = Position::From(answer.node.modified_index + 1);
                    return Ok(WatchEvent::Change(*answer));
                }
                Ok(Polled::Cleared) => self.position = Position::Lost,
                Ok(Polled::OtherCluster) => {
                    self.cluster_id = None;
                    self.position = Position::Lost;
                }
                Err(Failed::Final(error)) => return Err(error),
                Err(Failed::Endpoint(error)) => {
                    self.last_failure = Some(error);
                    self.recover(&endpoint).await;
                }
            }
        }
    }

    /// The index after which the next event comes, once it is known. Enough to go on later, even
    /// from another process.
    pub const fn index(&self) -> Option<u64> {
        match self.position {
            Position::From(index) => Some(index - 1),
            Position::Now | Position::Lost => None,
        }
    }

    /// Why the watch last went to another connection or server.
    pub const fn last_failure(&self) -> Option<&AttemptError> {
        self.last_failure.as_ref()
    }

    /// Asks somebody else from now on, and learns who there is.
    async fn recover(&mut self, failed: &Endpoint) {
        self.client.turn_away_from(failed);
        // If that fails too, the endpoints that are known are tried one after the other.
        if self.client.sync().await.is_ok() {
            sleep(PAUSE_FIRST).await;
            return;
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// Asks one server once.
    async fn poll(&mut self, endpoint: &Endpoint) -> Result<Polled, Failed> {
        let head = self
            .client
            .begin(endpoint, &self.request())
            .await
            .map_err(Failed::Endpoint)?;
        let header = |name: &str| head.headers.get(name)?.to_str().ok();
        let cluster_id = header("x-etcd-cluster-id").map(ToOwned::to_owned);
        let index: Option<u64> = header("x-etcd-index").and_then(|text| text.parse().ok());
        if let (Some(before), Some(now)) = (&self.cluster_id, &cluster_id)
            && before != now
        {
            return Ok(Polled::OtherCluster);
        }
        if cluster_id.is_some() {
            self.cluster_id = cluster_id;
        }
        if let (Position::Now, Some(index), true) = (self.position, index, head.status.is_success())
        {
            self.position = Position::From(index + 1);
        }
        let whole = self.wait_alive(endpoint, head).await?;
        Self::judge(endpoint, &whole)
    }

    fn judge(endpoint: &Endpoint, whole: &Whole) -> Result<Polled, Failed> {
        if whole.status.is_success() && whole.body.iter().all(u8::is_ascii_whitespace) {
            // etcd ends a poll without an event when it stops.
            return Err(Failed::Endpoint(AttemptError::Lost {
                endpoint: endpoint.clone(),
                reason: "the watch ended without an event".to_owned(),
            }));
        }
        match understand(endpoint, whole) {
            Ok(answer) => Ok(Polled::Event(Box::new(answer))),
            Err(Error::Etcd(error)) if error.code == EtcdError::EVENT_CLEARED => {
                Ok(Polled::Cleared)
            }
            Err(error) if whole.status.is_server_error() => {
                Err(Failed::Endpoint(AttemptError::Server {
                    endpoint: endpoint.clone(),
                    status: whole.status.as_u16(),
                    message: error.to_string(),
                }))
            }
            Err(error) => Err(Failed::Final(error)),
        }
    }

    /// Waits for the body, and asks now and then whether the server is still fit: a machine without
    /// power closes no connections, and a member cut off from the others tells nothing new.
    async fn wait_alive(&self, endpoint: &Endpoint, head: Head) -> Result<Whole, Failed> {
        let interval = self.client.watch_probe_interval();
        let body = self.client.finish(head);
        tokio::pin!(body);
        loop {
            match timeout(interval, &mut body).await {
                Ok(whole) => return whole.map_err(Failed::Endpoint),
                Err(_) => self.probe(endpoint).await?,
            }
        }
    }

    async fn probe(&self, endpoint: &Endpoint) -> Result<(), Failed> {
        let head = self.client.begin(endpoint, &Request::get("/health")).await;
        let status = head.map_err(Failed::Endpoint)?.status;
        if status.is_server_error() {
            return Err(Failed::Endpoint(AttemptError::Server {
                endpoint: endpoint.clone(),
                status: status.as_u16(),
                message: "it says that it is not healthy".to_owned(),
            }));
        }
        Ok(())
    }

    fn request(&self) -> Request {
        let mut query = vec![("wait", "true".to_owned())];
        if self.recursive {
            query.insert(0, ("recursive", "true".to_owned()));
        }
        if let Position::From(index) = self.position {
            query.push(("waitIndex", index.to_string()));
        }
        Request {
            repeat: Repeat::Harmless,
            ..Request::get(&key_target(&self.path, &query))
        }
    }

    /// Reads what is there now, from a majority: a server that lags would bring old events again.
    async fn list_anew(&mut self) -> Result<Option<WatchEvent>, Error> {
        let options = ReadOptions {
            recursive: self.recursive,
            sorted: true,
            quorum: true,
        };
        let request = read_request(&self.path, options, &[]);
        let (node, index) = match self.client.call_keys(&request).await {
            Ok(answer) => (Some(answer.node), answer.index),
            Err(Error::Etcd(error)) if error.code == EtcdError::KEY_NOT_FOUND => {
                (None, error.index)
            }
            Err(Error::Unavailable(_) | Error::TimedOut(_)) => {
                let failed = self.client.pinned();
                self.recover(&failed).await;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        self.position = Position::From(index + 1);
        Ok(Some(WatchEvent::Reset { node, index }))
    }
}
