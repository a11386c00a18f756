//! Frames: eight bytes of header, and what they announce.
//!
//! The header is that of Docker's attached streams: a byte for the stream, three of zero, and the length, big-endian.
//! Ours have higher numbers. What a message says is decided in `message`.

use crate::Malformed;

/// Bytes of a header.
pub const HEADER: usize = 8;
/// Bytes of the largest frame: a command with its variables must fit.
pub const LENGTH_MAX: u32 = 4 * 1024 * 1024;
/// Bytes that one frame of a stream should have at most; more are several.
pub const STREAM_MAX: usize = 64 * 1024;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// To the standard input or the terminal, from the client; an empty one ends it.
    Input = 0,
    /// Of the standard output or the terminal, from the monitor.
    Output = 1,
    /// Of the standard error, from the monitor.
    Error = 2,
    /// A [`Request`](crate::Request).
    Request = 16,
    /// An [`Answer`](crate::Answer).
    Answer = 17,
    /// An [`Event`](crate::Event).
    Event = 18,
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What is in it.
    pub kind: Kind,
    /// All of it.
    pub bytes: Vec<u8>,
}

impl Kind {
    fn parse(byte: u8) -> Result<Self, Malformed> {
        Ok(match byte {
            0 => Self::Input,
            1 => Self::Output,
            2 => Self::Error,
            16 => Self::Request,
            17 => Self::Answer,
            18 => Self::Event,
            other => return Err(Malformed::Kind(other)),
        })
    }
}

/// The header of a frame.
pub fn header(kind: Kind, length: u32) -> [u8; HEADER] {
    let [a, b, c, d] = length.to_be_bytes();
    [kind as u8, 0, 0, 0, a, b, c, d]
}

/// A frame in bytes.
///
/// # Panics
///
/// If there are more bytes than [`LENGTH_MAX`].
pub fn encode(kind: Kind, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).ok();
    let length = length.filter(|length| *length <= LENGTH_MAX);
    let mut frame = Vec::with_capacity(HEADER + bytes.len());
    frame.extend_from_slice(&header(kind, length.expect("a frame of allowed length")));
    frame.extend_from_slice(bytes);
    frame
}

/// Frames out of bytes that come in pieces.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
}

impl Decoder {
    /// Takes what has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame that is whole. After an error there is nothing more to get: the connection is useless.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Malformed> {
        let Some((head, rest)) = self.bytes.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let kind = Kind::parse(head[0])?;
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        if length > LENGTH_MAX {
            return Err(Malformed::Length(length));
        }
        let Some(content) = rest.get(..length as usize) else {
            return Ok(None);
        };
        let bytes = content.to_vec();
        self.bytes.drain(..HEADER + bytes.len());
        // A large frame once does not cost its memory for ever.
        self.bytes.shrink_to(4096);
        Ok(Some(Frame { kind, bytes }))
    }

    /// Bytes of a frame that is not whole yet.
    pub fn pending(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_are_dockers() {
        assert_eq!(
            encode(Kind::Error, b"ab"),
            [2, 0, 0, 0, 0, 0, 0, 2, b'a', b'b']
        );
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&[9, 0, 0, 0, 0, 0, 0, 0]);
        assert!(matches!(decoder.next_frame(), Err(Malformed::Kind(9))));
        let mut decoder = Decoder::default();
        decoder.push(&[1, 0, 0, 0, 255, 0, 0, 0]);
        assert!(matches!(
            decoder.next_frame(),
            Err(Malformed::Length(0xff00_0000))
        ));
    }

    fn kind() -> impl Strategy<Value = Kind> {
        prop::sample::select(vec![
            Kind::Input,
            Kind::Output,
            Kind::Error,
            Kind::Request,
            Kind::Answer,
            Kind::Event,
        ])
    }

    proptest! {
        #[test]
        fn frames_come_whole_however_they_are_cut(
            frames in prop::collection::vec((kind(), prop::collection::vec(any::<u8>(), 0..40)), 0..8),
            cut in 1_usize..17,
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(kind, bytes)| encode(*kind, bytes)).collect();
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for piece in bytes.chunks(cut) {
                decoder.push(piece);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    found.push((frame.kind, frame.bytes));
                }
            }
            prop_assert_eq!(found, frames);
            prop_assert_eq!(decoder.pending(), 0);
        }
    }
}
