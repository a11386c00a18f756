//! The store against a model in memory, over crashes, full disks and snapshots.
//!
//! Killing a real process is tested with the whole daemon.

mod concurrency;
mod crash;
mod damage;
mod history;
mod model;
mod random;
mod real_folder;
mod snapshot;
mod trouble;
mod workload;
