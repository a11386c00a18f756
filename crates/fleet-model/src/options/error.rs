//! What is wrong with a unit's options.
//!
//! Each names the key, and the line where there is one.

use thiserror::Error;

/// Why options are refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OptionError {
    /// A key that neither fleet nor this has.
    #[error("line {line}: unrecognized key `{key}` in section [X-Fleet]")]
    UnknownKey {
        /// As it was written.
        key: String,
        /// From 1.
        line: usize,
    },
    /// A value that the key does not take.
    #[error("line {line}: {key}={value}: {why}")]
    BadValue {
        /// As it was written.
        key: String,
        /// As it was written.
        value: String,
        /// What would be good.
        why: String,
        /// From 1.
        line: usize,
    },
    /// Two keys that exclude each other.
    #[error("{first} (line {first_line}) cannot be used with {second} (line {second_line})")]
    Contradiction {
        /// As it was written.
        first: String,
        /// From 1.
        first_line: usize,
        /// As it was written.
        second: String,
        /// From 1.
        second_line: usize,
    },
    /// A unit that has to be on the same machine and must not be.
    #[error("unresolvable requirements: MachineOf={peer} matches {key}={pattern}")]
    PeerExcluded {
        /// The unit it has to be with.
        peer: String,
        /// `Conflicts` or `Replaces`.
        key: &'static str,
        /// What excludes it.
        pattern: String,
    },
    /// A unit that has to be on its own machine.
    #[error("line {line}: MachineOf={peer} is the unit itself")]
    PeerOfItself {
        /// Its name.
        peer: String,
        /// From 1.
        line: usize,
    },
}
