//! `/kvd/snapshot`: a copy of everything, streamed while the store serves. etcd's v2 API has no such
//! thing.
//!
//! What is in it is `kv-store`'s affair. A copy that cannot be finished breaks the connection off, so
//! that nobody takes a part for the whole.
use std::io::{self, Read};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use etcd_v2::MessageError;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::answer::{Answer, message, method_not_allowed, with_cluster_id};
use super::body::AnswerBody;
use super::caller;
use super::connection::PeerIdentity;
use super::state::ServerState;

/// Bytes that are read at once.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait for the client.
const PIECES_MAX: usize = 4;
/// A client that takes nothing for so long gets no more.
const STALL_MAX: Duration = Duration::from_mins(1);

type Reader = Box<dyn Read + Send>;

/// Why a copy has no end. The client only sees that the connection breaks; the log has the reason.
#[derive(Debug, thiserror::Error)]
#[error("the copy of the store was cut off")]
pub(super) struct CutOff;

/// Why no copy is made.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    /// As many as may be are on their way.
    #[error("as many copies as may be are being made: try again later")]
    TooMany,
    /// The store cannot make one.
    #[error("cannot make a copy of the store: {0}")]
    Store(#[source] io::Error),
}

/// A copy on its way: pieces, then an empty one.
pub(super) struct Copy(mpsc::Receiver<Bytes>);

impl Copy {
    /// Begins one of what this member has.
    pub(super) async fn begin(state: &ServerState) -> Result<Self, CopyError> {
        let permit = Arc::clone(&state.copies).try_acquire_owned();
        let permit = permit.map_err(|_| CopyError::TooMany)?;
        let backend = Arc::clone(&state.backend);
        let opened = blocking(move || backend.snapshot().map_err(io::Error::other)).await;
        let reader = opened.map_err(CopyError::Store)?;
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        tokio::spawn(copy(reader, sender, permit));
        Ok(Self(receiver))
    }

    /// The next piece; nothing at the end.
    pub(super) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, CutOff>>> {
        Poll::Ready(match ready!(self.0.poll_recv(context)) {
            Some(piece) if piece.is_empty() => None,
            Some(piece) => Some(Ok(piece)),
            None => Some(Err(CutOff)),
        })
    }
}

/// Answers a request.
pub(super) async fn handle(state: &ServerState, peer: &PeerIdentity, head: &Parts) -> Answer {
    if head.method != Method::GET {
        return method_not_allowed("GET");
    }
    let answer = match begin(state, peer, head).await {
        Ok(copy) => Response::new(AnswerBody::Copy(copy)),
        Err(error) => return with_cluster_id(state, message(&error)),
    };
    let mut answer = with_cluster_id(state, answer);
    let content_type = HeaderValue::from_static("application/octet-stream");
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}

async fn begin(
    state: &ServerState,
    peer: &PeerIdentity,
    head: &Parts,
) -> Result<Copy, MessageError> {
    caller::check_root(state, peer, &head.headers).await?;
    // Whatever was acknowledged before, by whichever member, shall be in it. A member without a
    // quorum gives what it has, if told to.
    if head.uri.query() != Some("quorum=false") {
        let current = state.backend.linearize().await;
        current.map_err(|error| {
            let text = format!("{error}: ask with ?quorum=false for what this member has");
            MessageError::new(503, text)
        })?;
    }
    Copy::begin(state).await.map_err(|error| {
        tracing::warn!(%error, "a copy of the store is refused");
        let status = match error {
            CopyError::TooMany => 503,
            CopyError::Store(_) => 500,
        };
        MessageError::new(status, error.to_string())
    })
}

/// Reads until the end, as fast as the client takes it.
async fn copy(mut reader: Reader, sender: mpsc::Sender<Bytes>, _permit: OwnedSemaphorePermit) {
    loop {
        let (read, back) = match blocking(move || Ok(read_piece(reader))).await {
            Ok((Ok(piece), back)) => (piece, back),
            Ok((Err(error), _)) | Err(error) => {
                tracing::warn!(%error, "a copy of the store was cut off");
                return;
            }
        };
        reader = back;
        let is_last = read.is_empty();
        match tokio::time::timeout(STALL_MAX, sender.send(read)).await {
            Ok(Ok(())) if !is_last => {}
            Ok(_) => return,
            Err(_) => {
                tracing::warn!("a client takes no more of its copy of the store: cut off");
                return;
            }
        }
    }
}

/// The next piece, empty at the end; a short one only there.
fn read_piece(mut reader: Reader) -> (io::Result<Bytes>, Reader) {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    let read = (&mut reader)
        .take(PIECE_BYTES as u64)
        .read_to_end(&mut piece);
    (read.map(|_| piece.into()), reader)
}

/// Where waiting for the disk stops nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other)?
}
