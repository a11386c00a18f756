//! Peer URLs checked as etcd checks them: a scheme, a host and a port, no path.
//!
//! What Go's `url.Parse` refuses is refused in its words for a malformed escape, a missing scheme
//! and a port that is no number; its other refusals are worded as for a missing port.

use crate::quote::quote;

/// The URLs in alphabetical order.
///
/// # Errors
/// With etcd's text for the first that is wrong.
pub(super) fn check(urls: &[String]) -> Result<Vec<String>, String> {
    if urls.is_empty() {
        return Err("no valid URLs given".to_owned());
    }
    let mut checked: Vec<String> = urls
        .iter()
        .map(|url| check_one(url.trim()))
        .collect::<Result<_, _>>()?;
    checked.sort();
    Ok(checked)
}

fn check_one(url: &str) -> Result<String, String> {
    let parse_error = |what: String| format!("parse {}: {what}", quote(url.as_bytes()));
    if url.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        let what = "net/url: invalid control character in URL";
        return Err(parse_error(what.to_owned()));
    }
    let (scheme, rest) = scheme(url).map_err(parse_error)?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let authority = rest.strip_prefix("//").unwrap_or_default();
    let (authority, path) = match authority.find('/') {
        Some(slash) => authority.split_at(slash),
        None => (authority, ""),
    };
    let host = authority.rsplit('@').next().unwrap_or_default();
    if let Some(escape) = bad_escape(host).or_else(|| bad_escape(path)) {
        let what = format!("invalid URL escape {}", quote(escape.as_bytes()));
        return Err(parse_error(what));
    }
    if let Some(port) = bad_port(host) {
        let what = format!("invalid port {} after host", quote(port.as_bytes()));
        return Err(parse_error(what));
    }
    if !["http", "https", "unix", "unixs"].contains(&scheme.as_str()) {
        return Err(format!(
            "URL scheme must be http, https, unix, or unixs: {url}"
        ));
    }
    if !has_port(host) {
        return Err(format!(
            "URL address does not have the form \"host:port\": {url}"
        ));
    }
    if !path.is_empty() {
        return Err(format!("URL must not contain a path: {url}"));
    }
    Ok(format!("{scheme}:{rest}"))
}

/// The scheme, in lower case and empty if there is none, and what follows its colon.
fn scheme(url: &str) -> Result<(String, &str), String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let end = url.find(|c| !is_part(c)).unwrap_or(url.len());
    let after = url[end..].strip_prefix(':');
    match (end, after) {
        (0, Some(_)) => Err("missing protocol scheme".to_owned()),
        (_, Some(rest)) if url.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Ok((url[..end].to_ascii_lowercase(), rest))
        }
        _ if url.split('/').next().is_some_and(|s| s.contains(':')) => {
            Err("first path segment in URL cannot contain colon".to_owned())
        }
        _ => Ok((String::new(), url)),
    }
}

fn bad_escape(text: &str) -> Option<&str> {
    let is_digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
    let (at, _) = text
        .match_indices('%')
        .find(|(at, _)| !(is_digit(at + 1) && is_digit(at + 2)))?;
    let end = (at + 1..=at + 3)
        .rev()
        .find(|&end| text.is_char_boundary(end));
    end.and_then(|end| text.get(at..end.min(text.len())))
}

/// What follows the host and is neither nothing nor a colon with digits.
fn bad_port(host: &str) -> Option<&str> {
    let port = match host.rfind(']') {
        Some(bracket) if host.starts_with('[') => &host[bracket + 1..],
        _ => &host[host.rfind(':')?..],
    };
    let digits = port.strip_prefix(':');
    let is_good = port.is_empty()
        || digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    (!is_good).then_some(port)
}

/// Whether Go's `net.SplitHostPort` takes it: a colon, and any other only in brackets.
fn has_port(host: &str) -> bool {
    let Some((name, _)) = host.rsplit_once(':') else {
        return false;
    };
    match name.strip_prefix('[') {
        Some(rest) => rest.ends_with(']') && !rest[..rest.len() - 1].contains(['[', ']']),
        None => !name.contains([':', '[', ']']),
    }
}
