//! A connection that is a stream from here on: what a container writes, in Docker's frames.

use bytes::Bytes;
use engine_api::ApiError;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use crate::answer::Body;

/// The answer that makes a connection a stream, and what becomes of the connection.
pub(crate) fn upgrade(
    request: &mut Request<Incoming>,
) -> Result<(OnUpgrade, Response<Body>), ApiError> {
    let asked = request.headers().get(UPGRADE);
    if asked.is_none_or(|asked| !asked.as_bytes().eq_ignore_ascii_case(b"tcp")) {
        return Err(ApiError::bad_request(
            "the headers `Connection: Upgrade` and `Upgrade: tcp` are wanted",
        ));
    }
    let upgraded = hyper::upgrade::on(request);
    let body = Full::new(Bytes::new()).map_err(|never| match never {});
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("tcp"));
    let kind = HeaderValue::from_static("application/vnd.docker.multiplexed-stream");
    headers.insert(CONTENT_TYPE, kind);
    Ok((upgraded, response))
}

/// Writes pieces to the client until there are no more, or it is gone.
pub(crate) async fn forward(upgraded: OnUpgrade, mut pieces: mpsc::Receiver<Bytes>) {
    let Ok(upgraded) = upgraded.await else {
        return;
    };
    let mut stream = TokioIo::new(upgraded);
    while let Some(piece) = pieces.recv().await {
        if stream.write_all(&piece).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
    let _gone = stream.shutdown().await;
}
