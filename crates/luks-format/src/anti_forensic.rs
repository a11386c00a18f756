//! LUKS' splitter: a key as many stripes, of which all are needed, so that overwriting any of them destroys it.

use sha2::{Digest as _, Sha256};

/// How many stripes a key becomes.
pub(crate) const STRIPES: usize = 4000;

/// The stripes of a key; `random` fills all but the last.
pub(crate) fn split(key: &[u8], random: &mut dyn FnMut(&mut [u8])) -> Vec<u8> {
    let mut stripes = vec![0; key.len() * (STRIPES - 1)];
    random(&mut stripes);
    let last = folded(&stripes, key.len());
    stripes.extend(last.iter().zip(key).map(|(one, other)| one ^ other));
    stripes
}

/// The key of all stripes.
pub(crate) fn merge(stripes: &[u8]) -> Vec<u8> {
    let length = stripes.len() / STRIPES;
    let (first, last) = stripes.split_at(stripes.len() - length);
    let folded = folded(first, length);
    folded.iter().zip(last).map(|(a, b)| a ^ b).collect()
}

fn folded(stripes: &[u8], length: usize) -> Vec<u8> {
    let mut folded = vec![0; length];
    for stripe in stripes.chunks_exact(length) {
        for (byte, other) in folded.iter_mut().zip(stripe) {
            *byte ^= other;
        }
        diffuse(&mut folded);
    }
    folded
}

/// Every block becomes the hash of its number and itself.
fn diffuse(bytes: &mut [u8]) {
    for (number, block) in (0_u32..).zip(bytes.chunks_mut(32)) {
        let mut hash = Sha256::new();
        hash.update(number.to_be_bytes());
        hash.update(&*block);
        for (byte, new) in block.iter_mut().zip(hash.finalize()) {
            *byte = new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_of_all_its_stripes_only() {
        let key: Vec<u8> = (0..64).collect();
        let mut stripes = split(&key, &mut |bytes| bytes.fill(7));
        assert_eq!(stripes.len(), 64 * STRIPES);
        assert_eq!(merge(&stripes), key);
        stripes[64 * 1000] ^= 1;
        assert_ne!(merge(&stripes), key);
    }
}
