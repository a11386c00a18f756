//! The writing side of a release directory.
//!
//! [`keys`] makes and rotates the keys of The Update Framework's roles; [`release`] turns a built image
//! into files, static deltas, a manifest and a channel's new entry; [`channels`] changes what a channel says
//! of a release; [`publication`] signs and writes, the timestamp last; [`serve`] shows a directory over HTTP
//! for trying it out.
//!
//! Not here: building images (crate `image-build`), reading releases (crate `update-client`).

pub mod channels;
pub mod compress;
pub mod delta;
pub mod directory;
pub mod error;
pub mod frame_lengths;
pub mod keys;
mod pem;
pub mod publication;
pub mod release;
pub mod root_metadata;
pub mod serve;
pub mod signing_key;
