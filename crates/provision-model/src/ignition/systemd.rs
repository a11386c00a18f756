//! Units.
//!
//! Their texts are checked by [`crate::rules`].

use ignition_config::v3_5::{self, Systemd};
use systemd_unit::UnitName;

use super::reading::Reading;
use crate::key_path::KeyPath;
use crate::plan::{DropIn, Enablement, Plan, Stated, Unit};

/// Reads the section.
pub(super) fn read(systemd: &Systemd, key: &KeyPath, reading: &mut Reading, plan: &mut Plan) {
    for (index, one) in systemd.units.iter().flatten().enumerate() {
        let key = key.key("units").index(index);
        match UnitName::new(one.name.clone()) {
            Ok(name) => plan.units.push(Stated::new(unit(name, one), key)),
            Err(error) => reading.problem(&key.key("name"), error.to_string()),
        }
    }
}

fn unit(name: UnitName, unit: &v3_5::Unit) -> Unit {
    let enablement = match (unit.mask, unit.enabled) {
        (Some(true), _) => Enablement::Masked,
        (_, Some(true)) => Enablement::Enabled,
        (_, Some(false)) => Enablement::Disabled,
        (_, None) => Enablement::Preset,
    };
    let drop_ins = unit.dropins.iter().flatten().map(|one| DropIn {
        name: one.name.clone(),
        contents: one.contents.clone().unwrap_or_default(),
    });
    Unit {
        name,
        // Ignition takes an empty text for none.
        contents: unit.contents.clone().filter(|text| !text.is_empty()),
        enablement,
        drop_ins: drop_ins.collect(),
    }
}
