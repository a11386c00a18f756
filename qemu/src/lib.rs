//! Virtual machines as values.
//!
//! So far it judges what a machine printed on its console; it does not run one yet.

pub mod badness;
mod pattern;
mod strip;

pub use pattern::Pattern;
