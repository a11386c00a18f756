//! Unified kernel images: systemd's boot stub with kernel, initramfs and command line as sections.
//!
//! Formats: PE32+ (Microsoft's "PE Format") and the UAPI group's "Unified Kernel Image"
//! (<https://uapi-group.org/specifications/specs/unified_kernel_image/>). Does not sign, and does
//! not look into kernels.

mod assemble;
mod error;
mod image;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub use assemble::{Section, assemble};
pub use error::UkiError;

/// The sections of an image in the order of its table: their names, and where in `image` their
/// contents are, without the padding.
pub fn sections(image: &[u8]) -> Result<Vec<(String, Range<usize>)>, UkiError> {
    let image = image::Image::parse(image)?;
    let sections = image.sections()?;
    Ok(sections
        .into_iter()
        .map(|section| (section.name(), section.contents()))
        .collect())
}
