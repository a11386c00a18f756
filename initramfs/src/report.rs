//! What is said about this boot: messages, errors, the steps, the facts for user space.
//!
//! Nothing here changes how the boot goes on.
pub(crate) mod boot_facts;
pub(crate) mod console;
pub(crate) mod error;
pub(crate) mod progress;
pub(crate) mod toml_text;
