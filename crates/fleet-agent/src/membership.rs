//! Whether the store believes in this machine, and until when it certainly does.
//!
//! Made by the registrar, read by everybody else.

use std::collections::BTreeMap;
use std::sync::Arc;

use fleet_store::LeaseId;
use systemd_unit::UnitName;

use crate::lease_memory::Deadline;

/// How the machine stands with the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// It is not registered, and it is being tried. Nobody says whether its last lease lives.
    Trying {
        /// What hindered it last; nothing before the first failure.
        problem: String,
    },
    /// Its lease is kept alive.
    Registered,
    /// Another machine with the same id is registered. This one starts nothing.
    Double {
        /// The other one's boot.
        boot_id: String,
    },
}

/// What a registered machine writes with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    /// Its lease.
    pub(crate) lease: LeaseId,
    /// When `alive` was put: whoever puts it anew has taken the machine's place.
    pub(crate) alive_revision: u64,
    /// What the store knew to be present when the session began, with the revisions.
    pub(crate) present: Arc<BTreeMap<UnitName, (String, u64)>>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Membership {
    /// For people.
    pub(crate) registration: Registration,
    /// While it is registered.
    pub(crate) session: Option<Session>,
    /// Until when the last lease certainly lives; nothing if there was none that could.
    pub(crate) deadline: Option<Deadline>,
}

impl Membership {
    /// Before anything was tried.
    pub(crate) fn new(deadline: Option<Deadline>) -> Self {
        let problem = String::new();
        Self {
            registration: Registration::Trying { problem },
            session: None,
            deadline,
        }
    }
}
