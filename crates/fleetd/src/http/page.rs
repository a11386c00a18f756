//! The web page: machines, units, where they run, and events as they happen. It changes nothing.
//!
//! Its files are part of the program, and it asks nobody but this fleetd.

use super::answer::{Answer, Refused, bytes};
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};

/// Name, media type, contents.
const FILES: &[(&str, &str, &str)] = &[
    (
        "",
        "text/html; charset=utf-8",
        include_str!("../../page/index.html"),
    ),
    (
        "page.css",
        "text/css; charset=utf-8",
        include_str!("../../page/page.css"),
    ),
    (
        "page.js",
        "text/javascript; charset=utf-8",
        include_str!("../../page/page.js"),
    ),
];

/// A file of the page.
pub(super) fn file(name: &str) -> Result<Answer, Refused> {
    let found = FILES.iter().find(|(one, ..)| *one == name);
    let (_, media_type, text) =
        found.ok_or_else(|| Refused::not_found("there is no such resource"))?;
    let mut answer = bytes(media_type, *text);
    let policy = HeaderValue::from_static("default-src 'self'; frame-ancestors 'none'");
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    Ok(answer)
}
