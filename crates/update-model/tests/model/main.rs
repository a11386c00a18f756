//! What releases, channels and updates promise, for any of them.
//!
//! `PROPTEST_CASES` says how many of each (256 if it does not).

mod block_plan;
mod decision;
mod documents;
mod halting;
mod progress;
