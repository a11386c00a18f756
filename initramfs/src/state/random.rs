//! Random identifiers and keys from the kernel.
//!
//! Identifiers are no secrets, and unique also on two machines booted from one image.
use std::fmt::Write as _;

use rustix::rand::{GetRandomFlags, getrandom};
use uuid::{Builder, Uuid};

use crate::report::error::{ActionFailed, Context};

/// A random (version 4) UUID. Waits until the kernel's generator is seeded.
pub(crate) fn uuid() -> Result<Uuid, ActionFailed> {
    let mut bytes = [0; 16];
    fill(&mut bytes)?;
    Ok(Builder::from_random_bytes(bytes).into_uuid())
}

/// Fills with random bytes, as above.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), ActionFailed> {
    // Requests of up to 256 bytes are never cut short.
    for part in bytes.chunks_mut(256) {
        getrandom(part, GetRandomFlags::empty()).context(|| "draw a random number".to_owned())?;
    }
    Ok(())
}

/// 256 random bits as 64 digits, which nobody has to type often.
pub(crate) fn hexadecimal() -> Result<String, ActionFailed> {
    let mut bytes = [0; 32];
    fill(&mut bytes)?;
    Ok(as_hexadecimal(&bytes))
}

/// Two digits a byte.
pub(crate) fn as_hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
