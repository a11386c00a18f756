//! `verify`: fleet gave up signatures of units before 1.0, and kept the command to say so.

use crate::failure::Failure;

pub(crate) fn run() -> Result<u8, Failure> {
    Err(Failure::with_status(
        "WARNING: The signed/verified units feature is DEPRECATED and cannot be used.",
        2,
    ))
}
