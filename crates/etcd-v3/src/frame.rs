//! gRPC's framing: a mark, four bytes of length, a message. No message is compressed, and none that
//! is compressed is taken.
//!
//! Headers and trailers are written by whoever holds the connection; how a text is escaped in them is
//! here.
use std::fmt::Write as _;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use crate::status::{Code, Status};

/// The bytes before a message.
const HEAD_BYTES: usize = 5;

/// What comes before a message of so many bytes, if one can be so long.
pub fn head(length: u64) -> Option<[u8; HEAD_BYTES]> {
    let [a, b, c, d] = u32::try_from(length).ok()?.to_be_bytes();
    Some([0, a, b, c, d])
}

/// A message with its head.
///
/// # Panics
/// If it is longer than four gibibytes, which nothing that fits the store's limits is.
pub fn write<M: Message>(message: &M) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = begin(length);
    message.encode_raw(&mut bytes);
    bytes.freeze()
}

/// A message that is encoded already, with its head.
///
/// # Panics
/// As [`write`].
pub fn encoded(message: &[u8]) -> Bytes {
    let mut bytes = begin(message.len());
    bytes.extend_from_slice(message);
    bytes.freeze()
}

fn begin(length: usize) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(HEAD_BYTES + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).expect("no answer has four gibibytes"));
    bytes
}

/// The one message of a body.
pub fn read_single<M: Message + Default>(body: Bytes, bytes_max: usize) -> Result<M, Status> {
    let mut frames = Frames::new(bytes_max);
    frames.held = body;
    match frames.take()? {
        Some(message) if frames.held.is_empty() => Ok(message),
        _ => Err(Status::new(
            Code::Internal,
            "grpc: the request holds not exactly one message",
        )),
    }
}

/// Puts messages together again from pieces of a body.
#[derive(Debug)]
pub struct Frames {
    held: Bytes,
    bytes_max: usize,
}

impl Frames {
    /// For messages of at most so many bytes.
    pub const fn new(bytes_max: usize) -> Self {
        Self {
            held: Bytes::new(),
            bytes_max,
        }
    }

    /// Takes a piece. Nothing is copied if all before it was taken.
    pub fn push(&mut self, piece: Bytes) {
        if self.held.is_empty() {
            self.held = piece;
        } else {
            self.held = [&self.held[..], &piece].concat().into();
        }
    }

    /// The next message, if all of it is there.
    pub fn take<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        self.take_bytes()?.map(decode).transpose()
    }

    /// The next message as it is encoded, if all of it is there.
    pub fn take_bytes(&mut self) -> Result<Option<Bytes>, Status> {
        let Some(([mark, length @ ..], _)) = self.held.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        if *mark != 0 {
            let text = "grpc: compressed messages are not taken";
            return Err(Status::new(Code::Unimplemented, text));
        }
        let length = u32::from_be_bytes(*length) as usize;
        if length > self.bytes_max {
            let max = self.bytes_max;
            let text = format!("grpc: received message larger than max ({length} vs. {max})");
            return Err(Status::of(Code::ResourceExhausted, text));
        }
        if self.held.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        self.held.advance(HEAD_BYTES);
        Ok(Some(self.held.split_to(length)))
    }
}

/// Reads a message without a head.
pub fn decode<M: Message + Default>(message: Bytes) -> Result<M, Status> {
    M::decode(message).map_err(|error| {
        let text = format!("grpc: failed to unmarshal the received message {error}");
        Status::of(Code::Internal, text)
    })
}

/// A text as the header `grpc-message` has it.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// A text that [`escape`] wrote.
pub fn unescape(header: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(header.len());
    let mut rest = header;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.first_chunk::<2>().filter(|_| *first == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::etcdserverpb::PutRequest;

    fn put(value: &'static [u8]) -> PutRequest {
        PutRequest {
            key: Bytes::from_static(b"k"),
            value: Bytes::from_static(value),
            ..PutRequest::default()
        }
    }

    #[test]
    fn messages_come_together_from_any_pieces() {
        let sent = [put(b"one"), put(b""), put(b"three")];
        let all: Vec<u8> = sent.iter().flat_map(write).collect();
        for size in 1..=all.len() {
            let mut frames = Frames::new(100);
            let mut got = Vec::new();
            for piece in all.chunks(size) {
                frames.push(Bytes::copy_from_slice(piece));
                while let Some(message) = frames.take::<PutRequest>().unwrap() {
                    got.push(message);
                }
            }
            assert_eq!(got, sent, "{size}");
        }
    }

    #[test]
    fn what_is_no_single_message_is_refused() {
        let one = write(&put(b"value"));
        assert_eq!(
            read_single::<PutRequest>(one.clone(), 100),
            Ok(put(b"value"))
        );
        let two = Bytes::from([&one[..], &one].concat());
        for (body, code) in [
            (Bytes::new(), Code::Internal),
            (one.slice(..one.len() - 1), Code::Internal),
            (two, Code::Internal),
            (Bytes::from_static(b"\x01\0\0\0\0"), Code::Unimplemented),
            (Bytes::from_static(b"\0\0\0\0\x65"), Code::ResourceExhausted),
            (Bytes::from_static(b"\0\0\0\0\x01\xff"), Code::Internal),
        ] {
            let refused = read_single::<PutRequest>(body, 100).unwrap_err();
            assert_eq!(refused.code, code, "{refused}");
        }
    }

    #[test]
    fn texts_are_escaped() {
        assert_eq!(
            escape("etcdserver: key not found"),
            "etcdserver: key not found"
        );
        assert_eq!(escape("50%\nü"), "50%25%0A%C3%BC");
        for text in ["50%\nü", "%", "%4", "", "plain"] {
            assert_eq!(unescape(escape(text).as_bytes()), text);
        }
        assert_eq!(unescape(b"%zz%4"), "%zz%4");
    }
}
