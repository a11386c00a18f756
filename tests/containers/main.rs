//! Containers as units of a real systemd, in namespaces, with real containerd and crun.
//!
//! The image is made here of Debian's busybox-static; registries are made here, too. Limits of memory and processors need a
//! kernel of the machine's own and are not tested here.

mod archive;
mod bollard;
mod distribution;
mod engine;
mod engine_attach;
mod engine_copy;
mod engine_health;
mod engine_images;
mod exec;
mod fixture;
mod health;
mod hold;
mod housekeeping;
mod interactive;
mod layers;
mod life;
mod networks;
mod options;
mod pods;
mod pseudoterminal;
mod pull;
mod quadlet;
mod registration;
#[allow(dead_code)] // Another crate's tests use the rest of it.
#[path = "../../crates/image-registry/tests/registry/mod.rs"]
mod registry;
#[path = "../fleet/root.rs"]
mod root;
mod several_networks;
mod signatures;
mod terminal;
mod users;
mod volumes;
