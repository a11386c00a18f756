//! `GET /events`: what is there, then what changes, as lines.
//!
//! A client that reads too slowly is cut off; it begins again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fleet_api::EventRecord;
use fleet_store::Store;
use tokio::sync::{broadcast, mpsc, watch};

use super::answer::{Answer, Refused, line, lines};
use super::api::Api;

/// After so long without an event an empty line says that the connection is alive.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Lines of what is there are sent together, about so many bytes at once.
const CHUNK_BYTES: usize = 32 << 10;

impl<S: Store> Api<S> {
    /// `GET /events`
    pub(super) async fn events(&self) -> Result<Answer, Refused> {
        let copy = self.copy().await?;
        let (first, receiver) = copy.subscribe().ok_or_else(|| {
            let text = "the copy of the store was given up just now; try once more";
            Refused::not_now(text)
        })?;
        let mut first = chunks(&first).into_iter();
        let (sender, answer) = lines();
        if let Some(chunk) = first.next() {
            // It goes out with the head of the answer; there is room for one.
            let _ = sender.try_send(chunk);
        }
        let rest = first.collect();
        tokio::spawn(tell(rest, receiver, sender, self.stop.clone()));
        Ok(answer)
    }
}

/// Lines put together, so that a large cluster is not told line by line.
fn chunks(records: &[EventRecord]) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    let mut chunk = Vec::new();
    for record in records {
        chunk.extend_from_slice(&line(record));
        if chunk.len() >= CHUNK_BYTES {
            chunks.push(std::mem::take(&mut chunk).into());
        }
    }
    if !chunk.is_empty() {
        chunks.push(chunk.into());
    }
    chunks
}

async fn tell(
    first: Vec<Bytes>,
    mut receiver: broadcast::Receiver<Arc<EventRecord>>,
    sender: mpsc::Sender<Bytes>,
    mut stop: watch::Receiver<bool>,
) {
    for chunk in first {
        if sender.send(chunk).await.is_err() {
            return;
        }
    }
    loop {
        let next = tokio::select! {
            next = tokio::time::timeout(KEEP_ALIVE, receiver.recv()) => next,
            () = sender.closed() => return,
            _ = stop.wait_for(|stops| *stops) => return,
        };
        let text = match next {
            Ok(Ok(record)) => line(&*record),
            // Either it missed some, or there is no copy any more: begin again.
            Ok(Err(_)) => return,
            Err(_) => Bytes::from_static(b"\n"),
        };
        if sender.send(text).await.is_err() {
            return;
        }
    }
}
