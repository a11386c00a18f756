//! Builds the image.
