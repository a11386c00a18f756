//! Answers: a status with JSON, nothing, or pieces that come as they are there.

use bytes::Bytes;
use engine_api::ApiError;
use futures::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;
use tokio::sync::mpsc;

/// Any answer's body.
pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;
/// Any answer.
pub(crate) type Answer = Result<Response<Body>, ApiError>;

/// Pieces that may wait for a client that reads slowly.
const PIECES: usize = 16;

/// Bytes.
pub(crate) fn bytes(
    status: StatusCode,
    kind: &'static str,
    bytes: impl Into<Bytes>,
) -> Response<Body> {
    let body = Full::new(bytes.into()).map_err(|never| match never {});
    let mut response = Response::new(UnsyncBoxBody::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// JSON.
#[allow(clippy::unnecessary_wraps)] // as whoever answers has it
pub(crate) fn json(value: &Value) -> Answer {
    Ok(json_with(StatusCode::OK, value))
}

/// JSON of something new.
#[allow(clippy::unnecessary_wraps)] // as whoever answers has it
pub(crate) fn created(value: &Value) -> Answer {
    Ok(json_with(StatusCode::CREATED, value))
}

fn json_with(status: StatusCode, value: &Value) -> Response<Body> {
    bytes(status, "application/json", format!("{value}\n"))
}

/// It is done, and there is nothing to say.
#[allow(clippy::unnecessary_wraps)] // as whoever answers has it
pub(crate) fn no_content() -> Answer {
    let mut response = Response::new(UnsyncBoxBody::new(
        Full::new(Bytes::new()).map_err(|never| match never {}),
    ));
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// An error.
pub(crate) fn error(error: &ApiError) -> Response<Body> {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    bytes(status, "application/json", error.body())
}

/// Where the pieces of an answer are put. It is closed when the client is gone.
pub(crate) type Pieces = mpsc::Sender<Bytes>;

/// An answer whose headers go at once, and whose pieces follow.
pub(crate) fn streamed(kind: &'static str) -> (Pieces, Response<Body>) {
    let (sender, receiver) = mpsc::channel::<Bytes>(PIECES);
    let pieces = futures::stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    let frames = pieces.map(|piece| Ok(Frame::data(piece)));
    let mut response = Response::new(UnsyncBoxBody::new(StreamBody::new(frames)));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    (sender, response)
}

/// Where the pieces of an answer are put that may fail in the middle: the client then sees that it was broken off.
pub(crate) type FalliblePieces = mpsc::Sender<std::io::Result<Bytes>>;

/// The same, of an answer that may break off.
pub(crate) fn streamed_fallibly(kind: &'static str) -> (FalliblePieces, Response<Body>) {
    let (sender, receiver) = mpsc::channel::<std::io::Result<Bytes>>(PIECES);
    let pieces = futures::stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    let frames = pieces.map(|piece| piece.map(Frame::data));
    let mut response = Response::new(UnsyncBoxBody::new(StreamBody::new(frames)));
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    (sender, response)
}

/// A line of JSON among pieces.
pub(crate) fn line(value: &Value) -> Bytes {
    format!("{value}\n").into()
}

/// What went wrong with images here, in one line.
pub(crate) fn of_store(error: image_store::Error) -> ApiError {
    internal(&error.into())
}

/// What went wrong here, in one line.
pub(crate) fn internal(error: &anyhow::Error) -> ApiError {
    ApiError::internal(format!("{error:#}").replace('\n', " "))
}
