//! Volumes of containers on one machine: named ones that stay, and nameless ones that go with their container.
//!
//! A [`Volumes`] makes, lists and removes them. A container that uses one holds a lock of it, which is nobody's once the
//! container is dead, however it died. What an image has at the place of a new volume is copied into it, with owners and
//! modes, as with Docker; a copy that was cut off is made again before anybody sees the volume.
//!
//! All are folders of the machine: there are no drivers. It mounts nothing and knows no image: folders are passed in.

mod error;
mod fill;
mod lock;
mod volumes;

pub use error::Error;
pub use lock::Use;
pub use volumes::{Folders, NewVolume, Volume, Volumes};
