//! Where units go, seen from outside: views go in, decisions and reasons come out.
//!
//! Nothing here starts a server or reads a clock.

mod cases;
mod fixture;
mod model;
mod options;
mod scale;
mod simulation;
