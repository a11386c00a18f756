//! What waits to be sent to one client: bounded, so that a client that does not read costs no more than this.
//!
//! Knows no client: what takes the bytes is passed in.

use std::collections::VecDeque;
use std::io::{self, Write};

use monitor_protocol::Event;
use monitor_protocol::frame::{self, Kind};

/// Bytes that are kept for a client that does not read, and only as long as it does not.
pub(crate) const KEPT_MAX: usize = 1024 * 1024;

/// Frames, and how much of streams is missing.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    bytes: VecDeque<u8>,
    lost: u64,
}

impl Outgoing {
    /// Whether more of a stream would be lost.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= KEPT_MAX
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// A whole frame that is not lost: an answer, or an event.
    pub(crate) fn push(&mut self, frame: &[u8]) {
        self.tell_lost();
        self.bytes.extend(frame);
    }

    /// Output, which is lost if there is no room.
    pub(crate) fn push_stream(&mut self, kind: Kind, bytes: &[u8]) {
        // Who lost something is to catch up before it gets more, or it would get scraps.
        let is_behind = self.lost > 0 && self.bytes.len() > KEPT_MAX / 2;
        let (true, Ok(length)) = (!self.is_full() && !is_behind, u32::try_from(bytes.len())) else {
            self.lost += bytes.len() as u64;
            return;
        };
        self.tell_lost();
        self.bytes.extend(frame::header(kind, length));
        self.bytes.extend(bytes);
    }

    fn tell_lost(&mut self) {
        if self.lost > 0 {
            let bytes = std::mem::take(&mut self.lost);
            self.bytes.extend(Event::Lost { bytes }.encode());
        }
    }

    /// Sends what is taken. An error means that the client is gone.
    pub(crate) fn flush(&mut self, mut to: impl Write) -> io::Result<()> {
        while !self.bytes.is_empty() {
            match to.write(self.bytes.as_slices().0) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.bytes.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        // A client that was slow once does not cost its memory for ever.
        self.bytes.shrink_to(4096);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use monitor_protocol::Decoder;
    use monitor_protocol::message::FromMonitor;

    use super::*;

    fn received(outgoing: &mut Outgoing) -> Vec<FromMonitor> {
        let mut bytes = Vec::new();
        outgoing.flush(&mut bytes).unwrap();
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        let mut found = Vec::new();
        while let Some(frame) = decoder.next_frame().unwrap() {
            found.push(frame.try_into().unwrap());
        }
        found
    }

    #[test]
    fn what_a_slow_client_loses_is_bounded_and_told_where_it_is_missing() {
        let mut outgoing = Outgoing::default();
        let piece = [b'x'; 16 * 1024];
        for _ in 0..1000 {
            outgoing.push_stream(Kind::Output, &piece);
        }
        assert!(outgoing.is_full());
        assert!(outgoing.bytes.len() < KEPT_MAX + 2 * piece.len());
        let kept = received(&mut outgoing).len();
        assert!(outgoing.bytes.capacity() <= 8192);
        outgoing.push_stream(Kind::Error, b"after");
        let lost = (1000 - kept as u64) * 16 * 1024;
        assert_eq!(
            received(&mut outgoing),
            [
                FromMonitor::Event(Event::Lost { bytes: lost }),
                FromMonitor::Error(b"after".to_vec())
            ]
        );
    }

    #[test]
    fn an_end_comes_after_what_was_lost() {
        let mut outgoing = Outgoing::default();
        while !outgoing.is_full() {
            outgoing.push_stream(Kind::Output, &[0; 9000]);
        }
        outgoing.push_stream(Kind::Output, b"ab");
        outgoing.push(&monitor_protocol::Answer::Done.encode());
        let found = received(&mut outgoing);
        let end = &found[found.len() - 2..];
        assert_eq!(
            end,
            [
                FromMonitor::Event(Event::Lost { bytes: 2 }),
                FromMonitor::Answer(monitor_protocol::Answer::Done)
            ]
        );
    }
}
