//! The two copies of the header: a block of fields, then JSON, with a checksum over both.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Length of one copy.
pub const HEADER_BYTES: usize = 16384;
/// Where the JSON begins in a copy.
const JSON_START: usize = 4096;
/// How much JSON has room, with its zero byte.
pub(crate) const JSON_BYTES: usize = HEADER_BYTES - JSON_START;
const CHECKSUM: std::ops::Range<usize> = 448..512;
const MAGICS: [&[u8; 6]; 2] = [b"LUKS\xba\xbe", b"SKUL\xba\xbe"];
const UUID_START: usize = 168;

/// Whether a device's first bytes say that it is an encrypted volume, of any version.
pub fn is_luks(head: &[u8]) -> bool {
    head.starts_with(MAGICS[0])
}

/// Both copies, one after the other; `None` if the JSON has no room.
pub(crate) fn encode(json: &str, uuid: Uuid, salts: [[u8; 64]; 2]) -> Option<Vec<u8>> {
    if json.len() >= JSON_BYTES {
        return None;
    }
    let mut copies = Vec::new();
    for (index, salt) in salts.into_iter().enumerate() {
        let mut copy = vec![0; HEADER_BYTES];
        let mut put = |start: usize, bytes: &[u8]| {
            copy[start..start + bytes.len()].copy_from_slice(bytes);
        };
        put(0, MAGICS[index]);
        put(6, &2_u16.to_be_bytes());
        put(8, &(HEADER_BYTES as u64).to_be_bytes());
        put(16, &1_u64.to_be_bytes());
        put(72, b"sha256");
        put(104, &salt);
        put(UUID_START, uuid.to_string().as_bytes());
        put(256, &((index * HEADER_BYTES) as u64).to_be_bytes());
        put(JSON_START, json.as_bytes());
        let checksum = checksum(&copy);
        copy[CHECKSUM.start..CHECKSUM.start + checksum.len()].copy_from_slice(&checksum);
        copies.extend(copy);
    }
    Some(copies)
}

/// The JSON of the first copy that is whole.
pub(crate) fn decode(copies: &[u8]) -> Option<&str> {
    let copies = copies.chunks_exact(HEADER_BYTES).take(2);
    copies.zip(MAGICS).find_map(|(copy, magic)| {
        let checksum = checksum(copy);
        let is_whole = copy.starts_with(magic)
            && copy[6..8] == 2_u16.to_be_bytes()
            && copy[CHECKSUM].starts_with(&checksum);
        let json = copy[JSON_START..].split(|byte| *byte == 0).next()?;
        is_whole.then(|| std::str::from_utf8(json).ok()).flatten()
    })
}

fn checksum(copy: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(&copy[..CHECKSUM.start]);
    hash.update([0; 64]);
    hash.update(&copy[CHECKSUM.end..]);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_copy_helps_where_the_first_is_damaged() {
        let salts = [[1; 64], [2; 64]];
        let mut copies = encode("{}", Uuid::from_u128(1), salts).unwrap();
        assert!(is_luks(&copies) && copies.len() == 2 * HEADER_BYTES);
        assert_eq!(decode(&copies), Some("{}"));
        copies[JSON_START] ^= 1;
        assert_eq!(decode(&copies), Some("{}"));
        copies[HEADER_BYTES + 200] ^= 1;
        assert_eq!(decode(&copies), None);
        assert_eq!(decode(&copies[..100]), None);
        assert!(encode(&"x".repeat(JSON_BYTES), Uuid::nil(), salts).is_none());
    }
}
