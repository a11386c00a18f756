//! What `launch network` and `launch volume` have in common: named things that commands made are listed, shown, removed,
//! and pruned.
//!
//! What such a thing is, and what is printed of it, is its own command's.

use std::collections::BTreeMap;

use clap::Args;
use container_model::name::Name;
use serde::Serialize;

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Print the names alone
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// Their names
    #[arg(required = true)]
    names: Vec<Name>,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArguments {
    /// Their names
    #[arg(required = true)]
    names: Vec<Name>,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArguments {
    /// For programs
    #[arg(long)]
    json: bool,
}

/// How a list is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListForm {
    /// A table.
    Table,
    /// A name in each line.
    Names,
    /// A JSON array.
    Json,
}

impl ListArguments {
    pub(crate) fn form(&self) -> ListForm {
        match (self.quiet, self.json) {
            (true, _) => ListForm::Names,
            (_, true) => ListForm::Json,
            _ => ListForm::Table,
        }
    }
}

impl InspectArguments {
    /// Finds all, or none, and shows them.
    pub(crate) fn perform<T, E>(
        &self,
        find: impl Fn(&Name) -> Result<T, E>,
        show: impl FnOnce(&[T], bool) -> anyhow::Result<()>,
    ) -> anyhow::Result<()>
    where
        anyhow::Error: From<E>,
    {
        let found: Result<Vec<T>, E> = self.names.iter().map(find).collect();
        show(&found?, self.json)
    }
}

impl RemoveArguments {
    /// Removes one after the other; the first that cannot be removed ends it.
    pub(crate) fn perform<E>(&self, remove: impl Fn(&Name) -> Result<(), E>) -> anyhow::Result<()>
    where
        anyhow::Error: From<E>,
    {
        self.names.iter().try_for_each(remove).map_err(Into::into)
    }
}

impl PruneArguments {
    /// Names that were removed.
    pub(crate) fn print(&self, names: &[Name]) -> anyhow::Result<()> {
        if self.json {
            return print_json(&BTreeMap::from([("removed", names)]));
        }
        print_names(names.iter());
        Ok(())
    }
}

pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// One in each line.
pub(crate) fn print_names<'a>(names: impl Iterator<Item = &'a Name>) {
    for name in names {
        println!("{name}");
    }
}
