//! A connection that is a stream from here on, in both directions: the client of `attach` and of `exec`.
//!
//! Clients ask for it with an `Upgrade` header. Those that do not get the output as the answer's body, without
//! chunks, until the connection ends; what they send as the request's body is the input. Those that ask for a websocket get
//! one, in whose messages the bytes are, of both streams.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use engine_api::{ApiError, version};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::answer::{self, Body, Pieces};

/// Bytes that are read at once.
const BUFFER: usize = 16 * 1024;
/// Between two looks whether a client is gone. Nothing tells, since one that only has no more to send is not.
const LOOKS: Duration = Duration::from_secs(1);

/// Whether pieces have headers that tell the streams apart: not those of a terminal, which has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Raw,
    Multiplexed,
}

/// What a client asked for, before it is answered.
#[derive(Debug)]
pub(crate) struct Hijack {
    upgrade: Option<OnUpgrade>,
    is_named: bool,
    /// What a websocket's client wants to hear.
    accept_key: Option<String>,
}

/// A client that is answered, and becomes a stream when the answer is sent.
pub(crate) enum Coming {
    Upgraded(OnUpgrade),
    WebSocket(OnUpgrade),
    Plain(Option<Incoming>, Pieces),
}

/// A client that is a stream.
pub(crate) struct Client {
    pub(crate) input: Input,
    pub(crate) output: Output,
}

/// What it sends.
pub(crate) enum Input {
    Stream(Bytes, OwnedReadHalf),
    Messages(SplitStream<WebSocketStream<UnixStream>>),
    Body(Incoming),
    /// It cannot send anything.
    None,
}

/// What it gets.
pub(crate) enum Output {
    Stream(OwnedWriteHalf),
    /// With a descriptor of the connection, to look whether the client is gone.
    Messages(SplitSink<WebSocketStream<UnixStream>, Message>, OwnedFd),
    Pieces(Pieces),
}

impl Format {
    pub(crate) fn of(has_terminal: bool) -> Self {
        if has_terminal {
            Self::Raw
        } else {
            Self::Multiplexed
        }
    }

    /// Its name in headers; older versions of the API have one for both.
    pub(crate) fn content_type(self, is_named: bool) -> &'static str {
        match self {
            Self::Multiplexed if is_named => "application/vnd.docker.multiplexed-stream",
            Self::Multiplexed | Self::Raw => "application/vnd.docker.raw-stream",
        }
    }
}

impl Hijack {
    /// Of a request. Its body is to be read before it is accepted, or given to [`Self::accept`].
    pub(crate) fn of(request: &mut Request<Incoming>) -> Self {
        let is_named = version::names_multiplexed(request.uri().path());
        let wants_upgrade = request.headers().contains_key(UPGRADE);
        Self {
            upgrade: wants_upgrade.then(|| hyper::upgrade::on(request)),
            is_named,
            accept_key: None,
        }
    }

    /// Of a request for a websocket, which it must be.
    pub(crate) fn of_websocket(request: &mut Request<Incoming>) -> Result<Self, ApiError> {
        let headers = request.headers();
        let protocol = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
        let is_asked = protocol.is_some_and(|word| word.eq_ignore_ascii_case("websocket"));
        let key = headers.get(SEC_WEBSOCKET_KEY);
        let Some(key) = key.filter(|_| is_asked) else {
            return Err(ApiError::bad_request(
                "this is for websockets: the headers Upgrade and Sec-WebSocket-Key are missing",
            ));
        };
        let accept_key = Some(derive_accept_key(key.as_bytes()));
        Ok(Self {
            accept_key,
            ..Self::of(request)
        })
    }

    /// The answer that makes the connection a stream.
    pub(crate) fn accept(self, format: Format, body: Option<Incoming>) -> (Coming, Response<Body>) {
        let Some(upgrade) = self.upgrade else {
            let (pieces, mut response) = answer::streamed(format.content_type(false));
            // Neither with a length nor in chunks: it ends with the connection.
            *response.version_mut() = Version::HTTP_10;
            // Who announces nothing sends nothing, which is not the same as an input that is over.
            let body = body.filter(|body| !hyper::body::Body::is_end_stream(body));
            return (Coming::Plain(body, pieces), response);
        };
        let body = Full::new(Bytes::new()).map_err(|never| match never {});
        let mut response = Response::new(Body::new(body));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        let accepted = self.accept_key.map(HeaderValue::try_from);
        if let Some(Ok(key)) = accepted {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(SEC_WEBSOCKET_ACCEPT, key);
            return (Coming::WebSocket(upgrade), response);
        }
        headers.insert(UPGRADE, HeaderValue::from_static("tcp"));
        let kind = format.content_type(self.is_named);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        (Coming::Upgraded(upgrade), response)
    }
}

impl Coming {
    /// Waits until it is a stream; none if it went away before.
    pub(crate) async fn client(self) -> Option<Client> {
        let (upgrade, is_websocket) = match self {
            Self::Upgraded(upgrade) => (upgrade, false),
            Self::WebSocket(upgrade) => (upgrade, true),
            Self::Plain(body, pieces) => {
                return Some(Client {
                    input: body.map_or(Input::None, Input::Body),
                    output: Output::Pieces(pieces),
                });
            }
        };
        let upgraded = upgrade.await.ok()?;
        let parts = upgraded.downcast::<TokioIo<UnixStream>>().ok()?;
        if is_websocket {
            return Client::by_messages(parts.io.into_inner(), &parts.read_buf).await;
        }
        let (reading, writing) = parts.io.into_inner().into_split();
        Some(Client {
            input: Input::Stream(parts.read_buf, reading),
            output: Output::Stream(writing),
        })
    }
}

impl Client {
    async fn by_messages(stream: UnixStream, ahead: &[u8]) -> Option<Self> {
        let looked = stream.as_fd().try_clone_to_owned().ok()?;
        let ahead = ahead.to_vec();
        let socket = WebSocketStream::from_partially_read(stream, ahead, Role::Server, None);
        let (sink, messages) = socket.await.split();
        Some(Self {
            input: Input::Messages(messages),
            output: Output::Messages(sink, looked),
        })
    }
}

impl Input {
    /// The next piece; none at the end. Nothing is lost if nobody waits for the end of this.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::Stream(ahead, _) if !ahead.is_empty() => Some(std::mem::take(ahead)),
            Self::Stream(_, reading) => {
                let mut buffer = BytesMut::with_capacity(BUFFER);
                let count = reading.read_buf(&mut buffer).await.ok()?;
                (count > 0).then(|| buffer.freeze())
            }
            Self::Messages(messages) => loop {
                // Pings are answered on the way.
                match messages.next().await?.ok()? {
                    Message::Binary(bytes) => return Some(bytes),
                    Message::Text(text) => return Some(text.into()),
                    Message::Close(_) => return None,
                    Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                }
            },
            Self::Body(body) => loop {
                let frame = body.frame().await?.ok()?;
                if let Ok(bytes) = frame.into_data() {
                    return Some(bytes);
                }
            },
            Self::None => std::future::pending().await,
        }
    }
}

impl Output {
    /// Sends a piece. Gives back whether the client is still there.
    pub(crate) async fn send(&mut self, piece: Bytes) -> bool {
        match self {
            Self::Stream(writing) => writing.write_all(&piece).await.is_ok(),
            Self::Messages(sink, _) => sink.send(Message::Binary(piece)).await.is_ok(),
            Self::Pieces(pieces) => pieces.send(piece).await.is_ok(),
        }
    }

    /// Waits until the client is gone altogether.
    pub(crate) async fn gone(&self) {
        match self {
            Self::Pieces(pieces) => pieces.closed().await,
            Self::Stream(writing) => hung_up(writing.as_ref()).await,
            Self::Messages(_, connection) => hung_up(connection).await,
        }
    }

    /// There is no more.
    pub(crate) async fn end(self) {
        match self {
            Self::Stream(mut writing) => {
                let _gone = writing.shutdown().await;
            }
            Self::Messages(mut sink, _) => {
                let _gone = sink.close().await;
            }
            Self::Pieces(_) => {}
        }
    }
}

async fn hung_up(stream: impl AsFd) {
    loop {
        tokio::time::sleep(LOOKS).await;
        if is_hung_up(&stream) {
            return;
        }
    }
}

/// Whether both directions are over.
fn is_hung_up(stream: &impl AsFd) -> bool {
    let mut looked = [PollFd::new(stream, PollFlags::empty())];
    let at_once = Timespec::default();
    matches!(poll(&mut looked, Some(&at_once)), Ok(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_named_by_version() {
        assert!(Format::of(false).content_type(true).contains("multiplexed"));
        assert!(Format::of(false).content_type(false).contains("raw"));
        assert!(Format::of(true).content_type(true).contains("raw"));
    }

    #[tokio::test]
    async fn who_has_no_more_to_send_is_not_gone() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        assert!(!is_hung_up(&ours));
        let (reading, writing) = theirs.into_split();
        drop(writing);
        assert!(!is_hung_up(&ours));
        drop(reading);
        assert!(is_hung_up(&ours));
    }
}
