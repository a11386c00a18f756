//! systemd units.
//!
//! Whether the image has a unit that is only enabled is known on the machine.

use systemd_unit::UnitName;

/// A unit of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: UnitName,
    /// Its file; without one it is a unit of the image.
    pub contents: Option<String>,
    /// Whether it starts at boot.
    pub enablement: Enablement,
    /// Files of `NAME.d`.
    pub drop_ins: Vec<DropIn>,
}

/// What becomes of a unit at boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Enablement {
    /// As the image's presets have it.
    #[default]
    Preset,
    /// Wanted as its `[Install]` says.
    Enabled,
    /// Wanted by `multi-user.target`, whatever its `[Install]` says: what coreos-cloudinit started.
    Wanted,
    /// Not wanted.
    Disabled,
    /// It cannot be started at all.
    Masked,
}

/// An addition to a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropIn {
    /// File name, ending in `.conf`.
    pub name: String,
    /// Its text.
    pub contents: String,
}
