//! etcd v2's paths, and which keys of the common keyspace are one.
//!
//! A key is a v2 path if it is UTF-8, begins with `/`, and has no empty component, none that is `.`
//! or `..`, and not more than [`DEPTH_MAX`]. Other keys (v3 takes any bytes) are not seen through
//! v2. Nothing here cleans a path: that is the affair of whoever parses a request.

/// The directory that always exists. It has no record.
pub const ROOT: &str = "/";

/// How many components a path may have. etcd has no such limit; one request could make it hold
/// every beginning of a path of a megabyte, and recursion over a tree would have no bound here.
pub const DEPTH_MAX: usize = 256;

/// The key as a v2 path, if it is one. The root is none.
pub fn v2_path(key: &[u8]) -> Option<&str> {
    let below_root = key.strip_prefix(b"/")?;
    let mut components = below_root.split(|byte| *byte == b'/');
    let is_path = components.clone().count() <= DEPTH_MAX && components.all(is_component);
    if is_path {
        std::str::from_utf8(key).ok()
    } else {
        None
    }
}

/// Whether bytes without a slash may stand between slashes.
pub(crate) fn is_component(bytes: &[u8]) -> bool {
    !matches!(bytes, b"" | b"." | b"..")
}

/// The directory that a path is in; the root for the root.
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(at) if at > 0 => &path[..at],
        _ => ROOT,
    }
}

/// Whether the last component begins with `_`: then it is left out of listings from above.
pub fn is_hidden(path: &str) -> bool {
    path.rsplit('/')
        .next()
        .is_some_and(|name| name.starts_with('_'))
}

/// Whether a path is below a directory, at whatever depth.
pub fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(children_prefix(directory).as_str())
        .is_some_and(|rest| !rest.is_empty())
}

/// How many components a path has; the root has none.
pub(crate) fn depth(path: &str) -> usize {
    if path == ROOT {
        return 0;
    }
    path.bytes().filter(|byte| *byte == b'/').count()
}

/// What the paths below a directory begin with.
pub(crate) fn children_prefix(directory: &str) -> String {
    if directory == ROOT {
        return ROOT.to_owned();
    }
    format!("{directory}/")
}

/// The first key after all that begin with the prefix, which ends with a slash.
pub(crate) fn after_children(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last = b'/' + 1;
    }
    end
}

/// The directories above a path, the nearest first, without the root.
pub(crate) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let above = std::iter::successors(Some(parent(path)), |path| Some(parent(path)));
    above.take_while(|path| *path != ROOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_paths() {
        for key in ["/a", "/a/b", "/a/.b", "/_a", "/a b/ü", "/a\0"] {
            assert_eq!(v2_path(key.as_bytes()), Some(key));
        }
        for key in [
            "", "/", "a", "a/b", "//", "/a/", "/a//b", "/.", "/a/..", "/a/./b",
        ] {
            assert_eq!(v2_path(key.as_bytes()), None, "{key}");
        }
        assert_eq!(v2_path(b"/\xff"), None);
        assert!(v2_path("/a".repeat(DEPTH_MAX).as_bytes()).is_some());
        assert!(v2_path("/a".repeat(DEPTH_MAX + 1).as_bytes()).is_none());
    }

    #[test]
    fn families() {
        assert_eq!(parent("/a/b"), "/a");
        assert_eq!(parent("/a"), "/");
        assert_eq!(parent("/"), "/");
        assert_eq!(ancestors("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a"]);
        assert_eq!(ancestors("/a").count(), 0);
        assert_eq!((depth("/"), depth("/a"), depth("/a/b")), (0, 1, 2));
        assert!(is_below("/a/b", "/a") && is_below("/a", "/") && is_below("/a/b/c", "/a"));
        assert!(!is_below("/a", "/a") && !is_below("/ab", "/a") && !is_below("/", "/"));
        assert!(is_hidden("/a/_b") && !is_hidden("/_a/b") && !is_hidden("/a_"));
    }
}
