//! Installing and going back on a disk in memory, with the power cut after every single operation.

mod fixture;
mod power;
mod power_cut;
mod refusals;
mod rollback;
