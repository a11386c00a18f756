//! fleetctl as a user runs it, against a server that is told what to answer.
//!
//! What fleetd does with what it is asked is not seen here.

mod beyond;
mod commands;
mod fake;
mod lists;
mod top;
