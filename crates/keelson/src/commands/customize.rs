//! `keelson customize`: a copy of a disk image whose machines configure themselves at their first boot.
//!
//! The configuration is judged before anything is copied. The image that is built is left as it is: its root is the
//! same in both, and so is its hash.

use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use disk_format::configuration_file;
use image_build::output::copy_sparse;
use provision_model::Format;

use crate::cli::CustomizeArguments;
use crate::commands::config;

/// What FAT can say at the least, 1980-01-01: the same configuration gives the same bytes.
const TIMESTAMP_SECONDS: u64 = 315_532_800;

/// Runs the command.
pub(crate) fn run(arguments: &CustomizeArguments) -> anyhow::Result<ExitCode> {
    let CustomizeArguments {
        image,
        config,
        output,
    } = arguments;
    if !config::is_valid(config)? {
        return Ok(ExitCode::FAILURE);
    }
    ensure!(!output.exists(), "{} is there already", output.display());
    let bytes =
        std::fs::read(config).with_context(|| format!("cannot read {}", config.display()))?;
    let partial = output.with_added_extension("partial");
    let made = make(image, &bytes, &partial);
    if made.is_err() {
        // The first error says more than a second.
        let _ = std::fs::remove_file(&partial);
    }
    made?;
    std::fs::rename(&partial, output)
        .with_context(|| format!("cannot create {}", output.display()))?;
    println!(
        "{}: configures itself by {}",
        output.display(),
        config.display()
    );
    Ok(ExitCode::SUCCESS)
}

fn make(image: &Path, bytes: &[u8], partial: &Path) -> anyhow::Result<()> {
    copy_sparse(image, partial)?;
    let mut disk = File::options()
        .read(true)
        .write(true)
        .open(partial)
        .with_context(|| format!("cannot open {}", partial.display()))?;
    let put = configuration_file::put(&mut disk, ending(bytes), bytes, TIMESTAMP_SECONDS);
    put.with_context(|| format!("cannot put it on a copy of {}", image.display()))
}

/// For people: the machine asks the text.
fn ending(bytes: &[u8]) -> &'static str {
    match Format::of(&String::from_utf8_lossy(bytes)) {
        Format::Ignition => "ign",
        Format::CloudConfig => "yaml",
        Format::Keelson => "toml",
    }
}
