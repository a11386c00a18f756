//! The repository's rules, each a test that names file, line and what to do.
//!
//! A checker is a function of text, so that a canary can show that it catches what it should: the
//! test of the tester stands below each rule. Formatting and lints are left to rustfmt and clippy.

mod dependencies;
mod documents;
mod finding;
mod foreign_names;
mod length;
mod purity;
mod rust_source;
mod style;
mod units;
mod unsafe_code;
