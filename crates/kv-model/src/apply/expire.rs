//! Removes what has expired: nodes of v2 in the order of their moments, then leases.
//!
//! Each takes a revision of its own, as in etcd; a lease without keys takes none.
use bytes::Bytes;

use super::change::Change;
use super::directory::{remove_key, remove_tree};
use super::lease;
use crate::command::LeaseTerm;
use crate::event::{Action, Event};
use crate::outcome::Reply;
use crate::record::deadline::{Deadline, Kind};
use crate::record::directory::DirectoryRecord;
use crate::record::key::KeyRecord;
use crate::record::lease::LeaseRecord;
use crate::tables::{Table, TableError};
use crate::units::UnixNanoseconds;

pub(super) fn apply(
    change: &mut Change<'_>,
    now: UnixNanoseconds,
    leases: &[LeaseTerm],
) -> Result<Reply, TableError> {
    let mut expired = 0;
    // A directory takes the deadlines of all in it away, so the next one is looked up each time.
    while let Some(deadline) = Deadline::first(change.tables())?.filter(|next| next.at <= now) {
        change.advance();
        if let Some(event) = remove_node(change, &deadline)? {
            change.record(event);
        }
        expired += 1;
    }
    for term in leases {
        let record = LeaseRecord::read(change.tables(), term.id)?;
        if record.is_some_and(|record| record.epoch == term.epoch) {
            lease::remove(change, Action::Expire, term.id)?;
            expired += 1;
        }
    }
    Ok(Reply::Expired(expired))
}

fn remove_node(change: &mut Change<'_>, deadline: &Deadline) -> Result<Option<Event>, TableError> {
    let path = &deadline.path;
    let tables = change.tables();
    let event = match deadline.kind {
        Kind::Key => KeyRecord::read(tables, path)?
            .map(|record| remove_key(change, Action::Expire, path, record)),
        Kind::Directory => match std::str::from_utf8(path) {
            Ok(path) => DirectoryRecord::read(tables, path)?
                .map(|record| remove_tree(change, Action::Expire, path, record)),
            Err(_) => None,
        },
    };
    // Its row went with what it belongs to. One that belongs to nothing must go too, or it would
    // be found again for ever.
    let row_key: Bytes = Deadline::row_key(deadline.at, deadline.kind, path);
    change.tables_mut().remove(Table::Deadlines, &row_key);
    event.transpose()
}
