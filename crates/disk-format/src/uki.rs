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

/// Lengths of parts that make up the image from its first byte to its last: what stands before, between
/// and behind the contents of its sections, and each of these alone.
///
/// Two images with the same kernel have a part in common, wherever it stands in them.
pub fn part_lengths(image: &[u8]) -> Result<Vec<usize>, UkiError> {
    let mut ranges: Vec<Range<usize>> = sections(image)?
        .into_iter()
        .map(|(_, range)| range)
        .collect();
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut ends: Vec<usize> = Vec::new();
    for range in ranges {
        // Sections that overlap would be an odd image; its parts are odd, but still make it up.
        ends.extend([range.start, range.end]);
    }
    ends.push(image.len());
    ends.sort_unstable();
    ends.dedup();
    let mut start = 0;
    let lengths = ends
        .into_iter()
        .map(|end| end - std::mem::replace(&mut start, end));
    Ok(lengths.filter(|length| *length > 0).collect())
}
