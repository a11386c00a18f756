//! Quadlet: a `.container` file becomes the text of a `.service` unit that runs `launch run`; `.network`, `.volume`,
//! `.image` and `.pod` files become units that make, or pull, what they name.
//!
//! Keys mean what podman's documentation says of them; what there is no equivalent for is refused by name,
//! so that a file never runs with less than it asks for. Values may have systemd's specifiers, which
//! systemd resolves; a value with one is checked when it runs.
//!
//! It opens no file: text and drop-ins are passed in. `.kube` and `.build` files are not made
//! into units.

mod container;
mod install;
mod keys;
mod pod;
mod problem;
mod resource;
mod service;
mod siblings;
mod source;

pub use problem::Problem;
pub use siblings::{Siblings, unit_of};
pub use source::{DropInText, QuadletFile};

/// What a generator writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedUnit {
    /// Such as `web.service`.
    pub name: String,
    /// The unit file.
    pub text: String,
    /// Links that enable it, such as `multi-user.target.wants/web.service`, relative to the folder of
    /// the unit; each leads to the unit.
    pub links: Vec<String>,
}

/// Makes the unit of a file that names no other, or tells all that is wrong.
pub fn generate(file: &QuadletFile) -> Result<GeneratedUnit, Vec<Problem>> {
    generate_among(file, &Siblings::default())
}

/// Makes the unit, or tells all that is wrong.
pub fn generate_among(
    file: &QuadletFile,
    siblings: &Siblings,
) -> Result<GeneratedUnit, Vec<Problem>> {
    match file.name.rsplit_once('.') {
        Some((_, "image")) => resource::generate(file, &resource::IMAGE, siblings),
        Some((_, "network")) => resource::generate(file, &resource::NETWORK, siblings),
        Some((_, "pod")) => resource::generate(file, &pod::POD, siblings),
        Some((_, "volume")) => resource::generate(file, &resource::VOLUME, siblings),
        _ => container::generate(file, siblings),
    }
}

/// Whether a file is made into a unit.
pub fn is_unit_source(name: &str) -> bool {
    name.ends_with(".container") || siblings::is_sibling(name)
}

/// Why files of a type that Quadlet knows are not made into units; nothing for those that are, and others.
pub fn refused_type(name: &str) -> Option<String> {
    const TYPES: &[&str] = &["kube", "build", "artifact"];
    let (_, kind) = name.rsplit_once('.')?;
    let is_known = TYPES.contains(&kind);
    is_known.then(|| {
        format!(
            "`.{kind}` files are not supported: `.container`, `.pod`, `.network`, `.volume` and `.image` files are"
        )
    })
}

#[cfg(test)]
mod tests;
