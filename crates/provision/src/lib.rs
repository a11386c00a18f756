//! Applies a first-boot configuration to a root: the folder that is, or will be, a system's `/`.
//!
//! [`provision_model`] reads a configuration into a plan. [`prepare()`] brings all bytes that the plan needs and
//! holds it against the root: either all that is to be done, or all that is wrong. Only then
//! something is written, by [`Work::perform`], each thing durably, in one step, never through a link, and not
//! at all if it is so already: what was cut off is finished by applying it again.
//!
//! Where a configuration is: [`source`] has the places that need no network, [`network_source`] those that do.
//!
//! It tells no running system of what it changed, and touches no disk but those that a plan names and nobody uses.

mod accounts;
pub mod command_line;
mod commands;
mod contents;
mod disks;
pub mod fetch;
mod findings;
pub mod given;
pub mod http;
mod includes;
pub mod metadata;
#[cfg(test)]
mod mock_server;
pub mod network_source;
mod operation;
pub mod patience;
pub mod platform;
mod prepare;
pub mod result_file;
mod root;
mod run;
pub mod source;
mod units;
pub mod waiting;
mod work;

pub use accounts::AccountsError;
pub use disks::Devices;
pub use operation::{Manner, OperationFailed};
pub use prepare::{NotPrepared, prepare};
pub use root::{Kind, Owner, PathProblem, Root, Seen};
pub use run::{Afterwards, Found, Network, Place, run, run_over};
pub use work::Work;
