//! Quadlet: a `.container` file becomes the text of a `.service` unit that runs `launch run`.
//!
//! Keys mean what podman's documentation says of them; what there is no equivalent for is refused by name,
//! so that a file never runs with less than it asks for. Values may have systemd's specifiers, which
//! systemd resolves; a value with one is checked when it runs.
//!
//! It opens no file: text and drop-ins are passed in. `.volume`, `.network`, `.image`, `.pod`, `.kube` and
//! `.build` files are not made into units.

mod container;
mod install;
mod keys;
mod problem;
mod service;
mod source;

pub use problem::Problem;
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

/// Makes the unit, or tells all that is wrong.
pub fn generate(file: &QuadletFile) -> Result<GeneratedUnit, Vec<Problem>> {
    container::generate(file)
}

/// Why files of a type that Quadlet knows are not made into units; nothing for `.container` and others.
pub fn refused_type(name: &str) -> Option<String> {
    const TYPES: &[&str] = &[
        "volume", "network", "image", "pod", "kube", "build", "artifact",
    ];
    let (_, kind) = name.rsplit_once('.')?;
    let is_known = TYPES.contains(&kind);
    is_known.then(|| format!("`.{kind}` files are not supported: only `.container` files are"))
}

#[cfg(test)]
mod tests;
