//! Whole updates of a machine that is a folder and a disk image, from release directories made for it.

mod failures;
mod fixture;
mod life;
mod machine;
mod resuming;
