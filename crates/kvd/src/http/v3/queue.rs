//! The queue that locks and elections are made of, as etcd's own recipes make it: a prefix, under
//! which everyone who waits has a key that hangs on a lease. Whose key is the oldest has its turn.
//!
//! Everything is done as the caller, who must be allowed to read the prefix and to write the key.
use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use etcd_v3::events::Interest;
use etcd_v3::proto::mvccpb;
use etcd_v3::{Code, Status};
use kv_model::command::{
    Compare, CompareTarget, Direction, KeyRange, LeaseChoice, Operation, Order, OrderBy,
    RangeQuery, Relation, Transaction,
};
use kv_model::outcome::{OperationReply, TransactionReply};
use kv_model::{Command, LeaseId, Node, Revision};

use super::call::{Door, unexpected, unreadable};
use super::caller::Caller;
use super::{kv, lease};
use crate::http::state::ServerState;
use crate::watch::{Ended, HistoryError, Watched, Watcher};

/// How long a lease lives that is granted because none is given: that of etcd's sessions.
const SESSION_TTL_SECONDS: i64 = 60;

/// A queue.
pub(super) struct Queue {
    prefix: Bytes,
}

/// A place in a queue. Dropping it while its turn has not come gives it up.
pub(super) struct Place {
    state: Arc<ServerState>,
    pub(super) key: Bytes,
    pub(super) lease: LeaseId,
    /// The revision of the key's creation, which names the place.
    pub(super) created: Revision,
    /// What its key said before, if the place was taken earlier.
    pub(super) before: Option<Bytes>,
    /// The store's, when it was taken.
    pub(super) revision: Revision,
    /// Whether it outlives this.
    stays: bool,
}

impl Queue {
    /// That of a name.
    pub(super) fn new(name: &[u8]) -> Self {
        let prefix = [name, b"/"].concat().into();
        Self { prefix }
    }

    /// All keys of it.
    pub(super) fn keys(&self) -> KeyRange {
        let mut end = self.prefix.to_vec();
        // It ends with a slash, so there is something behind.
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        KeyRange::HalfOpen(self.prefix.clone(), end.into())
    }

    /// Takes a place, or finds the one that the lease has.
    pub(super) async fn enter(
        &self,
        door: Door<'_>,
        caller: &Caller,
        lease: LeaseId,
        value: Bytes,
    ) -> Result<Place, Status> {
        let key = Bytes::from([&self.prefix[..], hexadecimal(lease).as_bytes()].concat());
        let put = put(key.clone(), value, lease);
        let read = Operation::Range(read(KeyRange::Single(key.clone())));
        let transaction = if_created(&key, Revision(0), put, Some(read));
        let done = kv::carry_out(door, caller, transaction).await?;
        let revision = done.revision;
        let (created, before) = if done.succeeded {
            (revision, None)
        } else {
            let node = first(done)?.ok_or_else(unexpected)?;
            (node.create_revision, Some(value_of(node)))
        };
        Ok(Place {
            state: Arc::clone(door.state),
            key,
            lease,
            created,
            before,
            revision,
            stays: false,
        })
    }

    /// Waits until nobody is before that place. Fails with `lost` if the place itself is gone.
    pub(super) async fn wait(
        &self,
        door: Door<'_>,
        caller: &Caller,
        place: &mut Place,
        lost: &'static str,
    ) -> Result<Revision, Status> {
        while let (Some(before), revision) = self.before(door, caller, place.created).await? {
            until_removed(door.state, before.key, revision).await?;
        }
        let own = read(KeyRange::Single(place.key.clone()));
        let (node, revision) = look(door, caller, own).await?;
        if node.is_none_or(|node| node.create_revision != place.created) {
            place.stays = true;
            return Err(Status::new(Code::Unknown, lost));
        }
        Ok(revision)
    }

    /// The youngest before a place, and the store's revision.
    async fn before(
        &self,
        door: Door<'_>,
        caller: &Caller,
        created: Revision,
    ) -> Result<(Option<Node>, Revision), Status> {
        // No store's first write has revision 1, so the bound is never 0, which would be none.
        let bound = Revision(created.0 - 1);
        let query = RangeQuery {
            created: (Revision(0), bound),
            ..oldest(self.keys(), Direction::Descending)
        };
        look(door, caller, query).await
    }

    /// Whose turn it is, and the store's revision.
    pub(super) async fn holder(
        &self,
        door: Door<'_>,
        caller: &Caller,
    ) -> Result<(Option<Node>, Revision), Status> {
        look(door, caller, oldest(self.keys(), Direction::Ascending)).await
    }
}

impl Place {
    /// It stays, whatever becomes of the caller.
    pub(super) fn keep(mut self) {
        self.stays = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        let remove = Operation::DeleteRange {
            keys: KeyRange::Single(self.key.clone()),
            want_previous: false,
        };
        let transaction = if_created(&self.key, self.created, remove, None);
        let state = Arc::clone(&self.state);
        tokio::spawn(async move {
            let left = Door { state: &state };
            let left = left.propose(Command::Transaction(transaction)).await;
            if let Err(error) = left {
                tracing::debug!(%error, "a place in a queue is left to the end of its lease");
            }
        });
    }
}

/// The lease that a caller gives, or one that is granted for it.
pub(super) async fn session(door: Door<'_>, id: i64) -> Result<LeaseId, Status> {
    match id {
        0 => lease::grant_any(door, SESSION_TTL_SECONDS).await,
        id => Ok(LeaseId(id)),
    }
}

/// A number as Go writes it: with a sign.
fn hexadecimal(id: LeaseId) -> String {
    let sign = if id.0 < 0 { "-" } else { "" };
    format!("{sign}{:x}", id.0.unsigned_abs())
}

/// A put of a key on its lease.
pub(super) fn put(key: Bytes, value: Bytes, lease: LeaseId) -> Operation {
    Operation::Put {
        key,
        value: Some(value),
        lease: LeaseChoice::Lease(lease),
        want_previous: false,
    }
}

/// Does it if the key was created at that revision, else the other.
pub(super) fn if_created(
    key: &Bytes,
    created: Revision,
    then: Operation,
    otherwise: Option<Operation>,
) -> Transaction {
    Transaction {
        compares: vec![Compare {
            keys: KeyRange::Single(key.clone()),
            relation: Relation::Equal,
            target: CompareTarget::Created(created),
        }],
        success: vec![then],
        failure: otherwise.into_iter().collect(),
    }
}

pub(super) fn read(keys: KeyRange) -> RangeQuery {
    RangeQuery {
        keys,
        limit: 0,
        revision: None,
        order: Order {
            by: OrderBy::Key,
            direction: Direction::Ascending,
        },
        keys_only: false,
        count_only: false,
        modified: (Revision(0), Revision(0)),
        created: (Revision(0), Revision(0)),
    }
}

/// The key that was created first, or last.
fn oldest(keys: KeyRange, direction: Direction) -> RangeQuery {
    RangeQuery {
        limit: 1,
        order: Order {
            by: OrderBy::Created,
            direction,
        },
        ..read(keys)
    }
}

/// The first key that is found, and the store's revision.
pub(super) async fn look(
    door: Door<'_>,
    caller: &Caller,
    query: RangeQuery,
) -> Result<(Option<Node>, Revision), Status> {
    let transaction = Transaction {
        success: vec![Operation::Range(query)],
        ..Transaction::default()
    };
    let done = kv::carry_out(door, caller, transaction).await?;
    let revision = done.revision;
    Ok((first(done)?, revision))
}

fn first(done: TransactionReply) -> Result<Option<Node>, Status> {
    match done.replies.into_iter().next() {
        Some(OperationReply::Range(found)) => Ok(found.nodes.into_iter().next()),
        _ => Err(unexpected()),
    }
}

pub(super) fn value_of(node: Node) -> Bytes {
    match node.content {
        kv_model::Content::Value(value) => value,
        _ => Bytes::new(),
    }
}

/// A watcher of what comes after a revision.
pub(super) fn watch_after(state: &ServerState, keys: KeyRange, revision: Revision) -> Watcher {
    let history = state.backend.history();
    state
        .hub
        .watch(Watched::Keys(keys), revision.next(), history)
}

/// What a watcher of these keys is told next.
pub(super) async fn next_events(
    watcher: &mut Watcher,
    keys: &KeyRange,
) -> Result<Vec<mvccpb::Event>, Status> {
    let notices = poll_fn(|cx| watcher.poll_revision(cx)).await;
    let notices = notices.map_err(|ended| match ended {
        Ended::Stopped => Status::STOPPED,
        Ended::Lost(HistoryError::Cleared { .. }) => Status::COMPACTED,
        Ended::Lost(HistoryError::Storage(error)) => unreadable(error),
    })?;
    let interest = Interest {
        keys: keys.clone(),
        puts: true,
        deletes: true,
        previous: false,
    };
    let mut events = Vec::new();
    for (position, notice) in notices.iter().enumerate() {
        let earlier = notices[..position].iter().map(|earlier| earlier.event());
        interest.events(notice.event(), &earlier, &mut events);
    }
    Ok(events)
}

async fn until_removed(state: &ServerState, key: Bytes, after: Revision) -> Result<(), Status> {
    let keys = KeyRange::Single(key);
    let mut watcher = watch_after(state, keys.clone(), after);
    loop {
        let events = next_events(&mut watcher, &keys).await?;
        let is_removal = |event: &mvccpb::Event| event.r#type() == mvccpb::event::EventType::Delete;
        if events.iter().any(is_removal) {
            return Ok(());
        }
    }
}
