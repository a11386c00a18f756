//! One daemon of ours, changed: built again by cargo from a copy of the sources with one text of it longer.
//!
//! The checkout is not touched, and neither is what cargo built from it.

use anyhow::{Context as _, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::builds::{Builder, copy_folder};
use crate::command;

/// The program that is changed.
pub(crate) const NAME: &str = "updaterd";
/// Where, and what becomes of what.
const FILE: &str = "crates/updaterd/src/run.rs";
const TEXT: [&str; 2] = ["\"looking for releases\"", "\"looking for newer releases\""];
/// What cargo needs of a checkout.
const SOURCES: [&str; 6] = [
    "Cargo.toml",
    "Cargo.lock",
    "crates",
    "qemu",
    "initramfs",
    "tests",
];

/// Builds it in `folder`, which is kept: third-party crates are taken over from the builder's target folder.
pub(crate) fn build(builder: &Builder, folder: &Path) -> anyhow::Result<PathBuf> {
    let sources = folder.join("sources");
    copy_sources(&builder.checkout, &sources)?;
    let target = folder.join("target");
    take_over(builder.programs()?, &target.join("release"))?;
    eprintln!("bench: building another {NAME}");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The whole workspace's features, as in what it is compared with.
    cargo.args([
        "build",
        "--release",
        "--quiet",
        "--workspace",
        "--bin",
        NAME,
    ]);
    command::run(cargo.current_dir(&sources).env("CARGO_TARGET_DIR", &target))?;
    Ok(target.join("release").join(NAME))
}

/// Copies what git tracks, one file of it changed. What is there already keeps its time, by which cargo goes.
fn copy_sources(checkout: &Path, target: &Path) -> anyhow::Result<()> {
    let mut git = Command::new("git");
    git.args(["-c", "safe.directory=*", "ls-files", "-z"])
        .args(SOURCES);
    let (_, listing) = command::run(git.current_dir(checkout))?;
    for path in listing.split_terminator('\0') {
        let (from, to) = (checkout.join(path), target.join(path));
        if !from.is_file() {
            continue;
        }
        let mut contents =
            fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        if path == FILE {
            contents = changed(&String::from_utf8(contents)?)?.into_bytes();
        }
        if !fs::read(&to).is_ok_and(|there| there == contents) {
            fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
            fs::write(&to, contents)?;
        }
    }
    Ok(())
}

fn changed(text: &str) -> anyhow::Result<String> {
    ensure!(
        text.contains(TEXT[0]),
        "{FILE} has no {} any more: name another text in tests/bench/updates/daemon.rs",
        TEXT[0]
    );
    Ok(text.replace(TEXT[0], TEXT[1]))
}

/// Copies what cargo built of libraries, with the times it goes by; programs and tests are large and not needed.
fn take_over(built: &Path, target: &Path) -> anyhow::Result<()> {
    if target.exists() {
        return Ok(());
    }
    for folder in ["deps", "build", ".fingerprint"] {
        let from = built.join(folder);
        let is_library = |path: &Path| folder != "deps" || path.extension().is_some();
        copy_folder(&from, &target.join(folder), &|from, to| {
            if !is_library(from) {
                return Ok(());
            }
            fs::copy(from, to)?;
            let modified = fs::metadata(from)?.modified()?;
            fs::File::options()
                .append(true)
                .open(to)?
                .set_modified(modified)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_to_change_is_in_the_source() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(FILE);
        let text = changed(&fs::read_to_string(path).unwrap()).unwrap();
        assert!(text.contains(TEXT[1]));
        assert!(changed(&text).is_err());
    }
}
