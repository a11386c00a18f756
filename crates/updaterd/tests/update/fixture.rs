//! Keys, builds of a megabyte, and the release directory they are released into. No test.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use disk_format::uki::{Section, assemble};
use disk_format::verity::{RootHash, VerityOptions, build};
use jiff::{SignedDuration, Timestamp};
use release_build::directory::ReleaseDirectory;
use release_build::keys::KeyFolders;
use release_build::publication::Lifetimes;
use release_build::release::{Image, ReleaseOptions, refresh, release};
use release_build::root_metadata::Threshold;
use release_build::serve::{Log, Server};
use tempfile::TempDir;
use update_model::rollout::Rollout;

const BLOCK: usize = 4096;
/// Blocks of a root.
const BLOCKS: u64 = 256;

/// A build, as it stands on a disk.
#[derive(Clone)]
pub(crate) struct Build {
    pub(crate) version: String,
    pub(crate) root_hash: RootHash,
    pub(crate) root: Vec<u8>,
    pub(crate) tree: Vec<u8>,
    pub(crate) boot_image: Vec<u8>,
}

/// Numbers that look random and are the same each time (xorshift64*).
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::new();
    while bytes.len() < length {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

impl Build {
    /// The first half of the blocks is the same in every build, the others differ in a few bytes.
    pub(crate) fn new(version: &str) -> Self {
        let own: u64 = version.bytes().map(|byte| u64::from(byte) * 1000).sum();
        let block = |number: u64| {
            let mut block = noise(number + 1, BLOCK);
            if number >= BLOCKS / 2 {
                block[..8].copy_from_slice(&own.to_le_bytes());
            }
            block
        };
        let root: Vec<u8> = (0..BLOCKS).flat_map(block).collect();
        let mut tree = Vec::new();
        let options = VerityOptions {
            salt: vec![0x5a; 32],
            uuid: uuid::Uuid::from_u128(7),
        };
        let built = build(&root[..], root.len() as u64, &mut tree, &options).expect("a tree");
        Self {
            version: version.to_owned(),
            root_hash: built.root_hash,
            boot_image: boot_image(&built.root_hash),
            root,
            tree,
        }
    }
}

fn boot_image(root_hash: &RootHash) -> Vec<u8> {
    let command_line = format!("quiet keelson.roothash={root_hash} gpt");
    let kernel = noise(77, 100_000);
    let section = |name, contents| Section { name, contents };
    let sections = [
        section(".cmdline", command_line.as_bytes()),
        section(".linux", &kernel),
    ];
    assemble(&stub(), &sections).expect("an image")
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

/// A release directory and its keys.
pub(crate) struct Releases {
    temporary: TempDir,
    directory: ReleaseDirectory,
    keys: KeyFolders,
    now: Timestamp,
}

impl Releases {
    pub(crate) fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let folder = temporary.path().join("keys");
        let keys = KeyFolders {
            root_folder: temporary.path().join("offline"),
            folder: folder.clone(),
        };
        let now = Timestamp::from_second(Timestamp::now().as_second()).expect("a time");
        let one = |_: tough::schema::RoleType| Threshold {
            keys: 1,
            signatures: 1,
        };
        let in_a_year = now + SignedDuration::from_hours(24 * 365);
        keys.create(one, in_a_year).expect("keys");
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

    /// Releases a build in channel `stable`, with a static delta if that is wanted.
    pub(crate) fn release(&self, build: &Build, with_deltas: bool) {
        let path = |suffix: &str| {
            let name = format!("{}.{suffix}", build.version);
            self.temporary.path().join(name)
        };
        for (suffix, bytes) in [
            ("erofs", &build.root),
            ("verity", &build.tree),
            ("efi", &build.boot_image),
        ] {
            fs::write(path(suffix), bytes).expect("written");
        }
        let image = Image {
            product: "vm".to_owned(),
            architecture: "x86-64".to_owned(),
            version: build.version.parse().expect("a version"),
            root_hash: build.root_hash,
            root: path("erofs"),
            verity: path("verity"),
            uki: path("efi"),
            packages: Vec::new(),
        };
        let options = ReleaseOptions {
            channels: vec!["stable".to_owned()],
            rollout: Rollout::immediate(self.now),
            barrier: false,
            minimum_version: None,
            deltas: if with_deltas { 3 } else { 0 },
            level: 3,
            frame_length: 4 * BLOCK,
            lifetimes: Lifetimes::default(),
            now: self.now,
        };
        release(&self.directory, &self.keys, &image, &options, &|_, _, _| ()).expect("released");
    }

    /// Signs anew what says which state is the last: for so long, so long ago.
    pub(crate) fn sign_again(&self, lifetime: SignedDuration, ago: SignedDuration) {
        let lifetimes = Lifetimes {
            snapshot: lifetime,
            ..Lifetimes::default()
        };
        refresh(&self.directory, &self.keys, lifetimes, self.now - ago).expect("signed");
    }

    /// What a machine trusts.
    pub(crate) fn trusted_root(&self) -> Vec<u8> {
        fs::read(self.keys.folder.join("1.root.json")).expect("a root")
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.directory.path.clone()
    }

    /// The file of frames of a release, of which there is one only.
    pub(crate) fn frames(&self) -> PathBuf {
        let mut folders = vec![self.folder()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                let name = path.to_string_lossy().into_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if name.ends_with("root.frames.zst") {
                    return path;
                }
            }
        }
        panic!("no frames");
    }

    /// Serves the directory until the test's process ends; says where, and how many bytes were sent.
    pub(crate) fn serve(&self) -> (String, Arc<Mutex<u64>>) {
        let address: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let server = Server::bind(&self.directory.path, address).expect("bound");
        let url = format!("http://{}", server.address().expect("an address"));
        let sent = Arc::<Mutex<u64>>::default();
        let log: Log = {
            let sent = Arc::clone(&sent);
            Arc::new(move |_, _, bytes| *sent.lock().expect("unpoisoned") += bytes)
        };
        std::thread::spawn(move || server.run(&log));
        (url, sent)
    }
}
