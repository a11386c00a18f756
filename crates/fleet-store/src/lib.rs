//! What the fleet keeps in the store, and what it asks of a store.
//!
//! The keys, below a prefix ([`DEFAULT_PREFIX`]); [`Layout`] makes and reads them. Values are JSON.
//!
//! | key | value | written by | lives |
//! |---|---|---|---|
//! | `contents/HASH` | [`Contents`]: a unit's file and drop-ins | the API, with the unit | until no unit and no target has the hash |
//! | `units/NAME` | [`UnitRecord`] | the API; the leader takes a finished move out | until destroyed |
//! | `targets/MACHINE/NAME` | [`Target`]: what the machine shall have | the engine's leader | until the leader takes it back |
//! | `present/MACHINE/NAME` | [`Presence`]: the machine has it, or is about to | its agent | until the agent has stopped it |
//! | `actual-states/MACHINE/NAME` | [`UnitStatus`]: what systemd says | its agent | with the machine's lease |
//! | `machines/ID/alive` | [`Alive`] | its agent | with the machine's lease |
//! | `machines/ID/record` | [`MachineRecord`] | its agent | until removed by command |
//! | `machines/ID/settings` | [`MachineSettings`]: what operators asked for | the API | until removed by command |
//! | `announced/MACHINE/CONTAINER` | [`Announced`]: what it registered for a container, elsewhere in the store | its agent | with the machine's lease |
//! | `engine/leader` | [`Leadership`] | who leads | with the leader's lease |
//!
//! States, and what is announced, sort before everything else, so that one watch has all the engine needs without them
//! ([`Layout::decisive`]): they change most, and nothing is decided by them.
//!
//! # Who may write what, when
//! - A unit's contents are put in the transaction that puts the unit, whether or not they are there
//!   already: that makes a removal of unused contents, which names their revision, fail.
//! - An agent puts `present` before it starts a unit, in a transaction with the condition that the target
//!   still has the revision it acts on, and deletes it once the unit is stopped. Without the first, a
//!   unit could be started after it was placed elsewhere. The deletion has the condition that `present` has
//!   the revision at which the agent put it: else one that comes late could hide a unit started since.
//! - An agent puts `present` again when it has replaced a unit's contents. As long as it names the old ones,
//!   what those exclude is not placed on the machine.
//! - An agent starts what a target is `replacing` only when those units are stopped and no longer present.
//! - `alive` is put only if absent. A machine that leaves in order, with nothing running, puts its record
//!   without a lease when it deletes `alive`: then nobody waits for its lease's time.
//! - Targets are written only with the condition that `engine/leader` still has the revision at which
//!   the leader last put it.
//!
//! # Changes of the format
//! Versions of fleetd run beside each other during an update. Unknown fields are therefore ignored, and
//! where several write a value, read-modify-write keeps them (`other`). An unknown word (a new state, a new
//! availability) makes a value unreadable: its reader leaves what it is about as it is. A change that an
//! old reader must not overlook gets a new word or a new key, never a new field alone.
//!
//! This crate talks to no server. [`Store`] is what its users need of one; `memory` is one for tests.

mod error;
mod keys;
mod layout;
#[cfg(any(test, feature = "memory"))]
pub mod memory;
mod store;
mod transaction;
pub mod value;

pub use error::{StoreError, ValueError};
pub use keys::Keys;
pub use layout::{DEFAULT_PREFIX, Key, Layout};
pub use store::{
    Change, KeyValue, Lease, LeaseId, LeaseLost, Range, Revision, Store, Watch, WatchEvent,
};
pub use transaction::{Condition, OPERATIONS_MAX, Operation, Outcome, Transaction};
pub use value::{
    Alive, Announced, Contents, ContentsError, DropInText, Leadership, LeaseRecord,
    MachineAvailability, MachineRecord, MachineSettings, Moving, Presence, Rollout, Target,
    UnitRecord, UnitStatus, Value,
};
