//! The fleet's rules, without any input or output.
//!
//! [`FleetOptions`] is a unit's `[X-Fleet]` section. A [`View`] is all that an engine knows: machines,
//! units, what is placed where and what runs where. [`schedule()`] says what to change, [`explain()`]
//! why a unit cannot run on a machine. Both are functions of the view: equal views, equal answers.
//!
//! It knows no store, no systemd, no clock. That a machine is lost, and that what ran there is dead by
//! now, comes with the view.

pub mod decision;
pub mod explain;
pub mod glob;
pub mod machine;
pub mod options;
pub mod resources;
mod schedule;
pub mod state;
pub mod unit;
pub mod view;

pub use decision::{Decision, Removal, Schedule};
pub use explain::{Explanation, Refusal, explain};
pub use glob::Glob;
pub use machine::{Availability, Fence, Machine, MachineId};
pub use options::{FleetOptions, OnPartition, OptionError, Placement};
pub use resources::{Capacity, Resource, Resources};
pub use schedule::schedule;
pub use state::State;
pub use unit::{Moving, Unit};
pub use view::View;
