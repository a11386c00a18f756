//! Hashes the builder's own sources, so that a changed builder never reuses what an older one made.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let mut hasher = Sha256::new();
    for folder in [here.join("src"), here.join("../disk-format/src")] {
        println!("cargo::rerun-if-changed={}", folder.display());
        hash_folder(&folder, &mut hasher);
    }
    let revision = hasher
        .finalize()
        .iter()
        .take(8)
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a string");
            text
        });
    println!("cargo::rustc-env=KEELSON_BUILDER_REVISION={revision}");
}

fn hash_folder(folder: &Path, hasher: &mut Sha256) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries
        .map(|e| e.expect("a readable entry").path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            hash_folder(&path, hasher);
        } else {
            hasher.update(
                path.file_name()
                    .expect("a file has a name")
                    .as_encoded_bytes(),
            );
            hasher.update(fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())));
        }
    }
}
