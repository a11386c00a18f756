//! One request, before it is known where it goes.
//!
//! It is kept whole, so that it can be sent again.
use bytes::Bytes;
use hyper::Method;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What Go's URL library leaves as it is in a path, so that logs and `--debug` lines look the same.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The same inside one part of a path.
const NAME: &AsciiSet = &PATH.add(b'/');

/// How often a request may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// As often as one likes: a repetition changes nothing more.
    Harmless,
    /// Again, but a refusal of a repetition does not tell whether the first try was carried out.
    Conditional,
    /// Only if it certainly was not sent.
    Once,
}

/// What shall be asked, of whatever endpoint.
#[derive(Debug, Clone)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Bytes,
    pub(crate) repeat: Repeat,
}

impl Request {
    /// A read of a path of the API, not of a key.
    pub(crate) fn get(target: &str) -> Self {
        Self {
            method: Method::GET,
            target: target.to_owned(),
            content_type: None,
            body: Bytes::new(),
            repeat: Repeat::Harmless,
        }
    }

    /// With a body in JSON.
    pub(crate) fn json(method: Method, target: String, body: &serde_json::Value) -> Self {
        Self {
            method,
            target,
            content_type: Some("application/json"),
            body: body.to_string().into(),
            repeat: Repeat::Once,
        }
    }

    /// Its method.
    pub fn method(&self) -> &str {
        self.method.as_str()
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Its body; empty if there is none.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

/// The request target of a key.
pub(crate) fn key_target(path: &str, query: &[(&str, String)]) -> String {
    let mut target = String::from("/v2/keys");
    for part in path.split('/').filter(|part| !part.is_empty()) {
        target.push('/');
        target.extend(utf8_percent_encode(part, PATH));
    }
    if !query.is_empty() {
        target.push('?');
        target.push_str(&form(query));
    }
    target
}

/// A name inside a path of the API.
pub(crate) fn escape_name(name: &str) -> String {
    utf8_percent_encode(name, NAME).to_string()
}

/// Fields in a form's encoding, in the order given.
pub(crate) fn form(fields: &[(&str, String)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        form.append_pair(name, value);
    }
    form.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_escaped() {
        assert_eq!(key_target("/", &[]), "/v2/keys");
        assert_eq!(key_target("a//b/", &[]), "/v2/keys/a/b");
        assert_eq!(key_target("/a b/%?", &[]), "/v2/keys/a%20b/%25%3F");
        let query = [("wait", "true".to_owned()), ("prevValue", "a b".to_owned())];
        assert_eq!(
            key_target("/ä", &query),
            "/v2/keys/%C3%A4?wait=true&prevValue=a+b"
        );
    }
}
