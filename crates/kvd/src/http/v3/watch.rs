//! The service `Watch`: one stream of a client with any number of watchers.
//!
//! It is one task's work: what the client asks and what its watchers have is taken up only when the
//! client takes what was told before. Finding what a watcher wants is [`crate::watch`]'s affair.
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use etcd_v3::events::Interest;
use etcd_v3::header::{revision, signed};
use etcd_v3::proto::etcdserverpb::watch_request::RequestUnion;
use etcd_v3::proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use etcd_v3::{Status, frame};
use futures::StreamExt as _;
use futures::future::{AbortHandle, Abortable};
use futures::stream::FuturesUnordered;
use kv_model::auth::{Access, Subject};
use kv_model::command::KeyRange;
use kv_model::{Revision, query};
use tokio::time::{Interval, interval_at};

use super::call::{Call, Door, Stopped, message_bytes_max, place, stopped, unreadable};
use super::caller::Caller;
use super::incoming::Requests;
use super::pursuit::{Caught, Pursuit, pursue};
use super::reply::{self, Messages};
use crate::http::answer::Answer;
use crate::http::state::ServerState;
use crate::watch::{BoundedHistory, Ended, HistoryError, Mailbox, Watched};

/// How often a watcher that asks for it is told how far the store is: etcd's.
const PROGRESS_PAUSE: Duration = Duration::from_mins(10);
/// What is about no watcher in particular.
const ALL: i64 = -1;
/// So many pages of the history are in memory for one stream, however many of its watchers are behind.
const PAGES_MAX: usize = 16;

/// `Watch`.
pub(super) async fn watch(call: Call<'_>) -> Result<Answer, Status> {
    let caller = call.caller().await;
    if let Err(status) = &caller
        && !is_denial(status)
    {
        return Err(status.clone());
    }
    let state = Arc::clone(call.state);
    let begin = tokio::time::Instant::now() + PROGRESS_PAUSE;
    let history = BoundedHistory::new(state.backend.history(), PAGES_MAX);
    Ok(reply::stream(Watch {
        history: Arc::new(history),
        requests: Requests::new(call.into_body(), message_bytes_max(&state)),
        stopped: stopped(&state),
        state,
        caller,
        pursuits: FuturesUnordered::new(),
        watchers: HashMap::new(),
        next_id: 0,
        progress_wanted: false,
        progress_pause: interval_at(begin, PROGRESS_PAUSE),
        ready: VecDeque::new(),
    }))
}

/// Whether it says that the caller may not.
fn is_denial(status: &Status) -> bool {
    let denials = [
        Status::INVALID_TOKEN,
        Status::PERMISSION_DENIED,
        Status::USER_EMPTY,
    ];
    denials.contains(status)
}

/// An error as Go's clients print it.
fn reason(status: &Status) -> Cow<'static, str> {
    format!("rpc error: code = {:?} desc = {status}", status.code).into()
}

/// A client's stream.
struct Watch {
    requests: Requests<WatchRequest>,
    stopped: Stopped,
    state: Arc<ServerState>,
    /// Or why nobody does. A watcher is then refused, not the stream.
    caller: Result<Caller, Status>,
    history: Arc<BoundedHistory>,
    /// What the watchers are waiting for.
    pursuits: FuturesUnordered<Abortable<Pursuit>>,
    watchers: HashMap<i64, Watcher>,
    next_id: i64,
    /// The client asked how far it has been told everything.
    progress_wanted: bool,
    progress_pause: Interval,
    /// Framed answers that were not taken yet.
    ready: VecDeque<Bytes>,
}

/// What is known of a watcher while it waits.
struct Watcher {
    interest: Interest,
    fragment: bool,
    progress: bool,
    mailbox: Arc<Mailbox>,
    abort: AbortHandle,
}

impl Messages for Watch {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        if self.stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Status::STOPPED)));
        }
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(ready)));
            }
            match self.requests.poll_next(cx) {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(request)) => {
                    if let Err(status) = request.and_then(|request| self.serve(request)) {
                        return Poll::Ready(Some(Err(status)));
                    }
                    continue;
                }
                Poll::Pending => {}
            }
            // Up to there, everything is in the watchers' queues before they are looked at.
            let told = self.state.hub.told();
            match self.pursuits.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(caught))) => {
                    if let Err(status) = self.tell(caught) {
                        return Poll::Ready(Some(Err(status)));
                    }
                    continue;
                }
                // It was canceled.
                Poll::Ready(Some(Err(_))) => continue,
                Poll::Ready(None) | Poll::Pending => {}
            }
            if self.progress_pause.poll_tick(cx).is_ready() {
                self.tell_progress(told);
                continue;
            }
            if !self.answer_progress(told) {
                return Poll::Pending;
            }
        }
    }
}

impl Watch {
    fn serve(&mut self, request: WatchRequest) -> Result<(), Status> {
        match request.request_union {
            Some(RequestUnion::CreateRequest(request)) => self.create(&request),
            Some(RequestUnion::CancelRequest(request)) => self.cancel(request.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => {
                self.progress_wanted = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn say(&mut self, at: Revision, response: WatchResponse) {
        let header = place(&self.state).header(at);
        self.ready
            .push_back(frame::write(&WatchResponse { header, ..response }));
    }

    fn now(&self) -> Result<Revision, Status> {
        query::revision(&*self.state.backend.view()).map_err(unreadable)
    }

    fn create(&mut self, request: &WatchCreateRequest) -> Result<(), Status> {
        let now = self.now()?;
        let (id, interest) = match self.check(request)? {
            Ok(checked) => checked,
            Err((watch_id, reason)) => {
                let refused = WatchResponse {
                    watch_id,
                    created: true,
                    canceled: true,
                    cancel_reason: reason.into_owned(),
                    ..WatchResponse::default()
                };
                self.say(now, refused);
                return Ok(());
            }
        };
        self.state.metrics.watch_requested();
        self.say(
            now,
            WatchResponse {
                watch_id: id,
                created: true,
                ..WatchResponse::default()
            },
        );
        let from = match revision(request.start_revision) {
            Revision(0) => now.next(),
            from => from,
        };
        let compacted = query::compacted(&*self.state.backend.view()).map_err(unreadable)?;
        if from < compacted {
            self.say_compacted(id, now, compacted);
            return Ok(());
        }
        let keys = Watched::Keys(interest.keys.clone());
        let watcher = (self.state.hub).watch(keys, from, Arc::clone(&self.history) as _);
        let (abort, registration) = AbortHandle::new_pair();
        let known = Watcher {
            interest,
            fragment: request.fragment,
            progress: request.progress_notify,
            mailbox: watcher.mailbox(),
            abort,
        };
        self.watchers.insert(id, known);
        let pursuit = pursue(id, Box::new(watcher));
        self.pursuits.push(Abortable::new(pursuit, registration));
        Ok(())
    }

    /// Number and interest of a new watcher; or under which number it is refused, and why.
    #[allow(clippy::type_complexity)] // two ways of not making one
    fn check(
        &mut self,
        request: &WatchCreateRequest,
    ) -> Result<Result<(i64, Interest), (i64, Cow<'static, str>)>, Status> {
        let interest = Interest::of(request)?;
        if let KeyRange::HalfOpen(from, to) = &interest.keys
            && from >= to
        {
            return Ok(Err((ALL, "mvcc: watcher range is empty".into())));
        }
        let door = Door { state: &self.state };
        let needed = (Access::Read, Subject::Keys(interest.keys.clone()));
        let checked = match &self.caller {
            Ok(caller) => (door.check_still(caller)).and_then(|()| door.check(caller, [needed])),
            Err(status) => Err(status.clone()),
        };
        match checked {
            Err(status) if is_denial(&status) => return Ok(Err((ALL, reason(&status)))),
            checked => checked?,
        }
        if self.watchers.contains_key(&request.watch_id) && request.watch_id != 0 {
            let reason = "mvcc: duplicate watch ID provided on the WatchStream";
            return Ok(Err((ALL, reason.into())));
        }
        if request.watch_id != 0 {
            return Ok(Ok((request.watch_id, interest)));
        }
        while self.watchers.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        Ok(Ok((self.next_id - 1, interest)))
    }

    fn cancel(&mut self, watch_id: i64) -> Result<(), Status> {
        let Some(watcher) = self.watchers.remove(&watch_id) else {
            return Ok(());
        };
        watcher.abort.abort();
        let now = self.now()?;
        let canceled = WatchResponse {
            watch_id,
            canceled: true,
            ..WatchResponse::default()
        };
        self.say(now, canceled);
        Ok(())
    }

    /// What a watcher asks for is not there any more.
    fn say_compacted(&mut self, watch_id: i64, now: Revision, oldest: Revision) {
        let compacted = WatchResponse {
            watch_id,
            canceled: true,
            compact_revision: signed(oldest.0),
            cancel_reason: Status::COMPACTED.message.into_owned(),
            ..WatchResponse::default()
        };
        self.say(now, compacted);
    }

    /// Tells what a watcher found, and has it look on.
    fn tell(&mut self, caught: Caught) -> Result<(), Status> {
        let Caught {
            id,
            watcher,
            notices,
            ended,
        } = caught;
        let Some(known) = self.watchers.get_mut(&id) else {
            return Ok(());
        };
        let mut events = Vec::new();
        for (number, notice) in notices.iter().enumerate() {
            let earlier = notices[..number].iter();
            let earlier = earlier.filter(|one| one.revision() == notice.revision());
            let earlier = earlier.map(|one| one.event());
            (known.interest).events(notice.event(), &earlier, &mut events);
        }
        let limit = known.fragment.then(|| message_bytes_max(&self.state));
        let (abort, registration) = AbortHandle::new_pair();
        known.abort = abort;
        if let Some(last) = notices.last()
            && !events.is_empty()
        {
            for response in etcd_v3::events::responses(id, events, limit) {
                self.say(last.revision(), response);
            }
        }
        match ended {
            None => {
                let pursuit = pursue(id, watcher);
                self.pursuits.push(Abortable::new(pursuit, registration));
                Ok(())
            }
            Some(Ended::Stopped) => Err(Status::STOPPED),
            Some(Ended::Lost(HistoryError::Cleared { oldest })) => {
                self.watchers.remove(&id);
                let now = self.now()?;
                self.say_compacted(id, now, oldest);
                Ok(())
            }
            Some(Ended::Lost(HistoryError::Storage(error))) => Err(unreadable(error)),
        }
    }

    /// Tells how far those are who want to know from time to time.
    fn tell_progress(&mut self, told: Revision) {
        let wanting = self.watchers.iter();
        let wanting = wanting.filter(|(_, watcher)| watcher.progress && watcher.mailbox.is_idle());
        for watch_id in wanting.map(|(id, _)| *id).collect::<Vec<_>>() {
            let progress = WatchResponse {
                watch_id,
                ..WatchResponse::default()
            };
            self.say(told, progress);
        }
    }

    /// Tells that everything up to there was told, if that is asked and so. False if not.
    fn answer_progress(&mut self, told: Revision) -> bool {
        let is_idle = |watcher: &Watcher| watcher.mailbox.is_idle();
        if !self.progress_wanted || !self.watchers.values().all(is_idle) {
            return false;
        }
        self.progress_wanted = false;
        let progress = WatchResponse {
            watch_id: ALL,
            ..WatchResponse::default()
        };
        self.say(told, progress);
        true
    }
}
