//! Unit files as they are found, and texts at random: nothing is lost, nothing panics.
//!
//! Nothing here runs systemd.

mod drop_ins;
mod editing;
mod properties;
mod reading;
mod samples;
