//! The store in memory keeps the promises of the trait, in simulated time.
//!
//! What the fleet does with it is tested where that is.

use std::time::Duration;

use super::{MemoryClient, MemoryStore};
use crate::{
    Change, Condition, Keys, Lease, LeaseId, LeaseLost, Operation, Outcome, Store, StoreError,
    Transaction, Watch, WatchEvent,
};
use tokio::time::{Instant, sleep, timeout};

const TTL: Duration = Duration::from_secs(10);

fn put(key: &str) -> Operation {
    Operation::put(key.to_owned(), b"v".to_vec())
}

fn only(operation: Operation) -> Transaction {
    Transaction {
        conditions: Vec::new(),
        operations: vec![operation],
    }
}

fn all() -> Keys {
    Keys::Prefix(String::new())
}

async fn leased_key(client: &MemoryClient) -> impl Lease {
    let lease = client.grant(TTL).await.expect("a lease");
    let operation = Operation::put_leased("k".to_owned(), Vec::new(), lease.id());
    client.transact(only(operation)).await.expect("put");
    lease
}

#[tokio::test(start_paused = true)]
async fn conditions_hold_or_nothing_is_done() {
    let client = MemoryStore::new(1).client();
    let create = Transaction::new(Condition::Absent("a".to_owned()), put("a"));
    let first = client.transact(create.clone()).await;
    assert_eq!(first, Ok(Outcome::Committed(1)));
    assert_eq!(
        client.transact(create).await,
        Ok(Outcome::ConditionFailed(1))
    );
    client.transact(only(put("a"))).await.expect("put");
    let rows = [
        (Condition::CreatedAt("a".to_owned(), 1), true),
        (Condition::CreatedAt("a".to_owned(), 2), false),
        (Condition::ModifiedAt("a".to_owned(), 2), true),
        (Condition::ModifiedAt("a".to_owned(), 1), false),
        (Condition::Exists("b".to_owned()), false),
        (Condition::Absent("b".to_owned()), true),
    ];
    for (condition, holds) in rows {
        let nothing = Operation::Delete("c".to_owned());
        let outcome = client
            .transact(Transaction::new(condition.clone(), nothing))
            .await;
        assert_eq!(
            outcome.expect("an outcome").is_committed(),
            holds,
            "{condition:?}"
        );
    }
    let many = vec![put("a"); crate::OPERATIONS_MAX + 1];
    let many = Transaction {
        conditions: Vec::new(),
        operations: many,
    };
    assert!(matches!(
        client.transact(many).await,
        Err(StoreError::Refused(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_watch_misses_nothing_and_repeats_nothing() {
    let store = MemoryStore::new(1);
    let client = store.client();
    client.transact(only(put("a"))).await.expect("put");
    let mut watch = client
        .watch(Keys::Prefix("a".to_owned()), 1)
        .await
        .expect("a watch");
    let both = Transaction {
        conditions: Vec::new(),
        operations: vec![put("a1"), put("b"), Operation::Delete("a".to_owned())],
    };
    client.transact(both).await.expect("put");
    let WatchEvent::Changes { revision, changes } = watch.next().await.expect("an event") else {
        panic!("nothing was compacted");
    };
    let seen: Vec<(&str, u64)> = changes
        .iter()
        .map(|one| (one.key(), one.revision()))
        .collect();
    assert_eq!((revision, seen), (2, vec![("a", 1), ("a1", 2), ("a", 2)]));
    assert!(
        timeout(Duration::from_hours(1), watch.next())
            .await
            .is_err()
    );
    client.cut();
    store.put_through(&only(put("a2"))).expect("put");
    assert!(
        timeout(Duration::from_hours(1), watch.next())
            .await
            .is_err()
    );
    client.mend();
    assert!(matches!(
        watch.next().await,
        Ok(WatchEvent::Changes { revision: 3, .. })
    ));
    store.put_through(&only(put("a3"))).expect("put");
    store.compact();
    assert_eq!(watch.next().await, Ok(WatchEvent::Compacted));
}

#[tokio::test(start_paused = true)]
async fn a_lease_lives_as_long_as_it_is_held_and_the_link_holds() {
    let store = MemoryStore::new(1);
    let client = store.client();
    let mut lease = leased_key(&client).await;
    sleep(TTL * 10).await;
    assert_eq!(store.look(&all()).len(), 1);
    let until = lease.deadline().expect("it is kept");
    assert!(until > Instant::now() && until <= Instant::now() + TTL);
    client.cut();
    assert!(matches!(lease.lost().await, LeaseLost::NotKept(_)));
    assert!(Instant::now() <= until.max(Instant::now()));
    sleep(TTL).await;
    assert_eq!(store.look(&all()), []);
}

/// Who holds a lease stops believing in it before the store does.
#[tokio::test(start_paused = true)]
async fn its_holder_knows_of_the_end_before_others() {
    for seed in 0..20 {
        let store = MemoryStore::new(seed);
        store.set_delay(Duration::from_millis(1)..Duration::from_millis(400));
        let client = store.client();
        let mut lease = leased_key(&client).await;
        sleep(TTL * 3).await;
        client.cut();
        lease.lost().await;
        assert_eq!(store.look(&all()).len(), 1, "seed {seed}");
        let observer = store.client();
        let mut watch = observer
            .watch(all(), store.revision() + 1)
            .await
            .expect("a watch");
        let event = timeout(TTL, watch.next())
            .await
            .expect("it ends")
            .expect("an event");
        let WatchEvent::Changes { changes, .. } = event else {
            panic!("nothing was compacted");
        };
        assert!(matches!(&changes[..], [Change::Deleted { key, .. }] if key == "k"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_taken_over_until_it_has_ended() {
    let store = MemoryStore::new(1);
    let client = store.client();
    let lease = leased_key(&client).await;
    let id = lease.id();
    drop(lease);
    sleep(TTL / 2).await;
    let again = client
        .take_over(id)
        .await
        .expect("an answer")
        .expect("it lives");
    sleep(TTL * 5).await;
    assert_eq!(store.look(&all()).len(), 1);
    drop(again);
    sleep(TTL).await;
    assert!(client.take_over(id).await.expect("an answer").is_none());
    assert!(
        client
            .take_over(LeaseId(77))
            .await
            .expect("an answer")
            .is_none()
    );
    let operation = Operation::put_leased("k".to_owned(), Vec::new(), id);
    assert_eq!(
        client.transact(only(operation)).await,
        Err(StoreError::LeaseGone)
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_ended_is_lost_at_the_next_keep_alive() {
    let store = MemoryStore::new(1);
    let client = store.client();
    let mut lease = leased_key(&client).await;
    store.end_lease(lease.id());
    assert_eq!(store.look(&all()), []);
    assert_eq!(lease.lost().await, LeaseLost::Gone);
}

/// Behind a cut link changes fail in every way there is, and some are made later.
#[tokio::test(start_paused = true)]
async fn changes_of_a_cut_client_may_come_later() {
    let store = MemoryStore::new(3);
    let client = store.client();
    client.cut();
    let (mut certain, mut unknown) = (0, 0);
    for n in 0..60 {
        match client.transact(only(put(&format!("{n:02}")))).await {
            Err(StoreError::Unavailable(_)) => certain += 1,
            Err(StoreError::OutcomeUnknown(_)) => unknown += 1,
            other => panic!("{other:?}"),
        }
    }
    sleep(Duration::from_mins(1)).await;
    let made = store.look(&all()).len();
    assert!(
        certain > 0 && made > 0 && made < unknown,
        "{certain} {unknown} {made}"
    );
    assert!(matches!(
        client.range(all()).await,
        Err(StoreError::Unavailable(_))
    ));
}
