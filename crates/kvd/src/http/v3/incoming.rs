//! The requests of a call, as they come.
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use etcd_v3::frame::{self, Frames};
use etcd_v3::schema::Message as MessageKind;
use etcd_v3::{Code, Status, json};
use hyper::body::{Body as _, Incoming};
use prost::Message;
use serde_json::Value;

use super::gateway::malformed;

/// What a client sends with a call.
pub(super) enum CallBody {
    /// Messages with gRPC's heads.
    Framed(Incoming),
    /// One message, without a head.
    Message(Bytes),
    /// Messages as JSON.
    Json(Box<JsonRequests>),
}

fn gone() -> Status {
    Status::new(Code::Canceled, "grpc: the client went away")
}

/// The next piece of a body.
fn poll_data(body: &mut Incoming, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
    loop {
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Err(_)) => return Poll::Ready(Some(Err(gone()))),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Poll::Ready(Some(Ok(data)));
                }
            }
        }
    }
}

impl CallBody {
    /// More of what a client sends, with gRPC's heads.
    fn poll_framed(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        match self {
            Self::Framed(body) => poll_data(body, cx),
            Self::Json(requests) => requests.poll_framed(cx),
            Self::Message(message) => {
                let message = frame::encoded(message);
                *self = Self::Message(Bytes::new());
                Poll::Ready(Some(Ok(message)))
            }
        }
    }
}

/// The requests of a stream.
pub(super) struct Requests<M> {
    body: CallBody,
    frames: Frames,
    message: PhantomData<fn() -> M>,
}

impl<M: Message + Default> Requests<M> {
    /// Those in a body; none may have more bytes.
    pub(super) fn new(body: CallBody, bytes_max: usize) -> Self {
        Self {
            body,
            frames: Frames::new(bytes_max),
            message: PhantomData,
        }
    }

    /// The next one; none if the client says no more.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<M, Status>>> {
        loop {
            match self.frames.take() {
                Ok(None) => {}
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Err(status) => return Poll::Ready(Some(Err(status))),
            }
            match ready!(self.body.poll_framed(cx)) {
                None => return Poll::Ready(None),
                Some(Ok(data)) => self.frames.push(data),
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
            }
        }
    }
}

/// Messages as JSON, one after the other.
pub(super) struct JsonRequests {
    /// Nothing, once it has ended.
    body: Option<Incoming>,
    held: BytesMut,
    kind: &'static MessageKind,
    bytes_max: usize,
    /// Whether the messages end with the body, or there is only none any more.
    ends: bool,
}

impl JsonRequests {
    /// Those of a body.
    pub(super) fn new(
        body: Incoming,
        kind: &'static MessageKind,
        bytes_max: usize,
        ends: bool,
    ) -> Self {
        Self {
            body: Some(body),
            held: BytesMut::new(),
            kind,
            bytes_max,
            ends,
        }
    }

    fn poll_framed(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        loop {
            match self.take() {
                Ok(None) => {}
                Ok(Some(message)) => return Poll::Ready(Some(Ok(frame::encoded(&message)))),
                Err(status) => return Poll::Ready(Some(Err(status))),
            }
            let Some(body) = &mut self.body else {
                if self.ends {
                    return Poll::Ready(None);
                }
                // The client's going is noticed by whoever answers.
                return Poll::Pending;
            };
            match ready!(poll_data(body, cx)) {
                None => self.body = None,
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                Some(Ok(data)) => self.held.extend_from_slice(&data),
            }
        }
    }

    /// The next message, if all of it is there.
    fn take(&mut self) -> Result<Option<Bytes>, Status> {
        let mut values = serde_json::Deserializer::from_slice(&self.held).into_iter::<Value>();
        let value = match values.next() {
            None => return Ok(None),
            Some(Err(error)) if error.is_eof() => {
                let too_long = self.held.len() > self.bytes_max / 3 * 4;
                let text = "grpc: received message larger than max";
                let refused = Status::new(Code::ResourceExhausted, text);
                return if too_long { Err(refused) } else { Ok(None) };
            }
            Some(Err(error)) => return Err(malformed(&error)),
            Some(Ok(value)) => value,
        };
        let taken = values.byte_offset();
        let message = json::read(self.kind, &value)?;
        drop(self.held.split_to(taken));
        Ok(Some(message))
    }
}
