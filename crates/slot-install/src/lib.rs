//! Installing a release into the idle slot of a disk, and going back to what is in that slot.
//!
//! The order of steps is [`update_model::progress::Step`]'s: the idle slot's boot entry goes first and the new
//! one comes last, and each step is durable before the next begins. Whenever the power fails, the running
//! version boots, or the new one does. Neither the running slot nor its boot entry is ever written.
//!
//! Does not fetch, does not check signatures, and does not choose what to install or when to reboot.

pub mod boot_folder;
pub mod error;
pub mod install;
pub mod rollback;
pub mod slots;
