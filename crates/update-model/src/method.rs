//! How a release is fetched: whatever takes the fewest bytes.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// A way to fetch a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Blocks that are here are copied, the rest comes in ranges.
    BlockDelta,
    /// A file that leads from what runs here to the release.
    StaticDelta,
    /// The whole.
    Full,
}

/// A way and what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The way.
    pub method: Method,
    /// Bytes to fetch.
    pub bytes: u64,
}

impl Display for Method {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::BlockDelta => "block delta",
            Self::StaticDelta => "static delta",
            Self::Full => "full download",
        })
    }
}

/// The smallest; among equals the one that resumes best, which is the order of [`Method`].
///
/// Costs are bytes of everything that way needs; `None` is a way that is not open.
pub fn choose(block_delta: Option<u64>, static_delta: Option<u64>, full: u64) -> Choice {
    let ways = [
        (Method::BlockDelta, block_delta),
        (Method::StaticDelta, static_delta),
        (Method::Full, Some(full)),
    ];
    let open = ways.into_iter().filter_map(|(method, bytes)| {
        Some(Choice {
            method,
            bytes: bytes?,
        })
    });
    open.min_by_key(|choice| (choice.bytes, choice.method))
        .unwrap_or(Choice {
            method: Method::Full,
            bytes: full,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_bytes_win() {
        let method = |block, fixed, full| choose(block, fixed, full).method;
        assert_eq!(method(Some(3), Some(2), 9), Method::StaticDelta);
        assert_eq!(method(Some(2), Some(2), 2), Method::BlockDelta);
        assert_eq!(method(Some(10), None, 9), Method::Full);
        assert_eq!(
            choose(None, None, 7),
            Choice {
                method: Method::Full,
                bytes: 7
            }
        );
    }
}
