//! The work of each command: gather, print, and the exit code.
//!
//! What is gathered and how it is judged stands in the modules of `main.rs`.

pub(crate) mod choices;
pub(crate) mod completions;
pub(crate) mod health;
pub(crate) mod history;
pub(crate) mod lock;
pub(crate) mod reset;
pub(crate) mod rollback;
pub(crate) mod status;
pub(crate) mod update;
pub(crate) mod why;
