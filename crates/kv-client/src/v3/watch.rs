//! Watches that go on over broken connections: no event is missed, none is given twice.
//!
//! Their events are not kept: whoever is told that revisions were compacted reads the keys anew.
use std::time::Duration;

use etcd_client::{
    Event, WatchFilterType, WatchOptions as EtcdWatchOptions, WatchResponse, WatchStream,
};
use tokio::time::sleep;

use crate::v3::channel::Turn;
use crate::v3::client::{Client, Failed, PAUSE_MAX};
use crate::v3::error::Error;

/// Which keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// One.
    One(Vec<u8>),
    /// All that begin with this; all there are if it is empty.
    Prefix(Vec<u8>),
    /// From the first to before the second; to the last if that is a zero byte.
    Range(Vec<u8>, Vec<u8>),
}

/// How to watch.
#[derive(Debug, Clone, Default)]
pub struct WatchOptions {
    /// The first revision that counts; from now on if zero.
    pub start_revision: i64,
    /// Whether events tell what was there before.
    pub previous: bool,
    /// Events that are left out.
    pub filters: Vec<WatchFilterType>,
    /// Whether the server tells now and then how far it is when nothing happens.
    pub progress: bool,
}

/// What a watch tells.
#[derive(Debug, Clone)]
pub enum WatchEvent {
    /// Changes, in order; those of one revision are never torn apart.
    Changes {
        /// The changes.
        events: Vec<Event>,
        /// The whole answer, for those who print it.
        response: Box<WatchResponse>,
    },
    /// Nothing happened up to this revision.
    Progress(i64),
    /// Revisions that were not seen are gone. The watch is over: read anew and begin another.
    Compacted {
        /// The first revision that can be watched.
        first_kept: i64,
    },
}

/// A watch.
#[derive(Debug)]
pub struct Watcher {
    client: Client,
    keys: Keys,
    options: WatchOptions,
    /// The first revision that was not seen; zero while even that is unknown.
    next: i64,
    stream: Option<Open>,
    /// Before connecting again.
    pause: Duration,
}

#[derive(Debug)]
struct Open {
    stream: WatchStream,
    turn: Option<Turn>,
}

/// What one answer of a server means.
enum Told {
    Nothing,
    Event(WatchEvent),
    Failed(Failed),
}

impl Client {
    /// Begins a watch; from when this comes back, no change is missed. Fails if the server refuses, and
    /// waits as long as none can be reached.
    pub async fn watch(&self, keys: Keys, options: WatchOptions) -> Result<Watcher, Error> {
        let mut watcher = Watcher {
            client: self.clone(),
            keys,
            next: options.start_revision,
            options,
            stream: None,
            pause: Duration::ZERO,
        };
        // One that begins in the past may be told at once that this is gone; `next` tells it then.
        while watcher.next == 0 {
            watcher.step().await?;
        }
        Ok(watcher)
    }
}

impl Watcher {
    /// The first revision that was not seen yet.
    pub fn next_revision(&self) -> i64 {
        self.next
    }

    /// Waits for the next event. Can be given up and called again: nothing is lost by that.
    pub async fn next(&mut self) -> Result<WatchEvent, Error> {
        loop {
            if let Some(event) = self.step().await? {
                return Ok(event);
            }
        }
    }

    /// Connects, or takes one answer.
    async fn step(&mut self) -> Result<Option<WatchEvent>, Error> {
        let Some(open) = &mut self.stream else {
            return self.open().await.map(|()| None);
        };
        let told = match open.stream.message().await {
            Ok(Some(response)) => self.understand(response),
            Ok(None) => Told::Failed(Failed::Broken("the stream ended".to_owned())),
            Err(error) => Told::Failed(Failed::of(error)),
        };
        match told {
            Told::Nothing => Ok(None),
            Told::Event(event) => Ok(Some(event)),
            Told::Failed(failed) => self.close(failed).await.map(|()| None),
        }
    }

    async fn close(&mut self, failed: Failed) -> Result<(), Error> {
        if let Some(open) = self.stream.take() {
            self.client.turn_away(open.turn).await;
        }
        match failed {
            Failed::Broken(_) => Ok(()),
            Failed::Final(error) => Err(error),
        }
    }

    async fn open(&mut self) -> Result<(), Error> {
        sleep(self.pause).await;
        let (key, options) = self.request();
        let mut etcd = self.client.etcd().watch_client();
        let open = Box::pin(async move {
            etcd = etcd.max_decoding_message_size(usize::MAX);
            etcd.watch(key, Some(options)).await
        });
        let (opened, turn) = self.client.open(open).await;
        match opened {
            Ok(stream) => {
                self.stream = Some(Open { stream, turn });
                Ok(())
            }
            Err(Failed::Broken(_)) => {
                self.client.turn_away(turn).await;
                self.pause = (2 * self.pause).clamp(Duration::from_millis(20), PAUSE_MAX);
                Ok(())
            }
            Err(Failed::Final(error)) => Err(error),
        }
    }

    fn request(&self) -> (Vec<u8>, EtcdWatchOptions) {
        let options = EtcdWatchOptions::new()
            .with_start_revision(self.next)
            .with_filters(self.options.filters.clone());
        let options = if self.options.previous {
            options.with_prev_key()
        } else {
            options
        };
        let options = if self.options.progress {
            options.with_progress_notify()
        } else {
            options
        };
        match &self.keys {
            Keys::One(key) => (key.clone(), options),
            Keys::Prefix(prefix) if prefix.is_empty() => (Vec::new(), options.with_all_keys()),
            Keys::Prefix(prefix) => (prefix.clone(), options.with_prefix()),
            Keys::Range(key, end) => (key.clone(), options.with_range(end.clone())),
        }
    }

    fn understand(&mut self, response: WatchResponse) -> Told {
        let revision = response
            .header()
            .map_or(0, etcd_client::ResponseHeader::revision);
        if response.compact_revision() > 0 {
            // Connecting again would be told the same.
            return Told::Event(WatchEvent::Compacted {
                first_kept: response.compact_revision(),
            });
        }
        if response.canceled() {
            return Told::Failed(cancelled(response.cancel_reason()));
        }
        self.pause = Duration::ZERO;
        if response.created() {
            if self.next == 0 {
                self.next = revision + 1;
            }
            return Told::Nothing;
        }
        if response.events().is_empty() {
            self.next = self.next.max(revision + 1);
            return Told::Event(WatchEvent::Progress(revision));
        }
        self.changes(response)
    }

    fn changes(&mut self, response: WatchResponse) -> Told {
        let first = self.next;
        let revision_of = |event: &Event| event.kv().map_or(0, etcd_client::KeyValue::mod_revision);
        let unseen = response
            .events()
            .iter()
            .filter(|event| revision_of(event) >= first);
        let events: Vec<Event> = unseen.cloned().collect();
        let Some(last) = events.iter().map(revision_of).max() else {
            return Told::Nothing;
        };
        self.next = last + 1;
        Told::Event(WatchEvent::Changes {
            events,
            response: Box::new(response),
        })
    }
}

/// A server ends a watch for its own reasons, or because of who asks.
fn cancelled(reason: &str) -> Failed {
    let is_refusal = [
        "permission denied",
        "invalid auth token",
        "user name is empty",
    ]
    .iter()
    .any(|one| reason.contains(one));
    if is_refusal {
        return Failed::Final(Error::Refused {
            code: tonic::Code::PermissionDenied,
            message: reason.to_owned(),
        });
    }
    Failed::Broken(format!("the server ended the watch: {reason}"))
}
