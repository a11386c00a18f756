//! The members that a proxy knows, and which of them failed a short while ago.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::endpoint::Endpoint;

/// A member as `/v2/members` and a peer port's `/members` tell of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KnownMember {
    #[serde(rename = "peerURLs", alias = "peer_urls", default)]
    peer_urls: Vec<String>,
    #[serde(rename = "clientURLs", alias = "client_urls", default)]
    client_urls: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Named { members: Vec<KnownMember> },
    Bare(Vec<KnownMember>),
}

/// All members that are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KnownMembers(Vec<KnownMember>);

impl KnownMembers {
    /// What a member answers; none if it names nobody who serves clients.
    pub(super) fn from_members(body: &[u8]) -> Option<Self> {
        let members = match serde_json::from_slice(body).ok()? {
            Answer::Named { members } | Answer::Bare(members) => members,
        };
        let serves = |one: &KnownMember| one.client_urls.iter().any(|url| !url.is_empty());
        members.iter().any(serves).then_some(Self(members))
    }

    /// What [`KnownMembers::to_json`] wrote.
    pub(super) fn from_json(text: &str) -> Option<Self> {
        Self::from_members(text.as_bytes())
    }

    pub(super) fn to_json(&self) -> String {
        // A list of texts can always be written.
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    pub(super) fn client_urls(&self) -> Vec<String> {
        let urls = self.0.iter().flat_map(|one| one.client_urls.iter());
        urls.cloned().collect()
    }

    pub(super) fn peer_urls(&self) -> Vec<String> {
        let urls = self.0.iter().flat_map(|one| one.peer_urls.iter());
        urls.cloned().collect()
    }
}

struct Place {
    endpoint: Endpoint,
    /// Until then it is tried last.
    failed_until: Option<Instant>,
}

struct State {
    known: KnownMembers,
    places: Vec<Place>,
}

/// Where requests can go.
pub(super) struct Directory {
    state: Mutex<State>,
    failure_wait: Duration,
    all_failed: Notify,
}

impl Directory {
    pub(super) fn new(known: KnownMembers, failure_wait: Duration) -> Self {
        let state = State {
            places: Vec::new(),
            known: KnownMembers::default(),
        };
        let directory = Self {
            state: Mutex::new(state),
            failure_wait,
            all_failed: Notify::new(),
        };
        directory.replace(known);
        directory
    }

    pub(super) fn known(&self) -> KnownMembers {
        self.state.lock().known.clone()
    }

    /// Takes a new list; who failed and is still there stays marked.
    pub(super) fn replace(&self, known: KnownMembers) {
        let mut state = self.state.lock();
        let endpoints: BTreeSet<String> = known.client_urls().into_iter().collect();
        let endpoints = endpoints
            .iter()
            .filter_map(|url| url.parse::<Endpoint>().ok());
        let places = endpoints
            .map(|endpoint| Place {
                failed_until: state
                    .places
                    .iter()
                    .find(|place| place.endpoint == endpoint)
                    .and_then(|place| place.failed_until),
                endpoint,
            })
            .collect();
        *state = State { known, places };
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().places.is_empty()
    }

    /// Where to try, in this order: always the same, so that a client does not see time go back and
    /// forth between members; those that failed come last.
    pub(super) fn candidates(&self) -> Vec<Endpoint> {
        let now = Instant::now();
        let state = self.state.lock();
        let failed = |place: &&Place| place.failed_until.is_some_and(|until| until > now);
        let (bad, good): (Vec<&Place>, Vec<&Place>) = state.places.iter().partition(failed);
        let all = good.into_iter().chain(bad);
        all.map(|place| place.endpoint.clone()).collect()
    }

    /// Marks one that did not answer.
    pub(super) fn mark_failed(&self, endpoint: &Endpoint) {
        let now = Instant::now();
        let mut state = self.state.lock();
        for place in &mut state.places {
            if place.endpoint == *endpoint {
                place.failed_until = Some(now + self.failure_wait);
            }
        }
        let failed = |place: &Place| place.failed_until.is_some_and(|until| until > now);
        if state.places.iter().all(failed) {
            self.all_failed.notify_one();
        }
    }

    /// Returns when every known member failed: time to look for others.
    pub(super) async fn all_failed(&self) {
        self.all_failed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"{"members":[
        {"id":"1","name":"a","peerURLs":["http://a:2"],"clientURLs":["http://a:1"]},
        {"id":"2","name":"b","peerURLs":["http://b:2"],"clientURLs":["http://b:1"]}]}"#;

    #[test]
    fn lists_are_read_from_both_ports_and_from_disk() {
        let named = KnownMembers::from_members(TWO.as_bytes()).unwrap();
        assert_eq!(named.client_urls(), ["http://a:1", "http://b:1"]);
        assert_eq!(named.peer_urls(), ["http://a:2", "http://b:2"]);
        assert_eq!(KnownMembers::from_json(&named.to_json()), Some(named));
        for text in ["", "[]", "{}", r#"[{"peerURLs":["http://a:2"]}]"#, "404"] {
            assert_eq!(KnownMembers::from_json(text), None, "{text}");
        }
    }

    #[test]
    fn who_failed_is_tried_last_and_stays_marked() {
        let known = KnownMembers::from_json(TWO).unwrap();
        let directory = Directory::new(known.clone(), Duration::from_hours(1));
        let urls = |directory: &Directory| -> Vec<String> {
            let candidates = directory.candidates();
            candidates.iter().map(ToString::to_string).collect()
        };
        assert_eq!(urls(&directory), ["http://a:1", "http://b:1"]);
        directory.mark_failed(&"http://a:1".parse().unwrap());
        assert_eq!(urls(&directory), ["http://b:1", "http://a:1"]);
        directory.replace(known);
        assert_eq!(urls(&directory), ["http://b:1", "http://a:1"]);
    }
}
