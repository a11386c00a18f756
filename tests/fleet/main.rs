//! The fleet on machines with a real systemd, in namespaces.
//!
//! The machines boot the root that `tests/run` built, joined by a bridge; each takes about a second.
//! Where namespaces are not to be had (no root, no overlay file system) a test fails and says so.

mod agent;
mod api;
mod certificates;
mod changes;
mod cluster;
mod machine;
mod reboots;
mod root;
mod scheduling;
mod units;
