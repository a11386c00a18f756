//! The commands, one a module, and what they share.

pub(crate) mod build;
pub(crate) mod channel;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod customize;
pub(crate) mod inspect;
pub(crate) mod keys;
pub(crate) mod lock;
pub(crate) mod release;
pub(crate) mod run;
pub(crate) mod serve;

use disk_format::gpt::SectorSize;
use image_build::build::BuildOptions;
use image_build::programs::Source;
use std::path::PathBuf;

use crate::cli::{BuildArguments, Places, SectorBytes};

/// Cached steps and fetched packages.
pub(crate) fn cache_directory(places: &Places) -> PathBuf {
    places
        .cache
        .clone()
        .unwrap_or_else(|| places.checkout.join("target/keelson"))
}

/// The build that arguments ask for.
pub(crate) fn build_options(arguments: &BuildArguments) -> anyhow::Result<BuildOptions> {
    let places = &arguments.places;
    let checkout = std::path::absolute(&places.checkout)?;
    let cache = std::path::absolute(cache_directory(places))?;
    let output = arguments
        .output
        .clone()
        .unwrap_or_else(|| cache.join("image"));
    let programs = match &arguments.programs {
        Some(folder) => Source::Prebuilt(folder.clone()),
        None => Source::Workspace(checkout.clone()),
    };
    Ok(BuildOptions {
        checkout,
        cache,
        output: std::path::absolute(output)?,
        product: arguments.product.clone(),
        version: arguments.version.clone(),
        sector_size: match arguments.sector_size {
            SectorBytes::Small => SectorSize::Bytes512,
            SectorBytes::Large => SectorSize::Bytes4096,
        },
        programs,
        mirror: places.mirror.clone(),
        security_mirror: places.security_mirror.clone(),
        renew_vanished: arguments.renew_vanished,
        timestamp_seconds: arguments.timestamp,
    })
}

/// A build of the vm image with every default.
pub(crate) fn default_build(places: &Places, renew_vanished: bool) -> BuildArguments {
    BuildArguments {
        places: places.clone(),
        product: "vm".to_owned(),
        version: None,
        sector_size: SectorBytes::Small,
        output: None,
        explain: false,
        renew_vanished,
        programs: None,
        timestamp: None,
        json: false,
    }
}
