//! The tree's first 512 bytes, and the kernel's table line that follows from them.
//!
//! Does not trust them: the root hash must come from elsewhere.

use uuid::Uuid;

use super::root_hash::Hexadecimal;
use super::{BLOCK_LENGTH_BYTES, RootHash, VerityError};

const LENGTH: usize = 512;
const SIGNATURE: &[u8; 8] = b"verity\0\0";
const ALGORITHM: &[u8; 7] = b"sha256\0";
const SALT_OFFSET: usize = 88;
const SALT_LIMIT: usize = 256;

/// What the superblock of a tree says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// What tells this tree from every other.
    pub uuid: Uuid,
    /// How many blocks of 4096 bytes the data has.
    pub data_blocks: u64,
    /// What every block is hashed together with; at most 256 bytes.
    pub salt: Vec<u8>,
}

impl Superblock {
    /// # Errors
    /// If the salt is longer than 256 bytes.
    pub(super) fn check(&self) -> Result<(), VerityError> {
        if self.salt.len() > SALT_LIMIT {
            return Err(VerityError::SaltLength(self.salt.len()));
        }
        Ok(())
    }

    /// Reads the superblock from a tree's first 512 bytes or more.
    ///
    /// # Errors
    /// If there is none, or it describes a tree of another kind.
    pub fn parse(bytes: &[u8]) -> Result<Self, VerityError> {
        let bytes: &[u8; LENGTH] = bytes.first_chunk().ok_or(VerityError::NoSuperblock)?;
        if !bytes.starts_with(SIGNATURE) {
            return Err(VerityError::NoSuperblock);
        }
        check_parameters(bytes)?;
        let salt_length = u16::from_le_bytes([bytes[80], bytes[81]]);
        let salt = bytes[SALT_OFFSET..SALT_OFFSET + SALT_LIMIT]
            .get(..usize::from(salt_length))
            .ok_or(VerityError::SaltLength(salt_length.into()))?;
        let data_blocks = u64::from_le_bytes(std::array::from_fn(|index| bytes[72 + index]));
        if data_blocks == 0 || data_blocks.checked_mul(BLOCK_LENGTH_BYTES).is_none() {
            return Err(unsupported(
                "data_blocks",
                &data_blocks,
                "at least 1 and below 2^52",
            ));
        }
        let uuid = Uuid::from_bytes(std::array::from_fn(|index| bytes[16 + index]));
        Ok(Self {
            uuid,
            data_blocks,
            salt: salt.to_vec(),
        })
    }

    /// The superblock's bytes; a salt beyond 256 bytes is cut off.
    pub fn to_bytes(&self) -> [u8; LENGTH] {
        let salt = &self.salt[..self.salt.len().min(SALT_LIMIT)];
        let salt_length = u16::try_from(salt.len()).unwrap_or(u16::MAX);
        let mut bytes = [0; LENGTH];
        let mut put = |offset: usize, field: &[u8]| {
            bytes[offset..offset + field.len()].copy_from_slice(field);
        };
        put(0, SIGNATURE);
        put(8, &1u32.to_le_bytes()); // version of the superblock
        put(12, &1u32.to_le_bytes()); // hash type: the salt comes first
        put(16, self.uuid.as_bytes());
        put(32, ALGORITHM);
        put(64, &4096u32.to_le_bytes());
        put(68, &4096u32.to_le_bytes());
        put(72, &self.data_blocks.to_le_bytes());
        put(80, &salt_length.to_le_bytes());
        put(SALT_OFFSET, salt);
        bytes
    }
}

fn check_parameters(bytes: &[u8; LENGTH]) -> Result<(), VerityError> {
    for (field, offset, expected, text) in [
        ("version", 8, 1, "1"),
        ("hash type", 12, 1, "1"),
        ("data block size", 64, 4096, "4096"),
        ("hash block size", 68, 4096, "4096"),
    ] {
        let value = u32::from_le_bytes(std::array::from_fn(|index| bytes[offset + index]));
        if value != expected {
            return Err(unsupported(field, &value, text));
        }
    }
    if !bytes[32..64].starts_with(ALGORITHM) {
        let name = String::from_utf8_lossy(&bytes[32..64]);
        return Err(unsupported(
            "algorithm",
            name.trim_end_matches('\0'),
            "sha256",
        ));
    }
    Ok(())
}

fn unsupported(
    field: &'static str,
    value: &(impl ToString + ?Sized),
    expected: &'static str,
) -> VerityError {
    VerityError::Unsupported {
        field,
        value: value.to_string(),
        expected,
    }
}

/// The parameters of a `verity` target in the kernel's device mapper, as in the kernel's
/// `Documentation/admin-guide/device-mapper/verity.rst`.
///
/// Devices are paths or `MAJOR:MINOR`; `options` are optional parameters such as
/// `restart_on_corruption`, in order, and are counted here.
pub fn table_parameters(
    superblock: &Superblock,
    root_hash: &RootHash,
    data_device: &str,
    hash_device: &str,
    options: &[&str],
) -> String {
    let salt = Hexadecimal(&superblock.salt).to_string();
    let salt = if salt.is_empty() { "-" } else { &salt };
    let blocks = superblock.data_blocks;
    let required =
        format!("1 {data_device} {hash_device} 4096 4096 {blocks} 1 sha256 {root_hash} {salt}");
    let words: Vec<&str> = options
        .iter()
        .flat_map(|option| option.split_whitespace())
        .collect();
    if words.is_empty() {
        return required;
    }
    format!("{required} {} {}", words.len(), words.join(" "))
}
