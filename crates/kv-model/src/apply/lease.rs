//! Grants leases, and removes them with their keys.
//!
//! As in etcd, a grant takes no revision, and a removal takes one only if it removes keys.
//! Whether a lease has ended is the leader's to know; keeping one alive writes nothing.
use bytes::Bytes;

use super::change::Change;
use super::directory::remove_keys;
use crate::error_code::ErrorCode;
use crate::event::Action;
use crate::outcome::Reply;
use crate::query::Queried;
use crate::record::key::KeyRecord;
use crate::record::lease::{LeaseRecord, leased_keys};
use crate::record::setting;
use crate::tables::{Table, TableError};
use crate::units::{LeaseEpoch, LeaseId};

/// As etcd writes it.
pub(super) fn hexadecimal(id: LeaseId) -> String {
    format!("{:016x}", id.0)
}

pub(super) fn grant(change: &mut Change<'_>, id: LeaseId, ttl_seconds: i64) -> Queried<Reply> {
    if id.0 == 0 {
        // A key that hangs on lease 0 hangs on none.
        return change.refuse(ErrorCode::LeaseNotFound, hexadecimal(id));
    }
    if LeaseRecord::read(change.tables(), id)?.is_some() {
        return change.refuse(ErrorCode::LeaseExists, hexadecimal(id));
    }
    let epoch = LeaseEpoch(setting::lease_epoch(change.tables())?.0 + 1);
    let record = LeaseRecord { epoch, ttl_seconds };
    let row_key = Bytes::copy_from_slice(&LeaseRecord::row_key(id));
    let tables = change.tables_mut();
    setting::set_lease_epoch(tables, epoch);
    tables.put(Table::Leases, row_key, record.encode());
    Ok(Ok(Reply::LeaseGranted(id, epoch)))
}

pub(super) fn revoke(change: &mut Change<'_>, id: LeaseId) -> Queried<Reply> {
    if LeaseRecord::read(change.tables(), id)?.is_none() {
        return change.refuse(ErrorCode::LeaseNotFound, hexadecimal(id));
    }
    remove(change, Action::Delete, id)?;
    Ok(Ok(Reply::LeaseRevoked(change.revision())))
}

/// Removes a lease that exists, and its keys, all at the next revision.
pub(super) fn remove(
    change: &mut Change<'_>,
    action: Action,
    id: LeaseId,
) -> Result<(), TableError> {
    let keys = leased_keys(change.tables(), id)?;
    if !keys.is_empty() {
        change.advance();
    }
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        if let Some(record) = KeyRecord::read(change.tables(), &key)? {
            found.push((key, record));
        }
    }
    remove_keys(change, action, found)?;
    change
        .tables_mut()
        .remove(Table::Leases, &LeaseRecord::row_key(id));
    Ok(())
}
