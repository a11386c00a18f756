//! Carries out one command on the tables.
//!
//! It checks everything before it writes anything, so that a refusal leaves no trace. A command
//! that changes a key or directory takes one revision for all of it; only [`Command::Expire`] takes
//! one for each node, and for each lease with keys, that expires. A change of users and roles takes
//! one too, without an event. Granting a lease takes none, nor does revoking one without keys.
mod auth;
mod change;
mod directory;
mod expire;
mod key_write;
mod lease;
pub(crate) mod transaction;

use crate::command::Command;
use crate::error_code::ErrorCode;
use crate::outcome::{Applied, Reply};
use crate::query::Queried;
use crate::record::setting;
use crate::tables::{TableError, TablesMut};
use crate::units::Revision;

use change::Change;

/// Carries out a command. Every member that applies the same commands in the same order gets the
/// same outcomes and holds the same rows.
pub fn apply(tables: &mut dyn TablesMut, command: &Command) -> Result<Applied, TableError> {
    let mut change = Change::begin(tables)?;
    let outcome = carry_out(&mut change, command)?;
    let events = change.finish();
    Ok(Applied { outcome, events })
}

fn carry_out(change: &mut Change<'_>, command: &Command) -> Queried<Reply> {
    Ok(match command {
        Command::Write(write) => key_write::apply(change, write)?,
        Command::Transaction(transaction) => transaction::apply(change, transaction)?,
        Command::GrantLease { id, ttl_seconds } => lease::grant(change, *id, *ttl_seconds)?,
        Command::RevokeLease { id } => lease::revoke(change, *id)?,
        Command::Expire { now, leases } => Ok(expire::apply(change, *now, leases)?),
        Command::Auth(auth_change) => auth::apply(change, auth_change)?,
        Command::Compact(revision) => compact(change, *revision)?,
        Command::Permitted { as_of, command } => permitted(change, *as_of, command)?,
    })
}

/// Whoever asks again finds out anew whether it may be done.
fn permitted(change: &mut Change<'_>, as_of: Revision, command: &Command) -> Queried<Reply> {
    let last = setting::auth_revision(change.tables())?;
    if last != as_of {
        return change.refuse(ErrorCode::AuthChanged, last.0.to_string());
    }
    carry_out(change, command)
}

/// Takes no revision: it forgets what was, and changes nothing that is.
fn compact(change: &mut Change<'_>, revision: Revision) -> Queried<Reply> {
    let cause = || revision.0.to_string();
    if revision > change.revision() {
        return change.refuse(ErrorCode::FutureRevision, cause());
    }
    if revision <= setting::compacted(change.tables())? {
        return change.refuse(ErrorCode::Compacted, cause());
    }
    setting::set_compacted(change.tables_mut(), revision);
    Ok(Ok(Reply::Compacted(revision)))
}

#[cfg(test)]
mod tests;
