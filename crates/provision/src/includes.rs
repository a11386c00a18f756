//! Configurations that others bring along: fetched, read, and made one plan with them.
//!
//! A problem in one of them stands where it was brought along.

use provision_model::plan::{Contents, Effect, Plan, Source};
use provision_model::{Configuration, KeyPath, Variables, rules};

use crate::contents;
use crate::fetch::Fetch;
use crate::findings::Findings;

/// How deep one may bring along another: more is a circle.
const DEPTH_MAX: usize = 8;

/// Goes through what a plan brings along.
struct Resolver<'a> {
    variables: &'a Variables,
    fetch: Option<&'a dyn Fetch>,
    findings: &'a mut Findings,
    /// Addresses that nobody could ask.
    out_of_reach: Vec<String>,
}

/// The plan with all that it brings along; what is wrong is in the findings, and then it is not the whole.
/// An error are the addresses of what there is no network for.
pub(crate) fn resolve(
    configuration: &Configuration,
    fetch: Option<&dyn Fetch>,
    findings: &mut Findings,
) -> Result<Plan, Vec<String>> {
    let plan = &configuration.plan;
    if plan.includes.is_empty() {
        return Ok(plan.clone());
    }
    let mut resolver = Resolver {
        fetch,
        variables: &configuration.variables,
        findings: &mut *findings,
        out_of_reach: Vec::new(),
    };
    let whole = resolver.whole(plan.clone(), 0);
    if !resolver.out_of_reach.is_empty() {
        return Err(resolver.out_of_reach);
    }
    if findings.is_empty() {
        for problem in rules::check(&whole) {
            findings.add(&problem.key, problem.text);
        }
    }
    Ok(whole)
}

impl Resolver<'_> {
    fn whole(&mut self, mut plan: Plan, depth: usize) -> Plan {
        for include in std::mem::take(&mut plan.includes) {
            let key = &include.key;
            if depth == DEPTH_MAX {
                let text = format!("is brought along by more than {DEPTH_MAX} others in turn");
                self.findings.add(key, text);
                return plan;
            }
            let Some(other) = self.read(&include.value.contents, key) else {
                continue;
            };
            let other = self.whole(other, depth + 1);
            match include.value.effect {
                Effect::Merge => plan = plan.merged(other),
                Effect::Replace => return other,
            }
        }
        plan
    }

    fn read(&mut self, contents: &Contents, key: &KeyPath) -> Option<Plan> {
        if let (Source::Remote(remote), None) = (&contents.source, self.fetch) {
            self.out_of_reach.push(remote.url.clone());
            return None;
        }
        let bytes = contents::open(contents, self.fetch);
        let bytes = self.findings.take(key, bytes)?;
        match Configuration::parse(&bytes, self.variables.clone()) {
            Ok(configuration) => Some(configuration.plan.below(key)),
            Err(problems) => {
                for problem in problems {
                    let text = format!("what is brought along here: {problem}");
                    self.findings.add(key, text);
                }
                None
            }
        }
    }
}
