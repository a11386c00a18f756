//! Image archives made of busybox: as `docker save` wrote them, and as an OCI image layout.
//!
//! Everything is made anew for each test.

use std::fmt::Write as _;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::process::Command;

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

impl Parts {
    /// Has the last layer be another image's; the configuration still tells of the one that was there.
    pub(crate) fn replace_last_layer(&mut self, other: &Self) {
        let last = self.blobs.len() - 1;
        self.blobs[last].clone_from(&other.blobs[last]);
        self.manifest = manifest(&self.blobs[0], &self.blobs[1..], Packing::Gzip);
        self.digest = format!("sha256:{}", hex(&self.manifest));
    }
}

/// How layers are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// As tar archives.
    Plain,
    /// Compressed, as nearly all are.
    Gzip,
    /// As tar archives that are called compressed.
    CalledGzip,
    /// Compressed, and the second half of the last one is missing.
    HalfGzip,
}

impl Packing {
    fn kind(self) -> &'static str {
        match self {
            Self::Plain => "layer.v1.tar",
            Self::Gzip | Self::CalledGzip | Self::HalfGzip => "layer.v1.tar+gzip",
        }
    }

    fn pack(self, layers: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        if matches!(self, Self::Plain | Self::CalledGzip) {
            return layers;
        }
        let mut packed: Vec<Vec<u8>> = layers.iter().map(|layer| gzip(layer)).collect();
        if let (Self::HalfGzip, Some(last)) = (self, packed.last_mut()) {
            last.truncate(last.len() / 2);
        }
        packed
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut input = tempfile::tempfile().expect("a temporary file");
    input.write_all(bytes).expect("the file is written");
    input.rewind().expect("a file");
    let mut gzip = Command::new("gzip");
    let output = gzip.args(["--no-name", "--fast"]).stdin(input).output();
    output.expect("gzip runs").stdout
}

/// Busybox, with a layer of noise that hardly compresses, of so many bytes.
pub(crate) fn parts(noise: usize) -> Parts {
    packed(noise, Packing::Plain)
}

/// The noise, which is `/srv/noise` in the image.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let byte = |at: usize| (at * 7 + at / 251 + at / 65_537).to_le_bytes()[0];
    (0..length).map(byte).collect()
}

/// The same, packed in some way.
pub(crate) fn packed(noise: usize, packing: Packing) -> Parts {
    let mut layers = vec![first_layer(), second_layer()];
    if noise > 0 {
        layers.push(tar(&[("srv/noise", self::noise(noise))]));
    }
    let configuration = configuration(&layers);
    let layers = packing.pack(layers);
    let manifest = manifest(&configuration, &layers, packing);
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

fn manifest(configuration: &[u8], layers: &[Vec<u8>], packing: Packing) -> Vec<u8> {
    let layers: Vec<Value> = layers
        .iter()
        .map(|bytes| describe(packing.kind(), bytes))
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
    let manifest = manifest(&configuration, &layers, Packing::Plain);
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
