//! What a leader does: it watches, decides, writes, and watches what became of it.
//!
//! It waits for something to happen; when nothing does, it does nothing.

use std::collections::VecDeque;
use std::time::Duration;

use fleet_model::schedule;
use fleet_store::{Condition, Lease, Outcome, Revision, Store, StoreError, Watch, WatchEvent};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::batch::{self, Step};
use crate::election::{Election, Won};
use crate::engine::{Config, PAUSE};
use crate::mirror::Mirror;
use crate::plan::plan;
use crate::status::Status;

/// Transactions that are under way at the same time.
const IN_FLIGHT_MAX: usize = 8;
/// The first pause after transactions that came too late; it doubles.
const BACK_OFF_MIN: Duration = Duration::from_millis(5);
/// The longest such pause.
const BACK_OFF_MAX: Duration = Duration::from_secs(1);
/// After so many rounds without any success the mirror is not believed any more.
const FAILURES_MAX: u32 = 12;

/// Why a leader leads no longer.
pub(crate) enum Ended {
    /// It was asked to stop.
    Stopped,
    /// Another one may lead.
    Lost(String),
}

/// A leader.
pub(crate) struct Leader<'e, S: Store> {
    store: &'e S,
    config: &'e Config,
    status: &'e watch::Sender<Status>,
    won: Won<S::Lease>,
}

/// What a leader knows, and has under way.
struct Work<W> {
    mirror: Mirror,
    watch: W,
    steps: VecDeque<Step>,
    in_flight: FuturesUnordered<BoxFuture<'static, Result<Outcome, StoreError>>>,
    /// Changes up to here have to be seen before the next decision.
    awaited: Revision,
    has_news: bool,
    /// A transaction's outcome is unknown: it must not come later.
    needs_renewal: bool,
    /// No decision before.
    not_before: Instant,
    /// Rounds with failed transactions since the last one that was carried out.
    failures: u32,
    has_failed: bool,
    /// How many steps a transaction gets: fewer while they are overtaken.
    steps_max: usize,
}

/// What happened.
enum Event {
    LeaseLost(String),
    Seen(Result<WatchEvent, StoreError>),
    Answered(Result<Outcome, StoreError>),
    Time,
}

impl<'e, S: Store> Leader<'e, S> {
    pub(crate) fn new(
        store: &'e S,
        config: &'e Config,
        status: &'e watch::Sender<Status>,
        won: Won<S::Lease>,
    ) -> Self {
        Self {
            store,
            config,
            status,
            won,
        }
    }

    /// The seat, to give it up.
    pub(crate) fn into_won(self) -> Won<S::Lease> {
        self.won
    }

    /// Leads until that is over.
    pub(crate) async fn lead(&mut self) -> Ended {
        loop {
            if let Err(lost) = self.won.lease.deadline() {
                return Ended::Lost(lost.to_string());
            }
            match self.read().await {
                Ok(mut work) => {
                    if let Some(why) = self.work(&mut work).await {
                        return Ended::Lost(why);
                    }
                    tracing::warn!("the engine reads everything anew");
                }
                Err(error) => {
                    tracing::warn!("the engine cannot read the fleet: {error}");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Reads everything there is.
    async fn read(&self) -> Result<Work<S::Watch>, StoreError> {
        let keys = self.config.layout.decisive();
        let range = self.store.range(keys.clone()).await?;
        let watch = self.store.watch(keys, range.revision + 1).await?;
        let mirror = Mirror::new(self.config.layout.clone(), range, Instant::now());
        Ok(Work::new(mirror, watch))
    }

    /// Works until leadership is lost, and says why, or until everything has to be read anew.
    async fn work(&mut self, work: &mut Work<S::Watch>) -> Option<String> {
        loop {
            if work.needs_renewal && work.in_flight.is_empty() {
                if let Err(why) = self.election().renew(&mut self.won).await {
                    return Some(why);
                }
                work.renewed(self.won.revision);
            }
            if work.may_decide() {
                self.decide(work);
            }
            self.send(work);
            match work.next(&mut self.won.lease).await {
                Event::LeaseLost(why) => return Some(why),
                Event::Seen(Ok(WatchEvent::Compacted)) => return None,
                Event::Seen(Ok(WatchEvent::Changes { revision, changes })) => {
                    work.has_news |= work.mirror.apply(changes, revision, Instant::now());
                    if self.is_succeeded(&work.mirror) {
                        return Some("another engine leads".to_owned());
                    }
                }
                Event::Seen(Err(error)) => {
                    tracing::warn!("the engine's watch: {error}");
                    sleep(PAUSE).await;
                    return None;
                }
                Event::Answered(answer) => {
                    self.count(&answer);
                    work.answered(answer);
                    if work.failures > FAILURES_MAX {
                        return None;
                    }
                }
                Event::Time => work.has_news |= work.mirror.tick(Instant::now()),
            }
        }
    }

    fn election(&self) -> Election<'e, S> {
        Election {
            store: self.store,
            config: self.config,
            status: self.status,
        }
    }

    /// Whether the leader's key is gone or was put by another since this engine put it.
    fn is_succeeded(&self, mirror: &Mirror) -> bool {
        mirror.revision() >= self.won.revision && mirror.leader() != Some(self.won.revision)
    }

    fn decide(&self, work: &mut Work<S::Watch>) {
        let begun = Instant::now();
        let found = schedule(work.mirror.view());
        work.steps = plan(&work.mirror, &found).into();
        (work.has_news, work.has_failed) = (false, false);
        let took = begun.elapsed();
        // At most half of the time is spent on deciding.
        work.not_before = Instant::now() + took;
        self.status.send_modify(|status| {
            status.rounds += 1;
            status.last_round = took;
            status.decisions += found.decisions.len() as u64;
            status.unplaced = found.unplaced;
            status.waiting = found.waiting;
            status.unreadable = work.mirror.unreadable().map(str::to_owned).collect();
        });
    }

    /// Sends what there is to send.
    fn send(&self, work: &mut Work<S::Watch>) {
        let fence = Condition::ModifiedAt(self.config.layout.leader(), self.won.revision);
        while work.in_flight.len() < IN_FLIGHT_MAX {
            let Some(transaction) = batch::take(&mut work.steps, &fence, work.steps_max) else {
                return;
            };
            let store = self.store.clone();
            let sent = async move { store.transact(transaction).await };
            work.in_flight.push(Box::pin(sent));
        }
    }

    fn count(&self, answer: &Result<Outcome, StoreError>) {
        self.status.send_modify(|status| match answer {
            Ok(Outcome::Committed(_)) => status.committed += 1,
            Ok(Outcome::ConditionFailed(_)) => status.overtaken += 1,
            Err(_) => status.failed += 1,
        });
        if let Err(error) = answer {
            tracing::warn!("the engine's decisions: {error}");
        }
    }
}

impl<W: Watch> Work<W> {
    fn new(mirror: Mirror, watch: W) -> Self {
        Self {
            awaited: mirror.revision(),
            mirror,
            watch,
            steps: VecDeque::new(),
            in_flight: FuturesUnordered::new(),
            has_news: true,
            needs_renewal: false,
            not_before: Instant::now(),
            failures: 0,
            has_failed: false,
            steps_max: usize::MAX,
        }
    }

    /// Whether nothing is under way.
    fn is_quiet(&self) -> bool {
        self.steps.is_empty() && self.in_flight.is_empty() && !self.needs_renewal
    }

    /// Whether there is something to decide, and all that was written before was seen.
    fn may_decide(&self) -> bool {
        self.is_quiet()
            && self.has_news
            && self.mirror.revision() >= self.awaited
            && Instant::now() >= self.not_before
    }

    /// Waits for the next event.
    async fn next(&mut self, lease: &mut impl Lease) -> Event {
        let pause = (self.is_quiet() && self.has_news).then_some(self.not_before);
        let pause = pause.filter(|until| *until > Instant::now());
        let wake = self.mirror.next_tick().into_iter().chain(pause).min();
        let time = async {
            match wake {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            lost = lease.lost() => Event::LeaseLost(lost.to_string()),
            Some(answer) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                Event::Answered(answer)
            }
            seen = self.watch.next() => Event::Seen(seen),
            () = time => Event::Time,
        }
    }

    fn answered(&mut self, answer: Result<Outcome, StoreError>) {
        match answer {
            Ok(Outcome::Committed(revision)) => {
                self.awaited = self.awaited.max(revision);
                self.failures = 0;
                self.steps_max = self.steps_max.saturating_mul(2);
                return;
            }
            // Something changed since; its event comes.
            Ok(Outcome::ConditionFailed(_)) => {
                self.steps_max = (self.steps_max.min(64) / 4).max(1);
            }
            Err(error) => {
                self.steps.clear();
                self.needs_renewal |= !error.is_without_effect();
            }
        }
        self.has_news = true;
        self.failures += u32::from(!std::mem::replace(&mut self.has_failed, true));
        let pause = BACK_OFF_MIN * 2_u32.saturating_pow(self.failures.min(10));
        self.not_before = Instant::now() + pause.min(BACK_OFF_MAX);
    }

    /// Nothing that was sent before can be carried out any more; what was, comes before this revision.
    fn renewed(&mut self, revision: Revision) {
        self.awaited = self.awaited.max(revision);
        self.needs_renewal = false;
    }
}

#[cfg(test)]
mod tests;
