//! Answers: what the handlers give, and how it is written.
//!
//! Every refusal is fleet's JSON, whatever went wrong.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use fleet_api::{Failure, path};
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, SERVER};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::mpsc;

/// How many lines may wait for a client that reads slowly.
const LINES_MAX: usize = 64;

/// An answer.
pub(crate) type Answer = Response<AnswerBody>;

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// Empty once it was taken.
    Whole(Bytes),
    /// Lines as they come; dropping the body tells whoever makes them.
    Lines(mpsc::Receiver<Bytes>),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Lines(lines) => lines
                .poll_recv(context)
                .map(|line| line.map(|line| Ok(Frame::data(line)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Lines(_) => SizeHint::default(),
        }
    }
}

/// A request that is refused, and of which nothing was done unless the message says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// Asked again after so many seconds, it may be answered.
    retry_after: Option<u8>,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            status,
            message,
            retry_after: None,
        }
    }

    /// 503, with the promise that nothing was done: whoever asked may ask again in a second.
    pub(crate) fn not_now(message: impl Into<String>) -> Self {
        Self {
            retry_after: Some(1),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
        }
    }

    /// 400
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 409
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// The answer.
    pub(crate) fn answer(&self) -> Answer {
        let failure = Failure::new(self.status.as_u16(), self.message.clone());
        let mut answer = json(self.status, &failure);
        if let Some(seconds) = self.retry_after {
            answer
                .headers_mut()
                .insert(RETRY_AFTER, u16::from(seconds).into());
        }
        answer
    }
}

fn with_type(status: StatusCode, media_type: &'static str, body: AnswerBody) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(SERVER, server());
    answer
}

fn server() -> HeaderValue {
    HeaderValue::from_static(concat!("fleetd/", env!("CARGO_PKG_VERSION")))
}

/// Bytes of a type.
pub(crate) fn bytes(media_type: &'static str, body: impl Into<Bytes>) -> Answer {
    with_type(StatusCode::OK, media_type, AnswerBody::Whole(body.into()))
}

/// A value as JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    // Our messages have text for keys, so that they can always be written.
    let body = serde_json::to_vec(value).unwrap_or_default();
    with_type(status, "application/json", AnswerBody::Whole(body.into()))
}

/// A status and nothing more.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(AnswerBody::Whole(Bytes::new()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(SERVER, server());
    answer
}

/// An answer whose lines are written to the sender as they come.
pub(crate) fn lines() -> (mpsc::Sender<Bytes>, Answer) {
    let (sender, receiver) = mpsc::channel(LINES_MAX);
    let body = AnswerBody::Lines(receiver);
    (sender, with_type(StatusCode::OK, path::LINES_TYPE, body))
}

/// A value as a line.
pub(crate) fn line(value: &impl Serialize) -> Bytes {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line.into()
}
