//! Table `Settings`: single values under a name.
//!
//! A value that was never set has no row.
use bytes::Bytes;

use super::{decode, encode};
use crate::tables::{Table, TableError, Tables, TablesMut};
use crate::units::{LeaseEpoch, Revision};

const REVISION: &[u8] = b"revision";
const COMPACTED: &[u8] = b"compacted";
const LEASE_EPOCH: &[u8] = b"lease_epoch";
const AUTH_ENABLED: &[u8] = b"auth_enabled";
const AUTH_REVISION: &[u8] = b"auth_revision";

/// An empty store's revision, as in etcd: 0 means "none" wherever a client sends it, so that nothing can be
/// told to be as old as an empty store if that were its number.
const FIRST_REVISION: Revision = Revision(1);

fn read_revision(
    tables: &dyn Tables,
    name: &[u8],
    unset: Revision,
) -> Result<Revision, TableError> {
    let row = tables.get(Table::Settings, name)?;
    row.map_or(Ok(unset), |row| decode(Table::Settings, name, &row))
}

pub(crate) fn revision(tables: &dyn Tables) -> Result<Revision, TableError> {
    read_revision(tables, REVISION, FIRST_REVISION)
}

pub(crate) fn set_revision(tables: &mut dyn TablesMut, revision: Revision) {
    let row = encode(&revision);
    tables.put(Table::Settings, Bytes::from_static(REVISION), row);
}

/// The last revision whose history was forgotten.
pub(crate) fn compacted(tables: &dyn Tables) -> Result<Revision, TableError> {
    read_revision(tables, COMPACTED, Revision(0))
}

pub(crate) fn set_compacted(tables: &mut dyn TablesMut, revision: Revision) {
    let row = encode(&revision);
    tables.put(Table::Settings, Bytes::from_static(COMPACTED), row);
}

/// The last grant's.
pub(crate) fn lease_epoch(tables: &dyn Tables) -> Result<LeaseEpoch, TableError> {
    let row = tables.get(Table::Settings, LEASE_EPOCH)?;
    let epoch = row.map(|row| decode(Table::Settings, LEASE_EPOCH, &row));
    Ok(epoch.transpose()?.unwrap_or_default())
}

pub(crate) fn set_lease_epoch(tables: &mut dyn TablesMut, epoch: LeaseEpoch) {
    let row = encode(&epoch);
    tables.put(Table::Settings, Bytes::from_static(LEASE_EPOCH), row);
}

pub(crate) fn is_auth_enabled(tables: &dyn Tables) -> Result<bool, TableError> {
    Ok(tables.get(Table::Settings, AUTH_ENABLED)?.is_some())
}

/// The revision since which users matter, if they do.
pub(crate) fn auth_enabled_since(tables: &dyn Tables) -> Result<Option<Revision>, TableError> {
    let row = tables.get(Table::Settings, AUTH_ENABLED)?;
    match row {
        // Earlier versions did not write down since when.
        Some(row) if row.is_empty() => Ok(Some(Revision(0))),
        Some(row) => decode(Table::Settings, AUTH_ENABLED, &row).map(Some),
        None => Ok(None),
    }
}

pub(crate) fn set_auth_enabled(tables: &mut dyn TablesMut, since: Option<Revision>) {
    match since {
        Some(since) => {
            let name = Bytes::from_static(AUTH_ENABLED);
            tables.put(Table::Settings, name, encode(&since));
        }
        None => tables.remove(Table::Settings, AUTH_ENABLED),
    }
}

/// The revision of the last change of users and roles, and of whether they matter.
pub(crate) fn auth_revision(tables: &dyn Tables) -> Result<Revision, TableError> {
    read_revision(tables, AUTH_REVISION, Revision(0))
}

pub(crate) fn set_auth_revision(tables: &mut dyn TablesMut, revision: Revision) {
    let row = encode(&revision);
    tables.put(Table::Settings, Bytes::from_static(AUTH_REVISION), row);
}
