//! A client that writes what it is told and reads answers, and knows nothing else of HTTP.
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

pub(super) struct Client {
    stream: DuplexStream,
    read: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1);
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(super) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub(super) fn new(stream: DuplexStream) -> Self {
        let read = Vec::new();
        Self { stream, read }
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// A request with a form as its body, and the answer.
    pub(super) async fn form(&mut self, method: &str, path: &str, form: &str) -> Reply {
        self.request(method, path, "application/x-www-form-urlencoded", form)
            .await
    }

    pub(super) async fn request(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: impl AsRef<[u8]>,
    ) -> Reply {
        self.with_headers(
            method,
            path,
            &format!("Content-Type: {content_type}\r\n"),
            body,
        )
        .await
    }

    pub(super) async fn with_headers(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: impl AsRef<[u8]>,
    ) -> Reply {
        let body = body.as_ref();
        let length = body.len();
        self.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n"
        ))
        .await;
        self.send(body).await;
        self.reply(method != "HEAD").await
    }

    pub(super) async fn get(&mut self, path: &str) -> Reply {
        self.start(path).await;
        self.reply(true).await
    }

    /// Sends a GET without waiting for the answer.
    pub(super) async fn start(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .await;
    }

    /// A whole answer.
    pub(super) async fn reply(&mut self, has_body: bool) -> Reply {
        let mut reply = self.head().await;
        let length = reply.header("Content-Length");
        if !has_body {
            return reply;
        }
        if let Some(length) = length.map(|length| length.parse().unwrap()) {
            while self.read.len() < length {
                assert!(self.fill().await, "the body is short");
            }
            reply.body = self.read.drain(..length).collect();
        } else if reply.header("Transfer-Encoding").is_some() {
            while let Some(chunk) = self.chunk().await {
                reply.body.extend(chunk);
            }
        }
        reply
    }

    /// The head of an answer.
    pub(super) async fn head(&mut self) -> Reply {
        let head = self.until(b"\r\n\r\n").await.expect("an answer");
        let head = String::from_utf8(head).unwrap();
        let status = head[9..12].parse().unwrap();
        let body = Vec::new();
        Reply { status, head, body }
    }

    /// The next chunk of a body; none at its end.
    pub(super) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.until(b"\r\n").await?;
        let length = usize::from_str_radix(str::from_utf8(&line).unwrap().trim(), 16).unwrap();
        while self.read.len() < length + 2 {
            assert!(self.fill().await, "the chunk is short");
        }
        let mut chunk: Vec<u8> = self.read.drain(..length + 2).collect();
        chunk.truncate(length);
        (length > 0).then_some(chunk)
    }

    /// Nothing more comes: the server closed the connection.
    pub(super) async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.fill().await
    }

    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            let found = self.read.windows(end.len()).position(|part| part == end);
            if let Some(at) = found {
                return Some(self.read.drain(..at + end.len()).collect());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    async fn fill(&mut self) -> bool {
        self.stream.read_buf(&mut self.read).await.unwrap_or(0) > 0
    }
}
