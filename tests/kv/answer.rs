//! One server of a pair: sends requests to it and makes its answers comparable.
//!
//! What is compared to what is decided elsewhere.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};

use crate::normal_form::{self, Indexes, Listing};
use crate::raw_http::{Connection, Head};
use crate::request::{Comparison, Request};

/// An answer in the form in which two servers' are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Status, headers in the order of their names, body.
    Full(u16, Vec<(String, String)>, String),
    /// A refusal whose form does not count.
    Refused,
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    head: Head,
    body: Vec<u8>,
}

/// A server with the indexes it gave.
#[derive(Debug)]
pub(crate) struct Side {
    address: SocketAddr,
    peer_url: String,
    connection: Connection,
    /// The index of each write so far.
    pub(crate) indexes: Indexes,
}

impl Side {
    /// Connects to a server.
    pub(crate) fn connect(address: SocketAddr, peer_url: String) -> Result<Self> {
        Ok(Self {
            address,
            peer_url,
            connection: Connection::open(address)?,
            indexes: Indexes::default(),
        })
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, request: &Request) -> Result<()> {
        if request.comparison == Comparison::Refusal {
            self.connection = Connection::open(self.address)?;
        }
        let bytes = request.render(&self.indexes, &self.peer_url);
        self.connection.send(&bytes)
    }

    /// Receives the answer to the request that was sent.
    pub(crate) fn receive(&mut self, request: &Request) -> Result<RawAnswer> {
        let head = self.connection.read_head().context("read an answer")?;
        let body = self.connection.read_body(&head, request.is_head())?;
        if head.header("connection") == Some("close") {
            self.connection = Connection::open(self.address)?;
        }
        Ok(RawAnswer { head, body })
    }

    /// Receives a refusal of a malformed request: status 400 or the end of the connection.
    pub(crate) fn receive_refusal(&mut self) -> Result<Answer> {
        if !self.connection.is_closed()? {
            let head = self.connection.read_head()?;
            if head.status != 400 {
                bail!("{} instead of 400 to a malformed request", head.status);
            }
        }
        self.connection = Connection::open(self.address)?;
        Ok(Answer::Refused)
    }

    /// Begins a watch on a connection of its own; it is in place when this returns.
    pub(crate) fn watch(&self, request: &Request) -> Result<Watch> {
        let mut connection = Connection::open(self.address)?;
        connection.send(&request.render(&self.indexes, &self.peer_url))?;
        let head = connection.read_head()?;
        Ok(Watch { connection, head })
    }

    /// Makes an answer comparable.
    pub(crate) fn normalize(&self, answer: &RawAnswer, listing: Listing) -> Answer {
        let body = String::from_utf8_lossy(&answer.body);
        let headers = headers(&answer.head, &self.indexes);
        let body = normal_form::body(&body, &self.indexes, listing);
        Answer::Full(answer.head.status, headers, body)
    }
}

impl RawAnswer {
    /// The index that a write got; `None` if it was refused.
    pub(crate) fn written_index(&self) -> Option<u64> {
        let index = self.head.header("x-etcd-index")?.parse().ok();
        index.filter(|_| matches!(self.head.status, 200 | 201))
    }
}

fn headers(head: &Head, indexes: &Indexes) -> Vec<(String, String)> {
    let compared = head.headers.iter().filter_map(|(name, value)| {
        let value = normal_form::header(name, value, indexes)?;
        Some((name.clone(), value))
    });
    let mut headers: Vec<_> = compared.collect();
    headers.sort();
    headers
}

/// etcd tells a stream twice that its directory was removed.
fn without_repetitions(events: &str) -> String {
    let mut lines: Vec<&str> = events.lines().collect();
    lines.dedup();
    lines.join("\n")
}

/// A watch under way.
#[derive(Debug)]
pub(crate) struct Watch {
    connection: Connection,
    head: Head,
}

impl Watch {
    /// Status and headers of the answer, whose body may take its time.
    pub(crate) fn begin(&self, side: &Side) -> Answer {
        let headers = headers(&self.head, &side.indexes);
        Answer::Full(self.head.status, headers, String::new())
    }

    /// The body up to its end.
    pub(crate) fn rest(&mut self, side: &Side) -> Result<String> {
        let body = self.connection.read_body(&self.head, false)?;
        let body = String::from_utf8_lossy(&body);
        Ok(normal_form::body(&body, &side.indexes, Listing::Sorted))
    }

    /// The events of a stream up to and including the one that contains this text.
    pub(crate) fn events_until(&mut self, text: &str, side: &Side) -> Result<String> {
        let mut body = String::new();
        loop {
            let last = body.find(text);
            let end = last.and_then(|at| Some(at + body[at..].find('\n')? + 1));
            if let Some(end) = end {
                let events = normal_form::body(&body[..end], &side.indexes, Listing::Sorted);
                return Ok(without_repetitions(&events));
            }
            let chunk = self.connection.read_chunk(&self.head)?;
            let chunk = chunk.with_context(|| format!("the stream ended after {body}"))?;
            body += &String::from_utf8_lossy(&chunk);
        }
    }
}
