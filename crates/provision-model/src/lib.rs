//! What a machine's owner wants of its first boot, as a value.
//!
//! Three formats are read into one [`Plan`]: Ignition 3.0 to 3.6, cloud-config, and our own TOML.
//! Whatever is wrong is found at once, all of it, each with line, column and key: unknown keys, wrong
//! types, and what [`rules`] say of every plan.
//!
//! It fetches nothing, writes nothing and does not know the machine: what is remote stands in the plan
//! as an address, and whoever applies the plan brings its bytes.

pub mod cloud_config;
pub mod document;
pub mod format;
pub mod ignition;
pub mod key_path;
mod merge;
pub mod outline;
pub mod plan;
pub mod problem;
pub mod rules;
pub mod settings;
mod variables;

pub use format::{Configuration, Format, parse};
pub use key_path::KeyPath;
pub use plan::Plan;
pub use problem::{Position, Problem};
pub use variables::{Unknown, Variables};
