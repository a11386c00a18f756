//! Opens the root through dm-verity and mounts it.
//!
//! Nothing of the root is trusted before it went through the hash tree, and the tree is trusted
//! because its root hash comes from the (signed) kernel command line. The superblock read here
//! is not trusted: whatever it says, only data under that root hash can be read.
use std::fs::{self, File};
use std::io::Read as _;

use disk_format::verity::{self, RootHash, Superblock, VerityError};
use rustix::mount::{MountFlags, mount};

use crate::disk::choice::BootDisk;
use crate::report::console;
use crate::report::error::{ActionFailed, Context};
use crate::root::device_mapper::{self, Access, DeviceMapperError, Target};

/// Where the root is mounted until it becomes `/`.
pub(crate) const ROOT: &str = "/sysroot";

/// Blocks of 4096 bytes in sectors of 512.
const SECTORS_PER_BLOCK: u64 = 8;

/// Why the root cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VerityRootError {
    /// The verity partition could not be read.
    #[error(transparent)]
    Action(#[from] ActionFailed),
    /// It does not start with a verity superblock that is understood.
    #[error("the verity partition {path}")]
    Superblock {
        /// Its device node.
        path: String,
        #[source]
        source: VerityError,
    },
    /// The kernel refused the device.
    #[error(transparent)]
    DeviceMapper(#[from] DeviceMapperError),
}

/// Creates the dm-verity device of the root; its device node.
pub(crate) fn open(disk: &BootDisk, root_hash: &RootHash) -> Result<String, VerityRootError> {
    let data_path = disk.path(disk.root);
    let hash_path = disk.path(disk.verity);
    let superblock = read_superblock(&hash_path)?;
    // A root that does not verify must not be served as I/O errors to a half-alive system.
    let options = ["restart_on_corruption"];
    let target = Target {
        kind: "verity",
        length_sectors: superblock.data_blocks.saturating_mul(SECTORS_PER_BLOCK),
        parameters: verity::table_parameters(
            &superblock,
            root_hash,
            &data_path,
            &hash_path,
            &options,
        ),
    };
    let device = device_mapper::create(
        "root",
        &format!("keelson-{root_hash}"),
        &target,
        Access::ReadOnly,
    )?;
    console::info(&format!(
        "root {data_path} with hash tree {hash_path} is {device}"
    ));
    Ok(device)
}

fn read_superblock(path: &str) -> Result<Superblock, VerityRootError> {
    let mut bytes = [0; 512];
    File::open(path)
        .and_then(|mut device| device.read_exact(&mut bytes))
        .context(|| format!("read the verity superblock of {path}"))?;
    Superblock::parse(&bytes).map_err(|source| VerityRootError::Superblock {
        path: path.to_owned(),
        source,
    })
}

/// Mounts the opened root at [`ROOT`]; reads its first blocks through the hash tree.
pub(crate) fn mount_root(device: &str) -> Result<(), ActionFailed> {
    fs::create_dir_all(ROOT).context(|| format!("create {ROOT}"))?;
    mount(device, ROOT, "erofs", MountFlags::RDONLY, c"")
        .context(|| format!("mount {device} as erofs on {ROOT}"))
}
