//! Asks one metadata service, patiently, and believes it nothing that it cannot say.
//!
//! No proxy is asked, no redirect followed: the service is the next host. What is not there (404) is an answer.

use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;
use ureq::tls::RootCerts;

use crate::http::{USER_AGENT, body, not_answered, tls};
use crate::patience::{Attempt, Patience};

/// More is no user's data: the largest service takes 256 KiB.
const BYTES_MAX: u64 = 16 << 20;

/// How long a service may take.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// For all questions together.
    pub patience: Patience,
    /// For the head of one answer, and between two of its parts.
    pub answer: Duration,
}

impl Pace {
    /// Of a real boot: the first questions are asked before the network is there.
    pub const USUAL: Self = Self {
        patience: Patience {
            total: Duration::from_mins(5),
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(2),
        },
        answer: Duration::from_secs(10),
    };
}

/// A service at its address.
pub struct Client<'a> {
    agent: Agent,
    base: String,
    pace: Pace,
    end: Instant,
    /// Are sent with every question.
    headers: Vec<(&'static str, String)>,
    tell: &'a dyn Fn(&str),
}

/// A service that does not give what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url}: {reason}")]
pub struct MetadataError {
    url: String,
    reason: String,
}

/// What an answer had.
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    /// Of the header that was asked for.
    pub(super) mark: Option<String>,
}

impl<'a> Client<'a> {
    /// At `base`, to which the paths of questions are put; `tell` is told of each that failed.
    pub fn new(base: &str, pace: Pace, tell: &'a dyn Fn(&str)) -> Self {
        let agent = Agent::config_builder()
            .tls_config(tls(RootCerts::PlatformVerifier))
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .accept_encoding("identity")
            .timeout_connect(Some(pace.answer))
            .timeout_recv_response(Some(pace.answer))
            .timeout_per_read(Some(pace.answer))
            .user_agent(USER_AGENT)
            .build();
        Self {
            agent: agent.into(),
            base: base.to_owned(),
            pace,
            end: Instant::now() + pace.patience.total,
            headers: Vec::new(),
            tell,
        }
    }

    /// The same, sending a header with every question.
    #[must_use]
    pub(super) fn with_header(&self, name: &'static str, value: impl Into<String>) -> Self {
        let mut headers = self.headers.clone();
        headers.push((name, value.into()));
        Self {
            agent: self.agent.clone(),
            base: self.base.clone(),
            headers,
            ..*self
        }
    }

    /// An error about a path.
    pub(super) fn error(&self, path: &str, reason: impl Into<String>) -> MetadataError {
        MetadataError {
            url: format!("{}{path}", self.base),
            reason: reason.into(),
        }
    }

    /// What is at a path; `None` if nothing is.
    pub(super) fn get(&self, path: &str) -> Result<Option<Vec<u8>>, MetadataError> {
        let answer = self.get_marked(path, "server")?;
        Ok(answer.map(|answer| answer.bytes))
    }

    /// As [`Client::get`], as text without blanks around it.
    pub(super) fn text(&self, path: &str) -> Result<Option<String>, MetadataError> {
        let bytes = self.get(path)?;
        bytes.map(|bytes| self.to_text(path, bytes)).transpose()
    }

    /// As [`Client::get`], from JSON.
    pub(super) fn json(&self, path: &str) -> Result<Option<Value>, MetadataError> {
        let Some(bytes) = self.get(path)? else {
            return Ok(None);
        };
        let value = serde_json::from_slice(&bytes);
        value
            .map(Some)
            .map_err(|error| self.error(path, format!("the answer is not JSON: {error}")))
    }

    /// As [`Client::get`], with the value of a header.
    pub(super) fn get_marked(
        &self,
        path: &str,
        mark: &str,
    ) -> Result<Option<Answer>, MetadataError> {
        self.ask(path, mark, |url| {
            let mut request = self.agent.get(url);
            for (name, value) in &self.headers {
                request = request.header(*name, value);
            }
            let request = request.config().timeout_global(Some(self.left())).build();
            request.call()
        })
    }

    /// What is answered to a PUT of nothing, with another header.
    pub(super) fn put(
        &self,
        path: &str,
        header: (&'static str, &str),
    ) -> Result<Option<String>, MetadataError> {
        let answer = self.ask(path, "server", |url| {
            let request = self.agent.put(url).header(header.0, header.1);
            let request = request.config().timeout_global(Some(self.left())).build();
            request.send_empty()
        })?;
        answer
            .map(|answer| self.to_text(path, answer.bytes))
            .transpose()
    }

    /// Sends a body with its type; `None` if nothing is there that takes it.
    pub(super) fn post(
        &self,
        path: &str,
        body: &(&'static str, String),
    ) -> Result<Option<()>, MetadataError> {
        let answer = self.ask(path, "server", |url| {
            let mut request = self.agent.post(url).content_type(body.0);
            for (name, value) in &self.headers {
                request = request.header(*name, value);
            }
            let request = request.config().timeout_global(Some(self.left())).build();
            request.send(&body.1)
        })?;
        Ok(answer.map(drop))
    }

    fn to_text(&self, path: &str, bytes: Vec<u8>) -> Result<String, MetadataError> {
        let text = String::from_utf8(bytes);
        let text = text.map_err(|_| self.error(path, "the answer is no text"))?;
        Ok(text.trim().to_owned())
    }

    fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    fn ask(
        &self,
        path: &str,
        mark: &str,
        send: impl Fn(&str) -> Result<Response<ureq::Body>, ureq::Error>,
    ) -> Result<Option<Answer>, MetadataError> {
        let url = format!("{}{path}", self.base);
        let patience = Patience {
            total: self.left(),
            ..self.pace.patience
        };
        let answer = patience.persist(&url, self.tell, |_| {
            let response = send(&url).map_err(Attempt::lost)?;
            taken(response, mark)
        });
        answer.map_err(|reason| self.error(path, reason))
    }
}

/// What is a service's answer, and what is none.
fn taken(mut response: Response<ureq::Body>, mark: &str) -> Result<Option<Answer>, Attempt> {
    let status = response.status();
    if status == 404 {
        return Ok(None);
    }
    if status.is_redirection() {
        let reason =
            format!("the server answers {status}: a metadata service sends nobody elsewhere");
        return Err(Attempt::refused(reason));
    }
    if status != 200 {
        return Err(not_answered(status));
    }
    let mark = response.headers().get(mark);
    let mark = mark
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let bytes = body(response.body_mut(), BYTES_MAX)?;
    Ok(Some(Answer { bytes, mark }))
}
