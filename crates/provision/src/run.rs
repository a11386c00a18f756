//! One configuration from its bytes to the record of what became of it.
//!
//! Does not know where the bytes come from, and prints nothing.

use std::fmt::Write as _;

use machine_facts::error::chain;
use machine_facts::provision_record::{Outcome, Record, Step};
use provision_model::plan::Fetching;
use provision_model::{Configuration, Plan, Problem};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::contents;
use crate::disks::Devices;
use crate::fetch::{Fetch, FetchError};
use crate::metadata::Wishes;
use crate::operation::Manner;
use crate::prepare::{NotPrepared, prepare};
use crate::root::Root;

/// A configuration somebody found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where they were, in words.
    pub source: String,
    /// What stands before a line and column: a file's name, or the same words.
    pub name: String,
    /// What becomes of it there.
    pub afterwards: Afterwards,
}

/// What becomes of a configuration, where it was found, once it is applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Afterwards {
    /// It cannot be removed, or that is nobody's business here.
    #[default]
    Stays,
    /// It is a file on the EFI system partition, which has no modes: it is erased.
    ErasedFromEsp,
}

/// Makes what fetches, once it is known how.
pub trait Network {
    /// By the configuration's wishes, with certificates of more authorities (PEM).
    ///
    /// # Errors
    /// If they cannot be followed.
    fn open(
        &self,
        fetching: &Fetching,
        authorities: &[Vec<u8>],
    ) -> Result<Box<dyn Fetch>, FetchError>;
}

/// Where and how it is applied.
pub struct Place<'a> {
    /// The root.
    pub root: &'a Root,
    /// The machine's disks; `None` if the root is not this machine's.
    pub devices: Option<&'a Devices>,
    /// `None` where there is no network yet.
    pub network: Option<&'a dyn Network>,
    /// Whether it is done or only said.
    pub manner: Manner,
}

/// Applies a configuration; what became of it is in the record, which is not written.
pub fn run(found: &Found, place: &Place<'_>, tell: &mut dyn FnMut(&Step)) -> Record {
    run_over(&Wishes::default(), found, place, tell)
}

/// As [`run`], over what the machine's platform wants: where both have an opinion, the configuration's holds.
pub fn run_over(
    platform: &Wishes,
    found: &Found,
    place: &Place<'_>,
    tell: &mut dyn FnMut(&Step),
) -> Record {
    let mut record = Record {
        outcome: Outcome::Applied,
        source: Some(found.source.clone()),
        format: None,
        digest: Some(digest(&found.bytes)),
        steps: Vec::new(),
    };
    let configuration = match Configuration::parse(&found.bytes, platform.variables.clone()) {
        Ok(configuration) => configuration,
        Err(problems) => {
            record.outcome = refused(found, &problems);
            return record;
        }
    };
    record.format = Some(configuration.format.to_string());
    let mut steps = Vec::new();
    let wanted = (&configuration, &platform.plan);
    record.outcome = apply(wanted, found, place, &mut |step| {
        tell(step);
        steps.push(step.clone());
    });
    record.steps = steps;
    record
}

fn apply(
    (configuration, platform): (&Configuration, &Plan),
    found: &Found,
    place: &Place<'_>,
    tell: &mut dyn FnMut(&Step),
) -> Outcome {
    let fetch = match open(configuration, place) {
        Ok(fetch) => fetch,
        Err(reason) => return Outcome::Failed { reason },
    };
    let locked = match place.manner {
        Manner::Really => place.root.lock_accounts().map(Some),
        Manner::DryRun => Ok(None),
    };
    let _lock = match locked {
        Ok(lock) => lock,
        Err(error) => {
            let reason = format!("cannot keep others from editing users and groups: {error}");
            return Outcome::Failed { reason };
        }
    };
    let work = match prepare(
        configuration,
        platform,
        (place.root, place.devices),
        fetch.as_deref(),
    ) {
        Ok(work) => work,
        Err(NotPrepared::Refused(problems)) => return refused(found, &problems),
        Err(NotPrepared::NeedsNetwork(addresses)) => return Outcome::Deferred { addresses },
        Err(error @ NotPrepared::Accounts(_)) => {
            let reason = chain(&error);
            return Outcome::Failed { reason };
        }
    };
    match work.perform(place.root, place.manner, tell) {
        Ok(()) => Outcome::Applied,
        Err(error) => Outcome::Failed {
            reason: chain(&error),
        },
    }
}

/// Only if something is remote: most configurations need no network.
fn open(
    configuration: &Configuration,
    place: &Place<'_>,
) -> Result<Option<Box<dyn Fetch>>, String> {
    let plan = &configuration.plan;
    let Some(network) = place.network else {
        return Ok(None);
    };
    if contents::addresses(plan).is_empty() && plan.includes.is_empty() {
        return Ok(None);
    }
    let mut authorities = Vec::new();
    for authority in &plan.fetching.authorities {
        let bytes = contents::open(&authority.value, None);
        authorities.push(bytes.map_err(|error| format!("{}: {error}", authority.key))?);
    }
    let fetch = network.open(&plan.fetching, &authorities);
    fetch.map(Some).map_err(|error| error.to_string())
}

/// As compilers write problems, so that editors find the place.
fn refused(found: &Found, problems: &[Problem]) -> Outcome {
    let line = |problem: &Problem| {
        let separator = if problem.position.is_some() {
            ":"
        } else {
            ": "
        };
        format!("{}{separator}{problem}", found.name)
    };
    Outcome::Refused {
        problems: problems.iter().map(line).collect(),
    }
}

fn digest(bytes: &[u8]) -> String {
    let mut text = "sha256-".to_owned();
    for byte in Sha256::digest(bytes) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
