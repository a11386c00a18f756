//! One client's watch: a cursor that moves over the history and then over live events.
//!
//! It gives notices; writing them to the client is elsewhere.
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use kv_model::{Event, Revision};
use tokio::sync::OwnedSemaphorePermit;

use super::history::{HistoryError, HistoryPage, HistoryPages, Page};
use super::hub::{Hub, new_notice};
use super::interest::Watched;
use super::mailbox::{Delivery, Mailbox};
use super::notice::Notice;

/// A watch. Dropping it ends it.
pub struct Watcher {
    hub: Arc<Hub>,
    id: u64,
    interest: Watched,
    mailbox: Arc<Mailbox>,
    history: Arc<dyn HistoryPages>,
    phase: Phase,
    /// The last revision of which something was given, and how many events of it.
    given: (Revision, usize),
    /// Notices of one revision, while the rest of it is looked for.
    partial: Vec<Arc<Notice>>,
}

enum Phase {
    /// Waiting for the queue.
    Queue,
    /// Waiting for a page of the history.
    Page {
        /// Its first revision.
        from: Revision,
        /// Up to where others had been told when it was asked for: that much is in the history.
        told: Revision,
        page: HistoryPage,
    },
    /// Giving what was found in a page.
    Found {
        events: VecDeque<Arc<Event>>,
        /// Where the history goes on.
        next: Revision,
        /// Held as long as the page is.
        _room: Option<OwnedSemaphorePermit>,
    },
}

/// Why a watch gives no more.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The server stops.
    #[error("the server stops")]
    Stopped,
    /// What comes next is not known any more.
    #[error("the watch cannot go on")]
    Lost(#[source] HistoryError),
}

impl Watcher {
    pub(super) fn new(
        hub: Arc<Hub>,
        id: u64,
        interest: Watched,
        mailbox: Arc<Mailbox>,
        history: Arc<dyn HistoryPages>,
    ) -> Self {
        Self {
            hub,
            id,
            interest,
            mailbox,
            history,
            phase: Phase::Queue,
            given: (Revision(0), 0),
            partial: Vec::new(),
        }
    }

    /// Reads the first page of the history, if the watch begins in the past: afterwards it is known
    /// whether it can be done at all.
    pub async fn prepare(&mut self) -> Result<(), Ended> {
        if let Some(from) = self.mailbox.behind() {
            self.phase = self.ask(from);
            poll_fn(|cx| self.poll_page(cx)).await?;
        }
        Ok(())
    }

    /// The next notice. It never comes if nothing happens.
    pub async fn next(&mut self) -> Result<Arc<Notice>, Ended> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`Watcher::next`].
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Arc<Notice>, Ended>> {
        loop {
            match &mut self.phase {
                Phase::Queue => match ready!(self.mailbox.take(cx.waker())) {
                    Ok(notice) => {
                        self.count(notice.revision());
                        return Poll::Ready(Ok(notice));
                    }
                    Err(Delivery::Behind { from }) => self.phase = self.ask(from),
                    Err(_) => return Poll::Ready(Err(Ended::Stopped)),
                },
                Phase::Page { .. } => ready!(self.poll_page(cx))?,
                Phase::Found { events, next, .. } => {
                    let next = *next;
                    if let Some(event) = events.pop_front() {
                        self.count(event.revision);
                        return Poll::Ready(Ok(Arc::new(new_notice(event))));
                    }
                    self.go_on(next);
                }
            }
        }
    }

    /// The next notices: all that are wanted of one revision. Not to be mixed with
    /// [`Watcher::poll_next`].
    pub fn poll_revision(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<Arc<Notice>>, Ended>> {
        loop {
            let revision = self.partial.last().map(|notice| notice.revision());
            match &mut self.phase {
                Phase::Queue => match (revision, ready!(self.take(revision, cx))) {
                    (_, Ok(notice)) => self.keep(notice),
                    (_, Err(Delivery::Behind { from })) => self.phase = self.ask(from),
                    (Some(_), Err(_)) => return self.whole(),
                    (None, Err(_)) => return Poll::Ready(Err(Ended::Stopped)),
                },
                Phase::Page { .. } => ready!(self.poll_page(cx))?,
                Phase::Found { events, next, .. } => {
                    let next = *next;
                    let first = events.front().map(|event| event.revision);
                    if first.is_some() && revision.is_some() && first != revision {
                        return self.whole();
                    }
                    if let Some(event) = events.pop_front() {
                        self.keep(Arc::new(new_notice(event)));
                        continue;
                    }
                    self.go_on(next);
                    // A page never ends inside a revision.
                    if revision.is_some() {
                        return self.whole();
                    }
                }
            }
        }
    }

    /// The next notice of the queue; if some of a revision are at hand, only another one of it.
    fn take(
        &self,
        revision: Option<Revision>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Arc<Notice>, Delivery>> {
        let Some(revision) = revision else {
            return self.mailbox.take(cx.waker());
        };
        // All of a revision is put into the queues before the hub answers this.
        self.hub.told();
        Poll::Ready(self.mailbox.take_of(revision))
    }

    fn keep(&mut self, notice: Arc<Notice>) {
        self.count(notice.revision());
        self.partial.push(notice);
    }

    fn whole(&mut self) -> Poll<Result<Vec<Arc<Notice>>, Ended>> {
        Poll::Ready(Ok(std::mem::take(&mut self.partial)))
    }

    /// After a page: to the queue, if it holds what comes next.
    fn go_on(&mut self, next: Revision) {
        self.phase = if self.hub.catch_up(&self.mailbox, next) {
            Phase::Queue
        } else {
            self.ask(next)
        };
    }

    /// Its queue, to see whether it holds anything.
    pub(crate) fn mailbox(&self) -> Arc<Mailbox> {
        Arc::clone(&self.mailbox)
    }

    /// Asks for a page of the history.
    fn ask(&self, from: Revision) -> Phase {
        let told = self.hub.told();
        let page = self.history.page(from);
        Phase::Page { from, told, page }
    }

    /// Takes a page when it is there.
    fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let Phase::Page { from, told, page } = &mut self.phase else {
            return Poll::Ready(Ok(()));
        };
        let (from, told) = (*from, *told);
        let Page { events, room } = ready!(page.as_mut().poll(cx)).map_err(Ended::Lost)?;
        let next = match events.last() {
            Some(last) => last.revision.next(),
            // Revisions without an event changed no key.
            None => from.max(told.next()),
        };
        self.phase = Phase::Found {
            events: self.choose(events),
            next,
            _room: room,
        };
        Poll::Ready(Ok(()))
    }

    /// The events of a page that are wanted and were not given yet.
    fn choose(&self, mut events: Vec<Arc<Event>>) -> VecDeque<Arc<Event>> {
        let (revision, given) = self.given;
        let mut seen = 0;
        events.retain(|event| {
            let wanted = self.interest.wants(event);
            seen += usize::from(wanted && event.revision == revision);
            wanted && (event.revision > revision || (event.revision == revision && seen > given))
        });
        events.into()
    }

    fn count(&mut self, revision: Revision) {
        let (last, given) = self.given;
        let before = if last == revision { given } else { 0 };
        self.given = (revision, before + 1);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.hub.leave(self.id, &self.interest);
    }
}
