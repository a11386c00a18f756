//! The verified, read-only root: opened, used for its tools, entered.
//!
//! Writable folders are mounted into it by `state`.
pub(crate) mod device_mapper;
pub(crate) mod switch;
pub(crate) mod tools;
pub(crate) mod verity_root;
