//! The machine's name and time zone, as systemd reads them when it starts.
//!
//! A running system is not told.

use provision_model::plan::Plan;

use super::Preparation;
use crate::operation::{Attributes, LinkKind, LinkWork, Operation};
use crate::units::public_file;

const HOSTNAME: &str = "/etc/hostname";
const LOCAL_TIME: &str = "/etc/localtime";
const ZONES: &str = "/usr/share/zoneinfo";
/// What holds without any data on zones.
const UTC: &[&str] = &["UTC", "Etc/UTC"];

impl Preparation<'_> {
    pub(super) fn hostname(&mut self, plan: &Plan) {
        if let Some(name) = &plan.hostname
            && let Some(path) = self.take_place(HOSTNAME, &name.key)
        {
            let text = format!("{}\n", name.value);
            self.operations.push(public_file(path, &text));
        }
    }

    pub(super) fn time_zone(&mut self, plan: &Plan) {
        let Some(zone) = &plan.time_zone else {
            return;
        };
        let file = format!("{ZONES}/{}", zone.value);
        if !self.root.exists(&file) && !UTC.contains(&zone.value.as_str()) {
            let why = if self.root.exists(ZONES) {
                "has no such zone"
            } else {
                "knows UTC only: it has no data on time zones"
            };
            let text = format!("{}: the image {why}", zone.value);
            return self.findings.add(&zone.key, text);
        }
        let Some(path) = self.take_place(LOCAL_TIME, &zone.key) else {
            return;
        };
        self.operations.push(Operation::Link(LinkWork {
            path,
            // Relative, which is how systemd finds out the zone's name.
            kind: LinkKind::Symbolic(format!("..{file}")),
            attributes: Attributes::default(),
            replaces: true,
        }));
    }
}
