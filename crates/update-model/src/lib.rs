//! Releases and updates as values.
//!
//! What a release consists of ([`manifest`]), which releases a channel offers ([`channel`]), which of them
//! a machine takes and why ([`decision`]), what it fetches ([`method`], [`block_plan`], [`residue`]), which
//! steps an update has ([`progress`]), when it may reboot ([`reboot`]), and how machines take turns at that
//! ([`semaphore`], [`preparation`]). The builder writes these
//! documents, the machine reads them; signatures are TUF's and stand around them. What a machine is told
//! ([`settings`]) and remembers ([`record`], [`totals`]), why it is or isn't updating ([`why`]), what it tells
//! the cluster ([`outcome`]), when that halts a rollout ([`halt`]), and what it tells a monitor ([`metrics`]).
//!
//! Nothing here reads files or clocks, or draws random numbers.

pub mod block_plan;
pub mod changelog;
pub mod channel;
pub mod decision;
pub mod digest;
pub mod halt;
pub mod lock_view;
pub mod manifest;
pub mod method;
pub mod metrics;
pub mod outcome;
pub mod preparation;
pub mod progress;
pub mod progress_line;
pub mod reboot;
pub mod record;
pub mod residue;
pub mod retry;
pub mod rollout;
pub mod semaphore;
pub mod settings;
pub mod totals;
pub mod version;
pub mod why;
