//! The whole agent with a simulated systemd, a store in memory and a simulated clock.
//!
//! What it says to a real systemd is tested with machines in namespaces.

mod fixture;
mod life;
mod loss;
mod partition;
mod random;
mod registration;
mod restart;
