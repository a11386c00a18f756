//! The fleet on one machine: has systemd run what the store says this machine shall have.
//!
//! [`Agent`] registers the machine, follows its targets, starts and stops units over D-Bus and tells the store
//! how they are. It keeps what runs through loss of the store, of the engine and of itself: units belong to
//! systemd, their files lie in `/run/fleet`, and an agent that starts anew adopts what it finds. What is wanted
//! is remembered in `/var/lib/fleet`, for a boot without the store.
//!
//! Units are announced in the store before they can run, and withdrawn once they cannot: that is what the
//! engine relies on so that no unit runs twice. A machine that is cut off keeps what runs, but for units with
//! `OnPartition=stop`, which are dead before its lease can end.
//!
//! Containers that are announced on the machine are registered under its lease, and withdrawn when they are not any more;
//! [`Announcements`] says when that is done.
//!
//! It places nothing, and serves nothing: [`journal`], [`status`] and [`usage()`] are for whoever does.

mod agent;
mod announcer;
mod cache_writer;
mod calls;
mod facts;
mod fence;
mod guard;
mod journal;
mod lease_memory;
mod membership;
mod outbox;
mod reconcile;
mod reconciler;
mod registrar;
mod status;
mod systemd;
mod target_cache;
mod targets;
mod unit_directory;
mod usage;
mod writer;

pub use agent::{Agent, Configuration};
pub use announcer::Announcements;
pub use container_model::registration::Settings as RegistrationSettings;
pub use facts::MachineFacts;
pub use guard::guard;
pub use journal::{UnitJournal, journal};
pub use lease_memory::Uptime;
pub use membership::Registration;
pub use status::status;
pub use systemd::simulated::{Behaviour, SimulatedSystemd};
pub use systemd::{Bus, Systemd, SystemdError, SystemdEvent, UnitStatus};
pub use usage::usage;
