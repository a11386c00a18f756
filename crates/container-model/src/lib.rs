//! Containers as values: what they are run with, from which image, and what a runtime is told.
//!
//! Options have Docker's names and Docker's grammar, image references are normalized as Docker does, and
//! [`spec::build`] makes an OCI runtime specification of options and an image's configuration.
//! [`policy`] says which images may be used, [`registries`] where they come from.
//!
//! It opens no file, asks no registry and runs nothing: what stands in the image's `/etc/passwd`, which
//! seccomp profile there is and where the control group lies is passed in.

pub mod capability;
pub mod command;
pub mod device;
pub mod digest;
pub mod docker_logins;
pub mod environment;
pub mod health;
pub mod host_entry;
pub mod housekeeping;
pub mod malformed;
pub mod mount;
pub mod name;
pub mod network;
pub mod options;
pub mod policy;
pub mod port;
pub mod quadlet;
pub mod reference;
pub mod registration;
pub mod registries;
pub mod resources;
pub mod run_record;
pub mod seccomp;
pub mod secret;
pub mod security;
pub mod signal;
pub mod spec;
pub mod sysctl;
pub mod ulimit;
pub mod user;
pub mod user_namespace;

pub use malformed::Malformed;
pub use options::ContainerOptions;
pub use reference::ImageReference;

// Whoever unpacks images needs the same types that the specification is made of.
pub use oci_spec;
