//! What a process writes, on its way to a client that may read slowly: bounded, so that the process waits.
//!
//! Once the process has ended nobody can wait any more, and the bound is lifted: what is left of the monitor is little.

use std::sync::Arc;

use bytes::Bytes;
use engine_api::frame::{Stream, frame};
use tokio::sync::{Semaphore, mpsc};

use crate::hijack::{Format, Output};

/// Bytes that wait here; the monitor keeps more, and then the process waits.
const WAITING_MAX: usize = 256 * 1024;
/// More than a monitor ever keeps for one client.
const REST_MAX: usize = 64 * 1024 * 1024;

/// Where pieces are put.
#[derive(Debug)]
pub(crate) struct Outlet {
    pieces: mpsc::UnboundedSender<Bytes>,
    room: Room,
    format: Format,
}

/// Where they come out.
#[derive(Debug)]
pub(crate) struct Queue {
    pieces: mpsc::UnboundedReceiver<Bytes>,
    room: Room,
}

/// How much may wait.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Semaphore>);

/// How it came that nothing more is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// All of it was.
    All,
    /// The client is gone.
    ClientGone,
}

/// Both ends.
pub(crate) fn outlet(format: Format) -> (Outlet, Queue) {
    let (sender, pieces) = mpsc::unbounded_channel();
    let room = Room(Arc::new(Semaphore::new(WAITING_MAX)));
    let outlet = Outlet {
        pieces: sender,
        room: room.clone(),
        format,
    };
    (outlet, Queue { pieces, room })
}

impl Outlet {
    /// Puts a piece, when there is room; into nothing if the client is gone.
    pub(crate) async fn put(&self, stream: Stream, bytes: Vec<u8>) {
        let piece = match self.format {
            Format::Raw => Bytes::from(bytes),
            Format::Multiplexed => frame(stream, &bytes).into(),
        };
        if let Ok(permits) = self.room.0.acquire_many(permits(&piece)).await {
            permits.forget();
            // The client may just be gone.
            let _sent = self.pieces.send(piece);
        }
    }
}

/// Nothing is larger than all the room.
fn permits(piece: &Bytes) -> u32 {
    u32::try_from(piece.len().min(WAITING_MAX)).unwrap_or(u32::MAX)
}

impl Room {
    /// The process has ended.
    pub(crate) fn lift(&self) {
        self.0.add_permits(REST_MAX);
    }
}

impl Queue {
    pub(crate) fn room(&self) -> Room {
        self.room.clone()
    }

    /// Sends to the client what is put, until the other end is dropped.
    pub(crate) async fn drain(mut self, output: &mut Output) -> Sent {
        loop {
            let piece = tokio::select! {
                piece = self.pieces.recv() => piece,
                () = output.gone() => None,
            };
            let Some(piece) = piece else {
                let is_over = self.pieces.is_closed() && self.pieces.is_empty();
                return if is_over { Sent::All } else { Sent::ClientGone };
            };
            let size = permits(&piece);
            if !output.send(piece).await {
                return Sent::ClientGone;
            }
            self.room.0.add_permits(size as usize);
        }
    }
}

impl Drop for Queue {
    /// Nobody waits for room that nobody makes.
    fn drop(&mut self) {
        self.room.0.close();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn waits(outlet: &Outlet, bytes: usize) -> bool {
        let put = outlet.put(Stream::Output, vec![0; bytes]);
        tokio::time::timeout(Duration::from_millis(50), put)
            .await
            .is_err()
    }

    #[tokio::test]
    async fn a_process_waits_for_its_client_until_it_has_ended() {
        let (outlet, queue) = outlet(Format::Raw);
        assert!(!waits(&outlet, WAITING_MAX).await);
        assert!(waits(&outlet, 1).await);
        queue.room().lift();
        assert!(!waits(&outlet, 2 * WAITING_MAX).await);
        drop(outlet);
        let (pieces, mut taken) = mpsc::channel(16);
        let mut output = Output::Pieces(pieces);
        assert_eq!(queue.drain(&mut output).await, Sent::All);
        let mut count = 0;
        while let Ok(piece) = taken.try_recv() {
            count += piece.len();
        }
        assert_eq!(count, 3 * WAITING_MAX);
    }

    #[tokio::test]
    async fn nobody_waits_for_a_client_that_is_gone() {
        let (outlet, queue) = outlet(Format::Multiplexed);
        let (pieces, taken) = mpsc::channel(1);
        drop(taken);
        let mut output = Output::Pieces(pieces);
        outlet.put(Stream::Error, b"a".to_vec()).await;
        assert_eq!(queue.drain(&mut output).await, Sent::ClientGone);
        assert!(!waits(&outlet, 2 * WAITING_MAX).await);
    }
}
