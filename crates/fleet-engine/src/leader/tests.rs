//! What a leader may not do: decide from what it has not seen, or have two answers to one question under way.

use std::sync::{Arc, Mutex};

use fleet_model::{MachineId, State};
use fleet_store::memory::{MemoryClient, MemoryLease, MemoryStore, MemoryWatch};
use fleet_store::{
    Alive, Contents, Keys, Layout, LeaseId, LeaseRecord, MachineRecord, Operation, Range,
    Transaction, UnitRecord, Value,
};
use systemd_unit::UnitName;
use tokio::time::timeout;

use super::*;
use crate::engine::Engine;

fn layout() -> Layout {
    Layout::default()
}

fn machine() -> MachineId {
    MachineId::new("m1")
}

/// A store that lets a number of decisions get lost: it does not say what became of them.
#[derive(Clone)]
struct Lossy {
    inner: MemoryClient,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// So many get lost still.
    losses: u32,
    /// All transactions that were sent and write targets.
    decisions: Vec<Transaction>,
    lost: Vec<Transaction>,
}

impl Lossy {
    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().expect("no panic")
    }
}

fn is_decision(transaction: &Transaction) -> bool {
    let targets = layout().targets();
    let mut operations = transaction.operations.iter();
    operations.any(|one| matches!(one, Operation::Put { key, .. } if targets.contains(key)))
}

impl Store for Lossy {
    type Watch = MemoryWatch;
    type Lease = MemoryLease;

    async fn range(&self, keys: Keys) -> Result<Range, StoreError> {
        self.inner.range(keys).await
    }

    async fn transact(&self, transaction: Transaction) -> Result<Outcome, StoreError> {
        if is_decision(&transaction) {
            let mut shared = self.lock();
            shared.decisions.push(transaction.clone());
            if shared.losses > 0 {
                shared.losses -= 1;
                shared.lost.push(transaction);
                return Err(StoreError::OutcomeUnknown("lost".to_owned()));
            }
        }
        self.inner.transact(transaction).await
    }

    async fn watch(&self, keys: Keys, from: Revision) -> Result<MemoryWatch, StoreError> {
        self.inner.watch(keys, from).await
    }

    async fn grant(&self, ttl: Duration) -> Result<MemoryLease, StoreError> {
        self.inner.grant(ttl).await
    }

    async fn take_over(&self, id: LeaseId) -> Result<Option<MemoryLease>, StoreError> {
        self.inner.take_over(id).await
    }

    async fn revoke(&self, id: LeaseId) -> Result<(), StoreError> {
        self.inner.revoke(id).await
    }
}

/// A machine that is alive, and a unit that is to run.
fn fill(store: &MemoryStore) {
    let record = MachineRecord {
        lease: Some(LeaseRecord {
            id: 1,
            ttl_seconds: 30,
        }),
        ..MachineRecord::default()
    };
    let alive = Alive {
        boot_id: "b".to_owned(),
    };
    let contents = Contents {
        file: "[Service]\nExecStart=/bin/true\n".to_owned(),
        drop_ins: Vec::new(),
    };
    let name = UnitName::new("a.service").expect("a name");
    let unit = UnitRecord::new("h", State::Launched);
    let transaction = Transaction {
        conditions: Vec::new(),
        operations: vec![
            Operation::put(layout().record(&machine()), record.to_bytes()),
            Operation::put(layout().alive(&machine()), alive.to_bytes()),
            Operation::put(layout().contents("h"), contents.to_bytes()),
            Operation::put(layout().unit(&name), unit.to_bytes()),
        ],
    };
    let outcome = store.put_through(&transaction);
    assert!(outcome.is_some_and(Outcome::is_committed));
}

/// What was sent and may come yet must not come after something else was decided.
#[tokio::test(start_paused = true)]
async fn a_decision_that_got_lost_cannot_come_after_the_next_one() {
    let store = MemoryStore::new(1);
    fill(&store);
    let lossy = Lossy {
        inner: store.client(),
        shared: Arc::default(),
    };
    lossy.lock().losses = 1;
    let engine = Engine::new(lossy.clone(), Config::new(machine(), "test"));
    let running = engine.run(std::future::pending());
    let _ended = timeout(Duration::from_secs(30), running).await;
    let shared = lossy.lock();
    let [first, second] = &shared.decisions[..] else {
        panic!("one decision, made twice: {:?}", shared.decisions);
    };
    assert_eq!(first, &shared.lost[0]);
    let fences = [first, second].map(|one| one.conditions[0].clone());
    let leader = layout().leader();
    assert!(
        matches!(&fences[1], Condition::ModifiedAt(key, _) if *key == leader),
        "{fences:?}"
    );
    assert_ne!(fences[0], fences[1], "the leader's key was put in between");
    let lost = Transaction::new(fences[0].clone(), Operation::Delete(String::new()));
    let comes_late = store.put_through(&lost).expect("an answer");
    assert!(!comes_late.is_committed());
}

async fn work(store: &MemoryStore) -> Work<MemoryWatch> {
    let client = store.client();
    let keys = layout().decisive();
    let range = client.range(keys.clone()).await.expect("read");
    let watch = client.watch(keys, range.revision + 1).await;
    let mirror = Mirror::new(layout(), range, Instant::now());
    Work::new(mirror, watch.expect("watched"))
}

#[tokio::test(start_paused = true)]
async fn nothing_is_decided_before_what_was_written_was_seen() {
    let store = MemoryStore::new(1);
    fill(&store);
    let mut work = work(&store).await;
    let seen = work.mirror.revision();
    assert!(work.may_decide());
    work.answered(Ok(Outcome::Committed(seen + 2)));
    work.has_news = true; // of something else
    work.mirror.apply(Vec::new(), seen + 1, Instant::now());
    assert!(!work.may_decide(), "its own change has not come yet");
    work.mirror.apply(Vec::new(), seen + 2, Instant::now());
    assert!(work.may_decide());
}

#[tokio::test(start_paused = true)]
async fn after_an_unknown_outcome_the_leaders_key_is_put_and_seen_first() {
    let store = MemoryStore::new(1);
    fill(&store);
    let mut work = work(&store).await;
    let seen = work.mirror.revision();
    work.answered(Err(StoreError::OutcomeUnknown("lost".to_owned())));
    sleep(BACK_OFF_MAX).await;
    assert!(work.has_news && work.needs_renewal);
    assert!(!work.may_decide());
    work.renewed(seen + 1);
    assert!(!work.may_decide(), "what was carried out comes before that");
    work.mirror.apply(Vec::new(), seen + 1, Instant::now());
    assert!(work.may_decide());
}

#[tokio::test(start_paused = true)]
async fn what_certainly_was_not_done_needs_no_renewal() {
    let store = MemoryStore::new(1);
    fill(&store);
    let mut work = work(&store).await;
    work.answered(Err(StoreError::Unavailable("no".to_owned())));
    assert!(!work.may_decide(), "not in a hurry");
    sleep(BACK_OFF_MAX).await;
    assert!(work.may_decide());
}
