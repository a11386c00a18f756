//! Finds the watchers of each event and puts it into their queues.
//!
//! The store hands its events over while writers wait, so that takes no longer than to note them;
//! the finding and waking is done by [`Hub::run`], a task of its own. It does not read the history.
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::ops::Bound;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use kv_model::command::KeyRange;
use kv_model::{Event, Revision};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::history::HistoryPages;
use super::interest::{Watched, below, is_hidden, keys_of, removes};
use super::mailbox::{Delivery, Mailbox};
use super::notice::Notice;
use super::watcher::Watcher;
use crate::clock;

/// At most so many events wait for the hub's task. Beyond, watchers read the history.
const WAITING_EVENTS_MAX: usize = 4096;

/// After so many events the task lets others run.
const EVENTS_AT_A_TIME: usize = 32;

/// All watchers, and the events they have not been told yet.
pub struct Hub {
    registry: Mutex<Registry>,
    /// Told when events wait for the task, or when it shall end.
    work: Notify,
}

struct Registry {
    /// Up to and including this revision, watchers were told.
    told: Revision,
    waiting: VecDeque<Arc<Event>>,
    watchers: BTreeMap<Box<[u8]>, HashMap<u64, Registered>>,
    /// Watchers of one key through v3.
    keys: HashMap<Bytes, Mailboxes>,
    /// Watchers of many keys through v3. Most clients watch the same few ranges, so that each is
    /// looked at for every event.
    ranges: HashMap<Interval, Mailboxes>,
    count: usize,
    next_id: u64,
    is_closed: bool,
}

/// From a key on, to before another if there is one.
type Interval = (Bytes, Option<Bytes>);

type Mailboxes = HashMap<u64, Arc<Mailbox>>;

struct Registered {
    recursive: bool,
    mailbox: Arc<Mailbox>,
}

impl Hub {
    /// A hub for a store that stands at this revision.
    pub fn new(newest: Revision) -> Self {
        let registry = Registry {
            told: newest,
            waiting: VecDeque::new(),
            watchers: BTreeMap::new(),
            keys: HashMap::new(),
            ranges: HashMap::new(),
            count: 0,
            next_id: 0,
            is_closed: false,
        };
        Self {
            registry: Mutex::new(registry),
            work: Notify::new(),
        }
    }

    /// Notes events that just became visible, in their order.
    pub fn publish(&self, events: &[Arc<Event>]) {
        let Some(last) = events.last() else { return };
        let mut registry = self.registry.lock();
        if registry.count == 0 && registry.waiting.is_empty() {
            registry.told = registry.told.max(last.revision);
            return;
        }
        if registry.waiting.len() + events.len() > WAITING_EVENTS_MAX {
            let wakers = registry.skip_to(last.revision);
            drop(registry);
            wakers.into_iter().for_each(Waker::wake);
            return;
        }
        registry.waiting.extend(events.iter().cloned());
        drop(registry);
        self.work.notify_one();
    }

    /// The store jumped to this revision without telling each event (it took over a snapshot).
    pub fn jump(&self, newest: Revision) {
        let wakers = self.registry.lock().skip_to(newest);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Tells watchers what is published, until [`Hub::close`].
    pub async fn run(&self) {
        loop {
            while (0..EVENTS_AT_A_TIME).all(|_| self.tell_next()) {
                // A burst of events must not keep this worker from everything else.
                tokio::task::yield_now().await;
            }
            if self.registry.lock().is_closed {
                return;
            }
            self.work.notified().await;
        }
    }

    /// Ends all watches and [`Hub::run`].
    pub fn close(&self) {
        let mut registry = self.registry.lock();
        registry.is_closed = true;
        let wakers: Vec<Waker> = registry
            .mailboxes()
            .filter_map(|mailbox| mailbox.close())
            .collect();
        drop(registry);
        wakers.into_iter().for_each(Waker::wake);
        self.work.notify_one();
    }

    /// A watcher of everything from a revision on, be it past or to come.
    pub fn watch(
        self: &Arc<Self>,
        interest: impl Into<Watched>,
        from: Revision,
        history: Arc<dyn HistoryPages>,
    ) -> Watcher {
        let mut registry = self.registry.lock();
        let delivery = match (registry.is_closed, registry.told < from) {
            (true, _) => Delivery::Closed,
            (_, true) => Delivery::Live { from },
            (_, false) => Delivery::Behind { from },
        };
        let mailbox = Arc::new(Mailbox::new(delivery));
        let id = registry.next_id;
        registry.next_id += 1;
        registry.count += 1;
        let interest = interest.into();
        registry.register(id, &interest, &mailbox);
        drop(registry);
        Watcher::new(Arc::clone(self), id, interest, mailbox, history)
    }

    /// How many watchers there are.
    pub fn watchers(&self) -> usize {
        self.registry.lock().count
    }

    /// Forgets a watcher.
    pub(super) fn leave(&self, id: u64, interest: &Watched) {
        let mut registry = self.registry.lock();
        let was_there = match interest {
            Watched::Path(interest) => {
                take_out(id, &mut registry.watchers, interest.path.as_bytes())
            }
            Watched::Keys(KeyRange::Single(key)) => leave_of(id, &mut registry.keys, key),
            Watched::Keys(range) => leave_of(id, &mut registry.ranges, &interval(range)),
        };
        registry.count -= usize::from(was_there);
    }

    /// Up to where watchers were told: all up to it is in the history.
    pub(crate) fn told(&self) -> Revision {
        self.registry.lock().told
    }

    /// Lets a watcher that has read the history up to a revision hear live from there on. If the
    /// others were told of later events already, nothing changes, and it is false.
    pub(super) fn catch_up(&self, mailbox: &Mailbox, next: Revision) -> bool {
        let registry = self.registry.lock();
        let is_caught_up = registry.told < next || registry.is_closed;
        if is_caught_up {
            mailbox.go_live(next);
        }
        is_caught_up
    }

    /// Tells the watchers of one event. False if none waits.
    fn tell_next(&self) -> bool {
        let mut wakers = Vec::new();
        let mut registry = self.registry.lock();
        let Some(event) = registry.waiting.pop_front() else {
            return false;
        };
        if event.revision > registry.told.next() {
            // Something between was not told here; whatever it was, the history has it.
            wakers = registry.fall_behind(registry.told.next());
        } else if event.revision >= registry.told {
            registry.put(&event, &mut wakers);
            // Whoever asks must find all of a revision or nothing of it.
            while let Some(next) = registry.next_of(event.revision) {
                registry.put(&next, &mut wakers);
            }
        }
        registry.told = registry.told.max(event.revision);
        drop(registry);
        wakers.into_iter().for_each(Waker::wake);
        true
    }
}

impl Registry {
    fn mailboxes(&self) -> impl Iterator<Item = &Arc<Mailbox>> {
        let of_paths = self.watchers.values().flat_map(HashMap::values);
        let of_paths = of_paths.map(|registered| &registered.mailbox);
        let of_keys = self.keys.values().chain(self.ranges.values());
        of_paths.chain(of_keys.flat_map(HashMap::values))
    }

    /// The event that waits first, if it is of this revision.
    fn next_of(&mut self, revision: Revision) -> Option<Arc<Event>> {
        let first = self.waiting.front()?;
        if first.revision != revision {
            return None;
        }
        self.waiting.pop_front()
    }

    fn register(&mut self, id: u64, interest: &Watched, mailbox: &Arc<Mailbox>) {
        let mailbox = Arc::clone(mailbox);
        match interest {
            Watched::Keys(KeyRange::Single(key)) => {
                self.keys
                    .entry(key.clone())
                    .or_default()
                    .insert(id, mailbox);
            }
            Watched::Keys(range) => {
                let there = self.ranges.entry(interval(range)).or_default();
                there.insert(id, mailbox);
            }
            Watched::Path(interest) => {
                let recursive = interest.recursive;
                let registered = Registered { recursive, mailbox };
                let path = interest.path.as_bytes();
                if let Some(there) = self.watchers.get_mut(path) {
                    there.insert(id, registered);
                } else {
                    let there = HashMap::from([(id, registered)]);
                    self.watchers.insert(path.into(), there);
                }
            }
        }
    }

    /// Forgets what waits; all watchers have to look into the history from there on.
    fn skip_to(&mut self, newest: Revision) -> Vec<Waker> {
        self.waiting.clear();
        let wakers = self.fall_behind(self.told.next());
        self.told = self.told.max(newest);
        wakers
    }

    fn fall_behind(&self, missed: Revision) -> Vec<Waker> {
        self.mailboxes()
            .filter_map(|mailbox| mailbox.fall_behind(missed))
            .collect()
    }

    /// The same choice as [`Watched::wants`], found by path and key instead of asking every watcher.
    fn put(&self, event: &Arc<Event>, wakers: &mut Vec<Waker>) {
        let mut notice = None;
        let mut tell = |mailbox: &Mailbox| {
            let notice = notice.get_or_insert_with(|| Arc::new(new_notice(Arc::clone(event))));
            wakers.extend(mailbox.put(notice));
        };
        self.tell_paths(event, &mut tell);
        // An event never has the same key twice: it was removed, or it is the one that changed.
        let of_keys = keys_of(event).filter_map(|key| self.keys.get(key));
        let wanting = self.ranges.iter().filter(|((from, to), _)| {
            let before_end = |key: &[u8]| to.as_ref().is_none_or(|to| key < &to[..]);
            keys_of(event).any(|key| &from[..] <= key && before_end(key))
        });
        let mailboxes = of_keys.chain(wanting.map(|(_, there)| there));
        for mailbox in mailboxes.flat_map(HashMap::values) {
            tell(mailbox);
        }
    }

    fn tell_paths(&self, event: &Event, mut tell: impl FnMut(&Mailbox)) {
        let key = event.node.key.as_ref();
        if event.refresh || key.first() != Some(&b'/') {
            return;
        }
        for ancestor in ancestors(key) {
            let Some(there) = self.watchers.get(ancestor) else {
                continue;
            };
            let rest = below(key, ancestor).unwrap_or_default();
            let shown =
                |watcher: &Registered| rest.is_empty() || (watcher.recursive && !is_hidden(rest));
            let wanting = there.values().filter(|watcher| shown(watcher));
            wanting.for_each(|watcher| tell(&watcher.mailbox));
        }
        if !event.removed_keys.is_empty() {
            let inside = self.inside(key).filter(|(path, _)| removes(event, path));
            let inside = inside.flat_map(|(_, there)| there.values());
            inside.for_each(|watcher| tell(&watcher.mailbox));
        }
    }

    /// The watched paths below a directory.
    fn inside(
        &self,
        directory: &[u8],
    ) -> impl Iterator<Item = (&Box<[u8]>, &HashMap<u64, Registered>)> {
        let first = [directory, b"/"].concat();
        let bounds = (Bound::Excluded(first.as_slice()), Bound::Unbounded);
        let after = self.watchers.range::<[u8], _>(bounds);
        after.take_while(move |(path, _)| path.starts_with(&first))
    }
}

fn interval(range: &KeyRange) -> Interval {
    match range {
        KeyRange::Single(key) => (key.clone(), Some([key, &b"\0"[..]].concat().into())),
        KeyRange::HalfOpen(from, to) => (from.clone(), Some(to.clone())),
        KeyRange::From(from) => (from.clone(), None),
    }
}

/// Takes a watcher of a path out. False if it was not there.
fn take_out(
    id: u64,
    watchers: &mut BTreeMap<Box<[u8]>, HashMap<u64, Registered>>,
    path: &[u8],
) -> bool {
    let Some(there) = watchers.get_mut(path) else {
        return false;
    };
    let was_there = there.remove(&id).is_some();
    if there.is_empty() {
        watchers.remove(path);
    }
    was_there
}

/// Takes a watcher of keys out. False if it was not there.
fn leave_of<K: Eq + Hash>(id: u64, watchers: &mut HashMap<K, Mailboxes>, keys: &K) -> bool {
    let Some(there) = watchers.get_mut(keys) else {
        return false;
    };
    let was_there = there.remove(&id).is_some();
    if there.is_empty() {
        watchers.remove(keys);
    }
    was_there
}

/// The root, every directory on the way, and the path itself.
fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().skip(1);
    let ends = slashes.filter_map(|(at, byte)| (*byte == b'/').then_some(at));
    let root = path.get(..1);
    let itself = (path.len() > 1).then_some(path);
    root.into_iter()
        .chain(ends.map(|end| &path[..end]))
        .chain(itself)
}

/// A notice as of now.
pub(super) fn new_notice(event: Arc<Event>) -> Notice {
    Notice::new(event, clock::now())
}
