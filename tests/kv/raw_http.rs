//! A connection over which any bytes can be sent, and HTTP/1.1 answers read.
//!
//! It follows no redirects, retries nothing, and knows no TLS.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// No answer takes so long, unless a server hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Status line and headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// The status code.
    pub(crate) status: u16,
    /// Names in lower case, in the order received.
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    /// The first header of this name, given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding") == Some("chunked")
    }
}

/// A keep-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let stream = BufReader::new(stream);
        Ok(Self { stream })
    }

    /// Connects, and from then on waits no longer than this for anything.
    pub(crate) fn open_within(address: SocketAddr, timeout: Duration) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, timeout)
            .with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        let stream = BufReader::new(stream);
        Ok(Self { stream })
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    /// Whether the other side has closed without another byte.
    pub(crate) fn is_closed(&mut self) -> Result<bool> {
        match self.stream.fill_buf() {
            Ok(bytes) => Ok(bytes.is_empty()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads up to the empty line after the headers.
    pub(crate) fn read_head(&mut self) -> Result<Head> {
        let line = self.read_line()?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.with_context(|| format!("no status line: {line:?}"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                return Ok(Head { status, headers });
            }
            let (name, value) = line.split_once(':').context("a header has no colon")?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Reads the body that belongs to this head.
    pub(crate) fn read_body(&mut self, head: &Head, is_head_request: bool) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        if is_head_request || matches!(head.status, 100..200 | 204 | 304) {
            return Ok(body);
        }
        if head.is_chunked() {
            while let Some(chunk) = self.read_chunk(head)? {
                body.extend(chunk);
            }
        } else if let Some(length) = head.header("content-length") {
            body.resize(length.parse()?, 0);
            self.stream.read_exact(&mut body)?;
        } else {
            self.stream.read_to_end(&mut body)?;
        }
        Ok(body)
    }

    /// Reads the next chunk of a chunked body; `None` at its end.
    pub(crate) fn read_chunk(&mut self, head: &Head) -> Result<Option<Vec<u8>>> {
        ensure!(head.is_chunked(), "the body comes in no chunks: {head:?}");
        let length = usize::from_str_radix(&self.read_line()?, 16)?;
        let mut chunk = vec![0; length];
        self.stream.read_exact(&mut chunk)?;
        let end = self.read_line()?;
        ensure!(end.is_empty(), "a chunk is longer than it says");
        Ok((length > 0).then_some(chunk))
    }

    fn read_line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        let Some(line) = line.strip_suffix(b"\r\n") else {
            bail!("the connection ended within a line: {line:?}");
        };
        Ok(String::from_utf8_lossy(line).into_owned())
    }
}
