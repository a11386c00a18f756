//! Answers of gRPC: messages as data, and at the end, as trailers, how it went.
//!
//! What is answered is decided elsewhere.
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use etcd_v3::{Status, frame};
use hyper::StatusCode;
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use prost::Message;

use crate::http::answer::{Answer, empty};
use crate::http::body::AnswerBody;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
pub(super) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(super) const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const OK: HeaderValue = HeaderValue::from_static("0");

/// Messages that come one by one.
pub(in crate::http) trait Messages: Send {
    /// The next one, framed; `None` at a good end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>>;
}

/// The body of an answer to a call.
pub(in crate::http) enum GrpcBody {
    /// One message, then that all went well.
    Single(Bytes),
    /// Messages as they come.
    Stream(Box<dyn Messages>),
    /// Only how it went is missing.
    End,
    /// All was said.
    Done,
}

impl GrpcBody {
    /// The next piece of the body.
    pub(in crate::http) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Frame<Bytes>>> {
        let frame = match self {
            Self::Single(message) => {
                let message = std::mem::take(message);
                *self = Self::End;
                Frame::data(message)
            }
            Self::Stream(messages) => match ready!(messages.poll_next(cx)) {
                Some(Ok(message)) => Frame::data(message),
                Some(Err(status)) => self.end(failed(&status)),
                None => self.end(succeeded()),
            },
            Self::End => self.end(succeeded()),
            Self::Done => return Poll::Ready(None),
        };
        Poll::Ready(Some(frame))
    }

    fn end(&mut self, trailers: HeaderMap) -> Frame<Bytes> {
        *self = Self::Done;
        Frame::trailers(trailers)
    }

    pub(in crate::http) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }
}

fn succeeded() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(STATUS, OK);
    trailers
}

fn failed(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    trailers.insert(STATUS, HeaderValue::from(status.code as u16));
    if let Ok(text) = HeaderValue::from_str(&frame::escape(&status.message)) {
        trailers.insert(MESSAGE, text);
    }
    trailers
}

fn answer(body: GrpcBody) -> Answer {
    let mut answer = empty(StatusCode::OK);
    answer.headers_mut().insert(CONTENT_TYPE, GRPC);
    *answer.body_mut() = AnswerBody::Grpc(body);
    answer
}

/// One message.
pub(super) fn single<M: Message>(message: &M) -> Answer {
    answer(GrpcBody::Single(frame::write(message)))
}

/// Messages as they come.
pub(super) fn stream(messages: impl Messages + 'static) -> Answer {
    answer(GrpcBody::Stream(Box::new(messages)))
}

/// No message, and why.
pub(super) fn refused(status: &Status) -> Answer {
    let mut answer = answer(GrpcBody::Done);
    answer.headers_mut().extend(failed(status));
    answer
}
