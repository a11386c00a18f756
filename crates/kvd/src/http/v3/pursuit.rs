//! A watcher at work: it waits for something to tell, and comes back with it.
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::watch::{Ended, Notice, Watcher};

/// So many notices are told at a time, if they are there; never a part of a revision.
const NOTICES_AT_A_TIME: usize = 64;
/// The same in bytes: a client that takes nothing shall not keep more than that in memory.
const BYTES_AT_A_TIME: usize = 256 << 10;

/// A watcher that looks for something.
pub(super) type Pursuit = Pin<Box<dyn Future<Output = Caught> + Send>>;

/// What a watcher came back with.
pub(super) struct Caught {
    /// Its number.
    pub(super) id: i64,
    /// Itself, to look on.
    pub(super) watcher: Box<Watcher>,
    /// What it found: whole revisions, in order.
    pub(super) notices: Vec<Arc<Notice>>,
    /// Why it finds no more.
    pub(super) ended: Option<Ended>,
}

/// Waits until the watcher has something.
pub(super) fn pursue(id: i64, mut watcher: Box<Watcher>) -> Pursuit {
    Box::pin(async move {
        let mut notices = Vec::new();
        let ended = poll_fn(|cx| look(&mut watcher, &mut notices, cx)).await;
        Caught {
            id,
            watcher,
            notices,
            ended,
        }
    })
}

fn look(
    watcher: &mut Watcher,
    notices: &mut Vec<Arc<Notice>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Ended>> {
    let mut bytes = 0;
    while notices.len() < NOTICES_AT_A_TIME && bytes < BYTES_AT_A_TIME {
        match watcher.poll_revision(cx) {
            Poll::Ready(Ok(revision)) => {
                bytes += revision.iter().map(|notice| notice.weight()).sum::<usize>();
                notices.extend(revision);
            }
            Poll::Ready(Err(ended)) => return Poll::Ready(Some(ended)),
            Poll::Pending if notices.is_empty() => return Poll::Pending,
            Poll::Pending => break,
        }
    }
    Poll::Ready(None)
}
