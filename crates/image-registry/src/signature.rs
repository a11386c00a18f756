//! Signatures as cosign makes them with a key: found beside the image, verified with the public key.
//!
//! cosign keeps the signatures of `sha256:HEX` in the same repository as an artifact with the tag
//! `sha256-HEX.sig`. Each of its layers is a payload in JSON ("simple signing"), with the signature in the
//! annotation `dev.cosignproject.cosign/signature`. One of them is enough if all of this holds:
//!
//! * the payload's bytes have the layer's digest, and the signature is the key's: ECDSA on P-256 with SHA-256;
//! * `critical.type` is `cosign container image signature`;
//! * `critical.image.docker-manifest-digest` is the digest of what the image's name leads to: of the index, if
//!   there is one for several platforms;
//! * `critical.identity.docker-reference` is the image's registry and repository, without a tag.
//!
//! No certificate, transparency log, time stamp or attestation is looked at: who has the key, signs.

use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use container_model::ImageReference;
use container_model::digest::Digest;
use container_model::oci_spec::image::{Descriptor, ImageManifest};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::{RegistryError, Remote};

const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ANNOTATION: &str = "dev.cosignproject.cosign/signature";
const KIND: &str = "cosign container image signature";
/// Payloads have a few hundred bytes.
const PAYLOAD_MAX: u64 = 64 * 1024;
/// More signatures of one image are not looked at.
const SIGNATURES_MAX: usize = 64;

/// A public key.
#[derive(Debug, Clone)]
pub struct Key {
    path: PathBuf,
    parsed: ParsedPublicKey,
    fingerprint: Digest,
}

/// Why an image counts as not signed.
#[derive(Debug, Error)]
pub enum SignatureError {
    /// A key that cannot be used.
    #[error("{}: {reason}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is none.
    #[error("{0} has no signature: sign it with `cosign sign --key`")]
    Missing(
        /// The repository, with the digest.
        String,
    ),
    /// None of them is good.
    #[error("no signature of {image} is good: {}", reasons.join("; "))]
    Wrong {
        /// The repository, with the digest.
        image: String,
        /// One for each signature.
        reasons: Vec<String>,
    },
    /// They cannot be fetched.
    #[error("the signatures cannot be fetched: {0}")]
    Registry(
        /// Why.
        #[from]
        RegistryError,
    ),
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    r#type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Identity {
    docker_reference: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: String,
}

impl Key {
    /// Reads a key from a file that begins with `-----BEGIN PUBLIC KEY-----`.
    pub fn read(path: &Path) -> Result<Self, SignatureError> {
        let text = std::fs::read(path).map_err(|error| error.to_string());
        let key = text.and_then(|text| Self::parse(path, &text));
        key.map_err(|reason| SignatureError::Key {
            path: path.to_path_buf(),
            reason,
        })
    }

    fn parse(path: &Path, text: &[u8]) -> Result<Self, String> {
        let key = SubjectPublicKeyInfoDer::from_pem_slice(text)
            .map_err(|error| format!("it is no public key in PEM: {error}"))?;
        let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.as_ref());
        Ok(Self {
            path: path.to_path_buf(),
            parsed: parsed.map_err(|_| "it is no key for ECDSA on the curve P-256".to_owned())?,
            fingerprint: digest(key.as_ref()),
        })
    }

    /// Of the key in DER. It says which key it was when the file has another one.
    pub fn fingerprint(&self) -> &Digest {
        &self.fingerprint
    }

    /// Whether bytes were signed with it.
    fn has_signed(&self, payload: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(payload, signature).is_ok()
    }
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_sha256(&Sha256::digest(bytes).into())
}

/// Finds out whether the image that a name leads to, `digest`, was signed with a key.
pub async fn verify(
    remote: &Remote,
    image: &ImageReference,
    digest: &Digest,
    key: &Key,
) -> Result<(), SignatureError> {
    let named = format!("{}/{}@{digest}", image.registry(), image.repository());
    let tag = format!("sha256-{}.sig", digest.hex());
    let manifest = match remote.manifest(&tag).await {
        Ok(manifest) => manifest,
        Err(error) if is_missing(&error) => return Err(SignatureError::Missing(named)),
        Err(error) => return Err(error.into()),
    };
    let read: Result<ImageManifest, _> = serde_json::from_slice(&manifest.bytes);
    let read = read.map_err(|error| {
        RegistryError::nonsense(
            &manifest.host,
            format!("{tag}, which is no manifest: {error}"),
        )
    })?;
    let mut reasons = Vec::new();
    for layer in read.layers().iter().take(SIGNATURES_MAX) {
        if layer.media_type().to_string() != MEDIA_TYPE {
            continue;
        }
        match check(remote, layer, image, digest, key).await? {
            Ok(()) => return Ok(()),
            Err(reason) => reasons.push(reason),
        }
    }
    if reasons.is_empty() {
        return Err(SignatureError::Missing(named));
    }
    reasons.dedup();
    Err(SignatureError::Wrong {
        image: named,
        reasons,
    })
}

/// The registry itself has none, whatever mirrors say.
fn is_missing(error: &RegistryError) -> bool {
    match error {
        RegistryError::NotFound { .. } => true,
        RegistryError::Everywhere(errors) => errors.last().is_some_and(is_missing),
        _ => false,
    }
}

/// One signature: why it is not good, or what kept it from being fetched.
async fn check(
    remote: &Remote,
    layer: &Descriptor,
    image: &ImageReference,
    digest: &Digest,
    key: &Key,
) -> Result<Result<(), String>, RegistryError> {
    let annotations = layer.annotations().as_ref();
    let text = annotations.and_then(|all| all.get(ANNOTATION));
    let Some(signature) = text.and_then(|text| STANDARD.decode(text.trim()).ok()) else {
        return Ok(Err(format!("the annotation {ANNOTATION} is no base64")));
    };
    let Ok(named) = layer.digest().to_string().parse::<Digest>() else {
        return Ok(Err("its payload has no SHA-256 digest".to_owned()));
    };
    if layer.size() > PAYLOAD_MAX {
        return Ok(Err("its payload is too long".to_owned()));
    }
    let mut transfer = remote.transfer(&named, layer.size(), 0);
    let mut payload = Vec::new();
    while let Some(bytes) = transfer.next().await? {
        payload.extend_from_slice(&bytes);
    }
    Ok(judge(&payload, &signature, image, digest, key))
}

/// Nothing of the payload is read before the signature is known to be the key's.
fn judge(
    payload: &[u8],
    signature: &[u8],
    image: &ImageReference,
    digest: &Digest,
    key: &Key,
) -> Result<(), String> {
    if !key.has_signed(payload, signature) {
        return Err(format!("it is not by {}", key.path.display()));
    }
    let payload: Payload = serde_json::from_slice(payload)
        .map_err(|error| format!("its payload is not what cosign signs: {error}"))?;
    let Critical {
        identity,
        image: signed,
        r#type: kind,
    } = payload.critical;
    if kind != KIND {
        return Err(format!("it is a `{kind}` and no `{KIND}`"));
    }
    if signed.docker_manifest_digest != digest.as_str() {
        let other = signed.docker_manifest_digest;
        return Err(format!("it is for {other}"));
    }
    let own = format!("{}/{}", image.registry(), image.repository());
    let reference = identity.docker_reference;
    // Docker Hub has two names; the parser makes them one, and would add a tag.
    let parsed = reference.parse::<ImageReference>().ok();
    let is_same = parsed.is_some_and(|read| {
        read.registry() == image.registry() && read.repository() == image.repository()
    });
    if !is_same || !(reference == own || own.ends_with(last_part(&reference))) {
        return Err(format!("it is for the repository `{reference}`"));
    }
    Ok(())
}

/// From the last slash on: it has a colon if there is a tag.
fn last_part(reference: &str) -> &str {
    reference
        .rfind('/')
        .map_or(reference, |at| &reference[at..])
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

    use super::*;

    fn pair() -> (EcdsaKeyPair, Key) {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let point = pair.public_key().as_ref();
        let key = Key {
            path: "/team.pub".into(),
            parsed: ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).unwrap(),
            fingerprint: digest(point),
        };
        (pair, key)
    }

    fn payload(reference: &str, digest: &Digest, kind: &str) -> String {
        format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"{reference}"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"{kind}"}},"optional":null}}"#
        )
    }

    #[test]
    fn all_of_a_signature_counts() {
        let (pair, key) = pair();
        let (other, _) = self::pair();
        let image: ImageReference = "example.com:5000/team/app:1".parse().unwrap();
        let signed = digest(b"manifest");
        let judged = |pair: &EcdsaKeyPair, payload: &str| {
            let signature = pair.sign(&SystemRandom::new(), payload.as_bytes()).unwrap();
            judge(
                payload.as_bytes(),
                signature.as_ref(),
                &image,
                &signed,
                &key,
            )
        };
        let good = payload("example.com:5000/team/app", &signed, KIND);
        assert_eq!(judged(&pair, &good), Ok(()));
        let reason = judged(&other, &good).unwrap_err();
        assert_eq!(reason, "it is not by /team.pub");
        let cases = [
            (
                payload("example.com:5000/team/app", &digest(b"x"), KIND),
                "it is for sha256:",
            ),
            (
                payload("example.com:5000/team/app", &signed, "atomic"),
                "it is a `atomic`",
            ),
            (
                payload("example.com:5000/team/other", &signed, KIND),
                "the repository `example",
            ),
            (
                payload("example.com:5000/team/app:1", &signed, KIND),
                "the repository `example",
            ),
            (
                payload("example.com/team/app", &signed, KIND),
                "the repository `example",
            ),
            (payload("", &signed, KIND), "the repository ``"),
            ("{}".to_owned(), "not what cosign signs"),
        ];
        for (payload, expected) in cases {
            let reason = judged(&pair, &payload).unwrap_err();
            assert!(reason.contains(expected), "{payload}: {reason}");
        }
        assert!(judge(good.as_bytes(), b"", &image, &signed, &key).is_err());
    }

    #[test]
    fn docker_hub_has_two_names() {
        let (pair, key) = pair();
        let image: ImageReference = "busybox".parse().unwrap();
        let signed = digest(b"manifest");
        for (name, is_good) in [
            ("index.docker.io/library/busybox", true),
            ("docker.io/library/busybox", true),
            ("docker.io/library/busybox:latest", false),
        ] {
            let payload = payload(name, &signed, KIND);
            let signature = pair.sign(&SystemRandom::new(), payload.as_bytes()).unwrap();
            let judged = judge(
                payload.as_bytes(),
                signature.as_ref(),
                &image,
                &signed,
                &key,
            );
            assert_eq!(judged.is_ok(), is_good, "{name}: {judged:?}");
        }
    }

    #[test]
    fn keys_are_in_pem() {
        let path = Path::new("/team.pub");
        // As `openssl ecparam -name prime256v1 -genkey | openssl ec -pubout` writes it.
        let good = "-----BEGIN PUBLIC KEY-----\n\
            MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n\
            6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n\
            -----END PUBLIC KEY-----\n";
        let key = Key::parse(path, good.as_bytes()).unwrap();
        assert_eq!(key.fingerprint().as_str().len(), 71);
        assert!(Key::parse(path, b"key").unwrap_err().contains("PEM"));
        let rsa = good.replace(
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD",
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcE",
        );
        assert!(Key::parse(path, rsa.as_bytes()).is_err());
    }
}
