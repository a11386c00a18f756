//! One key that signs metadata: Ed25519, in a file of its own.
//!
//! Does not know which roles it signs for.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use olpc_cjson::CanonicalFormatter;
use serde::Serialize;
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::key::Key;
use tough::schema::{Role, Signature, Signed};
use tough::sign::Sign as _;

use crate::error::{ReleaseError, Result};
use crate::pem;

/// A key with its public half as metadata has it.
#[derive(Debug)]
pub struct SigningKey {
    pair: Ed25519KeyPair,
    /// The public half.
    pub key: Key,
    /// Its id.
    pub id: Decoded<Hex>,
}

impl SigningKey {
    /// Makes a new key and writes it to a file that only its owner can read, and that must not exist.
    pub fn create(path: &Path) -> Result<Self> {
        let failed = |_| ReleaseError::metadata("cannot make a key", "the random generator failed");
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(failed)?;
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| {
                file.write_all(pem::encode(document.as_ref()).as_bytes())?;
                file.sync_all()
            });
        written.map_err(|e| ReleaseError::io("create", path, e))?;
        Self::load(path)
    }

    /// Reads a key.
    pub fn load(path: &Path) -> Result<Self> {
        let bad = |problem| ReleaseError::BadKey {
            path: path.into(),
            problem,
        };
        let text = String::from_utf8(crate::error::read(path)?);
        let text = text.map_err(|_| bad("it is no text"))?;
        let der = pem::decode(&text).ok_or_else(|| bad("it is no private key in PEM"))?;
        let pair = Ed25519KeyPair::from_pkcs8(&der).map_err(|_| bad("it is no Ed25519 key"))?;
        let key = pair.tuf_key();
        let id = key
            .key_id()
            .map_err(|e| ReleaseError::metadata("a key's id", e))?;
        Ok(Self { pair, key, id })
    }
}

/// The file of a role, signed by these keys: canonical JSON, so that the same role gives the same bytes.
pub fn sign<T: Role + Serialize>(role: T, keys: &[&SigningKey]) -> Result<Vec<u8>> {
    let failed = |e| ReleaseError::metadata(format!("cannot write {}", T::TYPE), e);
    let message = role.canonical_form().map_err(failed)?;
    let mut signatures: Vec<Signature> = keys
        .iter()
        .map(|key| Signature {
            keyid: key.id.clone(),
            sig: key.pair.sign(&message).as_ref().to_vec().into(),
        })
        .collect();
    signatures.sort_by(|a, b| a.keyid.cmp(&b.keyid));
    signatures.dedup_by(|a, b| a.keyid == b.keyid);
    let signed = Signed {
        signed: role,
        signatures,
    };
    let mut bytes = Vec::new();
    let mut to = serde_json::Serializer::with_formatter(&mut bytes, CanonicalFormatter::new());
    let written = signed.serialize(&mut to);
    written.map_err(|e| ReleaseError::metadata(format!("cannot write {}", T::TYPE), e))?;
    Ok(bytes)
}
