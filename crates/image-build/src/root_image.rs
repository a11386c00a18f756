//! Steps `erofs` and `verity`: the root as a read-only file system image and its hash tree.

use std::io::{BufWriter, Write};
use std::path::Path;

use disk_format::verity::{self, RootHash, VerityOptions};
use uuid::Uuid;

use crate::digest::Digest;
use crate::error::{BuildError, Result, create, open, read_text, write_bytes};
use crate::tools::{Tools, free_bytes, run};

/// Name of the file system image.
pub const ROOT_IMAGE: &str = "root.erofs";
/// Name of the hash tree.
pub const VERITY_TREE: &str = "root.verity";
/// Name of the file with the root hash.
pub const ROOT_HASH: &str = "root-hash";

/// Blocks of the file system and the hash tree, in bytes.
const BLOCK_BYTES: u64 = 4096;

/// A UUID that follows from what a thing is, so that equal builds have equal UUIDs.
pub fn derived_uuid(purpose: &str, key: &Digest) -> Uuid {
    let digest = Digest::of(format!("{purpose} {key}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.0[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Makes the EROFS image of a tar in `directory`.
///
/// Uncompressed, because transport compresses anyway and updates reuse equal blocks; without inline tails,
/// because those shift every following block when one file's length changes. One time stamp for all
/// files keeps inodes in their short form and equal from release to release.
pub fn erofs(
    tools: &Tools,
    tar: &Path,
    uuid: Uuid,
    timestamp_seconds: u64,
    limit_bytes: u64,
    directory: &Path,
) -> Result<String> {
    let image = directory.join(ROOT_IMAGE);
    refuse_full_disk(tar, &image)?;
    let mut command = tools.command("usr/bin/mkfs.erofs");
    command
        .args([
            "--quiet",
            "--tar=f",
            "-Enoinline_data",
            "--all-time",
            "-b4096",
        ])
        .arg(format!("-T{timestamp_seconds}"))
        .arg(format!("-U{uuid}"))
        .arg(&image)
        .arg(tar);
    run("mkfs.erofs", &mut command, &image)?;
    let length = pad_to_block(&image)?;
    if length > limit_bytes {
        return Err(BuildError::TooLarge {
            what: "the root file system".to_owned(),
            needed: length,
            limit: limit_bytes,
            advice: "leave packages or files out; a slot's size can never change in the field"
                .to_owned(),
        });
    }
    Ok(format!("{} MB", length / 1_000_000))
}

/// mkfs.erofs loses its place in the archive when a write fails, so it must not come to that.
fn refuse_full_disk(tar: &Path, image: &Path) -> Result<()> {
    let needed = std::fs::metadata(tar)
        .map_err(|e| BuildError::io("read", tar, e))?
        .len();
    if free_bytes(image)? < needed {
        return Err(BuildError::DiskFull {
            action: "write",
            path: image.into(),
        });
    }
    Ok(())
}

fn pad_to_block(image: &Path) -> Result<u64> {
    let file = std::fs::File::options()
        .write(true)
        .open(image)
        .map_err(|e| BuildError::io("open", image, e))?;
    let length = file
        .metadata()
        .map_err(|e| BuildError::io("read", image, e))?
        .len();
    let padded = length.next_multiple_of(BLOCK_BYTES);
    file.set_len(padded)
        .map_err(|e| BuildError::io("grow", image, e))?;
    Ok(padded)
}

/// Makes the hash tree of an image in `directory`.
pub fn hash_tree(image: &Path, salt: &[u8], uuid: Uuid, directory: &Path) -> Result<String> {
    let data = open(image)?;
    let length = data
        .metadata()
        .map_err(|e| BuildError::io("read", image, e))?
        .len();
    let path = directory.join(VERITY_TREE);
    let mut target = BufWriter::new(create(&path)?);
    let options = VerityOptions {
        salt: salt.to_vec(),
        uuid,
    };
    let tree = verity::build(data, length, &mut target, &options)
        .map_err(|e| BuildError::writing("verity tree", &path, e))?;
    target
        .flush()
        .map_err(|e| BuildError::io("write", &path, e))?;
    let hash = tree.root_hash.to_string();
    write_bytes(&directory.join(ROOT_HASH), hash.as_bytes())?;
    Ok(format!("root hash {}", &hash[..16]))
}

/// Reads back the root hash that [`hash_tree`] left.
pub fn read_root_hash(path: &Path) -> Result<RootHash> {
    read_text(path)?
        .trim()
        .parse()
        .map_err(|e| BuildError::format("root hash", e))
}
