//! Debian's docker-registry, in the machine's network: what everybody else speaks, TLS of an authority of our
//! own, and logins.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::archive::{self, Parts};
use crate::fixture::Node;

/// `secret`, as htpasswd keeps it.
pub(crate) const PASSWORDS: &str =
    "me:$2b$05$YeZ8B2KmQ.8okpGF6KpvUOZG.klpuBg0JmFOU35FlnuGxILRiU4hK\n";
const HOSTS: &str = "127.0.0.1 localhost registry.test\n";

/// The registry; it ends with this.
pub(crate) struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

pub(crate) fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    let folder = path.parent().expect("a folder");
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(path, bytes).expect("the file is written");
}

/// Lays an image into the registry's folder as `team/app:1`, as if it had been pushed.
pub(crate) fn push(folder: &Path, parts: &Parts) {
    let root = folder.join("docker/registry/v2");
    let own = root.join("repositories/team/app");
    let blobs = parts.blobs.iter().chain([&parts.manifest]);
    for bytes in blobs {
        let digest = crate::registry::digest(bytes);
        let hex = digest.trim_start_matches("sha256:");
        write(
            &root.join(format!("blobs/sha256/{}/{hex}/data", &hex[..2])),
            bytes,
        );
        write(&own.join(format!("_layers/sha256/{hex}/link")), &digest);
    }
    let hex = parts.digest.trim_start_matches("sha256:");
    write(
        &own.join(format!("_manifests/revisions/sha256/{hex}/link")),
        &parts.digest,
    );
    write(&own.join("_manifests/tags/1/current/link"), &parts.digest);
    write(
        &own.join(format!("_manifests/tags/1/index/sha256/{hex}/link")),
        &parts.digest,
    );
}

pub(crate) fn serve(node: &Node, folder: &Path, more: &str) -> Server {
    let text = format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:5000\n{more}",
        folder.display()
    );
    let configuration = folder.join("config.yml");
    write(&configuration, text);
    let child = Command::new("nsenter")
        .arg(format!("--net=/proc/{}/ns/net", node.process_id()))
        .arg("docker-registry")
        .arg("serve")
        .arg(&configuration)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let server = Server(child.expect("docker-registry is installed: see .ci/setup"));
    let open = "for i in $(seq 200); do (echo > /dev/tcp/127.0.0.1/5000) 2>/dev/null && exit 0; sleep 0.1; done; exit 1";
    node.run(&["bash", "-c", open]);
    server
}

#[test]
fn debians_registry_is_understood() {
    let node = Node::boot("d1", &[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let parts = archive::parts(1 << 20);
    push(folder.path(), &parts);
    let _server = serve(&node, folder.path(), "");
    let name = "localhost:5000/team/app:1";
    let line = node.run(&["launch", "pull", name]);
    assert_eq!(line, format!("{name}\t{}\tnew\n", parts.digest));
    let (code, output, errors) = node.launch(&["--pull=never"], name, &[]);
    assert_eq!((code, output.as_str()), (Some(0), "ran\n"), "{errors}");
    let (status, _, errors) = node.output(&["launch", "pull", "localhost:5000/team/app:2"]);
    assert_eq!(status.code(), Some(125));
    assert!(
        errors.contains("localhost:5000 has no team/app:2"),
        "{errors}"
    );
}

/// An authority, and what it signed for `registry.test`.
fn certificates(folder: &Path) -> String {
    let key = KeyPair::generate().expect("a key");
    let mut own = CertificateParams::default();
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = own.self_signed(&key).expect("a certificate");
    let issuer = Issuer::new(own, key);
    let server_key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(vec!["registry.test".to_owned()]);
    let server = server.expect("a name").signed_by(&server_key, &issuer);
    write(
        &folder.join("server.pem"),
        server.expect("a certificate").pem(),
    );
    write(&folder.join("server.key"), server_key.serialize_pem());
    authority.pem()
}

#[test]
fn a_private_registry_wants_its_authority_and_a_login() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = certificates(folder.path());
    let node = Node::boot(
        "d2",
        &[
            ("/etc/hosts", HOSTS),
            ("/etc/keelson/registry.pem", &authority),
            ("/etc/keelson/registry.password", "secret\n"),
        ],
    );
    let parts = archive::parts(0);
    push(folder.path(), &parts);
    write(&folder.path().join("htpasswd"), PASSWORDS);
    let at = folder.path().display();
    let more = format!(
        "  tls:\n    certificate: {at}/server.pem\n    key: {at}/server.key\nauth:\n  htpasswd:\n    realm: test\n    path: {at}/htpasswd\n"
    );
    let _server = serve(&node, folder.path(), &more);
    let name = "registry.test:5000/team/app:1";
    let refused = |settings: &str, reason: &str| {
        let text = format!("[[registry]]\nname = \"registry.test:5000\"\n{settings}");
        let script = format!("cat > /etc/keelson/registries.toml <<'E'\n{text}\nE\n");
        node.run(&["sh", "-c", &script]);
        let (status, output, errors) = node.output(&["launch", "pull", name]);
        if reason.is_empty() {
            assert_eq!(
                output,
                format!("{name}\t{}\tnew\n", parts.digest),
                "{errors}"
            );
        } else {
            assert_eq!(status.code(), Some(125), "{errors}");
            assert!(errors.contains(reason), "{errors}");
        }
    };
    refused(
        "",
        "`ca-file` in /etc/keelson/registries.toml names an authority of your own",
    );
    let authority = "ca-file = \"/etc/keelson/registry.pem\"\n";
    refused(authority, "there is no login for it");
    let login = "user = \"me\"\npassword-file = \"/etc/keelson/registry.password\"\n";
    let other = "user = \"you\"\npassword-file = \"/etc/keelson/registry.password\"\n";
    refused(
        &format!("{authority}{other}"),
        "the login of you is not good enough",
    );
    refused(&format!("{authority}{login}"), "");

    // The same by Docker's file.
    node.run(&["launch", "rmi", name]);
    let logins = "echo '{\"auths\": {\"registry.test:5000\": {\"username\": \"me\", \"password\": \"secret\"}}}' > /etc/keelson/registry-auth.json";
    node.run(&["sh", "-c", logins]);
    refused(authority, "");
}
