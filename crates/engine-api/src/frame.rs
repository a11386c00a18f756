//! Docker's raw stream: pieces of standard output and error, each with a header of 8 bytes.
//!
//! A container with a terminal has one stream, and no headers.

/// Which stream a piece is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// A piece with its header: the stream's number, three zeros, the length with the most significant byte first.
///
/// Pieces are shorter than 4 GiB; of a longer one only that much is taken.
pub fn frame(stream: Stream, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let number = match stream {
        Stream::Output => 1,
        Stream::Error => 2,
    };
    let mut piece = vec![number, 0, 0, 0];
    piece.extend_from_slice(&length.to_be_bytes());
    piece.extend(bytes.iter().take(length as usize));
    piece
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_dockers() {
        assert_eq!(frame(Stream::Error, b"hi"), b"\x02\0\0\0\0\0\0\x02hi");
        assert_eq!(frame(Stream::Output, b""), b"\x01\0\0\0\0\0\0\0");
    }
}
