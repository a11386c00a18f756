//! From a plan to all that has to be done in a root, or all that is wrong with it there.
//!
//! Reads the root and brings what is remote; writes nothing.

mod nodes;
mod people;
mod system;

use std::collections::BTreeMap;

use provision_model::{Configuration, KeyPath, Plan, Problem, rules};

use crate::accounts::{Accounts, AccountsError};
use crate::commands;
use crate::contents::{self, Bytes};
use crate::disks::{self, Devices};
use crate::fetch::Fetch;
use crate::findings::Findings;
use crate::includes;
use crate::operation::Operation;
use crate::root::Root;
use crate::units;
use crate::work::Work;

/// Why nothing can be done.
#[derive(Debug, thiserror::Error)]
pub enum NotPrepared {
    /// The plan does not suit this machine.
    #[error("the configuration does not suit this machine")]
    Refused(Vec<Problem>),
    /// It needs what is remote, and there is no network.
    #[error("{} is on the network", .0.first().map_or("a part of it", String::as_str))]
    NeedsNetwork(Vec<String>),
    /// The root's accounts cannot be read.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
}

/// What is found while going through a plan.
pub(crate) struct Preparation<'a> {
    pub(crate) root: &'a Root,
    pub(crate) accounts: Accounts,
    pub(crate) findings: Findings,
    pub(crate) operations: Vec<Operation>,
    /// Real paths of what the plan wants, and who wants it.
    taken: BTreeMap<String, KeyPath>,
}

/// Everything that a configuration wants of a root, over what the machine's platform wants; and of the machine's disks,
/// unless the root is somebody else's.
///
/// # Errors
/// If it is refused, with all problems and where they stand; if it needs the network and `fetch` is none.
pub fn prepare(
    configuration: &Configuration,
    platform: &Plan,
    (root, devices): (&Root, Option<&Devices>),
    fetch: Option<&dyn Fetch>,
) -> Result<Work, NotPrepared> {
    let mut findings = Findings::default();
    disks::judge_state(&configuration.plan, devices, &mut findings);
    let judged = std::mem::take(&mut findings).finish();
    judged.map_err(|problems| refused(problems, configuration))?;
    let plan = includes::resolve(configuration, fetch, &mut findings);
    let plan = plan.map_err(NotPrepared::NeedsNetwork)?;
    let plan = over(platform, plan, &mut findings);
    disks::judge_state(&plan, devices, &mut findings);
    let addresses = contents::addresses(&plan);
    if fetch.is_none() && !addresses.is_empty() {
        return Err(NotPrepared::NeedsNetwork(addresses));
    }
    let mut preparation = Preparation {
        root,
        accounts: Accounts::read(root)?,
        findings,
        operations: Vec::new(),
        taken: BTreeMap::new(),
    };
    disks::add(&plan, devices, &mut preparation);
    let bytes = contents::gather(&plan, fetch, &mut preparation.findings);
    preparation.whole(&plan, bytes);
    preparation.finish(configuration)
}

fn refused(mut problems: Vec<Problem>, configuration: &Configuration) -> NotPrepared {
    configuration.positions.locate(&mut problems);
    problems.sort_by_key(|problem| problem.position);
    NotPrepared::Refused(problems)
}

/// Each was judged by itself; together they may be wrong.
fn over(platform: &Plan, plan: Plan, findings: &mut Findings) -> Plan {
    if *platform == Plan::default() {
        return plan;
    }
    let plan = platform.clone().merged(plan);
    if findings.is_empty() {
        for problem in rules::check(&plan) {
            findings.add(&problem.key, problem.text);
        }
    }
    plan
}

impl Preparation<'_> {
    fn whole(&mut self, plan: &Plan, bytes: Vec<Bytes>) {
        self.people(plan);
        self.directories(plan);
        self.files(plan, bytes);
        self.links(plan);
        self.hostname(plan);
        self.time_zone(plan);
        units::add(plan, self);
        commands::add(plan, self);
    }

    fn finish(self, configuration: &Configuration) -> Result<Work, NotPrepared> {
        self.findings
            .finish()
            .map_err(|problems| refused(problems, configuration))?;
        Ok(Work {
            operations: self.operations,
            accounts: self.accounts,
        })
    }

    /// The real path of something, if it can be written for good.
    pub(crate) fn place(&mut self, path: &str, key: &KeyPath) -> Option<String> {
        let real = match self.root.real_path(path) {
            Ok(real) => real,
            Err(problem) => {
                self.findings.add(key, format!("{path} {problem}"));
                return None;
            }
        };
        let Some(text) = rules::why_not_at(&real) else {
            return Some(real);
        };
        let text = if real == path {
            text
        } else {
            format!("{path} leads to {real}: {text}")
        };
        self.findings.add(key, text);
        None
    }

    /// As [`Preparation::place`], for what may be there once in a plan.
    pub(crate) fn take_place(&mut self, path: &str, key: &KeyPath) -> Option<String> {
        let real = self.place(path, key)?;
        if let Some(other) = self.taken.insert(real.clone(), key.clone()) {
            self.findings
                .add(key, format!("{real} stands at {other} already"));
            return None;
        }
        Some(real)
    }
}

#[cfg(test)]
mod tests;
