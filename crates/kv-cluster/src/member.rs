//! Who belongs to a cluster: ids, names and addresses.
//!
//! What is here is what the replicated membership says; nothing is looked up.
use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A member's id: random, and never used again once the member is gone. Shown as lower-case hex.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemberId(pub u64);

/// A cluster's id. Shown as lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub u64);

impl fmt::Display for MemberId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:x}", self.0)
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:x}", self.0)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:x}", self.0)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:x}", self.0)
    }
}

impl From<u64> for MemberId {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl FromStr for MemberId {
    type Err = ParseIntError;

    /// From hex without a prefix, as etcd writes ids.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

/// A member as the membership has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// Its name; empty until it has started for the first time.
    pub name: String,
    /// Where the other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty until it has said so.
    pub client_urls: Vec<String>,
    /// It receives the log but has no vote yet.
    pub learner: bool,
}

/// What the replicated membership keeps of a member: the single truth about names and addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeData {
    /// Empty until it has started for the first time.
    pub(crate) name: String,
    /// Where the other members reach it.
    pub(crate) peer_urls: Vec<String>,
    /// Where clients reach it.
    pub(crate) client_urls: Vec<String>,
    /// Whether it has started.
    pub(crate) beginning: Beginning,
}

/// Whether a member has started, and whether it gets its vote by itself. With the random number that
/// the data folder of its first start holds: a second folder has another.
///
/// Only the last two are new; the others are written as the `Option` that stood here before them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Beginning {
    /// It was announced.
    #[default]
    Announced,
    /// It has started.
    Started(u64),
    /// It was announced, to be a learner until somebody gives it a vote.
    AnnouncedToLearn,
    /// It has started, to be a learner until somebody gives it a vote.
    StartedToLearn(u64),
}

impl Beginning {
    /// The number of its first start.
    pub(crate) fn incarnation(self) -> Option<u64> {
        match self {
            Self::Started(number) | Self::StartedToLearn(number) => Some(number),
            Self::Announced | Self::AnnouncedToLearn => None,
        }
    }

    /// As it is once it has started.
    pub(crate) fn started(self, incarnation: u64) -> Self {
        if self.waits_for_vote() {
            Self::StartedToLearn(incarnation)
        } else {
            Self::Started(incarnation)
        }
    }

    /// Whether somebody must give it its vote.
    pub(crate) fn waits_for_vote(self) -> bool {
        matches!(self, Self::AnnouncedToLearn | Self::StartedToLearn(_))
    }
}

impl NodeData {
    /// As others see it.
    pub(crate) fn member(&self, id: MemberId, learner: bool) -> Member {
        Member {
            id,
            name: self.name.clone(),
            peer_urls: self.peer_urls.clone(),
            client_urls: self.client_urls.clone(),
            learner,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_lower_case_hex_without_prefix() {
        assert_eq!(
            MemberId(0x8e9e_05c5_2164_694d).to_string(),
            "8e9e05c52164694d"
        );
        assert_eq!(
            "8e9e05c52164694d".parse(),
            Ok(MemberId(0x8e9e_05c5_2164_694d))
        );
        assert!("0x8e".parse::<MemberId>().is_err());
    }

    #[test]
    fn beginnings_are_read_from_what_earlier_versions_wrote() {
        for (old, wanted) in [
            (None, Beginning::Announced),
            (Some(7_u64), Beginning::Started(7)),
        ] {
            let written = postcard::to_stdvec(&old).unwrap();
            let read: Beginning = postcard::from_bytes(&written).unwrap();
            assert_eq!(read, wanted);
        }
    }
}
