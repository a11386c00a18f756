//! Snapshots on their way: from the store's reader to a member, and from a member to a file.
//!
//! A piece at a time in memory. A transfer that breaks starts anew; a file that is not whole is never
//! installed, and the store checks the sums.
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use openraft::raft::SnapshotResponse;
use tokio::sync::{mpsc, watch};

use crate::member::MemberId;
use crate::peer::client::{Lane, Peers};
use crate::peer::connect::{CallError, PeerBody, answer};
use crate::peer::wire::{FRAME_BYTES_MAX, Frames, SnapshotHead, WireError, decode, frame};
use crate::state_machine::SnapshotData;
use crate::types::TypeConfig;

const PIECE_BYTES: usize = 256 << 10;
const PIECES_WAITING: usize = 4;
/// A member that takes nothing for so long is gone.
const STALL: Duration = Duration::from_secs(30);
/// Installing a large snapshot takes a while after its last byte.
const INSTALL: Duration = Duration::from_mins(10);

/// Why a snapshot was not received.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    /// The sender stopped.
    #[error("the transfer broke")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The sender sends nothing.
    #[error("the transfer stalled")]
    Stalled,
    /// What comes first is not what should.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The file cannot be written.
    #[error("cannot write the received snapshot")]
    File(#[source] io::Error),
}

/// Sends a snapshot, and waits until it is installed.
pub(crate) async fn send_snapshot(
    peers: &Peers,
    to: MemberId,
    head: &SnapshotHead,
    data: SnapshotData,
) -> Result<SnapshotResponse<TypeConfig>, CallError> {
    let broken = |error: Box<dyn std::error::Error + Send + Sync>| CallError::Broken(error);
    let head = frame(head).map_err(|error| broken(error.into()))?;
    let (sender, receiver) = mpsc::channel(PIECES_WAITING);
    let opening = peers.open(to, Lane::Snapshot, "/snapshot", body(receiver));
    let reader = data.into_reader().map_err(|error| broken(error.into()))?;
    let link = peers.clone();
    let feeding = async move {
        sender.send(Ok(head)).await.ok();
        feed(reader, &sender, || link.link_passes(to)).await
    };
    let (response, fed) = tokio::join!(
        async {
            let response = opening.await?;
            tokio::time::timeout(INSTALL, answer(response))
                .await
                .unwrap_or(Err(CallError::TimedOut))
        },
        feeding
    );
    if let Err(CallError::Refused { status, .. }) = &response {
        peers.note_refusal(*status);
    }
    let bytes = response?;
    fed.map_err(|error| broken(error.into()))?;
    decode(&bytes).map_err(|error| broken(error.into()))
}

type Piece = io::Result<Bytes>;

fn body(receiver: mpsc::Receiver<Piece>) -> PeerBody {
    let frames = futures::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece.map(Frame::data), receiver))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Reads pieces off the runtime's threads and hands them on as fast as they are taken.
async fn feed(
    mut reader: Box<dyn Read + Send>,
    sender: &mpsc::Sender<Piece>,
    passes: impl Fn() -> bool,
) -> io::Result<()> {
    loop {
        let read = tokio::task::spawn_blocking(move || {
            let piece = read_piece(&mut *reader);
            (reader, piece)
        });
        let (back, piece) = read.await.map_err(io::Error::other)?;
        reader = back;
        let piece = match piece {
            Ok(piece) if piece.is_empty() => return Ok(()),
            Ok(piece) => piece,
            Err(error) => {
                // An error in the body resets the stream, so that the other side does not take
                // what it has for the whole.
                sender.send(Err(io::Error::other("unreadable"))).await.ok();
                return Err(error);
            }
        };
        if !passes() {
            sender.send(Err(io::Error::other("cut off"))).await.ok();
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        match tokio::time::timeout(STALL, sender.send(Ok(piece))).await {
            Ok(Ok(())) => {}
            // The other side has answered already.
            Ok(Err(_)) => return Ok(()),
            Err(_) => return Err(io::Error::from(io::ErrorKind::TimedOut)),
        }
    }
}

fn read_piece(reader: &mut dyn Read) -> Piece {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    reader.take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
    Ok(Bytes::from(piece))
}

/// Receives a snapshot into a file; what was said before it is returned. `received` shows how many
/// bytes there are so far.
pub(crate) async fn receive_snapshot(
    mut body: Incoming,
    path: &Path,
    received: &watch::Sender<Option<u64>>,
) -> Result<SnapshotHead, ReceiveError> {
    let (head, rest) = receive_head(&mut body).await?;
    let mut file = File::create(path).map_err(ReceiveError::File)?;
    let (sender, mut pieces) = mpsc::channel::<Bytes>(PIECES_WAITING);
    let writing = tokio::task::spawn_blocking(move || {
        while let Some(piece) = pieces.blocking_recv() {
            file.write_all(&piece)?;
        }
        file.sync_data()
    });
    received.send_replace(Some(0));
    let result = pass_on(&mut body, rest, &sender, received).await;
    drop(sender);
    received.send_replace(None);
    let written = writing.await.map_err(io::Error::other);
    written
        .and_then(|written| written)
        .map_err(ReceiveError::File)?;
    result?;
    Ok(head)
}

async fn next_piece(body: &mut Incoming) -> Result<Option<Bytes>, ReceiveError> {
    loop {
        let frame = tokio::time::timeout(STALL, body.frame())
            .await
            .map_err(|_| ReceiveError::Stalled)?;
        let Some(frame) = frame else {
            return Ok(None);
        };
        let frame = frame.map_err(|error| ReceiveError::Broken(error.into()))?;
        if let Ok(piece) = frame.into_data() {
            return Ok(Some(piece));
        }
    }
}

async fn receive_head(body: &mut Incoming) -> Result<(SnapshotHead, Bytes), ReceiveError> {
    let mut frames = Frames::default();
    let mut bytes = 0;
    while let Some(piece) = next_piece(body).await? {
        bytes += piece.len();
        if bytes > FRAME_BYTES_MAX {
            return Err(WireError::TooLarge(bytes).into());
        }
        frames.push(&piece);
        if let Some(head) = frames.next()? {
            return Ok((decode(&head)?, frames.rest()));
        }
    }
    Err(ReceiveError::Broken("ended before it began".into()))
}

async fn pass_on(
    body: &mut Incoming,
    rest: Bytes,
    sender: &mpsc::Sender<Bytes>,
    received: &watch::Sender<Option<u64>>,
) -> Result<(), ReceiveError> {
    let mut piece = Some(rest);
    let mut total = 0;
    while let Some(bytes) = piece {
        total += bytes.len() as u64;
        // The writer has stopped: its error is the one to report.
        if sender.send(bytes).await.is_err() {
            return Ok(());
        }
        received.send_replace(Some(total));
        piece = next_piece(body).await?;
    }
    Ok(())
}
