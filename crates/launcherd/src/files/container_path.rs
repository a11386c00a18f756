//! A path in a container as a client writes it: cleaned, and with what its end means.
//!
//! Nothing is looked up: `..` takes away the part before it, as it stands.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use engine_api::ApiError;

/// A path from the container's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ContainerPath {
    parts: Vec<OsString>,
    end: End,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With a name: a link of that name is meant itself.
    Name,
    /// With a slash: it is a folder, wherever links lead.
    Slash,
    /// With `/.`: what is in the folder.
    Dot,
}

impl ContainerPath {
    /// Of a client's words.
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        if text.is_empty() || text.contains('\0') {
            return Err(ApiError::bad_request("path: a path is wanted"));
        }
        let end = match text.rsplit('/').next() {
            Some("") => End::Slash,
            Some(".") => End::Dot,
            _ => End::Name,
        };
        let mut parts = Vec::new();
        // From the root on there is nothing above.
        let _above = clean(&mut parts, text.as_bytes(), 0);
        Ok(Self { parts, end })
    }

    /// The parts before the last one, and that, if it may be a link that is meant itself.
    pub(super) fn split(&self) -> (&[OsString], Option<&OsStr>) {
        match (self.end, self.parts.split_last()) {
            (End::Name, Some((last, parents))) => (parents, Some(last)),
            _ => (&self.parts, None),
        }
    }

    /// All parts.
    pub(super) fn parts(&self) -> &[OsString] {
        &self.parts
    }

    /// What entries of an archive begin with, as Docker has it.
    pub(super) fn base(&self) -> &OsStr {
        match (self.end, self.parts.last()) {
            (End::Dot, _) => OsStr::new("."),
            (_, Some(last)) => last,
            (_, None) => OsStr::new("/"),
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        text(&self.parts)
    }
}

/// Parts as a path from the root.
pub(super) fn text(parts: &[OsString]) -> String {
    let parts: Vec<_> = parts.iter().map(|part| part.to_string_lossy()).collect();
    format!("/{}", parts.join("/"))
}

/// Adds the parts of a path. None if `..` leads above the first `least` parts; it stays there then.
pub(super) fn clean(parts: &mut Vec<OsString>, path: &[u8], least: usize) -> Option<()> {
    let mut is_inside = true;
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.len() > least => drop(parts.pop()),
            b".." => is_inside = false,
            part => parts.push(OsStr::from_bytes(part).to_owned()),
        }
    }
    is_inside.then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_mean_something() {
        let read = |text: &str| {
            let path = ContainerPath::parse(text).unwrap();
            let last = path
                .split()
                .1
                .map(|last| last.to_string_lossy().into_owned());
            (
                path.text(),
                last,
                path.base().to_string_lossy().into_owned(),
            )
        };
        let own = |path: &str, last: Option<&str>, base: &str| {
            (
                path.to_owned(),
                last.map(ToOwned::to_owned),
                base.to_owned(),
            )
        };
        assert_eq!(read("a/b"), own("/a/b", Some("b"), "b"));
        assert_eq!(read("/a//b/"), own("/a/b", None, "b"));
        assert_eq!(read("/a/./b/."), own("/a/b", None, "."));
        assert_eq!(read("/"), own("/", None, "/"));
        assert_eq!(read("/."), own("/", None, "."));
        assert_eq!(read("../../a/../b"), own("/b", Some("b"), "b"));
        assert!(ContainerPath::parse("").is_err());
        assert!(ContainerPath::parse("a\0").is_err());
    }

    #[test]
    fn what_leads_out_is_seen() {
        let mut parts = vec![OsString::from("srv")];
        assert_eq!(clean(&mut parts, b"a/../b", 1), Some(()));
        assert_eq!(text(&parts), "/srv/b");
        assert_eq!(clean(&mut parts, b"../../c", 1), None);
    }
}
