//! What can be wrong with an image, or with what should go into it.
//!
//! Files are named by the caller: this crate only sees bytes.

use thiserror::Error;

/// An image that cannot be read or assembled.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UkiError {
    /// It is something else, or the file is cut short.
    #[error("this is no PE32+ image: {0}")]
    NotPe(&'static str),
    /// A section's contents reach beyond the file.
    #[error("section {name} reaches beyond the end of the image; is the file cut short?")]
    SectionOutside {
        /// The section's name.
        name: String,
    },
    /// Appending to a signed image breaks the signature.
    #[error("the stub is signed; use the unsigned one and sign the result")]
    SignedStub,
    /// A name that the section table cannot hold.
    #[error("{0:?} is no section name: it must be of 1 to 8 bytes of ASCII without zeros")]
    SectionName(String),
    /// The image would have two sections of this name.
    #[error("the stub or an earlier section is named {0} already")]
    DuplicateSection(String),
    /// Firmware treats empty sections in different ways.
    #[error("section {0} has no contents; leave it out")]
    EmptySection(String),
    /// The section table cannot grow any further.
    #[error("the stub's header has room for {room} more sections, but {wanted} are needed")]
    NoHeaderRoom {
        /// How many sections fit.
        room: usize,
        /// How many there should be.
        wanted: usize,
    },
    /// Offsets in the format have 32 bits.
    #[error("the image would be larger than 4 GiB at section {0}")]
    TooLarge(String),
}
