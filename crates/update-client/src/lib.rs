//! The reading side of a release directory, for machines and for the builder's own check.
//!
//! A directory or its mirrors are a [`source::Source`]; [`repository::Repository`] reads its signed
//! metadata; [`tree`], [`root`] and [`boot_image`] bring a release's parts, each by whatever is here
//! already; [`check`] verifies a whole directory as a machine would.
//!
//! Not here: which release to take (crate `update-model`), partitions and boot entries, time tables.

pub mod boot_image;
pub mod check;
pub mod delta;
mod digests;
pub mod download;
pub mod error;
pub mod http;
pub mod repository;
pub mod root;
pub mod slot_writer;
pub mod source;
pub mod throttle;
pub mod tree;
