//! The fleet's engine: of all engines one leads, and writes which machine shall have which unit.
//!
//! [`Engine::run`] follows the leader, or leads. Who leads has a [`Mirror`] of the store, kept by one watch;
//! when something changed it asks [`fleet_model::schedule()`], makes steps of the decisions and writes
//! them as transactions. Each has the condition that the leader's key was not put again since: whoever
//! led before cannot write any more, and neither can a transaction of its own that got lost and turns
//! up late.
//!
//! A round of decisions is over when all its transactions are answered and their changes were seen.
//! Only then the next one begins, so every decision rests on the store as it was at one revision.
//!
//! It starts no unit and talks to no systemd: that is the agents' affair. It answers no client.

mod batch;
mod complaint;
mod election;
mod engine;
mod leader;
mod mirror;
mod plan;
mod status;
pub mod trial;

pub use engine::{Config, Engine};
pub use mirror::Mirror;
pub use status::{Role, Status};
