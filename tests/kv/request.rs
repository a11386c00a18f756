//! Requests that mean the same to two servers: where indexes differ, they name the write instead.
//!
//! Nothing is sent here.

use crate::normal_form::{Indexes, Listing};

/// Stands before and after the number of a write, for its index.
const INDEX: char = '\u{e000}';
/// Stands before and after the number of a write, for the name of the in-order key it made.
const NAME: char = '\u{e001}';
/// Stands for the server's own peer URL.
const PEER_URL: char = '\u{e002}';

/// How much of the answers must be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// Status, headers and body.
    Whole,
    /// Only that both refuse: with status 400, or by closing the connection.
    Refusal,
}

/// A request, or what is sent in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Method, path and query as sent; may contain placeholders.
    pub(crate) line: String,
    /// Headers, one a line, each with its end.
    pub(crate) headers: String,
    /// The body; may contain placeholders if it is UTF-8.
    pub(crate) body: Vec<u8>,
    /// What counts.
    pub(crate) comparison: Comparison,
}

impl Request {
    /// A request without a body.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            line: format!("{method} {target}"),
            headers: String::new(),
            body: Vec::new(),
            comparison: Comparison::Whole,
        }
    }

    /// With one more header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.extend([name, ": ", value, "\r\n"]);
        self
    }

    /// With a form as its body.
    pub(crate) fn form(self, body: impl Into<Vec<u8>>) -> Self {
        let request = self.header("Content-Type", "application/x-www-form-urlencoded");
        request.body(body)
    }

    /// With JSON as its body.
    pub(crate) fn json(self, body: &str) -> Self {
        self.header("Content-Type", "application/json").body(body)
    }

    /// With a body.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// With the name and password of a user (`user:password` in base64).
    pub(crate) fn user(self, credentials: &str) -> Self {
        self.header("Authorization", &format!("Basic {credentials}"))
    }

    /// Malformed so that only the refusal counts.
    pub(crate) fn malformed(mut self) -> Self {
        self.comparison = Comparison::Refusal;
        self
    }

    /// Whether the answer has no body.
    pub(crate) fn is_head(&self) -> bool {
        self.line.starts_with("HEAD ")
    }

    /// Whether it may change a key.
    pub(crate) fn is_write(&self) -> bool {
        let is_change = ["PUT ", "POST ", "DELETE "]
            .iter()
            .any(|m| self.line.starts_with(m));
        is_change && self.line.contains(" /v2/keys")
    }

    /// Whether the order of a listing counts.
    pub(crate) fn listing(&self) -> Listing {
        if self.line.contains("sorted=true") {
            Listing::Sorted
        } else {
            Listing::Unsorted
        }
    }

    /// The bytes for one server.
    pub(crate) fn render(&self, indexes: &Indexes, peer_url: &str) -> Vec<u8> {
        let body = match str::from_utf8(&self.body) {
            Ok(text) => fill(text, indexes, peer_url).into_bytes(),
            Err(_) => self.body.clone(),
        };
        let line = fill(&self.line, indexes, peer_url);
        let mut bytes = format!("{line} HTTP/1.1\r\nHost: test\r\n{}", self.headers).into_bytes();
        if !body.is_empty() || !self.line.starts_with("GET ") {
            bytes.extend(format!("Content-Length: {}\r\n", body.len()).into_bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(body);
        bytes
    }
}

/// The placeholder for the index of a write.
pub(crate) fn index_of(write: usize) -> String {
    format!("{INDEX}{write}{INDEX}")
}

/// The placeholder for the name of the in-order key that a write made.
pub(crate) fn name_of(write: usize) -> String {
    format!("{NAME}{write}{NAME}")
}

/// The placeholder for the server's own peer URL.
pub(crate) fn own_peer_url() -> String {
    PEER_URL.to_string()
}

fn fill(text: &str, indexes: &Indexes, peer_url: &str) -> String {
    let text = text.replace(PEER_URL, peer_url);
    let text = fill_numbers(&text, INDEX, |write| indexes.of_write(write).to_string());
    fill_numbers(&text, NAME, |write| {
        format!("{:020}", indexes.of_write(write))
    })
}

/// Every second piece between marks is a number.
fn fill_numbers(text: &str, mark: char, replace: impl Fn(usize) -> String) -> String {
    let pieces = text.split(mark).enumerate();
    let fill_one = |(position, piece): (usize, &str)| match piece.parse() {
        Ok(write) if position % 2 == 1 => replace(write),
        _ => piece.to_owned(),
    };
    pieces.map(fill_one).collect()
}

#[test]
fn placeholders_become_the_servers_own_figures() {
    let mut indexes = Indexes::default();
    indexes.push(10);
    let line = format!("/v2/keys/q/{}?prevIndex={}", name_of(0), index_of(1));
    let request = Request::new("PUT", &line).form(own_peer_url());
    let bytes = request.render(&indexes, "http://p");
    let text = String::from_utf8(bytes).expect("it is ASCII");
    let first = "PUT /v2/keys/q/00000000000000000010?prevIndex=11 HTTP/1.1\r\nHost: test\r\n";
    assert!(text.starts_with(first), "{text}");
    assert!(
        text.ends_with("Content-Length: 8\r\n\r\nhttp://p"),
        "{text}"
    );
}
