//! Debian's docker-registry on this host's loopback, which a guest of QEMU reaches at 10.0.2.2, with two images.
//!
//! The images are laid into its folder as if they had been pushed, and made once. The small one is busybox; the large
//! one has 200 MB in four layers of many files that compress by about half, as programs do.

use anyhow::{Context as _, ensure};
use image_build::digest::Digest;
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::command;

/// On this host; linked statically.
const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 4] = ["sh", "sleep", "true", "kill"];
const LAYERS: u64 = 4;
const FILES_OF_LAYER: u64 = 500;
const FILE_BYTES: usize = 100_000;
/// What a guest of QEMU's user network has this host's loopback at.
const HOST: &str = "10.0.2.2";
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Whatever changes in the images: raise it.
const REVISION: u32 = 1;

/// A registry that serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Registry {
    child: Child,
    port: u16,
}

impl Registry {
    /// Starts one, with its images below `folder`.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        let root = images(folder)?;
        let port = free_port()?;
        let configuration = folder.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            root.display()
        );
        fs::write(&configuration, text)?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("docker-registry does not start: .ci/setup installs it")?;
        let registry = Self { child, port };
        registry.wait()?;
        Ok(registry)
    }

    /// As guests call it.
    pub(crate) fn name(&self) -> String {
        format!("{HOST}:{}", self.port)
    }

    fn wait(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            ensure!(
                begun.elapsed() < START_TIMEOUT,
                "docker-registry does not answer"
            );
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It has nothing to lose, and may be gone.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// The registry's folder, made once.
fn images(folder: &Path) -> anyhow::Result<PathBuf> {
    let root = folder.join(format!("registry-{REVISION}"));
    if root.exists() {
        return Ok(root);
    }
    eprintln!("bench: making an image of 200 MB");
    let part = tempfile::Builder::new()
        .prefix("registry-")
        .tempdir_in(folder)?;
    push(part.path(), "bench/small", &[small_layer()?])?;
    let large: anyhow::Result<Vec<Vec<u8>>> = (0..LAYERS).map(large_layer).collect();
    push(part.path(), "bench/large", &large?)?;
    fs::rename(part.keep(), &root)?;
    Ok(root)
}

/// busybox, with links to it.
fn small_layer() -> anyhow::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let program = fs::read(BUSYBOX).context("busybox-static is missing: .ci/setup installs it")?;
    append(&mut archive, "bin/busybox", 0o755, &program)?;
    for applet in APPLETS {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
    }
    Ok(archive.into_inner()?)
}

fn large_layer(number: u64) -> anyhow::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut noise = Noise(number + 1);
    for file in 0..FILES_OF_LAYER {
        let contents = noise.half(FILE_BYTES);
        let path = format!("data/{number}/{}/{file}", file % 20);
        append(&mut archive, &path, 0o644, &contents)?;
    }
    Ok(archive.into_inner()?)
}

fn append(
    archive: &mut tar::Builder<Vec<u8>>,
    path: &str,
    mode: u32,
    contents: &[u8],
) -> anyhow::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(contents.len() as u64);
    Ok(archive.append_data(&mut header, path, contents)?)
}

/// Marsaglia's xorshift: the same bytes at each run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Bytes of which each has half of the entropy that it could have.
    fn half(&mut self, length: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| (self.next() & 0x0f0f_0f0f_0f0f_0f0f).to_le_bytes());
        words.flatten().take(length).collect()
    }
}

/// Lays an image of these layers into a registry's folder, with the tag `1`.
fn push(folder: &Path, name: &str, layers: &[Vec<u8>]) -> anyhow::Result<()> {
    let root = folder.join("docker/registry/v2");
    let repository = root.join("repositories").join(name);
    let blob = |bytes: &[u8]| -> anyhow::Result<Digest> {
        let digest = Digest::of(bytes);
        let hex = digest.to_string();
        let data = root.join(format!("blobs/sha256/{}/{hex}/data", &hex[..2]));
        write(&data, bytes)?;
        let link = repository.join(format!("_layers/sha256/{hex}/link"));
        write(&link, format!("sha256:{hex}").as_bytes())?;
        Ok(digest)
    };
    let mut descriptors = Vec::new();
    for layer in layers {
        let compressed = compressed(layer)?;
        let digest = blob(&compressed)?;
        let kind = "application/vnd.oci.image.layer.v1.tar+gzip";
        descriptors.push(descriptor(kind, &digest, compressed.len()));
    }
    let differences = layers
        .iter()
        .map(|layer| format!("sha256:{}", Digest::of(layer)));
    let configuration = json!({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": differences.collect::<Vec<_>>()},
    });
    let configuration = serde_json::to_vec(&configuration)?;
    let kind = "application/vnd.oci.image.config.v1+json";
    let config = descriptor(kind, &blob(&configuration)?, configuration.len());
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": descriptors,
    }))?;
    let hex = blob(&manifest)?.to_string();
    for link in [
        format!("_manifests/revisions/sha256/{hex}/link"),
        format!("_manifests/tags/1/index/sha256/{hex}/link"),
        "_manifests/tags/1/current/link".to_owned(),
    ] {
        write(&repository.join(link), format!("sha256:{hex}").as_bytes())?;
    }
    Ok(())
}

fn descriptor(kind: &str, digest: &Digest, size: usize) -> Value {
    json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": size})
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let parent = path.parent().context("a path with a folder")?;
    fs::create_dir_all(parent)?;
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// By gzip, as images are.
fn compressed(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut input = tempfile::NamedTempFile::new()?;
    input.write_all(bytes)?;
    let output = tempfile::NamedTempFile::new()?;
    let mut gzip = Command::new("sh");
    gzip.args(["-c", "gzip --no-name --stdout \"$1\" >\"$2\"", "gzip"]);
    command::run(gzip.arg(input.path()).arg(output.path()))?;
    Ok(fs::read(output.path())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pushed_image_is_found_by_its_tag_down_to_its_layers() {
        let folder = tempfile::tempdir().unwrap();
        push(folder.path(), "bench/small", &[b"layer".to_vec()]).unwrap();
        let root = folder.path().join("docker/registry/v2");
        let own = root.join("repositories/bench/small");
        let tag = fs::read_to_string(own.join("_manifests/tags/1/current/link")).unwrap();
        let blob = |digest: &str| {
            let hex = digest.strip_prefix("sha256:").unwrap();
            let bytes = fs::read(root.join(format!("blobs/sha256/{}/{hex}/data", &hex[..2])));
            let bytes = bytes.unwrap();
            assert_eq!(Digest::of(&bytes).to_string(), hex);
            bytes
        };
        let manifest: Value = serde_json::from_slice(&blob(&tag)).unwrap();
        let layer = blob(manifest["layers"][0]["digest"].as_str().unwrap());
        assert_eq!(manifest["layers"][0]["size"], layer.len());
        let config = blob(manifest["config"]["digest"].as_str().unwrap());
        let config: Value = serde_json::from_slice(&config).unwrap();
        let expected = format!("sha256:{}", Digest::of(b"layer"));
        assert_eq!(config["rootfs"]["diff_ids"][0], expected);
    }

    #[test]
    fn the_large_image_compresses_by_half() {
        let bytes = Noise(1).half(1 << 20);
        let ratio = compressed(&bytes).unwrap().len() * 100 / bytes.len();
        assert!((50..65).contains(&ratio), "{ratio} %");
    }
}
