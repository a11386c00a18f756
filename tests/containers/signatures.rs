//! Signatures in cosign's form, made here: an image that is not signed by the policy's key is refused before its
//! layers are fetched.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::archive::{self, Parts};
use crate::fixture::Node;
use crate::pull::{fill, registry};
use crate::registry::Registry;

const POLICY: &str =
    "[[image]]\nprefix = \"127.0.0.1:5000/team\"\nsignature-key = \"/etc/keelson/team.pub\"\n";
const IMAGE: &str = "127.0.0.1:5000/team/app:1";
const KIND: &str = "application/vnd.oci.image.manifest.v1+json";

fn key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key")
}

fn public(key: &EcdsaKeyPair) -> String {
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().expect("a public key");
    let text = STANDARD.encode(der.as_ref());
    format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
}

/// Lays a signature beside an image, as `cosign sign --key` does.
fn sign(registry: &Registry, parts: &Parts, repository: &str, key: &EcdsaKeyPair) {
    let payload = json!({"critical": {
        "identity": {"docker-reference": format!("127.0.0.1:5000/{repository}")},
        "image": {"docker-manifest-digest": parts.digest},
        "type": "cosign container image signature",
    }, "optional": null});
    let payload = serde_json::to_vec(&payload).expect("JSON");
    let signature = key
        .sign(&SystemRandom::new(), &payload)
        .expect("a signature");
    let configuration = b"{\"architecture\":\"\",\"os\":\"\",\"config\":{},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": KIND,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": registry.blob("team/app", configuration), "size": configuration.len()},
        "layers": [{"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
            "digest": registry.blob("team/app", &payload), "size": payload.len(),
            "annotations": {"dev.cosignproject.cosign/signature": STANDARD.encode(signature.as_ref())}}],
    });
    let tag = format!("{}.sig", parts.digest.replace(':', "-"));
    let manifest = serde_json::to_vec(&manifest).expect("JSON");
    registry.manifest("team/app", &tag, KIND, &manifest);
}

#[test]
fn only_what_the_key_signed_is_pulled() {
    let (good, other) = (key(), key());
    let node = Node::boot(
        "s1",
        &[
            ("/etc/keelson/images.toml", POLICY),
            ("/etc/keelson/team.pub", &public(&good)),
        ],
    );
    let registry = registry(&node, 5000);
    let parts = archive::parts(0);
    fill(&registry, &parts);
    let layer = crate::registry::digest(&parts.blobs[1]);
    let refused = |reason: &str| {
        for words in [
            &["launch", "pull", IMAGE][..],
            &["launch", "run", "--network=none", IMAGE],
        ] {
            let (status, _, errors) = node.output(words);
            assert_eq!(status.code(), Some(125), "{errors}");
            let line = errors.lines().last().unwrap_or_default();
            assert!(
                line.contains("is refused: /etc/keelson/images.toml wants a signature"),
                "{errors}"
            );
            assert!(line.contains(reason), "{errors}");
        }
        assert_eq!(registry.count(&layer), 0, "a layer was fetched");
    };
    refused("has no signature: sign it with `cosign sign --key`");
    sign(&registry, &parts, "team/app", &other);
    refused("it is not by /etc/keelson/team.pub");
    sign(&registry, &parts, "team/other", &good);
    refused("it is for the repository `127.0.0.1:5000/team/other`");
    let another = Parts {
        blobs: Vec::new(),
        manifest: Vec::new(),
        digest: format!("sha256:{}", "0".repeat(64)),
    };
    sign(&registry, &another, "team/app", &good);
    refused("it is for the repository");
    sign(&registry, &parts, "team/app", &good);
    let (code, output, errors) = node.launch(&[], IMAGE, &[]);
    assert_eq!((code, output.as_str()), (Some(0), "ran\n"), "{errors}");

    // That it was signed is remembered: the next start asks nobody.
    let asked = registry.asked().len();
    let (code, output, errors) = node.launch(&[], IMAGE, &[]);
    assert_eq!((code, output.as_str()), (Some(0), "ran\n"), "{errors}");
    assert_eq!(registry.asked().len(), asked);

    // Of another key it was not found out: the registry is asked again.
    node.run(&[
        "sh",
        "-c",
        &format!("echo '{}' > /etc/keelson/team.pub", public(&other)),
    ]);
    let (code, _, errors) = node.launch(&[], IMAGE, &[]);
    assert_eq!(code, Some(125));
    assert!(
        errors.contains("it is not by /etc/keelson/team.pub"),
        "{errors}"
    );
    sign(&registry, &parts, "team/app", &other);
    let (code, output, errors) = node.launch(&[], IMAGE, &[]);
    assert_eq!((code, output.as_str()), (Some(0), "ran\n"), "{errors}");
}
