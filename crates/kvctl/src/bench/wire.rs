//! One keep-alive connection: requests as ready bytes, answers as status and length.
//!
//! It understands just enough HTTP/1.1 to find the end of an answer.
use std::io;

use kv_client::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Room for an answer; it grows for longer ones.
const BUFFER_BYTES: usize = 4096;

/// A connection on which at most one request is under way.
pub(super) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// What is known of an answer from the bytes that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Its head has not come.
    NoHead,
    /// Its body is still coming.
    Head(u16),
    /// It is all there.
    Whole(u16),
}

impl Wire {
    pub(super) async fn connect(endpoint: &Endpoint) -> io::Result<Self> {
        let stream = TcpStream::connect((endpoint.host(), endpoint.port())).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
        })
    }

    /// Sends a request and waits for all of its answer; gives its status.
    pub(super) async fn round_trip(&mut self, request: &[u8]) -> io::Result<u16> {
        self.send(request).await?;
        self.finish().await
    }

    pub(super) async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.filled = 0;
        self.stream.write_all(request).await
    }

    /// Waits for the beginning of the answer.
    pub(super) async fn head(&mut self) -> io::Result<u16> {
        loop {
            match progress(&self.buffer[..self.filled])? {
                Progress::Head(status) | Progress::Whole(status) => return Ok(status),
                Progress::NoHead => self.fill().await?,
            }
        }
    }

    /// Waits for the end of the answer.
    pub(super) async fn finish(&mut self) -> io::Result<u16> {
        loop {
            // Nothing can be there before the first read: requests are not pipelined.
            if self.filled > 0
                && let Progress::Whole(status) = progress(&self.buffer[..self.filled])?
            {
                return Ok(status);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(2 * self.filled, 0);
        }
        match self.stream.read(&mut self.buffer[self.filled..]).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => {
                self.filled += bytes;
                Ok(())
            }
        }
    }

    /// The end of what came last, for a message.
    pub(super) fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.buffer[..self.filled]);
        let line = text.lines().next_back().unwrap_or_default();
        line.chars().take(200).collect()
    }
}

/// How the end of a body is found.
enum Framing {
    Length(usize),
    Chunked,
}

/// What is known of an answer.
pub(super) fn progress(bytes: &[u8]) -> io::Result<Progress> {
    let mut framing = None;
    let mut at = 0;
    let mut status = 0;
    loop {
        let Some(length) = bytes[at..].iter().position(|byte| *byte == b'\n') else {
            return Ok(Progress::NoHead);
        };
        let line = bytes[at..at + length].trim_ascii_end();
        at += length + 1;
        if status == 0 {
            status = status_of(line)?;
        } else if line.is_empty() {
            break;
        } else if framing.is_none() {
            framing = framing_of(line)?;
        }
    }
    let is_whole = match framing {
        // etcd answers a watch that begins, or 204, without either.
        None => status == 204,
        Some(Framing::Length(length)) => bytes.len() - at >= length,
        Some(Framing::Chunked) => chunks_end(&bytes[at..])?,
    };
    Ok(if is_whole {
        Progress::Whole(status)
    } else {
        Progress::Head(status)
    })
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// The status in `HTTP/1.1 200 OK`.
fn status_of(line: &[u8]) -> io::Result<u16> {
    let digits = line.get(9..12).filter(|_| line.starts_with(b"HTTP/1."));
    let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    digits.ok_or_else(|| invalid("the answer is not HTTP/1.1"))
}

/// Reads the two headers that matter; others cost one comparison.
fn framing_of(line: &[u8]) -> io::Result<Option<Framing>> {
    const LENGTH: &[u8] = b"content-length:";
    const ENCODING: &[u8] = b"transfer-encoding:";
    let starts =
        |name: &[u8]| line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name);
    if starts(LENGTH) {
        let digits = line[LENGTH.len()..].trim_ascii();
        let length = std::str::from_utf8(digits)
            .ok()
            .and_then(|text| text.parse().ok());
        return length
            .map(|length| Some(Framing::Length(length)))
            .ok_or_else(|| invalid("the answer's length is not a number"));
    }
    Ok(starts(ENCODING).then_some(Framing::Chunked))
}

/// Whether the last chunk is there.
fn chunks_end(mut body: &[u8]) -> io::Result<bool> {
    loop {
        let Some(line_end) = body.iter().position(|byte| *byte == b'\n') else {
            return Ok(false);
        };
        let digits = body[..line_end].split(|byte| *byte == b';').next();
        let digits = std::str::from_utf8(digits.unwrap_or_default().trim_ascii());
        let length = usize::from_str_radix(digits.unwrap_or_default(), 16)
            .map_err(|_| invalid("a chunk's length is not a number"))?;
        // The chunk and the line's end after it.
        let Some(rest) = body.get(line_end + 1 + length + 2..) else {
            return Ok(false);
        };
        if length == 0 {
            return Ok(true);
        }
        body = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every beginning of an answer must be understood, and only all of it be whole.
    fn check(answer: &[u8], status: u16) {
        for end in 0..answer.len() {
            let found = progress(&answer[..end]).expect("a beginning");
            assert!(
                !matches!(found, Progress::Whole(_)),
                "{end} of {}",
                answer.len()
            );
        }
        let found = progress(answer).expect("an answer");
        assert_eq!(found, Progress::Whole(status));
    }

    #[test]
    fn ends_of_answers_are_found() {
        check(
            b"HTTP/1.1 201 Created\r\nX-Etcd-Index: 4\r\ncontent-LENGTH: 3\r\n\r\nab\n",
            201,
        );
        check(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab\n\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n",
            200,
        );
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(progress(head).expect("a head"), Progress::Head(200));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        assert!(progress(b"SSH-2.0-OpenSSH_9.2\r\n").is_err());
        assert!(progress(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n").is_err());
    }
}
