//! Boots the real image in QEMU, as a user would get it, and looks at what it does.
//!
//! The image is the one `tests/run` built; each test has its own copy of the disk. Boots are few and
//! serve many checks each: one costs some twenty seconds in software emulation.

#[allow(dead_code, reason = "tests of containers use the rest of it")]
#[path = "../containers/archive.rs"]
mod archive;
mod bad_releases;
mod broken_line;
#[path = "../fleet/certificates.rs"]
mod certificates;
mod cluster;
mod corruption;
mod cut_pulls;
mod damaged_disks;
mod first_boot;
mod fleet;
mod installed;
mod interfaces;
mod life_of_a_machine;
mod limits;
#[allow(
    dead_code,
    reason = "the metadata services' own tests use the rest of it"
)]
#[path = "../../crates/provision/src/mock_server.rs"]
mod mock_server;
mod outcomes;
mod power_cuts;
#[allow(dead_code, reason = "the client's own tests use the rest of it")]
#[path = "../../crates/image-registry/tests/registry/mod.rs"]
mod registry;
mod releases;
mod replay;
mod reset;
mod soak;
mod state_disk;
mod support;
mod tunnel;
mod updates;
mod variants;
