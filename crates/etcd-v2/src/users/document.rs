//! The JSON of users and roles as clients send it.
//!
//! What the documents ask for is decided in the parent module.

use crate::go_json::{Cursor, Mismatch};
use crate::message::MessageError;

/// A user as sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserDocument {
    /// `user`.
    pub name: String,
    /// Empty if none is given.
    pub password: String,
    /// In the order sent; `None` if none were sent.
    pub roles: Option<Vec<String>>,
    /// Roles to give.
    pub grant: Vec<String>,
    /// Roles to take away.
    pub revoke: Vec<String>,
}

/// A role as sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoleDocument {
    /// `role`.
    pub name: String,
    /// What a new role allows.
    pub permissions: Grants,
    /// What to allow besides.
    pub grant: Grants,
    /// What to allow no longer.
    pub revoke: Grants,
}

/// Patterns of keys: paths, or beginnings of paths followed by `*`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// What may be read; `None` if nothing was sent.
    pub read: Option<Vec<String>>,
    /// What may be written; `None` if nothing was sent.
    pub write: Option<Vec<String>>,
}

impl UserDocument {
    /// Reads it; what comes after it is ignored, as etcd does.
    pub(super) fn parse(body: &[u8]) -> Result<Self, MessageError> {
        let mut user = Self::default();
        let read = Cursor::first(body).is_ok_and(|mut cursor| {
            let result = each_field(&mut cursor, |name, cursor| {
                match name {
                    "user" => set_string(&mut user.name, cursor)?,
                    "password" => set_string(&mut user.password, cursor)?,
                    "roles" => user.roles = cursor.strings()?,
                    "grant" => user.grant = cursor.strings()?.unwrap_or_default(),
                    "revoke" => user.revoke = cursor.strings()?.unwrap_or_default(),
                    _ => cursor.skip_value(),
                }
                Ok(())
            });
            result.is_ok()
        });
        if read { Ok(user) } else { Err(invalid()) }
    }
}

impl RoleDocument {
    /// Reads it; what comes after it is ignored, as etcd does.
    pub(super) fn parse(body: &[u8]) -> Result<Self, MessageError> {
        let mut role = Self::default();
        let read = Cursor::first(body).is_ok_and(|mut cursor| {
            let result = each_field(&mut cursor, |name, cursor| match name {
                "role" => set_string(&mut role.name, cursor),
                "permissions" => role.permissions.read_from(cursor),
                "grant" => role.grant.read_from(cursor),
                "revoke" => role.revoke.read_from(cursor),
                _ => {
                    cursor.skip_value();
                    Ok(())
                }
            });
            result.is_ok()
        });
        if read { Ok(role) } else { Err(invalid()) }
    }
}

impl Grants {
    fn read_from(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Mismatch> {
        each_field(cursor, |name, cursor| {
            if name != "kv" {
                cursor.skip_value();
                return Ok(());
            }
            each_field(cursor, |name, cursor| {
                match name {
                    "read" => self.read = cursor.strings()?,
                    "write" => self.write = cursor.strings()?,
                    _ => cursor.skip_value(),
                }
                Ok(())
            })
        })
    }
}

fn each_field(
    cursor: &mut Cursor<'_>,
    field: impl FnMut(&str, &mut Cursor<'_>) -> Result<(), Mismatch>,
) -> Result<(), Mismatch> {
    cursor.each_field(|mismatch| mismatch, field)
}

fn set_string(place: &mut String, cursor: &mut Cursor<'_>) -> Result<(), Mismatch> {
    if let Some(string) = cursor.string()? {
        *place = string;
    }
    Ok(())
}

fn invalid() -> MessageError {
    MessageError::new(400, "Invalid JSON in request body.")
}
