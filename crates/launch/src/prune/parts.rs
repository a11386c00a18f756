//! What images of which a dry run would take the names have on the disk: each part once, by its size as it is fetched.
//!
//! What is unpacked of them, and what images that stay have of the same parts, is not looked at.

use std::collections::HashSet;

use image_store::store::{Image, Store};
use image_store::unpack;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Parts {
    known: HashSet<String>,
    bytes: u64,
}

impl Parts {
    /// Adds an image's, and says how much that makes more. Of one that is broken nobody knows how much it is.
    pub(super) async fn add(&mut self, store: &Store, image: &Image) -> u64 {
        let Ok((manifest, _)) = unpack::manifest(store, image).await else {
            return 0;
        };
        let parts = manifest.layers().iter().chain([manifest.config()]);
        self.count(parts.map(|part| (part.digest().to_string(), part.size())))
    }

    fn count(&mut self, parts: impl Iterator<Item = (String, u64)>) -> u64 {
        let known = &mut self.known;
        let new = parts.filter_map(|(digest, size)| known.insert(digest).then_some(size));
        let new = new.fold(0_u64, u64::saturating_add);
        self.bytes = self.bytes.saturating_add(new);
        new
    }

    /// All together.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_images_share_goes_once() {
        let mut parts = Parts::default();
        let of = |names: &[(&str, u64)]| {
            let parts: Vec<_> = names
                .iter()
                .map(|(name, size)| ((*name).to_owned(), *size))
                .collect();
            parts.into_iter()
        };
        assert_eq!(parts.count(of(&[("a", 5), ("b", 2), ("a", 5)])), 7);
        assert_eq!(parts.count(of(&[("b", 2), ("c", 1)])), 1);
        assert_eq!(parts.bytes(), 8);
    }
}
