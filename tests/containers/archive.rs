//! Image archives made of busybox: as `docker save` wrote them, and as an OCI image layout.
//!
//! Everything is made anew for each test.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// On the machine that builds; statically linked.
const BUSYBOX: &str = "/bin/busybox";
const APPLETS: &[&str] = &[
    "sh", "cat", "echo", "id", "sleep", "env", "touch", "ls", "grep", "kill", "pwd", "hostname",
    "readlink", "mount", "stat", "chown", "tail", "head", "ps", "wc", "true", "mkdir", "wget",
    "nslookup", "ip", "test", "tty", "stty",
];
/// Binds the machine's programs may be seen through.
const LINKS: &[(&str, &str)] = &[("lib", "usr/lib"), ("lib64", "usr/lib64")];

/// A file that is in the image and cannot be run.
pub(crate) const NOT_EXECUTABLE: &str = "/etc/passwd";

fn hex(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// Files of a tar archive, in memory.
fn tar(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        append(&mut builder, path, 0o644, bytes);
    }
    builder.into_inner().expect("a tar archive in memory")
}

fn append(builder: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(bytes.len() as u64);
    builder
        .append_data(&mut header, path, bytes)
        .expect("written to memory");
}

fn append_owned(
    builder: &mut tar::Builder<Vec<u8>>,
    path: &str,
    (uid, gid): (u64, u64),
    bytes: &[u8],
) {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o640);
    header.set_uid(uid);
    header.set_gid(gid);
    header.set_size(bytes.len() as u64);
    builder
        .append_data(&mut header, path, bytes)
        .expect("written to memory");
}

fn append_link(builder: &mut tar::Builder<Vec<u8>>, path: &str, target: &str) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder
        .append_link(&mut header, path, target)
        .expect("written to memory");
}

fn append_folder(builder: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(mode);
    header.set_size(0);
    builder
        .append_data(&mut header, path, &[][..])
        .expect("written to memory");
}

/// Busybox and its names.
fn first_layer() -> Vec<u8> {
    let busybox = std::fs::read(BUSYBOX).expect("busybox-static is installed: see .ci/setup");
    let mut builder = tar::Builder::new(Vec::new());
    for (folder, mode) in [
        ("bin", 0o755),
        ("etc", 0o755),
        ("usr", 0o755),
        ("tmp", 0o1777),
        ("srv", 0o2775),
    ] {
        append_folder(&mut builder, folder, mode);
    }
    append(&mut builder, "bin/busybox", 0o755, &busybox);
    append_owned(&mut builder, "srv/page", (33, 34), b"of the image\n");
    for applet in APPLETS {
        append_link(&mut builder, &format!("bin/{applet}"), "busybox");
    }
    for (path, target) in LINKS {
        append_link(&mut builder, path, target);
    }
    builder.into_inner().expect("a tar archive in memory")
}

/// Users; it comes over the first, so that there are two.
fn second_layer() -> Vec<u8> {
    let passwd = b"root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n";
    let group = b"root:x:0:\nweb:x:34:\nextra:x:40:web\n";
    tar(&[
        ("etc/passwd", passwd.to_vec()),
        ("etc/group", group.to_vec()),
    ])
}

fn configuration(layers: &[Vec<u8>]) -> Vec<u8> {
    let differences: Vec<String> = layers
        .iter()
        .map(|bytes| format!("sha256:{}", hex(bytes)))
        .collect();
    let value = json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Cmd": ["sh", "-c", "echo ran"], "Env": ["PATH=/bin", "OF=image"], "ExposedPorts": {"7777/tcp": {}}},
        "rootfs": {"type": "layers", "diff_ids": differences},
    });
    serde_json::to_vec(&value).expect("JSON")
}

/// As `docker save` wrote it before it wrote OCI layouts, named `busybox:saved`.
pub(crate) fn docker_save(path: &Path) {
    let layers = [first_layer(), second_layer()];
    let manifest = json!([{
        "Config": "config.json", "RepoTags": ["busybox:saved"], "Layers": ["1/layer.tar", "2/layer.tar"],
    }]);
    let files = [
        ("config.json", configuration(&layers)),
        ("1/layer.tar", layers[0].clone()),
        ("2/layer.tar", layers[1].clone()),
        (
            "manifest.json",
            serde_json::to_vec(&manifest).expect("JSON"),
        ),
    ];
    std::fs::write(path, tar(&files)).expect("the archive is written");
}

/// An image as a registry has it.
pub(crate) struct Parts {
    /// Configuration and layers.
    pub(crate) blobs: Vec<Vec<u8>>,
    pub(crate) manifest: Vec<u8>,
    /// Of the manifest.
    pub(crate) digest: String,
}

/// Busybox, with a layer of noise that does not compress, of so many bytes.
pub(crate) fn parts(noise: usize) -> Parts {
    let mut layers = vec![first_layer(), second_layer()];
    if noise > 0 {
        let byte = |at: usize| (at * 7 + at / 251 + at / 65_537).to_le_bytes()[0];
        layers.push(tar(&[("srv/noise", (0..noise).map(byte).collect())]));
    }
    let configuration = configuration(&layers);
    let manifest = manifest(&configuration, &layers);
    Parts {
        digest: format!("sha256:{}", hex(&manifest)),
        manifest,
        blobs: std::iter::once(configuration).chain(layers).collect(),
    }
}

fn describe(kind: &str, bytes: &[u8]) -> Value {
    json!({
        "mediaType": format!("application/vnd.oci.image.{kind}"),
        "digest": format!("sha256:{}", hex(bytes)), "size": bytes.len(),
    })
}

fn manifest(configuration: &[u8], layers: &[Vec<u8>]) -> Vec<u8> {
    let layers: Vec<Value> = layers
        .iter()
        .map(|bytes| describe("layer.v1.tar", bytes))
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": describe("config.v1+json", configuration), "layers": layers,
    });
    serde_json::to_vec(&manifest).expect("JSON")
}

/// An OCI image layout, named `busybox:layout`; gives back the manifest's digest.
pub(crate) fn layout(path: &Path) -> String {
    let layers = [first_layer(), second_layer()];
    let configuration = configuration(&layers);
    let manifest = manifest(&configuration, &layers);
    let mut entry = describe("manifest.v1+json", &manifest);
    entry["annotations"] = json!({"io.containerd.image.name": "docker.io/library/busybox:layout"});
    let index =
        serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [entry]})).expect("JSON");
    let digest = hex(&manifest);
    let blobs: Vec<(String, Vec<u8>)> = layers
        .into_iter()
        .chain([configuration, manifest])
        .map(|bytes| (format!("blobs/sha256/{}", hex(&bytes)), bytes))
        .collect();
    let mut files: Vec<(&str, Vec<u8>)> = vec![
        ("oci-layout", b"{\"imageLayoutVersion\":\"1.0.0\"}".to_vec()),
        ("index.json", index),
    ];
    files.extend(
        blobs
            .iter()
            .map(|(path, bytes)| (path.as_str(), bytes.clone())),
    );
    std::fs::write(path, tar(&files)).expect("the archive is written");
    format!("sha256:{digest}")
}
