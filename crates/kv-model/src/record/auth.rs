//! Tables `Users` and `Roles`: a name to all that is kept under it.
//!
//! The role `root` has no row: it is fixed.
use bytes::Bytes;

use super::{decode, encode};
use crate::auth::{Access, Pattern, Permission, ROOT, Role, User};
use crate::tables::{Table, TableError, Tables, TablesMut};

/// The user of that name; `root` always has the role `root`.
pub(crate) fn user(tables: &dyn Tables, name: &str) -> Result<Option<User>, TableError> {
    let row = tables.get(Table::Users, name.as_bytes())?;
    row.map(|row| decode_user(name.as_bytes(), &row))
        .transpose()
}

fn decode_user(name: &[u8], row: &[u8]) -> Result<User, TableError> {
    let mut user: User = decode(Table::Users, name, row)?;
    if user.name == ROOT {
        user.roles.insert(ROOT.to_owned());
    }
    Ok(user)
}

pub(crate) fn users(tables: &dyn Tables) -> Result<Vec<User>, TableError> {
    let rows = tables.range(Table::Users, b"", None);
    rows.map(|row| row.and_then(|(name, row)| decode_user(&name, &row)))
        .collect()
}

pub(crate) fn put_user(tables: &mut dyn TablesMut, user: &User) {
    let name = Bytes::copy_from_slice(user.name.as_bytes());
    tables.put(Table::Users, name, encode(user));
}

/// A role that may do everything with every key that is a v2 path, as etcd shows it.
pub(crate) fn all_powerful(name: &str) -> Role {
    let everything = |access| Permission {
        access,
        pattern: Pattern::Prefix("/".to_owned()),
    };
    Role {
        name: name.to_owned(),
        permissions: [Access::Read, Access::Write].map(everything).into(),
    }
}

pub(crate) fn role(tables: &dyn Tables, name: &str) -> Result<Option<Role>, TableError> {
    if name == ROOT {
        return Ok(Some(all_powerful(ROOT)));
    }
    let row = tables.get(Table::Roles, name.as_bytes())?;
    row.map(|row| decode(Table::Roles, name.as_bytes(), &row))
        .transpose()
}

pub(crate) fn roles(tables: &dyn Tables) -> Result<Vec<Role>, TableError> {
    let rows = tables.range(Table::Roles, b"", None);
    let stored = rows.map(|row| row.and_then(|(name, row)| decode(Table::Roles, &name, &row)));
    let mut roles = stored.collect::<Result<Vec<Role>, _>>()?;
    let at = roles.partition_point(|role| role.name.as_str() < ROOT);
    roles.insert(at, all_powerful(ROOT));
    Ok(roles)
}

pub(crate) fn put_role(tables: &mut dyn TablesMut, role: &Role) {
    let name = Bytes::copy_from_slice(role.name.as_bytes());
    tables.put(Table::Roles, name, encode(role));
}

/// Takes a role from every user that has it.
pub(crate) fn take_role_from_users(
    tables: &mut dyn TablesMut,
    role: &str,
) -> Result<(), TableError> {
    let holders = users(tables)?.into_iter().filter_map(|mut user| {
        let had_it = user.roles.remove(role);
        had_it.then_some(user)
    });
    for user in holders.collect::<Vec<_>>() {
        put_user(tables, &user);
    }
    Ok(())
}
