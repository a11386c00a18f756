//! Paths as they come in a URL: unescaped, cleaned as Go's `path.Clean` does, escaped again.
//!
//! It does not know which path belongs to which handler.

use kv_model::path::DEPTH_MAX;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What Go's `url.URL` escapes in a path.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'!')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'\'')
    .add(b'(')
    .add(b')')
    .add(b'*')
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

/// Why a path cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A `%` without two hexadecimal digits. etcd's HTTP server answers it with a plain 400.
    #[error("the path has a % that is not followed by two hexadecimal digits")]
    Escape,
    /// Unescaped, it is no UTF-8.
    #[error("the path is not UTF-8")]
    NotUtf8,
    /// It has more than [`DEPTH_MAX`] components.
    #[error("the path has more than {DEPTH_MAX} components")]
    TooDeep,
}

/// The path with its escapes resolved.
pub fn unescape(escaped: &str) -> Result<String, PathError> {
    if !escapes_are_whole(escaped.as_bytes()) {
        return Err(PathError::Escape);
    }
    let path = percent_decode_str(escaped).decode_utf8();
    Ok(path.map_err(|_| PathError::NotUtf8)?.into_owned())
}

/// The path with everything escaped that Go escapes in a `Location`.
pub fn escape(path: &str) -> String {
    utf8_percent_encode(path, ESCAPED).to_string()
}

/// Absolute, without empty, `.` and `..` components and without a slash at the end; the root is `/`.
pub fn clean(path: &str) -> Result<String, PathError> {
    if is_clean(path) {
        return bounded(path.to_owned());
    }
    let mut components: Vec<&str> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop();
            }
            _ => components.push(component),
        }
    }
    bounded(format!("/{}", components.join("/")))
}

/// Where etcd redirects a request to whose path is not clean (301), if it does. A slash at the end
/// is allowed to stand.
///
/// # Errors
/// For a path that cannot be used.
pub fn redirect(escaped_path: &str, query: Option<&str>) -> Result<Option<String>, PathError> {
    let path = unescape(escaped_path)?;
    let mut cleaned = clean(&path)?;
    if path.ends_with('/') && cleaned != "/" {
        cleaned.push('/');
    }
    if path == cleaned {
        return Ok(None);
    }
    let mut location = escape(&cleaned);
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        location.push('?');
        location.push_str(query);
    }
    Ok(Some(location))
}

fn bounded(path: String) -> Result<String, PathError> {
    let components = path.bytes().filter(|&b| b == b'/').count();
    if components > DEPTH_MAX {
        return Err(PathError::TooDeep);
    }
    Ok(path)
}

fn is_clean(path: &str) -> bool {
    path == "/"
        || path.strip_prefix('/').is_some_and(|relative| {
            relative
                .split('/')
                .all(|component| !matches!(component, "" | "." | ".."))
        })
}

fn escapes_are_whole(text: &[u8]) -> bool {
    let is_digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_hexdigit);
    (0..text.len())
        .filter(|&at| text[at] == b'%')
        .all(|at| is_digit(at + 1) && is_digit(at + 2))
}

#[cfg(test)]
mod tests {
    use super::{DEPTH_MAX, PathError, clean, redirect, unescape};

    #[test]
    fn cleans_as_go_does() {
        for (path, cleaned) in [
            ("", "/"),
            ("/", "/"),
            ("/a", "/a"),
            ("a", "/a"),
            ("/a/", "/a"),
            ("/a//b/./c", "/a/b/c"),
            ("/a/../b", "/b"),
            ("/../../b/..", "/"),
            ("/...", "/..."),
            ("/_a/.b", "/_a/.b"),
        ] {
            assert_eq!(clean(path).as_deref(), Ok(cleaned), "{path}");
        }
    }

    #[test]
    fn redirects_where_etcd_does() {
        for (path, query, location) in [
            ("/v2/keys/a", None, None),
            ("/v2/keys/a/", None, None),
            ("/", None, None),
            ("/v2/keys/a//b", None, Some("/v2/keys/a/b")),
            ("/v2/keys/a/../b", Some("x=1"), Some("/v2/keys/b?x=1")),
            ("/v2/keys/a%2f%2fb%20c", None, Some("/v2/keys/a/b%20c")),
            ("//", None, Some("/")),
        ] {
            let location = location.map(str::to_owned);
            assert_eq!(redirect(path, query), Ok(location), "{path}");
        }
    }

    #[test]
    fn refuses_what_is_no_path() {
        for path in ["/%", "/%z", "/%4", "/%zz", "/%%20"] {
            assert_eq!(unescape(path), Err(PathError::Escape), "{path}");
        }
        assert_eq!(unescape("/%ff"), Err(PathError::NotUtf8));
        assert_eq!(unescape("/%c3%a9%25").as_deref(), Ok("/é%"));
        assert!(clean(&"/a".repeat(DEPTH_MAX)).is_ok());
        let deep = "/a".repeat(DEPTH_MAX + 1);
        assert_eq!(clean(&deep), Err(PathError::TooDeep));
    }
}
