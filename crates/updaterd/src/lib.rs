//! The machine's side of updates: one run looks for a release, fetches it, and installs it.
//!
//! [`run`] is a whole run, [`keeper`] what is remembered of it over the next boot, [`reboot`] the reboot that
//! follows, [`rollback`] the way back; [`cluster`] is what machines tell each other, and [`service`] offers all
//! that on D-Bus. Nothing stays resident: a timer or a call starts the process, and it ends by itself. What to
//! take is decided in `update-model`, fetched by `update-client`, installed by `slot-install`.

pub mod cluster;
pub mod drain;
pub mod host;
pub mod keeper;
pub mod lock;
pub mod login_note;
mod logind;
pub mod machine;
pub mod metrics;
pub mod parts;
pub mod reboot;
pub mod rollback;
pub mod run;
pub mod service;
pub mod source;
pub mod store;
pub mod transfer;
pub mod watcher;
