//! Containers as units of a real systemd, in namespaces, with real containerd and crun.
//!
//! The image is made here of Debian's busybox-static; no registry is asked. Limits of memory and processors need a
//! kernel of the machine's own and are not tested here.

mod archive;
mod engine;
mod exec;
mod fixture;
mod health;
mod hold;
mod life;
mod networks;
mod options;
mod pseudoterminal;
mod quadlet;
#[path = "../fleet/root.rs"]
mod root;
mod terminal;
mod volumes;
