//! Takes the body of a request, bounded in size and time.
//!
//! What it means is for the parser to say.
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

/// Why a body was not taken. The texts are what Go's server says.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// It is longer than allowed. The rest was not read.
    #[error("http: POST too large")]
    TooLarge,
    /// The client ended it early, or it is malformed.
    #[error("unexpected EOF")]
    Broken,
    /// It did not arrive in time.
    #[error("i/o timeout")]
    TimedOut,
}

/// The whole body.
pub(super) async fn read(
    mut body: Incoming,
    bytes_max: usize,
    time_max: Duration,
) -> Result<Bytes, BodyError> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(BodyError::TooLarge);
    }
    tokio::time::timeout(time_max, collect(&mut body, bytes_max))
        .await
        .map_err(|_| BodyError::TimedOut)?
}

/// Most bodies are one frame, which is not copied.
async fn collect(body: &mut Incoming, bytes_max: usize) -> Result<Bytes, BodyError> {
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
            continue;
        };
        if first.len() + more.len() + data.len() > bytes_max {
            return Err(BodyError::TooLarge);
        }
        if first.is_empty() && more.is_empty() {
            first = data;
            continue;
        }
        if more.is_empty() {
            more.extend_from_slice(&std::mem::take(&mut first));
        }
        more.extend_from_slice(&data);
    }
    Ok(if more.is_empty() {
        first
    } else {
        more.freeze()
    })
}
