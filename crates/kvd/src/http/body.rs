//! The bodies of answers: bytes at hand, a watch's events as they come, or a copy of the store.
//!
//! Dropping a body ends the watch; the connection drops it when the client goes.
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use etcd_v2::server_sent_events;
use hyper::body::{Body, Frame, SizeHint};
use kv_model::{Refusal, Revision};
use tokio::time::{Instant, Sleep};

use super::snapshot::{Copy, CutOff};
use super::v3::{GrpcBody, Lines};
use crate::watch::{Ended, HistoryError, Watcher};

/// After so long without an event, a stream of server-sent events gets a comment.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The body of an answer.
pub(super) enum AnswerBody {
    /// Bytes at hand; empty once they are taken.
    Whole(Bytes),
    /// A watch's events.
    Events(Box<Events>),
    /// A copy of the store.
    Copy(Copy),
    /// The answer to a call of gRPC.
    Grpc(GrpcBody),
    /// The answers to a call of the JSON gateway, as lines.
    Json(Box<Lines>),
}

impl AnswerBody {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Events(events) => {
                let next = ready!(events.poll_next(cx));
                Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
            }
            Self::Copy(copy) => copy.poll_next(cx).map_ok(Frame::data),
            Self::Grpc(body) => body.poll_frame(cx).map(|frame| frame.map(Ok)),
            Self::Json(lines) => {
                let next = ready!(lines.poll_line(cx));
                Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Events(events) => matches!(events.rest, Rest::Nothing),
            // Of JSON, whole messages may wait behind what came last.
            Self::Copy(_) | Self::Json(_) => false,
            Self::Grpc(body) => body.is_done(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Events(_) | Self::Copy(_) | Self::Grpc(_) | Self::Json(_) => SizeHint::default(),
        }
    }
}

/// How a watch's events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventFormat {
    /// One event, then the end (a long poll).
    One,
    /// A line each.
    Lines,
    /// Server-sent events.
    ServerSent,
}

/// The events of a watch as bytes.
pub(super) struct Events {
    rest: Rest,
}

enum Rest {
    /// Events come.
    Watch {
        watcher: Box<Watcher>,
        format: EventFormat,
        keep_alive: Option<Pin<Box<Sleep>>>,
    },
    /// All was said.
    Nothing,
}

impl Events {
    pub(super) fn new(watcher: Watcher, format: EventFormat) -> Self {
        let is_kept_alive = format == EventFormat::ServerSent;
        let keep_alive = is_kept_alive.then(|| Box::pin(tokio::time::sleep(KEEP_ALIVE)));
        let watcher = Box::new(watcher);
        Self {
            rest: Rest::Watch {
                watcher,
                format,
                keep_alive,
            },
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Rest::Watch {
            watcher,
            format,
            keep_alive,
        } = &mut self.rest
        else {
            return Poll::Ready(None);
        };
        let Poll::Ready(next) = watcher.poll_next(cx) else {
            return poll_keep_alive(keep_alive.as_mut(), cx).map(Some);
        };
        let bytes = match (&next, *format) {
            (Ok(notice), EventFormat::ServerSent) => Some(notice.server_sent()),
            (Ok(notice), _) => Some(notice.line()),
            (Err(ended), format) => last_words(ended, format),
        };
        if let Some(timer) = keep_alive {
            timer.as_mut().reset(Instant::now() + KEEP_ALIVE);
        }
        if next.is_err() || *format == EventFormat::One {
            self.rest = Rest::Nothing;
        }
        Poll::Ready(bytes)
    }
}

fn poll_keep_alive(timer: Option<&mut Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<Bytes> {
    let Some(timer) = timer else {
        return Poll::Pending;
    };
    ready!(timer.as_mut().poll(cx));
    timer.as_mut().reset(Instant::now() + KEEP_ALIVE);
    Poll::Ready(Bytes::from_static(server_sent_events::KEEP_ALIVE))
}

/// A stream that cannot go on says so, instead of ending as if nothing were missing.
fn last_words(ended: &Ended, format: EventFormat) -> Option<Bytes> {
    let refusal = match ended {
        Ended::Stopped => return None,
        Ended::Lost(error) => refusal_of(error, Revision(0), Revision(0)),
    };
    let (_, body) = etcd_v2::write_refusal(&refusal);
    Some(match format {
        EventFormat::ServerSent => {
            let text = [b"event: error\ndata: ".as_slice(), &body, b"\n"];
            Bytes::from(text.concat())
        }
        _ => body,
    })
}

/// etcd's error for a history that cannot be told from a revision on.
pub(super) fn refusal_of(error: &HistoryError, from: Revision, index: Revision) -> Refusal {
    match error {
        HistoryError::Cleared { oldest } => Refusal {
            code: kv_model::ErrorCode::EventCleared,
            cause: format!(
                "the requested history has been cleared [{}/{}]",
                oldest.0, from.0
            ),
            index,
        },
        HistoryError::Storage(error) => super::keys::storage_failed(error),
    }
}
