//! A lease that is kept alive, and until when one may believe in it.
//!
//! What is attached to it is the caller's affair. A lease that is dropped is no longer kept alive; it
//! ends when its time is up.
use std::time::Duration;

use etcd_client::{LeaseGrantOptions, LeaseTimeToLiveOptions};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::v3::client::{Client, Failed};
use crate::v3::error::Error;

/// Before a keep-alive that failed is sent again while a lease is taken over.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A lease, kept alive in the background.
#[derive(Debug)]
pub struct Lease {
    id: i64,
    ttl: Duration,
    client: Client,
    state: watch::Receiver<State>,
    keeper: AbortHandle,
}

/// What is known of a lease.
#[derive(Debug, Clone)]
enum State {
    /// It lives until then at least, by our own clock.
    Kept(Instant),
    Lost(LeaseLost),
}

/// Why a lease is no longer ours to believe in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseLost {
    /// The server says that it is gone.
    #[error("the lease has expired or was revoked")]
    Gone,
    /// No keep-alive was acknowledged in time; the server may still have it.
    #[error("the lease could not be kept alive in time: {0}")]
    NotKept(String),
    /// The server refuses to keep it.
    #[error("the lease is not kept alive: {0}")]
    Refused(String),
}

/// How a keep-alive went.
enum Kept {
    For(Duration),
    Gone,
    Failed(Failed),
}

impl Client {
    /// Makes a lease and keeps it alive from now on. The server may give it more time than was asked
    /// for, never less. In whole seconds, at least 2.
    pub async fn lease(&self, ttl: Duration) -> Result<Lease, Error> {
        let seconds = i64::try_from(ttl.as_secs().max(2)).unwrap_or(i64::MAX);
        // The id is ours, so that a grant whose answer is lost can be asked about again.
        let id = fresh_id();
        let granted = Instant::now();
        let ttl = self.grant(id, seconds).await?;
        Ok(self.keep(id, granted, ttl))
    }

    /// Takes over a lease that an earlier process made and kept alive; nothing if it is gone.
    pub async fn take_over_lease(&self, id: i64) -> Result<Option<Lease>, Error> {
        let until = Instant::now() + self.total_timeout();
        let keeper = Keeper {
            id,
            client: self.clone(),
            until,
            ttl: Duration::ZERO,
        };
        loop {
            let sent = Instant::now();
            match keeper.keep_alive().await {
                Kept::For(ttl) => return Ok(Some(self.keep(id, sent, ttl))),
                Kept::Gone => return Ok(None),
                Kept::Failed(Failed::Final(error)) => return Err(error),
                Kept::Failed(Failed::Broken(text)) if Instant::now() >= keeper.until => {
                    return Err(Error::Unavailable(text));
                }
                Kept::Failed(Failed::Broken(_)) => sleep(RETRY_PAUSE).await,
            }
        }
    }

    /// Keeps a lease alive that was acknowledged for some time, counted from an instant.
    fn keep(&self, id: i64, since: Instant, ttl: Duration) -> Lease {
        let until = since + ttl;
        let (sender, state) = watch::channel(State::Kept(until));
        let keeper = Keeper {
            id,
            client: self.clone(),
            until,
            ttl,
        };
        let task = tokio::spawn(keeper.run(sender));
        Lease {
            id,
            ttl,
            client: self.clone(),
            state,
            keeper: task.abort_handle(),
        }
    }

    async fn grant(&self, id: i64, seconds: i64) -> Result<Duration, Error> {
        let ask = |mut etcd: etcd_client::Client| async move {
            let options = LeaseGrantOptions::new().with_id(id);
            etcd.lease_grant(seconds, Some(options)).await
        };
        match self.once(ask).await {
            Ok(granted) => Ok(whole_seconds(granted.ttl())),
            // It may be there: nobody else draws this id.
            Err(Error::OutcomeUnknown(text)) => self.granted(id, text).await,
            Err(error) => Err(error),
        }
    }

    async fn granted(&self, id: i64, text: String) -> Result<Duration, Error> {
        let ask = |mut etcd: etcd_client::Client| async move {
            let options = LeaseTimeToLiveOptions::new();
            etcd.lease_time_to_live(id, Some(options)).await
        };
        let found = self.harmless(ask).await?;
        if found.ttl() > 0 {
            // What is left of it now is less than what is left of it counted from before it was asked for.
            return Ok(whole_seconds(found.ttl()));
        }
        Err(Error::OutcomeUnknown(text))
    }
}

impl Lease {
    /// Its number, to attach keys to it.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// How long it lives after each keep-alive.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Until when it certainly lives, counted from before the last acknowledged keep-alive was sent.
    pub fn deadline(&self) -> Result<Instant, LeaseLost> {
        match &*self.state.borrow() {
            State::Kept(until) if Instant::now() < *until => Ok(*until),
            State::Kept(_) => Err(LeaseLost::NotKept("its time is up".to_owned())),
            State::Lost(lost) => Err(lost.clone()),
        }
    }

    /// Waits until it is lost. Can be given up and called again.
    pub async fn lost(&mut self) -> LeaseLost {
        loop {
            let until = match self.deadline() {
                Ok(until) => until,
                Err(lost) => return lost,
            };
            tokio::select! {
                // An error means that the keeper is gone; then the time will be up.
                changed = self.state.changed() => if changed.is_err() { sleep_until(until).await },
                () = sleep_until(until) => {}
            }
        }
    }

    /// Ends it, and with it all that is attached.
    pub async fn revoke(self) -> Result<(), Error> {
        self.keeper.abort();
        let id = self.id;
        let ask = |mut etcd: etcd_client::Client| async move { etcd.lease_revoke(id).await };
        match self.client.harmless(ask).await {
            // It is gone, which was wanted.
            Err(Error::Refused {
                code: tonic::Code::NotFound,
                ..
            })
            | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Keeps one lease alive.
struct Keeper {
    id: i64,
    client: Client,
    until: Instant,
    ttl: Duration,
}

impl Keeper {
    async fn run(mut self, state: watch::Sender<State>) {
        let mut next = self.until - self.ttl * 2 / 3;
        loop {
            sleep_until(next).await;
            let sent = Instant::now();
            let lost = match self.keep_alive().await {
                Kept::For(ttl) => {
                    self.ttl = ttl;
                    self.until = sent + ttl;
                    next = sent + ttl / 3;
                    state.send_replace(State::Kept(self.until));
                    continue;
                }
                Kept::Gone => LeaseLost::Gone,
                Kept::Failed(Failed::Final(error)) => LeaseLost::Refused(error.to_string()),
                Kept::Failed(Failed::Broken(text)) => {
                    next = Instant::now() + self.ttl / 20;
                    if next < self.until {
                        continue;
                    }
                    LeaseLost::NotKept(text)
                }
            };
            state.send_replace(State::Lost(lost));
            return;
        }
    }

    /// One keep-alive on a stream of its own, so that its answer is certainly its own.
    async fn keep_alive(&self) -> Kept {
        let mut etcd = self.client.etcd();
        let id = self.id;
        let work = async move {
            let (mut keeper, mut stream) = etcd.lease_keep_alive(id).await?;
            // The answer to the first is taken by the library, with the time it gives.
            keeper.keep_alive().await?;
            stream.message().await
        };
        let within = self.client.open(Box::pin(work));
        let Ok((answered, turn)) = timeout_at(self.until, within).await else {
            return Kept::Failed(Failed::Broken("no answer in time".to_owned()));
        };
        match answered {
            Ok(Some(answer)) if answer.ttl() > 0 => Kept::For(whole_seconds(answer.ttl())),
            Ok(Some(_)) => Kept::Gone,
            Ok(None) => Kept::Failed(Failed::Broken("the stream ended".to_owned())),
            Err(Failed::Final(Error::InvalidAnswer(text))) if text.contains("lease not found") => {
                Kept::Gone
            }
            Err(failed) => {
                self.client.turn_away(turn).await;
                Kept::Failed(failed)
            }
        }
    }
}

fn whole_seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

/// A positive number that nobody else draws.
fn fresh_id() -> i64 {
    use std::hash::{BuildHasher, RandomState};
    // The standard library's keys are drawn anew for each of them.
    let drawn = RandomState::new().hash_one(std::process::id());
    i64::try_from(drawn >> 1).unwrap_or(1).max(1)
}
