//! Records of a first boot that did not come to a configuration, and how steps are told on the console.
//!
//! What became of a configuration is the library's to record.

use machine_facts::provision_record::{Change, Outcome, Record, Step};

/// Nothing was found, or nothing yet.
pub(crate) fn unsourced(outcome: Outcome) -> Record {
    Record {
        outcome,
        source: None,
        format: None,
        digest: None,
        steps: Vec::new(),
    }
}

/// What the owner has given cannot be taken.
pub(crate) fn refused(source: Option<String>, problem: String) -> Record {
    let problems = vec![problem];
    Record {
        source,
        ..unsourced(Outcome::Refused { problems })
    }
}

/// A source did not give it.
pub(crate) fn failed(source: Option<String>, reason: String) -> Record {
    Record {
        source,
        ..unsourced(Outcome::Failed { reason })
    }
}

/// Only what changes something is worth a line of the console.
pub(crate) fn say_step(step: &Step) {
    if step.change != Change::Unchanged {
        println!("provision: {step}");
    }
}
