//! All that has to be done in a root, in order, and its doing.
//!
//! The first thing that fails ends it; what was done before stays, and is found done the next time.

use machine_facts::provision_record::Step;

use crate::accounts::Accounts;
use crate::operation::{Context, Manner, Operation, OperationFailed};
use crate::root::Root;

/// What [`crate::prepare()`] found to be done.
#[derive(Debug)]
pub struct Work {
    pub(crate) operations: Vec<Operation>,
    pub(crate) accounts: Accounts,
}

impl Work {
    /// Does it, or says what would be done, step by step. Steps that change nothing are told, too.
    ///
    /// # Errors
    /// If the kernel refuses something; the steps before were told.
    pub fn perform(
        &self,
        root: &Root,
        manner: Manner,
        tell: &mut dyn FnMut(&Step),
    ) -> Result<(), OperationFailed> {
        let context = Context {
            root,
            accounts: &self.accounts,
            manner,
        };
        for operation in &self.operations {
            for step in operation.perform(&context)? {
                tell(&step);
            }
        }
        Ok(())
    }
}
