//! The cipher of a slot's area: AES-256 in XTS mode, sectors numbered from 0 (`aes-xts-plain64`).

use aes::Aes256;
use aes::cipher::KeyInit as _;
use xts_mode::{Xts128, get_tweak_default};

/// Length of its key: one half for the blocks, one for the tweaks.
pub(crate) const CIPHER_KEY_BYTES: usize = 64;
const SECTOR_BYTES: usize = 512;

/// Encrypts an area in place.
pub(crate) fn encrypt(area: &mut [u8], key: &[u8; CIPHER_KEY_BYTES]) {
    xts(key).encrypt_area(area, SECTOR_BYTES, 0, get_tweak_default);
}

/// Decrypts an area in place.
pub(crate) fn decrypt(area: &mut [u8], key: &[u8; CIPHER_KEY_BYTES]) {
    xts(key).decrypt_area(area, SECTOR_BYTES, 0, get_tweak_default);
}

fn xts(key: &[u8; CIPHER_KEY_BYTES]) -> Xts128<Aes256> {
    let half = |start: usize| {
        let mut half = [0; 32];
        half.copy_from_slice(&key[start..start + 32]);
        Aes256::new(&half.into())
    };
    Xts128::new(half(0), half(32))
}
