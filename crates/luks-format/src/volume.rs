//! A volume: its header made with a slot per passphrase, and its key found again by one of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pbkdf2::pbkdf2_hmac;
use serde_json::{Map, Value, json};
use sha2::Sha256;
use uuid::Uuid;

use crate::anti_forensic::{self, STRIPES};
use crate::binary_header::{self, HEADER_BYTES};
use crate::cipher::{self, CIPHER_KEY_BYTES};

/// Length of a volume's key: AES-256 in XTS mode.
pub const KEY_BYTES: usize = 64;
/// Where the encrypted contents begin, as cryptsetup has it.
pub const PAYLOAD_OFFSET_BYTES: u64 = 16 << 20;
/// What cryptsetup's own cipher name is.
const ENCRYPTION: &str = "aes-xts-plain64";
/// The least that LUKS2 has. Passphrases are 256 random bits here: no number of rounds makes them harder to guess.
const ROUNDS: u32 = 1000;
const SLOTS_START: usize = 2 * HEADER_BYTES;
const STRIPES_BYTES: usize = KEY_BYTES * STRIPES;
/// An area ends at a block.
const AREA_BYTES: usize = STRIPES_BYTES.next_multiple_of(4096);
const SALT_BYTES: usize = 32;

/// The key of a volume.
#[derive(Clone, PartialEq, Eq)]
pub struct VolumeKey(pub [u8; KEY_BYTES]);

/// It is in no log.
impl std::fmt::Debug for VolumeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VolumeKey(…)")
    }
}

/// Something in the header that tells how to come by a slot's passphrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Whose it is.
    pub kind: String,
    /// Which slot's passphrase it is about.
    pub slot: usize,
    /// Names and bytes.
    pub fields: Vec<(String, Vec<u8>)>,
}

impl Token {
    /// The bytes of a field.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        let (_, bytes) = self.fields.iter().find(|(one, _)| one == name)?;
        Some(bytes)
    }
}

/// Why there is no volume.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LuksError {
    /// Neither copy of the header is whole.
    #[error("both copies of the LUKS2 header are damaged")]
    NoHeader,
    /// It has what is not made here.
    #[error("the LUKS2 header has {0}, which Keelson does not make")]
    Unknown(String),
    /// No slot opens.
    #[error("the passphrase opens no slot of the volume")]
    NoSlot,
    /// Too much for the header.
    #[error("the token does not fit into the LUKS2 header")]
    TooLong,
}

/// What a volume is made of.
#[derive(Debug, Clone)]
pub struct NewVolume {
    /// What tells it from all others.
    pub uuid: Uuid,
    /// Its key.
    pub key: VolumeKey,
    /// One slot each, long and random.
    pub passphrases: Vec<Vec<u8>>,
    /// How to come by one of them.
    pub token: Token,
}

impl NewVolume {
    /// All bytes from the device's start to behind the last slot; the rest up to the payload is not used.
    ///
    /// # Errors
    /// If the token is too long.
    pub fn to_bytes(&self, random: &mut dyn FnMut(&mut [u8])) -> Result<Vec<u8>, LuksError> {
        let mut areas = Vec::new();
        let mut slots = Map::new();
        for (index, passphrase) in self.passphrases.iter().enumerate() {
            let salt: [u8; SALT_BYTES] = drawn(random);
            let mut area = anti_forensic::split(&self.key.0, random);
            cipher::encrypt(&mut area, &derived(passphrase, &salt, ROUNDS));
            area.resize(AREA_BYTES, 0);
            areas.extend(area);
            slots.insert(index.to_string(), slot(index, &salt));
        }
        let digest_salt: [u8; SALT_BYTES] = drawn(random);
        let names: Vec<String> = slots.keys().cloned().collect();
        let json = json!({
            "keyslots": slots,
            "tokens": { "0": self.token() },
            "segments": { "0": {
                "type": "crypt", "offset": PAYLOAD_OFFSET_BYTES.to_string(), "size": "dynamic",
                "iv_tweak": "0", "encryption": ENCRYPTION, "sector_size": 512,
            }},
            "digests": { "0": {
                "type": "pbkdf2", "keyslots": names, "segments": ["0"], "hash": "sha256",
                "iterations": ROUNDS, "salt": STANDARD.encode(digest_salt),
                "digest": STANDARD.encode(digest(&self.key.0, &digest_salt, ROUNDS)),
            }},
            "config": {
                "json_size": binary_header::JSON_BYTES.to_string(),
                "keyslots_size": (PAYLOAD_OFFSET_BYTES - SLOTS_START as u64).to_string(),
            },
        });
        let salts = [drawn(random), drawn(random)];
        let header = binary_header::encode(&json.to_string(), self.uuid, salts);
        let mut bytes = header.ok_or(LuksError::TooLong)?;
        bytes.extend(areas);
        Ok(bytes)
    }

    fn token(&self) -> Value {
        let token = &self.token;
        let mut value = json!({ "type": token.kind, "keyslots": [token.slot.to_string()] });
        for (name, bytes) in &token.fields {
            value[name] = json!(STANDARD.encode(bytes));
        }
        value
    }
}

fn slot(index: usize, salt: &[u8]) -> Value {
    json!({
        "type": "luks2", "key_size": KEY_BYTES,
        "af": { "type": "luks1", "stripes": STRIPES, "hash": "sha256" },
        "area": {
            "type": "raw", "offset": (SLOTS_START + index * AREA_BYTES).to_string(),
            "size": AREA_BYTES.to_string(), "encryption": ENCRYPTION, "key_size": CIPHER_KEY_BYTES,
        },
        "kdf": {
            "type": "pbkdf2", "hash": "sha256", "iterations": ROUNDS, "salt": STANDARD.encode(salt),
        },
    })
}

fn drawn<const N: usize>(random: &mut dyn FnMut(&mut [u8])) -> [u8; N] {
    let mut bytes = [0; N];
    random(&mut bytes);
    bytes
}

fn derived(passphrase: &[u8], salt: &[u8], rounds: u32) -> [u8; CIPHER_KEY_BYTES] {
    let mut key = [0; CIPHER_KEY_BYTES];
    pbkdf2_hmac::<Sha256>(passphrase, salt, rounds, &mut key);
    key
}

fn digest(key: &[u8], salt: &[u8], rounds: u32) -> [u8; 32] {
    let mut digest = [0; 32];
    pbkdf2_hmac::<Sha256>(key, salt, rounds, &mut digest);
    digest
}

/// A volume that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume<'a> {
    bytes: &'a [u8],
    json: Value,
}

impl<'a> Volume<'a> {
    /// From a device's first bytes, with all of its slots.
    ///
    /// # Errors
    /// If there is no header such as is made here.
    pub fn read(bytes: &'a [u8]) -> Result<Self, LuksError> {
        let json = binary_header::decode(bytes).ok_or(LuksError::NoHeader)?;
        let json: Value = serde_json::from_str(json).map_err(|_| LuksError::NoHeader)?;
        let volume = Self { bytes, json };
        let offset = PAYLOAD_OFFSET_BYTES.to_string();
        for (pointer, expected) in [
            ("/segments/0/type", "crypt"),
            ("/segments/0/encryption", ENCRYPTION),
            ("/segments/0/offset", &offset),
            ("/digests/0/type", "pbkdf2"),
            ("/digests/0/hash", "sha256"),
        ] {
            let found = volume.json.pointer(pointer).and_then(Value::as_str);
            if found != Some(expected) {
                let found = found.unwrap_or("nothing");
                return Err(LuksError::Unknown(format!("{found} at {pointer}")));
            }
        }
        Ok(volume)
    }

    /// The token of a kind.
    pub fn token(&self, kind: &str) -> Option<Token> {
        let tokens = self.json.get("tokens")?.as_object()?;
        let token = tokens
            .values()
            .find(|token| token["type"].as_str() == Some(kind))?;
        let mut fields = Vec::new();
        for (name, value) in token.as_object()? {
            if let (false, Some(text)) = (name == "type", value.as_str()) {
                fields.push((name.clone(), STANDARD.decode(text).ok()?));
            }
        }
        Some(Token {
            kind: kind.to_owned(),
            slot: token["keyslots"][0].as_str()?.parse().ok()?,
            fields,
        })
    }

    /// The key, by the passphrase of any slot.
    ///
    /// # Errors
    /// If it opens none.
    pub fn open(&self, passphrase: &[u8]) -> Result<VolumeKey, LuksError> {
        let slots = self.json.get("keyslots").and_then(Value::as_object);
        let mut slots = slots.into_iter().flat_map(Map::values);
        slots
            .find_map(|slot| self.open_slot(slot, passphrase))
            .ok_or(LuksError::NoSlot)
    }

    fn open_slot(&self, slot: &Value, passphrase: &[u8]) -> Option<VolumeKey> {
        let is = |pointer: &str, expected: &Value| slot.pointer(pointer) == Some(expected);
        let is_known = is("/key_size", &json!(KEY_BYTES))
            && is("/af/stripes", &json!(STRIPES))
            && is("/af/hash", &json!("sha256"))
            && is("/area/encryption", &json!(ENCRYPTION))
            && is("/area/key_size", &json!(CIPHER_KEY_BYTES))
            && is("/kdf/type", &json!("pbkdf2"))
            && is("/kdf/hash", &json!("sha256"));
        if !is_known {
            return None;
        }
        let offset: usize = slot.pointer("/area/offset")?.as_str()?.parse().ok()?;
        let end = offset.checked_add(STRIPES_BYTES)?;
        let mut area = self.bytes.get(offset..end)?.to_vec();
        let (salt, rounds) = salted(slot.get("kdf")?)?;
        cipher::decrypt(&mut area, &derived(passphrase, &salt, rounds));
        let key = anti_forensic::merge(&area);
        let known = self.json.pointer("/digests/0")?;
        let (salt, rounds) = salted(known)?;
        let expected = STANDARD.decode(known["digest"].as_str()?).ok()?;
        let is_it = digest(&key, &salt, rounds)[..] == expected[..];
        is_it.then(|| key.try_into().ok().map(VolumeKey)).flatten()
    }
}

/// Salt and rounds.
fn salted(value: &Value) -> Option<(Vec<u8>, u32)> {
    let salt = STANDARD.decode(value["salt"].as_str()?).ok()?;
    let rounds = value["iterations"].as_u64()?;
    Some((salt, u32::try_from(rounds).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::Command;

    /// Not random, and never the same.
    fn counter() -> impl FnMut(&mut [u8]) {
        let mut next = 0_u64;
        move |bytes: &mut [u8]| {
            for byte in bytes {
                next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = next.to_be_bytes()[0];
            }
        }
    }

    fn volume() -> NewVolume {
        NewVolume {
            uuid: Uuid::from_u128(42),
            key: VolumeKey([9; KEY_BYTES]),
            passphrases: vec![b"sealed".to_vec(), b"recovery".to_vec()],
            token: Token {
                kind: "keelson-tpm2".to_owned(),
                slot: 0,
                fields: vec![("private".to_owned(), vec![1, 2, 255])],
            },
        }
    }

    #[test]
    fn every_passphrase_opens_it_and_no_other() {
        let bytes = volume().to_bytes(&mut counter()).unwrap();
        let found = Volume::read(&bytes).unwrap();
        assert_eq!(found.token("keelson-tpm2"), Some(volume().token));
        assert_eq!(found.token("systemd-tpm2"), None);
        for passphrase in ["sealed", "recovery"] {
            assert_eq!(found.open(passphrase.as_bytes()), Ok(volume().key));
        }
        assert_eq!(found.open(b"guessed"), Err(LuksError::NoSlot));
        assert_eq!(Volume::read(&bytes[..4096]), Err(LuksError::NoHeader));
    }

    #[test]
    fn a_token_that_has_no_room_is_refused() {
        let mut volume = volume();
        volume.token.fields[0].1 = vec![0; HEADER_BYTES];
        let made = volume.to_bytes(&mut counter());
        assert_eq!(made, Err(LuksError::TooLong));
    }

    /// The reference opens what is made here, and says that nothing is wrong with it.
    #[test]
    fn cryptsetup_opens_it() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let bytes = volume().to_bytes(&mut counter()).unwrap();
        file.write_all(&bytes).unwrap();
        file.as_file()
            .set_len(PAYLOAD_OFFSET_BYTES + (1 << 20))
            .unwrap();
        let path = file.path().to_str().unwrap();
        let mut key = tempfile::NamedTempFile::new().unwrap();
        let mut opens = |passphrase: &str| {
            key.as_file().set_len(0).unwrap();
            std::io::Seek::rewind(key.as_file_mut()).unwrap();
            key.write_all(passphrase.as_bytes()).unwrap();
            let output = Command::new("/usr/sbin/cryptsetup")
                .args(["open", "--test-passphrase", "--key-file"])
                .arg(key.path())
                .arg(path)
                .output()
                .unwrap();
            (
                output.status.code(),
                String::from_utf8_lossy(&output.stderr).into_owned(),
            )
        };
        for passphrase in ["sealed", "recovery"] {
            assert_eq!(opens(passphrase), (Some(0), String::new()));
        }
        assert_eq!(opens("guessed").0, Some(2));
        let dump = Command::new("/usr/sbin/cryptsetup")
            .args(["luksDump", path])
            .output();
        let dump = dump.unwrap();
        let text = String::from_utf8_lossy(&dump.stdout);
        assert!(dump.status.success() && dump.stderr.is_empty(), "{dump:?}");
        assert!(
            text.contains("00000000-0000-0000-0000-00000000002a"),
            "{text}"
        );
        assert!(text.contains("0: keelson-tpm2"), "{text}");
    }
}
