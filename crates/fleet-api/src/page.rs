//! Pages of lists.
//!
//! An empty page has no list at all, as fleet wrote it.

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::unit::Unit;
use crate::unit_state::UnitState;

/// A page of `GET /units`, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UnitPage {
    /// Asks for the page after this; empty on the last. See [`crate::PageToken`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next_page_token: String,
    /// By name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<Unit>,
}

/// A page of `GET /state`, by name and machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatePage {
    /// Asks for the page after this; empty on the last.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next_page_token: String,
    /// By name and machine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<UnitState>,
}

/// A page of `GET /machines`, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MachinePage {
    /// By id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<Machine>,
    /// Asks for the page after this; empty on the last.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next_page_token: String,
}
