//! LUKS2, as far as a volume of our own needs it: one key, slots for passphrases that are long and random, a token.
//!
//! Source: the LUKS2 On-Disk Format Specification 1.1.1. What is made here, cryptsetup opens. Of others' headers only such as
//! these are read: AES-XTS, PBKDF2 and SHA-256. It opens no device, knows no TPM, and draws no random numbers.

mod anti_forensic;
mod binary_header;
mod cipher;
mod volume;

pub use binary_header::{HEADER_BYTES, is_luks};
pub use volume::{KEY_BYTES, LuksError, NewVolume, PAYLOAD_OFFSET_BYTES, Token, Volume, VolumeKey};
