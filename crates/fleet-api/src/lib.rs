//! The fleet's HTTP API, version 1: the messages as JSON, and a [`Client`].
//!
//! What fleet 1.0 has is written exactly as fleet wrote it: the same fields, left out when empty. What
//! it had not is added beside, so that its clients work unchanged: explanations, the availability
//! of machines, what they use, moves, events, journal and status. [`path`] lists every address.
//!
//! It serves nothing, validates no unit and stores nothing.

mod client;
pub mod event;
pub mod explanation;
pub mod failure;
pub mod journal;
pub mod machine;
pub mod page;
pub mod page_token;
pub mod patch;
pub mod path;
pub mod status;
pub mod unit;
mod unit_file;
pub mod unit_state;
pub mod usage;

pub use client::{
    ApiError, Client, Connector, Endpoint, EndpointError, Events, Journal, Lines, Patience, Stream,
    Tls, TlsError,
};
pub use event::{Event, EventRecord};
pub use explanation::{Explanation, MachineVerdict, Reason, Refusal};
pub use failure::Failure;
pub use journal::{JournalQuery, JournalRecord};
pub use machine::{Availability, AvailabilityRequest, Machine, MachineCapacity};
pub use page::{MachinePage, StatePage, UnitPage};
pub use page_token::PageToken;
pub use patch::{MachinePatch, PatchOperation};
pub use status::{StatusPage, UnitStatus};
pub use unit::{DropIn, MoveRequest, Rollout, Unit, UnitOption};
pub use unit_state::UnitState;
pub use usage::{MachineUsage, Usage, UsagePage, UsageReport};
