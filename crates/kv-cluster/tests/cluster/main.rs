//! Whole members in one process, on loopback: clusters of one, three and five.
//!
//! Nothing here looks inside a member; the network is cut by the seam that settings have for it.

mod harness;

mod alone;
mod encrypted;
mod faults;
mod leases;
mod members;
mod starts;
mod three;
