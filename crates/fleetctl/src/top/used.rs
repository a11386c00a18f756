//! What machines use, from one answer after another: processors are counted between two.

use std::collections::BTreeMap;

use fleet_api::{Usage, UsagePage, UsageReport};
use serde::Serialize;

/// What a machine uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub(super) enum Used {
    /// Nobody has told yet.
    #[default]
    Unknown,
    /// What it said.
    Known {
        /// Not known from one answer alone.
        cpu_thousandths: Option<u64>,
        memory_bytes: u64,
        tasks: u64,
    },
    /// It could not be asked.
    Unreachable { message: String },
}

/// The last answer of every machine.
#[derive(Debug, Default)]
pub(super) struct Usages {
    machines: BTreeMap<String, (Option<Usage>, Used)>,
}

impl Usages {
    /// What a machine uses, as far as it is known.
    pub(super) fn of(&self, machine: &str) -> Used {
        let known = self.machines.get(machine);
        known.map_or(Used::Unknown, |(_, used)| used.clone())
    }

    /// Takes an answer in. A machine that it does not name is forgotten.
    pub(super) fn take(&mut self, page: UsagePage) {
        let mut earlier = std::mem::take(&mut self.machines);
        for machine in page.machines {
            let last = earlier
                .remove(&machine.machine_id)
                .and_then(|(last, _)| last);
            let entry = match machine.report {
                UsageReport::Usage(usage) => (Some(usage), between(last, usage)),
                UsageReport::Unreachable { message } => (None, Used::Unreachable { message }),
            };
            self.machines.insert(machine.machine_id, entry);
        }
    }

    /// Why machines tell nothing, each reason once with how many machines have it.
    pub(super) fn problems(&self) -> Vec<(String, usize)> {
        let mut problems: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, used) in self.machines.values() {
            if let Used::Unreachable { message } = used {
                *problems.entry(message).or_default() += 1;
            }
        }
        let owned = |(message, count): (&str, usize)| (message.to_owned(), count);
        problems.into_iter().map(owned).collect()
    }
}

fn between(last: Option<Usage>, usage: Usage) -> Used {
    Used::Known {
        cpu_thousandths: last.and_then(|last| usage.cpu_thousandths_since(&last)),
        memory_bytes: usage.memory_bytes,
        tasks: usage.tasks,
    }
}

#[cfg(test)]
mod tests {
    use fleet_api::MachineUsage;

    use super::*;

    fn page(reports: &[(&str, UsageReport)]) -> UsagePage {
        let machines = reports.iter().map(|(id, report)| MachineUsage {
            machine_id: (*id).to_owned(),
            report: report.clone(),
        });
        UsagePage {
            machines: machines.collect(),
        }
    }

    fn usage(cpu: u64, uptime: u64) -> UsageReport {
        UsageReport::Usage(Usage {
            cpu_milliseconds: cpu,
            uptime_milliseconds: uptime,
            memory_bytes: 10,
            tasks: 3,
        })
    }

    fn known(cpu_thousandths: Option<u64>) -> Used {
        Used::Known {
            cpu_thousandths,
            memory_bytes: 10,
            tasks: 3,
        }
    }

    #[test]
    fn processors_are_known_from_the_second_answer_on() {
        let mut usages = Usages::default();
        assert_eq!(usages.of("m1"), Used::Unknown);
        usages.take(page(&[("m1", usage(100, 1000))]));
        assert_eq!(usages.of("m1"), known(None));
        usages.take(page(&[("m1", usage(600, 2000))]));
        assert_eq!(usages.of("m1"), known(Some(500)));
        usages.take(page(&[("m2", usage(600, 2000))]));
        assert_eq!(usages.of("m1"), Used::Unknown, "a machine that is gone");
    }

    #[test]
    fn a_machine_that_was_away_begins_anew() {
        let message = || "no way".to_owned();
        let away = UsageReport::Unreachable { message: message() };
        let mut usages = Usages::default();
        usages.take(page(&[("m1", usage(100, 1000)), ("m2", away.clone())]));
        assert_eq!(usages.problems(), [(message(), 1)]);
        usages.take(page(&[("m1", away.clone()), ("m2", away)]));
        assert_eq!(usages.problems(), [(message(), 2)]);
        usages.take(page(&[("m1", usage(900, 3000))]));
        assert_eq!(usages.of("m1"), known(None));
    }
}
