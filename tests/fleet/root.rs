//! Where the machines' root tree comes from.
//!
//! It is that of the image under test: its EROFS is mounted by each machine, or unpacked where the kernel
//! knows no EROFS. With `KEELSON_ROOT_TREE` set to a folder or an EROFS image, that Debian 13 tree is taken.

use std::path::{Path, PathBuf};
use std::process::Command;

use image_build::output::{BuiltImage, Manifest};
use image_build::tools::Tools;
use keelson_qemu::RootTree;

/// A folder on a disk, for run directories: overlays do not write to every file system.
pub(crate) fn work_folder() -> PathBuf {
    let folder = keelson_tests::checkout().join("target/keelson/fleet-tests");
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}

/// The root tree.
pub(crate) fn root_tree() -> RootTree {
    if let Some(path) = std::env::var_os("KEELSON_ROOT_TREE").map(PathBuf::from) {
        return if path.is_dir() {
            RootTree::Directory(path)
        } else {
            erofs(path)
        };
    }
    let manifest = image();
    if knows_erofs() {
        erofs(manifest.root)
    } else {
        RootTree::Directory(unpacked(&manifest))
    }
}

fn erofs(path: PathBuf) -> RootTree {
    let file_system = "erofs";
    RootTree::Image { path, file_system }
}

fn image() -> Manifest {
    let path = std::env::var_os("KEELSON_IMAGE").map_or_else(
        || keelson_tests::checkout().join("target/keelson/image/keelson-vm.json"),
        PathBuf::from,
    );
    BuiltImage::load(&path)
        .expect("an image was built; run `make image`")
        .manifest
}

fn knows_erofs() -> bool {
    // A module that is there is loaded by whoever mounts; asked for here, the list tells.
    let _loaded = Command::new("modprobe").arg("erofs").output();
    let list = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    list.lines().any(|line| line.trim() == "erofs")
}

/// The image's root as a folder, unpacked once per image by the tools that it was built with.
fn unpacked(manifest: &Manifest) -> PathBuf {
    let target = work_folder().join(format!("root-{}", &manifest.root_hash[..16]));
    if target.exists() {
        return target;
    }
    let tools = manifest
        .firmware_code
        .ancestors()
        .find(|folder| folder.join("usr/bin/fsck.erofs").exists())
        .expect("the firmware is in the tree of the builder's tools");
    let partial = tempfile::tempdir_in(work_folder()).expect("a temporary folder");
    let folder = partial.path().join("root");
    unpack(tools, &manifest.root, &folder);
    // Another test may have been quicker: then its folder is taken.
    let _renamed = std::fs::rename(&folder, &target);
    target
}

fn unpack(tools: &Path, image: &Path, folder: &Path) {
    let mut extract = std::ffi::OsString::from("--extract=");
    extract.push(folder);
    let output = Tools::at(tools.to_path_buf())
        .command("fsck.erofs")
        .arg(extract)
        .arg(image)
        .output()
        .expect("the builder's fsck.erofs runs");
    assert!(
        output.status.success(),
        "fsck.erofs: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
