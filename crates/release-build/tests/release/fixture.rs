//! Images of a megabyte and a place to release them. No test.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk_format::uki::{Section, assemble};
use disk_format::verity::{VerityOptions, build};
use jiff::{SignedDuration, Timestamp};
use release_build::directory::ReleaseDirectory;
use release_build::error::ReleaseError;
use release_build::keys::KeyFolders;
use release_build::publication::Lifetimes;
use release_build::release::{Image, ReleaseOptions, Released, release};
use release_build::root_metadata::Threshold;
use tempfile::TempDir;
use update_client::check::{Finding, check};
use update_client::error::ClientError;
use update_client::repository::{Expiry, Repository};
use update_client::source::DirectorySource;
use update_model::changelog::Package;
use update_model::rollout::Rollout;

const BLOCK: usize = 4096;
/// Salt of every tree.
const SALT: [u8; 32] = [0x5a; 32];

/// Numbers that look random and are the same each time (xorshift64*).
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Bytes that do not compress.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// Bytes that compress to about half.
    pub(crate) fn text(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            bytes.extend(format!("{:x} ", self.next() & 0xffff_ffff).bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

/// The files of a made-up root, a whole number of blocks each.
#[derive(Clone)]
pub(crate) struct Tree(pub(crate) Vec<Vec<u8>>);

impl Tree {
    pub(crate) fn new() -> Self {
        let file = |seed: u64| Noise(seed).text(BLOCK * usize::try_from(1 + seed % 9).unwrap());
        Self((1..60).map(file).collect())
    }

    /// Another release: one file changed a little, one replaced, one longer and one new, so that everything
    /// behind them moves.
    pub(crate) fn next(&self) -> Self {
        let mut tree = self.clone();
        tree.0[8][1000..1040].fill(b'!');
        let length = tree.0[20].len();
        tree.0[20] = Noise(2020).text(length);
        let mut longer = tree.0[30].clone();
        longer.splice(100..100, Noise(3030).text(BLOCK));
        tree.0[30] = longer;
        tree.0.insert(40, Noise(4040).text(2 * BLOCK));
        tree
    }

    pub(crate) fn root(&self) -> Vec<u8> {
        self.0.concat()
    }
}

/// A PE32+ image without sections, as little as the format allows.
fn stub() -> Vec<u8> {
    let mut stub = vec![0; 0x400];
    let mut put =
        |offset: usize, bytes: &[u8]| stub[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &0x40_u32.to_le_bytes());
    put(0x40, b"PE\0\0\x64\x86\0\0");
    put(0x40 + 20, &240_u16.to_le_bytes());
    let optional = 0x40 + 24;
    put(optional, &0x20b_u16.to_le_bytes());
    for (field, value) in [
        (32, 0x1000_u32),
        (36, 0x200),
        (56, 0x1000),
        (60, 0x400),
        (108, 16),
    ] {
        put(optional + field, &value.to_le_bytes());
    }
    stub
}

/// A unified kernel image that boots this root.
fn uki(version: &str, root_hash: &str) -> Vec<u8> {
    let command_line = format!("quiet keelson.roothash={root_hash} gpt");
    let release = format!("IMAGE_VERSION={version}\n");
    let section = |name, contents| Section { name, contents };
    let kernel = Noise(77).text(200_000);
    let initramfs = Noise(78).text(50_000);
    assemble(
        &stub(),
        &[
            section(".osrel", release.as_bytes()),
            section(".cmdline", command_line.as_bytes()),
            section(".linux", &kernel),
            section(".initrd", &initramfs),
        ],
    )
    .expect("assembled")
}

/// A release directory, its keys and whatever is released into it.
pub(crate) struct Fixture {
    pub(crate) temporary: TempDir,
    pub(crate) directory: ReleaseDirectory,
    pub(crate) keys: KeyFolders,
    pub(crate) now: Timestamp,
}

pub(crate) fn one_of_one(_: tough::schema::RoleType) -> Threshold {
    Threshold {
        keys: 1,
        signatures: 1,
    }
}

pub(crate) fn in_a_year(now: Timestamp) -> Timestamp {
    now + SignedDuration::from_hours(24 * 365)
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let folder = temporary.path().join("keys");
        let keys = KeyFolders {
            root_folder: temporary.path().join("offline"),
            folder: folder.clone(),
        };
        let now = Timestamp::from_second(Timestamp::now().as_second()).expect("a time");
        keys.create(one_of_one, in_a_year(now)).expect("keys");
        let directory = ReleaseDirectory {
            path: temporary.path().join("release"),
            keys: folder,
        };
        Self {
            temporary,
            directory,
            keys,
            now,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temporary.path().join(name)
    }

    /// Builds an image as `keelson build` leaves it.
    pub(crate) fn image(&self, version: &str, tree: &Tree, packages: &[(&str, &str)]) -> Image {
        let root = tree.root();
        let mut verity = Vec::new();
        let options = VerityOptions {
            salt: SALT.to_vec(),
            uuid: uuid::Uuid::from_u128(7),
        };
        let built = build(&root[..], root.len() as u64, &mut verity, &options).expect("a tree");
        let path = |suffix: &str| self.path(&format!("{version}.{suffix}"));
        let uki = uki(version, &built.root_hash.to_string());
        for (suffix, bytes) in [("erofs", &root), ("verity", &verity), ("efi", &uki)] {
            fs::write(path(suffix), bytes).expect("written");
        }
        let package = |(name, version): &(&str, &str)| Package {
            name: (*name).to_owned(),
            version: (*version).to_owned(),
        };
        Image {
            product: "vm".to_owned(),
            architecture: "x86-64".to_owned(),
            version: version.parse().expect("a version"),
            root_hash: built.root_hash,
            root: path("erofs"),
            verity: path("verity"),
            uki: path("efi"),
            packages: packages.iter().map(package).collect(),
        }
    }

    pub(crate) fn options(&self) -> ReleaseOptions {
        ReleaseOptions {
            channels: vec!["edge".to_owned()],
            rollout: Rollout::immediate(self.now),
            barrier: false,
            minimum_version: None,
            deltas: 3,
            level: 3,
            frame_length: 4 * BLOCK,
            lifetimes: Lifetimes::default(),
            now: self.now,
        }
    }

    pub(crate) fn try_release(
        &self,
        image: &Image,
        options: &ReleaseOptions,
    ) -> Result<Released, ReleaseError> {
        release(&self.directory, &self.keys, image, options, &|_, _, _| ())
    }

    pub(crate) fn release(&self, version: &str, tree: &Tree) -> Released {
        let image = self.image(version, tree, &[("bash", "5.2"), ("kvd", version)]);
        self.try_release(&image, &self.options()).expect("released")
    }

    /// Two releases, the second a little different.
    pub(crate) fn two_releases(&self) -> (Released, Released) {
        let tree = Tree::new();
        (
            self.release("1.0", &tree),
            self.release("1.1", &tree.next()),
        )
    }

    pub(crate) fn trusted_root(&self) -> Vec<u8> {
        fs::read(self.keys.folder.join("1.root.json")).expect("a root")
    }

    pub(crate) fn source(&self) -> Arc<DirectorySource> {
        Arc::new(DirectorySource::new(&self.directory.path))
    }

    pub(crate) fn load(&self) -> Result<Repository, ClientError> {
        Repository::load(self.source(), &self.trusted_root(), None, Expiry::Enforced)
    }

    /// Everything that is bad, as text with all causes.
    pub(crate) fn check(&self) -> Vec<String> {
        let repository = match self.load() {
            Ok(repository) => repository,
            Err(error) => return vec![chain(&error)],
        };
        let mut bad = Vec::new();
        check(
            &repository,
            &*self.source(),
            &self.trusted_root(),
            &mut |finding| {
                if let Finding::Bad(error) = finding {
                    bad.push(chain(&error));
                }
            },
        );
        bad
    }
}

/// An error and all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// All files below a folder, by their path in it.
pub(crate) fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path
                    .strip_prefix(folder)
                    .expect("below")
                    .display()
                    .to_string();
                found.push((name, fs::read(&path).expect("a file")));
            }
        }
    }
    found.sort();
    found
}
