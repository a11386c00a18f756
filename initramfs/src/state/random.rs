//! Random identifiers from the kernel.
//!
//! Nothing here is a secret; they need to be unique, also on two machines booted from one image.
use rustix::rand::{GetRandomFlags, getrandom};
use uuid::{Builder, Uuid};

use crate::report::error::{ActionFailed, Context};

/// A random (version 4) UUID. Waits until the kernel's generator is seeded.
pub(crate) fn uuid() -> Result<Uuid, ActionFailed> {
    let mut bytes = [0; 16];
    // Requests of up to 256 bytes are never cut short.
    getrandom(&mut bytes, GetRandomFlags::empty()).context(|| "draw a random number".to_owned())?;
    Ok(Builder::from_random_bytes(bytes).into_uuid())
}
