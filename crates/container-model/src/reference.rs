//! Names of images as Docker reads them: `busybox` is `docker.io/library/busybox:latest`.
//!
//! Short names are completed by Docker's rule and no other: no list of registries is searched, since
//! what a name means must not depend on which registry answers first.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::malformed::Malformed;

/// What is meant when no registry is named.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Docker's other name of it.
const DEFAULT_REGISTRY_ALIAS: &str = "index.docker.io";
/// Where images of one component live there.
const OFFICIAL: &str = "library/";
/// Docker's limit for registry and path together.
const NAME_LENGTH_MAX: usize = 255;
/// Docker's limit for tags.
const TAG_LENGTH_MAX: usize = 128;

/// An image by name, in full. It prints as `registry/path:tag@digest`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageReference {
    registry: String,
    repository: String,
    version: Version,
}

/// Which of a repository's images is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// Whatever has the tag now.
    Tag(String),
    /// Exactly one, for ever. A tag beside it is a remark to the reader, as it is with Docker.
    Digest {
        /// The remark.
        tag: Option<String>,
        /// What counts.
        digest: Digest,
    },
}

impl ImageReference {
    /// The registry's host, with its port if one was given.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path in the registry, such as `library/busybox`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Which image.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The digest, if the reference names one.
    pub fn digest(&self) -> Option<&Digest> {
        match &self.version {
            Version::Tag(_) => None,
            Version::Digest { digest, .. } => Some(digest),
        }
    }

    /// What a registry's API wants after `manifests/`.
    pub fn manifest_name(&self) -> &str {
        match &self.version {
            Version::Tag(tag) => tag,
            Version::Digest { digest, .. } => digest.as_str(),
        }
    }
}

impl FromStr for ImageReference {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let refuse = |reason: &str| Malformed::new("image reference", text, reason);
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
            None => (text, None),
        };
        let (name, tag) = split_tag(rest);
        if is_bare_digest(rest) {
            return Err(refuse(
                "64 hexadecimal digits are an image's id, not a name",
            ));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(refuse(
                "a tag has up to 128 letters, digits, `_`, `.` and `-`, and begins with none of the last two",
            ));
        }
        let (registry, repository) = split_registry(name);
        check_registry(registry).map_err(refuse)?;
        check_repository(&repository).map_err(refuse)?;
        if registry.len() + repository.len() + 1 > NAME_LENGTH_MAX {
            return Err(refuse("the name is longer than 255 bytes"));
        }
        let tag = tag.map(ToOwned::to_owned);
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            version: match digest {
                Some(digest) => Version::Digest { tag, digest },
                None => Version::Tag(tag.unwrap_or_else(|| "latest".to_owned())),
            },
        })
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match &self.version {
            Version::Tag(tag) => write!(f, ":{tag}"),
            Version::Digest { tag, digest } => {
                if let Some(tag) = tag {
                    write!(f, ":{tag}")?;
                }
                write!(f, "@{digest}")
            }
        }
    }
}

/// The tag is what follows a colon after the last slash: before it, a colon begins a port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    let after_slash = text.rfind('/').map_or(0, |slash| slash + 1);
    match text[after_slash..].find(':') {
        Some(colon) => {
            let (name, tag) = text.split_at(after_slash + colon);
            (name, Some(&tag[1..]))
        }
        None => (text, None),
    }
}

/// Docker's rule: the first component is a registry if it looks like a host.
fn split_registry(name: &str) -> (&str, String) {
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':']) || first == "localhost" || has_upper(first) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_REGISTRY, name),
    };
    if registry != DEFAULT_REGISTRY && registry != DEFAULT_REGISTRY_ALIAS {
        return (registry, repository.to_owned());
    }
    let official = if repository.contains('/') {
        ""
    } else {
        OFFICIAL
    };
    (DEFAULT_REGISTRY, format!("{official}{repository}"))
}

fn has_upper(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_bare_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_inner = |byte: u8| is_word(byte) || byte == b'.' || byte == b'-';
    tag.len() <= TAG_LENGTH_MAX
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(is_inner)
}

fn check_registry(registry: &str) -> Result<(), &'static str> {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !registry.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err("the registry's port is no number up to 65535");
    }
    if let Some(address) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let is_address = address.parse::<core::net::Ipv6Addr>().is_ok();
        return is_address
            .then_some(())
            .ok_or("the registry is no IPv6 address");
    }
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(is_inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_host = host.split('.').all(is_label);
    is_host
        .then_some(())
        .ok_or("the registry is no host name or address")
}

fn check_repository(repository: &str) -> Result<(), &'static str> {
    if repository.is_empty() || repository == OFFICIAL {
        return Err("the name is empty");
    }
    if has_upper(repository) {
        return Err("the name must be in lower case");
    }
    let is_good = repository.split('/').all(is_component);
    is_good.then_some(()).ok_or(
        "each component of the name has letters and digits, separated by `.`, `_`, `__` or dashes",
    )
}

/// Letters and digits, with separators between them.
fn is_component(component: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !component.starts_with(is_word) || !component.ends_with(is_word) {
        return false;
    }
    component.split(is_word).all(|separator| {
        let is_dashes = separator.bytes().all(|byte| byte == b'-');
        matches!(separator, "." | "_" | "__") || is_dashes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_docker_does() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let cases = [
            ("busybox", "docker.io/library/busybox:latest"),
            ("busybox:1.37", "docker.io/library/busybox:1.37"),
            ("a/b", "docker.io/a/b:latest"),
            ("index.docker.io/a", "docker.io/library/a:latest"),
            ("docker.io/a", "docker.io/library/a:latest"),
            ("localhost/a", "localhost/a:latest"),
            ("localhost:5000/a:b", "localhost:5000/a:b"),
            ("quay.io/a/b/c", "quay.io/a/b/c:latest"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
            ("EXAMPLE/a", "EXAMPLE/a:latest"),
            ("a__b/c--d.e", "docker.io/a__b/c--d.e:latest"),
        ];
        for (text, full) in cases {
            let read: ImageReference = text.parse().unwrap();
            assert_eq!(read.to_string(), full, "{text}");
            assert_eq!(full.parse(), Ok(read), "{full} is itself");
        }
        let pinned: ImageReference = format!("a:b@{digest}").parse().unwrap();
        assert_eq!(
            pinned.to_string(),
            format!("docker.io/library/a:b@{digest}")
        );
        assert_eq!(pinned.manifest_name(), digest);
        assert_eq!(pinned.registry(), "docker.io");
        assert_eq!(pinned.repository(), "library/a");
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        let long = "a".repeat(256);
        let id = "0".repeat(64);
        let bad = [
            "",
            ":tag",
            "a:",
            "a b",
            "A",
            "a/B",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a:-b",
            "a@sha256:0",
            "a@",
            "https://a/b",
            "a//b",
            "a.b:port/c",
            "[x]/a",
            "-a.b/c",
            "a/",
            &long,
            &id,
        ];
        for text in bad {
            assert!(text.parse::<ImageReference>().is_err(), "{text}");
        }
    }
}
