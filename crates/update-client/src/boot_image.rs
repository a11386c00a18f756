//! The new unified kernel image: parts that an installed image also has, such as the kernel, are not fetched.

use std::collections::HashMap;
use std::ops::Range;

use disk_format::uki::part_lengths;
use sha2::{Digest as _, Sha256};
use update_model::digest::FileDigest;
use update_model::manifest::{BootImage, Part};

use crate::download::{check_digest, with_other_mirrors};
use crate::error::Result;
use crate::source::{Source, read_range};

/// The parts of an image, for its manifest.
///
/// # Errors
/// If it is no PE image.
pub fn parts(image: &[u8]) -> std::result::Result<Vec<Part>, disk_format::uki::UkiError> {
    let mut rest = image;
    let parts = part_lengths(image)?.into_iter().map(|length| {
        let (part, behind) = rest.split_at(length);
        rest = behind;
        Part {
            length: length as u64,
            sha256: FileDigest(Sha256::digest(part).into()),
        }
    });
    Ok(parts.collect())
}

/// Bytes of an image that none of these images has.
pub fn missing_bytes(image: &BootImage, local: &[&[u8]]) -> u64 {
    let known = known_parts(local);
    let missing = image
        .parts
        .iter()
        .filter(|part| !known.contains_key(&part.sha256));
    missing.map(|part| part.length).sum()
}

/// Fetches an image and says how many bytes of it were fetched. What is wrong in `local` does no harm.
pub fn fetch(source: &dyn Source, image: &BootImage, local: &[&[u8]]) -> Result<(Vec<u8>, u64)> {
    let known = known_parts(local);
    with_other_mirrors(source, || {
        let (mut bytes, mut fetched) = (Vec::new(), 0);
        let mut missing = 0..0;
        for part in &image.parts {
            let begin = missing.end;
            if let Some(found) = known.get(&part.sha256) {
                fetched += fetch_part(source, image, &missing, &mut bytes)?;
                bytes.extend(*found);
                missing.start = begin + part.length;
            }
            missing.end = begin + part.length;
        }
        fetched += fetch_part(source, image, &missing, &mut bytes)?;
        check_digest(&image.file, Sha256::digest(&bytes).into())?;
        Ok((bytes, fetched))
    })
}

fn fetch_part(
    source: &dyn Source,
    image: &BootImage,
    range: &Range<u64>,
    bytes: &mut Vec<u8>,
) -> Result<u64> {
    if range.is_empty() {
        return Ok(0);
    }
    bytes.extend(read_range(source, &image.file.path, range.clone())?);
    Ok(range.end - range.start)
}

/// The parts of installed images by digest; what is no image has none.
fn known_parts<'a>(local: &[&'a [u8]]) -> HashMap<FileDigest, &'a [u8]> {
    let mut known = HashMap::new();
    for image in local {
        let mut rest: &'a [u8] = image;
        for length in part_lengths(image).unwrap_or_default() {
            let (part, behind) = rest.split_at(length);
            rest = behind;
            known.insert(FileDigest(Sha256::digest(part).into()), part);
        }
    }
    known
}
