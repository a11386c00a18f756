//! Release directories of small made-up images: made, checked, tampered with, fetched from.

mod fetching;
mod fixture;
mod hostile;
mod keys;
mod metadata;
mod releases;
mod tampering;
