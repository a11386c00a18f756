//! How long a client asks again a server that cannot serve now.
//!
//! Only what the server says it has not done is asked again. Whether a server is there at all is not waited for.

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::ApiError;

/// How long is waited in one call, and who is told that it is waited, with the server's words, once a call.
pub struct Patience {
    limit: Duration,
    tell: Box<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Patience {
    /// Patience for so long.
    pub fn new(limit: Duration, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self {
            limit,
            tell: Box::new(tell),
        }
    }

    /// Nothing is asked again.
    pub(super) fn none() -> Self {
        Self::new(Duration::ZERO, |_| {})
    }

    /// Asks until there is another answer than "not now", or the time is up: then that is the answer.
    pub(super) async fn ask<T, F>(&self, ask: impl Fn() -> F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let last = Instant::now() + self.limit;
        let mut is_told = false;
        loop {
            match ask().await {
                Err(ApiError::Unavailable {
                    message,
                    retry_after,
                }) if Instant::now() + retry_after < last => {
                    if !std::mem::replace(&mut is_told, true) {
                        (self.tell)(&message);
                    }
                    sleep(retry_after).await;
                }
                answer => return answer,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::ready;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn not_now() -> ApiError {
        ApiError::Unavailable {
            message: "no leader".to_owned(),
            retry_after: Duration::from_secs(1),
        }
    }

    fn counting() -> (Patience, Arc<AtomicU32>) {
        let told = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&told);
        let patience = Patience::new(Duration::from_secs(10), move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        (patience, told)
    }

    #[tokio::test(start_paused = true)]
    async fn it_asks_again_until_there_is_an_answer_and_tells_once() {
        let (patience, told) = counting();
        let asked = Cell::new(0);
        let answer = patience.ask(|| {
            asked.set(asked.get() + 1);
            let is_served = asked.get() == 5;
            ready(if is_served { Ok(7) } else { Err(not_now()) })
        });
        assert_eq!(answer.await.expect("an answer"), 7);
        assert_eq!((asked.get(), told.load(Ordering::Relaxed)), (5, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_answer_is_given_once_the_time_is_up() {
        let (patience, _) = counting();
        let begun = Instant::now();
        let answer: Result<(), _> = patience.ask(|| ready(Err(not_now()))).await;
        assert!(matches!(answer, Err(ApiError::Unavailable { .. })));
        assert_eq!(begun.elapsed(), Duration::from_secs(9));
    }

    #[tokio::test(start_paused = true)]
    async fn another_refusal_is_no_reason_to_ask_again() {
        let (patience, told) = counting();
        let asked = Cell::new(0);
        let answer: Result<(), _> = patience
            .ask(|| {
                asked.set(asked.get() + 1);
                ready(Err(ApiError::Refused {
                    status: 503,
                    message: "another machine has this id".to_owned(),
                }))
            })
            .await;
        assert!(answer.is_err());
        assert_eq!((asked.get(), told.load(Ordering::Relaxed)), (1, 0));
    }
}
