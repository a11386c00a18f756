//! The hub and its watchers together, on a history in memory.
//!
//! Which events a watcher wants is tested in [`super::interest`].
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use kv_model::Revision;
use kv_model::command::KeyRange;
use kv_model::event::{Action, Content, Event, Node};
use parking_lot::Mutex;

use super::history::{HistoryError, HistoryPage, HistoryPages};
use super::{Ended, Hub, Interest, Watched, Watcher};

fn node(revision: u64, key: &str, content: Content) -> Node {
    Node {
        key: Bytes::copy_from_slice(key.as_bytes()),
        content,
        created_index: Revision(revision),
        create_revision: Revision(revision),
        modified: Revision(revision),
        version: 1,
        expires: None,
        lease: None,
    }
}

fn with_node(revision: u64, action: Action, node: Node) -> Event {
    Event {
        revision: Revision(revision),
        action,
        node,
        previous: None,
        removed_keys: Vec::new(),
        refresh: false,
    }
}

/// A change of a key.
pub(crate) fn event(revision: u64, action: Action, key: &str) -> Event {
    let content = match action {
        Action::Delete | Action::Expire | Action::CompareAndDelete => Content::Gone,
        _ => Content::Value(Bytes::from_static(b"v")),
    };
    with_node(revision, action, node(revision, key, content))
}

/// The removal of a directory with directories and keys in it, each in order.
pub(crate) fn directory_removal(
    revision: u64,
    key: &str,
    directories: &[&str],
    keys: &[&str],
) -> Event {
    let gone = node(revision, key, Content::DirectoryGone);
    let directories = directories
        .iter()
        .map(|key| node(1, key, Content::Directory));
    let value = || Content::Value(Bytes::from_static(b"v"));
    let keys = keys.iter().map(|key| node(1, key, value()));
    Event {
        removed_keys: directories.chain(keys).collect(),
        ..with_node(revision, Action::Delete, gone)
    }
}

/// A renewal of a time to live.
pub(crate) fn refresh(revision: u64, key: &str) -> Event {
    Event {
        refresh: true,
        ..event(revision, Action::Update, key)
    }
}

/// A history in memory, in pages of a few revisions.
#[derive(Default)]
struct MemoryHistory {
    events: Mutex<Vec<Arc<Event>>>,
    oldest: Mutex<Revision>,
}

const PAGE_REVISIONS: u64 = 3;

impl HistoryPages for MemoryHistory {
    fn page(&self, from: Revision) -> HistoryPage {
        let oldest = *self.oldest.lock();
        if from < oldest {
            return Box::pin(ready(Err(HistoryError::Cleared { oldest })));
        }
        let events = self.events.lock();
        let later = events.iter().filter(|event| event.revision >= from);
        let first = later.clone().next().map_or(0, |event| event.revision.0);
        let page = later.take_while(|event| event.revision.0 < first + PAGE_REVISIONS);
        let page: Vec<_> = page.cloned().collect();
        Box::pin(ready(Ok(page.into())))
    }

    fn oldest(&self) -> Revision {
        *self.oldest.lock()
    }
}

struct Fixture {
    hub: Arc<Hub>,
    history: Arc<MemoryHistory>,
}

impl Fixture {
    /// A hub whose task does not run by itself.
    fn new() -> Self {
        Self {
            hub: Arc::new(Hub::new(Revision(0))),
            history: Arc::default(),
        }
    }

    fn watch(&self, path: &str, recursive: bool, from: u64) -> Watcher {
        let interest = Interest {
            path: path.to_owned(),
            recursive,
        };
        let history: Arc<dyn HistoryPages> = self.history.clone();
        self.hub.watch(interest, Revision(from), history)
    }

    fn watch_keys(&self, keys: KeyRange, from: u64) -> Watcher {
        let history: Arc<dyn HistoryPages> = self.history.clone();
        self.hub.watch(Watched::Keys(keys), Revision(from), history)
    }

    fn remember(&self, events: Vec<Event>) -> Vec<Arc<Event>> {
        let events: Vec<_> = events.into_iter().map(Arc::new).collect();
        self.history.events.lock().extend(events.iter().cloned());
        events
    }

    fn publish(&self, events: Vec<Event>) {
        self.hub.publish(&self.remember(events));
    }

    /// Publishes and lets the hub tell.
    fn happen(&self, events: Vec<Event>) {
        self.publish(events);
        self.tell();
    }

    fn tell(&self) {
        let run = std::pin::pin!(self.hub.run());
        let mut run = run;
        let mut cx = Context::from_waker(Waker::noop());
        // It yields between bursts; a few polls see it through.
        for _ in 0..1000 {
            let _ = run.as_mut().poll(&mut cx);
        }
    }
}

fn sets(revisions: std::ops::RangeInclusive<u64>, key: &str) -> Vec<Event> {
    revisions.map(|n| event(n, Action::Set, key)).collect()
}

/// What a watcher gives without waiting.
fn take(watcher: &mut Watcher) -> Vec<u64> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut got = Vec::new();
    while let Poll::Ready(Ok(notice)) = watcher.poll_next(&mut cx) {
        got.push(notice.revision().0);
    }
    got
}

#[test]
fn every_watcher_gets_exactly_what_it_wants() {
    let paths = [
        "/", "/a", "/a/b", "/a/_h", "/a/_h/x", "/ab", "/a/b/c", "/_z",
    ];
    let fixture = Fixture::new();
    let mut watchers = Vec::new();
    for (path, recursive) in paths.iter().flat_map(|path| [(path, false), (path, true)]) {
        let interest = Interest {
            path: (*path).to_owned(),
            recursive,
        };
        watchers.push((interest, fixture.watch(path, recursive, 1)));
    }
    let mut events: Vec<Event> = Vec::new();
    for path in paths.iter().skip(1) {
        let at = events.len() as u64;
        events.push(event(at + 1, Action::Set, path));
        events.push(refresh(at + 2, path));
        events.push(event(at + 3, Action::Delete, path));
        let [directory, inner, key] = ["b", "b/c", "_h"].map(|name| format!("{path}/{name}"));
        let directories = [directory.as_str(), inner.as_str()];
        events.push(directory_removal(at + 4, path, &directories, &[&key]));
    }
    let at = events.len() as u64;
    events.push(event(at + 1, Action::Set, "v3 key"));
    for event in &events {
        fixture.happen(vec![event.clone()]);
    }
    for (interest, watcher) in &mut watchers {
        let wanted = events.iter().filter(|event| interest.wants(event));
        let wanted: Vec<u64> = wanted.map(|event| event.revision.0).collect();
        assert_eq!(take(watcher), wanted, "{interest:?}");
        let from = fixture.watch(&interest.path, interest.recursive, 1);
        assert_eq!(take(&mut { from }), wanted, "{interest:?} from the history");
    }
}

/// The revisions that a watcher gives without waiting, and how many events each has.
fn revisions(watcher: &mut Watcher) -> Vec<(u64, usize)> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut got = Vec::new();
    while let Poll::Ready(Ok(notices)) = watcher.poll_revision(&mut cx) {
        assert!(
            notices
                .iter()
                .all(|notice| notice.revision() == notices[0].revision())
        );
        got.push((notices[0].revision().0, notices.len()));
    }
    got
}

#[test]
fn a_watcher_of_keys_is_told_whole_revisions() {
    let fixture = Fixture::new();
    let mut all = fixture.watch_keys(KeyRange::From(Bytes::new()), 1);
    let mut one = fixture.watch_keys(KeyRange::Single("k7".into()), 1);
    let mut some = fixture.watch_keys(KeyRange::HalfOpen("k1".into(), "k2".into()), 1);
    // More than a queue holds: the rest of the revision comes from the history.
    let many = |revision| (0..100).map(move |n| event(revision, Action::Set, &format!("k{n}")));
    fixture.happen(many(1).collect());
    fixture.happen(vec![event(2, Action::Delete, "z")]);
    fixture.happen(many(3).chain(sets(4..=4, "k7")).collect());
    let wanted_of_all = [(1, 100), (2, 1), (3, 100), (4, 1)];
    let (wanted_of_one, wanted_of_some) = ([(1, 1), (3, 1), (4, 1)], [(1, 11), (3, 11)]);
    assert_eq!(revisions(&mut all), wanted_of_all);
    assert_eq!(revisions(&mut one), wanted_of_one);
    assert_eq!(revisions(&mut some), wanted_of_some);
    let mut past = fixture.watch_keys(KeyRange::From(Bytes::new()), 1);
    assert_eq!(revisions(&mut past), wanted_of_all);
    drop((all, one, some, past));
    assert_eq!(fixture.hub.watchers(), 0);
}

#[test]
fn a_watcher_of_keys_is_told_of_renewals_and_of_keys_in_removed_directories() {
    let fixture = Fixture::new();
    let mut watcher = fixture.watch_keys(KeyRange::HalfOpen("/a".into(), "/b".into()), 1);
    let removal = directory_removal(2, "/a", &["/a/d"], &["/a/k"]);
    let elsewhere = directory_removal(3, "/", &["/a"], &["/c"]);
    let made = with_node(4, Action::Create, node(4, "/a", Content::Directory));
    for event in [refresh(1, "/a/k"), removal, elsewhere, made] {
        fixture.happen(vec![event]);
    }
    assert_eq!(revisions(&mut watcher), [(1, 1), (2, 1)]);
}

#[test]
fn the_past_comes_first_and_the_future_waits() {
    let fixture = Fixture::new();
    fixture.happen(sets(1..=10, "/a"));
    let mut past = fixture.watch("/a", false, 4);
    let mut next = fixture.watch("/a", false, 11);
    let mut future = fixture.watch("/a", false, 13);
    assert!(take(&mut next).is_empty());
    fixture.happen(sets(11..=14, "/a"));
    assert_eq!(take(&mut past), (4..=14).collect::<Vec<_>>());
    assert_eq!(take(&mut next), [11, 12, 13, 14]);
    assert_eq!(take(&mut future), [13, 14]);
}

#[test]
fn a_slow_watcher_goes_back_to_the_history_without_gap_or_duplicate() {
    let fixture = Fixture::new();
    let mut slow = fixture.watch("/", true, 1);
    let mut got = Vec::new();
    for round in 0..20 {
        fixture.happen(sets(round * 100 + 1..=round * 100 + 100, "/a/b"));
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..round * 11 {
            if let Poll::Ready(Ok(notice)) = slow.poll_next(&mut cx) {
                got.push(notice.revision().0);
            }
        }
    }
    got.extend(take(&mut slow));
    assert_eq!(got, (1..=2000).collect::<Vec<_>>());
    fixture.happen(sets(2001..=2003, "/a/b"));
    assert_eq!(take(&mut slow), [2001, 2002, 2003], "it is live again");
}

#[test]
fn several_events_of_one_revision_survive_an_overflow_between_them() {
    let fixture = Fixture::new();
    let mut watcher = fixture.watch("/", true, 1);
    let triples = |from: u64, to: u64| {
        let keys = ["/a", "/b", "/c"];
        let all = (from..=to).flat_map(|n| keys.map(|key| event(n, Action::Set, key)));
        all.collect::<Vec<_>>()
    };
    // 64 fit: the queue ends after the first event of revision 22.
    fixture.happen(triples(1, 30));
    let got = take(&mut watcher);
    let wanted: Vec<u64> = (1..=30).flat_map(|n| [n, n, n]).collect();
    assert_eq!(got, wanted);
}

#[test]
fn large_events_overflow_by_bytes_but_one_always_fits() {
    let fixture = Fixture::new();
    let mut watcher = fixture.watch("/a", false, 1);
    let large = |n| {
        let value = Content::Value(Bytes::from(vec![b'x'; 1 << 20]));
        with_node(n, Action::Set, node(n, "/a", value))
    };
    fixture.happen((1..=5).map(large).collect());
    assert_eq!(take(&mut watcher), [1, 2, 3, 4, 5]);
}

#[test]
fn a_past_that_was_forgotten_is_said_at_once() {
    let fixture = Fixture::new();
    fixture.happen(sets(1..=10, "/a"));
    *fixture.history.oldest.lock() = Revision(5);
    let mut watcher = fixture.watch("/a", false, 4);
    let mut cx = Context::from_waker(Waker::noop());
    let prepared = std::pin::pin!(watcher.prepare()).poll(&mut cx);
    let Poll::Ready(Err(Ended::Lost(HistoryError::Cleared { oldest }))) = prepared else {
        panic!("{prepared:?}");
    };
    assert_eq!(oldest, Revision(5));
}

#[test]
fn what_was_not_told_is_read_from_the_history() {
    let fixture = Fixture::new();
    let mut watcher = fixture.watch("/a", false, 1);
    // Events 1 to 3 came with a snapshot; 4 is told, and shows that there is a gap.
    fixture.remember(sets(1..=3, "/a"));
    fixture.happen(sets(4..=4, "/a"));
    assert_eq!(take(&mut watcher), [1, 2, 3, 4]);
    fixture.remember(sets(5..=6, "/a"));
    fixture.hub.jump(Revision(6));
    assert_eq!(take(&mut watcher), [5, 6]);
    // A revision without an event (of users, say) makes no trouble.
    fixture.hub.jump(Revision(9));
    fixture.happen(sets(10..=10, "/a"));
    assert_eq!(take(&mut watcher), [10]);
}

#[test]
fn too_many_waiting_events_are_read_from_the_history() {
    let fixture = Fixture::new();
    let mut watcher = fixture.watch("/a", false, 1);
    for n in 0..60 {
        fixture.publish(sets(n * 100 + 1..=n * 100 + 100, "/a"));
    }
    fixture.tell();
    assert_eq!(take(&mut watcher), (1..=6000).collect::<Vec<_>>());
}

#[test]
fn a_thousand_watchers_share_one_text_and_leave_no_trace() {
    let fixture = Fixture::new();
    let watch = |n: usize| fixture.watch("/a", n.is_multiple_of(2), 1);
    let mut watchers: Vec<Watcher> = (0..1000).map(watch).collect();
    assert_eq!(fixture.hub.watchers(), 1000);
    fixture.happen(sets(1..=1, "/a"));
    let mut cx = Context::from_waker(Waker::noop());
    let mut lines = Vec::new();
    for watcher in &mut watchers {
        let Poll::Ready(Ok(notice)) = watcher.poll_next(&mut cx) else {
            panic!("not told");
        };
        lines.push((notice.line().as_ptr(), notice.server_sent().as_ptr()));
    }
    lines.dedup();
    assert_eq!(lines.len(), 1);
    drop(watchers);
    assert_eq!(fixture.hub.watchers(), 0);
}

#[test]
fn closing_ends_every_watch() {
    let fixture = Fixture::new();
    fixture.happen(sets(1..=3, "/a"));
    let mut live = fixture.watch("/a", false, 4);
    let mut past = fixture.watch("/a", false, 1);
    fixture.hub.close();
    let mut late = fixture.watch("/a", false, 1);
    assert!(take(&mut past).is_empty(), "what is closed gives nothing");
    let mut cx = Context::from_waker(Waker::noop());
    for watcher in [&mut live, &mut past, &mut late] {
        let ended = watcher.poll_next(&mut cx);
        assert!(matches!(ended, Poll::Ready(Err(Ended::Stopped))));
    }
}

/// A writer and watchers that begin at any moment, on several threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_that_begin_while_others_write_miss_nothing() {
    const LAST: u64 = 3000;
    let fixture = Fixture::new();
    let hub = Arc::clone(&fixture.hub);
    tokio::spawn(async move { hub.run().await });
    let (hub, history) = (Arc::clone(&fixture.hub), Arc::clone(&fixture.history));
    let writer = tokio::task::spawn_blocking(move || {
        for n in 1..=LAST {
            let one = Arc::new(event(n, Action::Set, "/a/b"));
            history.events.lock().push(Arc::clone(&one));
            hub.publish(&[one]);
            if n % 7 == 0 {
                std::thread::yield_now();
            }
        }
    });
    let mut readers = Vec::new();
    for from in (1..LAST).step_by(150) {
        let mut watcher = fixture.watch("/a", true, from);
        readers.push(tokio::spawn(async move {
            for wanted in from..=LAST {
                let notice = watcher.next().await.unwrap();
                assert_eq!(notice.revision().0, wanted);
            }
        }));
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!(fixture.hub.watchers(), 0);
    fixture.hub.close();
}
