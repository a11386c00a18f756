//! From v3 to v3: keys, values and leases, by gRPC.
//!
//! Changes of one revision are carried over as one transaction, as far as the target takes as many at
//! once.
mod leases;

use std::collections::BTreeMap;

use etcd_client::{Event, EventType, GetOptions, KeyValue, PutOptions, Txn, TxnOp};
use kv_client::Config;
use kv_client::v3::{Client, Keys, Leader, Repeat, WatchEvent, WatchOptions, Watcher};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Duration, interval};

use crate::failure::Failure;
use crate::migrate::digest::Comparison;
use crate::migrate::progress::Progress;
use crate::migrate::{Migration, Rules};
use leases::Leases;

/// Keys that are read at once.
const PAGE: i64 = 500;
/// etcd takes 128 operations at once, unless told otherwise.
const OPERATIONS_MAX: usize = 100;
/// Events that wait to be carried over; more wait at the source.
const EVENTS_MAX: usize = 1_000;
/// How often leases are looked after.
const LEASE_INTERVAL: Duration = Duration::from_millis(500);

/// Both clusters.
pub(super) struct V3 {
    source: Client,
    target: Client,
    ranges: Vec<Range>,
    rules: Rules,
    leases: Leases,
    progress: Progress,
    events: Option<Events>,
    /// Changes that were taken and are not carried over yet.
    pending: Option<Vec<Event>>,
}

/// Keys from the first to before the second.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    start: Vec<u8>,
    /// A zero byte for the end of all keys.
    end: Vec<u8>,
}

/// What the watches tell; they end with this.
struct Events {
    receiver: mpsc::Receiver<Result<Vec<Event>, Failure>>,
    _watches: JoinSet<()>,
}

/// Keys with their values and leases, in order.
type Page = BTreeMap<Vec<u8>, Found>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    value: Vec<u8>,
    lease: i64,
}

impl Range {
    fn of_prefix(prefix: &str) -> Self {
        let bytes = prefix.as_bytes();
        let last = bytes.iter().rposition(|byte| *byte < 0xff);
        let end = last.map_or_else(
            || vec![0],
            |last| {
                let mut end = bytes[..=last].to_vec();
                end[last] += 1;
                end
            },
        );
        Self {
            start: if bytes.is_empty() {
                vec![0]
            } else {
                bytes.to_vec()
            },
            end,
        }
    }

    /// Whether all of this is in the other.
    fn is_within(&self, other: &Self) -> bool {
        let ends_before = other.end == [0] || self.end != [0] && self.end <= other.end;
        self.start >= other.start && ends_before
    }
}

/// Without those that are within others.
fn disjoint(prefixes: &[String]) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    let all = prefixes.iter().map(|prefix| Range::of_prefix(prefix));
    for range in all {
        if !ranges.iter().any(|one| range.is_within(one)) {
            ranges.retain(|one| !one.is_within(&range));
            ranges.push(range);
        }
    }
    if ranges.is_empty() {
        ranges.push(Range::of_prefix(""));
    }
    ranges
}

fn found(kv: &KeyValue) -> (Vec<u8>, Found) {
    let value = Found {
        value: kv.value().to_vec(),
        lease: kv.lease(),
    };
    (kv.key().to_vec(), value)
}

#[allow(clippy::needless_pass_by_value)] // `map_err` gives it away
fn failed(error: kv_client::v3::Error) -> Failure {
    Failure::Plain(error.to_string())
}

/// The key right behind this one.
fn behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

impl V3 {
    pub(super) async fn new(
        source: Config,
        target: Config,
        prefixes: &[String],
        rules: Rules,
    ) -> Result<Self, Failure> {
        let connect = async |config, side: &str| {
            let client = Client::connect(config, Leader::Required).await;
            let client = client.map_err(|error| Failure::Plain(format!("{side}: {error}")))?;
            let ready = client.ready().await;
            ready.map_err(|error| Failure::Plain(format!("{side}: {error}")))?;
            Ok::<_, Failure>(client)
        };
        let source = connect(source, "source").await?;
        let target = connect(target, "target").await?;
        Ok(Self {
            leases: Leases::new(source.clone(), target.clone()),
            source,
            target,
            ranges: disjoint(prefixes),
            rules,
            progress: Progress::new(),
            events: None,
            pending: None,
        })
    }

    /// A page from a key on, as it was at a revision (0 for now); whether there is more, and when it was.
    async fn page(
        client: &Client,
        range: &Range,
        revision: i64,
        limit: i64,
    ) -> Result<(Page, bool, i64), Failure> {
        let options = GetOptions::new()
            .with_range(range.end.clone())
            .with_revision(revision)
            .with_limit(limit);
        let answer = client
            .get(range.start.clone(), options)
            .await
            .map_err(failed)?;
        let at = answer
            .header()
            .map_or(0, etcd_client::ResponseHeader::revision);
        Ok((answer.kvs().iter().map(found).collect(), answer.more(), at))
    }

    async fn copy_range(&mut self, range: &Range, revision: i64) -> Result<(), Failure> {
        let mut rest = range.clone();
        loop {
            let (page, more, _) = Self::page(&self.source, &rest, revision, PAGE).await?;
            let last = page
                .keys()
                .next_back()
                .filter(|_| more)
                .map(|key| behind(key));
            let part = Range {
                start: rest.start,
                end: last.clone().unwrap_or_else(|| range.end.clone()),
            };
            self.copy_page(&part, &page).await?;
            let Some(last) = last else {
                return Ok(());
            };
            rest = Range {
                start: last,
                end: range.end.clone(),
            };
        }
    }

    async fn copy_page(&mut self, part: &Range, page: &Page) -> Result<(), Failure> {
        let (target, ..) = Self::page(&self.target, part, 0, 0).await?;
        let mut operations = Vec::new();
        for (key, wanted) in page {
            let there = target.get(key);
            let has_value = there.is_some_and(|there| there.value == wanted.value);
            let is_new =
                !has_value || wanted.lease != 0 || there.is_some_and(|there| there.lease != 0);
            self.progress.copied(is_new);
            if !is_new {
                continue;
            }
            if there.is_some() && !has_value && !self.rules.overwrite {
                let key = String::from_utf8_lossy(key);
                let text =
                    format!("{key} has another value in the target; --overwrite replaces it");
                return Err(Failure::Plain(text));
            }
            operations.push(self.put(key, wanted).await?);
        }
        if self.rules.delete_others {
            let others = target.keys().filter(|key| !page.contains_key(*key));
            operations.extend(others.map(|key| TxnOp::delete(key.clone(), None)));
        }
        self.write(operations).await
    }

    async fn put(&mut self, key: &[u8], wanted: &Found) -> Result<TxnOp, Failure> {
        let lease = match wanted.lease {
            0 => None,
            lease => self.leases.carried(lease).await?,
        };
        let options = lease.map(|lease| PutOptions::new().with_lease(lease));
        Ok(TxnOp::put(key, wanted.value.clone(), options))
    }

    /// Each operation says what shall be, not how it differs: so they may be repeated.
    async fn write(&self, operations: Vec<TxnOp>) -> Result<(), Failure> {
        for part in operations.chunks(OPERATIONS_MAX) {
            let txn = Txn::new().and_then(part);
            self.target
                .txn(txn, Repeat::Harmless)
                .await
                .map_err(failed)?;
        }
        Ok(())
    }

    async fn carry_over(&mut self, events: &[Event]) -> Result<(), Failure> {
        let mut rest = events
            .iter()
            .filter_map(|event| Some((event, event.kv()?)))
            .peekable();
        while let Some((_, first)) = rest.peek() {
            let revision = first.mod_revision();
            let mut operations = Vec::new();
            while let Some((event, kv)) = rest.next_if(|(_, kv)| kv.mod_revision() == revision) {
                operations.push(match event.event_type() {
                    EventType::Put => self.put(kv.key(), &found(kv).1).await?,
                    EventType::Delete => TxnOp::delete(kv.key(), None),
                });
                self.progress
                    .followed(u64::try_from(revision).unwrap_or_default());
            }
            self.write(operations).await?;
        }
        Ok(())
    }

    async fn watch(&self, after: i64) -> Result<Events, Failure> {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        let mut watches = JoinSet::new();
        for range in &self.ranges {
            let options = WatchOptions {
                start_revision: after + 1,
                ..WatchOptions::default()
            };
            let keys = Keys::Range(range.start.clone(), range.end.clone());
            let events = self.source.watch(keys, options).await.map_err(failed)?;
            watches.spawn(tell(events, sender.clone()));
        }
        Ok(Events {
            receiver,
            _watches: watches,
        })
    }
}

/// Hands on what a watch tells, until it ends.
async fn tell(mut watcher: Watcher, sender: mpsc::Sender<Result<Vec<Event>, Failure>>) {
    loop {
        let told = match watcher.next().await {
            Ok(WatchEvent::Changes { events, .. }) => Ok(events),
            Ok(WatchEvent::Progress(_)) => continue,
            Ok(WatchEvent::Compacted { .. }) => Err(Failure::Plain(
                "the source has compacted changes that were not carried over yet; run it again with --overwrite"
                    .to_owned(),
            )),
            Err(error) => Err(failed(error)),
        };
        let is_last = told.is_err();
        if sender.send(told).await.is_err() || is_last {
            return;
        }
    }
}

impl Migration for V3 {
    async fn copy(&mut self) -> Result<(), Failure> {
        let (_, _, revision) = Self::page(&self.source, &self.ranges[0], 0, 1).await?;
        self.events = Some(self.watch(revision).await?);
        for range in self.ranges.clone() {
            self.copy_range(&range, revision).await?;
        }
        self.progress.show();
        Ok(())
    }

    async fn follow(&mut self) -> Result<(), Failure> {
        let mut ticks = interval(LEASE_INTERVAL);
        loop {
            if self.pending.is_none() {
                let Some(events) = &mut self.events else {
                    return Err(Failure::Plain("nothing is watched yet".to_owned()));
                };
                tokio::select! {
                    biased;
                    _ = ticks.tick() => {
                        self.leases.look_after().await?;
                        continue;
                    }
                    told = events.receiver.recv() => {
                        let Some(told) = told else {
                            return Err(Failure::Plain("the watches ended".to_owned()));
                        };
                        self.pending = Some(told?);
                    }
                }
            }
            // Given up here, the changes are carried over again; once or twice makes no difference.
            if let Some(events) = self.pending.clone() {
                self.carry_over(&events).await?;
            }
            self.pending = None;
        }
    }

    fn is_behind(&self) -> bool {
        let has_more = |events: &Events| !events.receiver.is_empty();
        self.pending.is_some() || self.events.as_ref().is_some_and(has_more)
    }

    async fn compare(&mut self) -> Result<Comparison, Failure> {
        let mut comparison = Comparison::default();
        for range in &self.ranges {
            let mut rest = range.clone();
            loop {
                let (page, more, _) = Self::page(&self.source, &rest, 0, PAGE).await?;
                let last = page
                    .keys()
                    .next_back()
                    .filter(|_| more)
                    .map(|key| behind(key));
                let part = Range {
                    start: rest.start,
                    end: last.clone().unwrap_or_else(|| range.end.clone()),
                };
                let (target, ..) = Self::page(&self.target, &part, 0, 0).await?;
                for (key, wanted) in &page {
                    let there = target.get(key).map(|there| there.value.as_slice());
                    comparison.add(key, &wanted.value, there);
                }
                let others = target.keys().filter(|key| !page.contains_key(*key));
                others.for_each(|_| comparison.add_other());
                let Some(last) = last else {
                    break;
                };
                rest = Range {
                    start: last,
                    end: range.end.clone(),
                };
            }
        }
        Ok(comparison)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_do_not_overlap() {
        let of = |prefixes: &[&str]| {
            let prefixes: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
            disjoint(&prefixes)
        };
        assert_eq!(
            of(&[]),
            [Range {
                start: vec![0],
                end: vec![0]
            }]
        );
        assert_eq!(of(&["/a/", "/a/b"]), of(&["/a/"]));
        assert_eq!(of(&["/a/b", "/a/"]), of(&["/a/"]));
        assert_eq!(of(&["/a", "", "/b"]), of(&[""]));
        assert_eq!(of(&["/a", "/b"]).len(), 2);
    }
}
