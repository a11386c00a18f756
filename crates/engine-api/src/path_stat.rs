//! What is told of a file in a container: the header `X-Docker-Container-Path-Stat`.
//!
//! Modes are those of Go, whose types of files have bits of their own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::json;

/// The header's name.
pub const HEADER: &str = "x-docker-container-path-stat";

/// The kernel's bits for the type of a file, and Go's.
const TYPES: [(u32, u32); 7] = [
    (0o140_000, 1 << 24),
    (0o120_000, 1 << 27),
    (0o100_000, 0),
    (0o060_000, 1 << 26),
    (0o040_000, 1 << 31),
    (0o020_000, (1 << 26) | (1 << 21)),
    (0o010_000, 1 << 25),
];
const TYPE_MASK: u32 = 0o170_000;
/// Set-user-id, set-group-id, and the sticky bit.
const SPECIAL: [(u32, u32); 3] = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];

/// A file, as it is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStat {
    /// The last part of its path.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// As the kernel has it, with the type.
    pub mode: u32,
    /// When it was changed.
    pub modified: Timestamp,
    /// Where a symbolic link leads in the container; empty for others.
    pub link_target: String,
}

impl PathStat {
    /// The header's value.
    pub fn header(&self) -> String {
        let text = json!({
            "name": self.name,
            "size": self.size,
            "mode": go_mode(self.mode),
            "mtime": self.modified.to_string(),
            "linkTarget": self.link_target,
        });
        STANDARD.encode(text.to_string())
    }
}

fn go_mode(mode: u32) -> u32 {
    let kind = TYPES
        .iter()
        .find(|(own, _)| *own == mode & TYPE_MASK)
        .map_or(0, |(_, go)| *go);
    let special = SPECIAL.iter().filter(|(own, _)| mode & own != 0);
    special.fold(kind | mode & 0o777, |all, (_, go)| all | go)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_gos() {
        assert_eq!(go_mode(0o100_644), 0o644);
        assert_eq!(go_mode(0o041_777), (1 << 31) | (1 << 20) | 0o777);
        assert_eq!(go_mode(0o120_777), (1 << 27) | 0o777);
        assert_eq!(go_mode(0o104_755), (1 << 23) | 0o755);
        assert_eq!(go_mode(0o020_666), (1 << 26) | (1 << 21) | 0o666);
    }

    #[test]
    fn the_header_is_base64_of_json() {
        let stat = PathStat {
            name: "a".to_owned(),
            size: 5,
            mode: 0o100_600,
            modified: Timestamp::from_second(1_800_000_000).unwrap(),
            link_target: String::new(),
        };
        let text = STANDARD.decode(stat.header()).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let expected = json!({
            "name": "a", "size": 5, "mode": 0o600, "mtime": "2027-01-15T08:00:00Z", "linkTarget": "",
        });
        assert_eq!(value, expected);
    }
}
