//! Releases made of a built one by changing its bytes in place: other versions, and ones that fail. Each takes
//! seconds where a build takes minutes.
//!
//! Nothing moves: what is replaced has the same length, and the hash tree is made anew. What a build would do
//! differently for another version is not seen by this.

use std::fs;
use std::path::{Path, PathBuf};

use disk_format::verity::{Superblock, VerityOptions, build};
use image_build::output::Manifest;

/// Blocks of a root that is no file system.
const NOISE_BYTES: usize = 1 << 20;

/// An image in the making.
pub(crate) struct Variant {
    manifest: Manifest,
    root: Vec<u8>,
    uki: Vec<u8>,
    options: VerityOptions,
}

impl Variant {
    /// The image as another version, which must be written with as many characters.
    pub(crate) fn of(image: &Manifest, version: &str) -> Self {
        let tree = fs::read(&image.verity).expect("the hash tree");
        let superblock = Superblock::parse(&tree).expect("a superblock");
        let old = &image.version;
        let mut uki = fs::read(&image.uki).expect("the kernel image");
        for (from, to) in [
            (
                format!("IMAGE_VERSION=\"{old}\""),
                format!("IMAGE_VERSION=\"{version}\""),
            ),
            (
                format!("keelson.version={old}"),
                format!("keelson.version={version}"),
            ),
        ] {
            replace(&mut uki, &from, &to);
        }
        let variant = Self {
            manifest: Manifest {
                version: version.to_owned(),
                ..image.clone()
            },
            root: fs::read(&image.root).expect("the root"),
            uki,
            options: VerityOptions {
                salt: superblock.salt,
                uuid: superblock.uuid,
            },
        };
        variant.replaced(
            &format!("IMAGE_VERSION=\"{old}\""),
            &format!("IMAGE_VERSION=\"{version}\""),
        )
    }

    /// With other text in a file of the root.
    pub(crate) fn replaced(mut self, from: &str, to: &str) -> Self {
        replace(&mut self.root, from, to);
        self
    }

    /// Never healthy, and known to be so soon.
    pub(crate) fn unhealthy(self) -> Self {
        self.replaced("    \"kvd.service\",\n", "    \"kvX.service\",\n")
            .replaced("timeout-seconds = 300\n", "timeout-seconds = 3  \n")
    }

    /// With so many bytes behind the file system that no other release has and that do not compress.
    pub(crate) fn longer_by(mut self, bytes: usize) -> Self {
        self.root.extend(noise(bytes));
        self
    }

    /// Verified, but nothing that can be mounted.
    pub(crate) fn without_file_system(mut self) -> Self {
        self.root = noise(NOISE_BYTES);
        self
    }

    /// Writes what a release is made of into a new folder, and says where its manifest is.
    pub(crate) fn write(mut self, folder: &Path) -> PathBuf {
        fs::create_dir(folder).expect("a new folder");
        let mut tree = Vec::new();
        let length = self.root.len() as u64;
        let built = build(&self.root[..], length, &mut tree, &self.options).expect("a tree");
        let old = self.manifest.root_hash.clone();
        self.manifest.root_hash = built.root_hash.to_string();
        replace(&mut self.uki, &old, &self.manifest.root_hash);
        for (path, name, contents) in [
            (&mut self.manifest.root, "root", &self.root),
            (&mut self.manifest.verity, "verity", &tree),
            (&mut self.manifest.uki, "uki", &self.uki),
        ] {
            *path = folder.join(name);
            fs::write(path, contents).expect("the folder can be written");
        }
        let manifest = folder.join("image.json");
        let text = serde_json::to_vec(&self.manifest).expect("strings are JSON");
        fs::write(&manifest, text).expect("the folder can be written");
        manifest
    }
}

/// Replaces a text wherever it stands; it must stand somewhere.
fn replace(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len(), "{from} cannot become {to} in place");
    let first = from.as_bytes()[0];
    let (mut at, mut found) = (0, 0);
    while let Some(next) = bytes[at..].iter().position(|byte| *byte == first) {
        at += next;
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
        at += 1;
    }
    assert!(found > 0, "{from} is not in the image");
}

/// Bytes that look random and are the same each time, whole blocks of them.
fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes.next_multiple_of(4096)];
    fastrand::Rng::with_seed(5).fill(&mut noise);
    noise
}
