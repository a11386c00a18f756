//! `/version`, `/health`, and the answers in plain text that etcd's HTTP server gives by itself.
//!
//! Whether the server is healthy is found out elsewhere.

use bytes::Bytes;

use crate::json::append_string;

/// Content type of the answers in plain text, `/health` and `/v2/machines` among them.
pub const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
/// The body of every 405; with the headers [`NO_SNIFF`] and, mostly, `Allow`.
pub const METHOD_NOT_ALLOWED: &str = "Method Not Allowed\n";
/// The body of every 404 for a path that nothing stands at; with the header [`NO_SNIFF`].
pub const NOT_FOUND: &str = "404 page not found\n";
/// The body of the 400 for a path that cannot be unescaped; the connection is closed after it.
pub const BAD_REQUEST: &str = "400 Bad Request";
/// Name and value of the header on 404 and 405.
pub const NO_SNIFF: (&str, &str) = ("X-Content-Type-Options", "nosniff");

/// The answer of `/version`. Until the members agreed on one, the cluster's is `not_decided`.
pub fn write_version(server: &str, cluster: &str) -> Bytes {
    let mut buffer = b"{\"etcdserver\":".to_vec();
    append_string(&mut buffer, server.as_bytes());
    buffer.extend_from_slice(b",\"etcdcluster\":");
    append_string(&mut buffer, cluster.as_bytes());
    buffer.push(b'}');
    buffer.into()
}

/// The answer of `/health`: 200 or 503, and the JSON.
pub fn write_health(is_healthy: bool) -> (u16, Bytes) {
    let status = if is_healthy { 200 } else { 503 };
    let body = format!("{{\"health\":\"{is_healthy}\"}}");
    (status, body.into())
}

/// The body of a 301 to this location, which etcd sends on GET only.
pub fn write_redirect(location: &str) -> Bytes {
    let mut body = String::from("<a href=\"");
    for character in location.chars() {
        match character {
            '<' => body.push_str("&lt;"),
            '>' => body.push_str("&gt;"),
            '&' => body.push_str("&amp;"),
            '"' => body.push_str("&#34;"),
            '\'' => body.push_str("&#39;"),
            other => body.push(other),
        }
    }
    body.push_str("\">Moved Permanently</a>.\n\n");
    body.into()
}

#[cfg(test)]
mod tests {
    use super::{write_health, write_redirect, write_version};

    #[test]
    fn writes_what_etcd_does() {
        let json = r#"{"etcdserver":"3.4.23","etcdcluster":"3.4.0"}"#;
        assert_eq!(write_version("3.4.23", "3.4.0"), json);
        assert_eq!(write_health(true), (200, "{\"health\":\"true\"}".into()));
        assert_eq!(write_health(false).0, 503);
        let body = "<a href=\"/v2/keys/b?x=1&amp;y\">Moved Permanently</a>.\n\n";
        assert_eq!(write_redirect("/v2/keys/b?x=1&y"), body);
    }
}
