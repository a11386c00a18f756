//! Whole updates of a machine that is a folder and a disk image, from release directories made for it.

mod bus;
mod cluster;
mod failures;
mod fixture;
mod full_disk;
mod host;
mod life;
mod machine;
mod reboots;
mod resuming;
