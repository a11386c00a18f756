//! Engines, agents and a store in one process, in simulated time.
//!
//! Nothing here starts a program or waits for a real clock.

mod agent;
mod cases;
mod ground;
mod model;
mod trial;
mod watchdog;
mod world;
