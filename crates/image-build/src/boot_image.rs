//! Step `uki`: kernel, initramfs and command line as one unified kernel image (UAPI group's UKI).

use std::path::Path;

use disk_format::uki::{self, Section};
use disk_format::verity::RootHash;

use crate::error::{BuildError, Result, read_bytes, write_bytes};
use crate::recipe::{Product, Recipe};
use crate::tools::Tools;

/// Name of the image this step leaves in its directory.
pub const UKI: &str = "uki.efi";
/// Name of the file with the kernel command line, for booting without firmware.
pub const COMMAND_LINE: &str = "command-line";

/// The kernel command line: what `/init` needs to find and verify the root, then the recipe's words.
pub fn command_line(recipe: &Recipe, product: &Product, root: &RootHash, version: &str) -> String {
    let mut words = vec![
        format!("keelson.roothash={root}"),
        format!("keelson.version={version}"),
    ];
    words.extend(recipe.kernel.command_line.iter().cloned());
    words.extend(product.command_line.iter().cloned());
    words.join(" ")
}

/// What goes into the image.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The kernel.
    pub kernel: &'a Path,
    /// The initramfs.
    pub initramfs: &'a Path,
    /// os-release, for the boot loader's menu.
    pub os_release: &'a [u8],
    /// The kernel command line.
    pub command_line: &'a str,
    /// The kernel's release.
    pub kernel_release: &'a str,
}

/// Assembles the image in `directory`.
pub fn assemble(tools: &Tools, parts: &Parts<'_>, directory: &Path) -> Result<String> {
    let stub = read_bytes(&tools.file("usr/lib/systemd/boot/efi/linuxx64.efi.stub"))?;
    let (kernel, initramfs) = (read_bytes(parts.kernel)?, read_bytes(parts.initramfs)?);
    let sections = [
        Section {
            name: ".osrel",
            contents: parts.os_release,
        },
        Section {
            name: ".cmdline",
            contents: parts.command_line.as_bytes(),
        },
        Section {
            name: ".uname",
            contents: parts.kernel_release.as_bytes(),
        },
        Section {
            name: ".linux",
            contents: &kernel,
        },
        Section {
            name: ".initrd",
            contents: &initramfs,
        },
    ];
    let image = uki::assemble(&stub, &sections)
        .map_err(|e| BuildError::format("unified kernel image", e))?;
    write_bytes(&directory.join(UKI), &image)?;
    write_bytes(&directory.join(COMMAND_LINE), parts.command_line.as_bytes())?;
    Ok(format!("{} KB", image.len() / 1000))
}
