//! `/v2/auth`: requests about users and roles parsed, answers written.
//!
//! Passwords are hashed, and existence and rights checked, elsewhere. A role's permissions of v3 that
//! no pattern of v2 expresses are left out of answers.

use bytes::Bytes;
use kv_model::auth::{Access, AuthChange, Pattern, Permission, Role, User};

use crate::json::{append_array, append_string, append_strings};
use crate::message::MessageError;
use crate::path;

mod document;

pub use document::{Grants, RoleDocument, UserDocument};

/// The value of the `Allow` header for another method on all users or all roles.
pub const COLLECTION_METHODS: &str = "GET";
/// The value of the `Allow` header for another method on one user or role, and on `/v2/auth/enable`.
pub const METHODS: &str = "GET,PUT,DELETE";

/// Which users or roles are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// All; only GET.
    All,
    /// The one of this name.
    Named(String),
}

/// Reads what comes after `/v2/auth/users` or `/v2/auth/roles`, unescaped.
pub fn parse_target(path: &str) -> Result<Target, MessageError> {
    let cleaned = path::clean(path).map_err(|error| MessageError::new(400, error.to_string()))?;
    match &cleaned[1..] {
        "" => Ok(Target::All),
        name if name.contains('/') => Err(MessageError::new(400, "Invalid path")),
        name => Ok(Target::Named(name.to_owned())),
    }
}

/// What a PUT to a user asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserRequest {
    /// A new user with roles. Answered with 200, as etcd does.
    Create(UserDocument),
    /// A new user, answered with 201, or another password for an existing one, answered with 200.
    CreateOrChange(UserDocument),
    /// Other roles or another password for an existing one: 200.
    Change(UserDocument),
}

/// Parses the body of a PUT to the user of this name.
pub fn parse_user(name: &str, body: &[u8]) -> Result<UserRequest, MessageError> {
    let user = UserDocument::parse(body)?;
    if user.name != name {
        let message = "User JSON name does not match the name in the URL";
        return Err(MessageError::new(400, message));
    }
    let changes_roles = !(user.grant.is_empty() && user.revoke.is_empty());
    let has_roles = user.roles.as_ref().is_some_and(|roles| !roles.is_empty());
    match (changes_roles, has_roles) {
        (true, true) => {
            let message = "User JSON contains both roles and grant/revoke";
            Err(MessageError::new(400, message))
        }
        (true, false) => Ok(UserRequest::Change(user)),
        (false, true) => Ok(UserRequest::Create(user)),
        (false, false) => Ok(UserRequest::CreateOrChange(user)),
    }
}

/// What a PUT to a role asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleRequest {
    /// A new role: 201, answered by [`write_new_role`].
    Create(RoleDocument),
    /// Other permissions for an existing one: 200.
    Change(RoleDocument),
}

/// Parses the body of a PUT to the role of this name.
pub fn parse_role(name: &str, body: &[u8]) -> Result<RoleRequest, MessageError> {
    let role = RoleDocument::parse(body)?;
    if role.name != name {
        let message = "Role JSON name does not match the name in the URL";
        return Err(MessageError::new(400, message));
    }
    if role.grant.is_empty() && role.revoke.is_empty() {
        return Ok(RoleRequest::Create(role));
    }
    if !role.permissions.is_empty() {
        let message = "Role JSON contains both permissions and grant/revoke";
        return Err(MessageError::new(400, message));
    }
    Ok(RoleRequest::Change(role))
}

impl UserDocument {
    /// The user to be created with this password hash. `root` always has the role `root`.
    ///
    /// # Errors
    /// Without a password.
    pub fn into_creation(mut self, password_hash: String) -> Result<AuthChange, MessageError> {
        if self.password.is_empty() {
            let message = format!(
                "auth: Cannot create user {} with an empty password",
                self.name
            );
            return Err(MessageError::new(400, message));
        }
        self.attach_root_role();
        Ok(AuthChange::CreateUser(User {
            roles: self.roles.unwrap_or_default().into_iter().collect(),
            name: self.name,
            password_hash,
        }))
    }

    /// The change of the user; `password_hash` is that of the password, unless it is empty.
    pub fn into_change(self, password_hash: Option<String>) -> AuthChange {
        AuthChange::ChangeUser {
            name: self.name,
            password_hash,
            grant: self.grant.into_iter().collect(),
            revoke: self.revoke.into_iter().collect(),
        }
    }

    /// Adds the role `root` to the user `root`, as etcd does when it is created.
    pub fn attach_root_role(&mut self) {
        if self.name == ROOT {
            let roles = self.roles.get_or_insert_default();
            if !roles.iter().any(|role| role == ROOT) {
                roles.push(ROOT.to_owned());
            }
        }
    }
}

const ROOT: &str = "root";

impl RoleDocument {
    /// The role to be created.
    pub fn into_creation(self) -> AuthChange {
        AuthChange::CreateRole(Role {
            name: self.name,
            permissions: self.permissions.into_permissions(),
        })
    }

    /// The change of the role.
    pub fn into_change(self) -> AuthChange {
        AuthChange::ChangeRole {
            name: self.name,
            grant: self.grant.into_permissions(),
            revoke: self.revoke.into_permissions(),
        }
    }
}

impl Grants {
    fn is_empty(&self) -> bool {
        [&self.read, &self.write]
            .into_iter()
            .all(|list| list.as_ref().is_none_or(Vec::is_empty))
    }

    fn into_permissions(self) -> Vec<Permission> {
        let of = |access, patterns: Option<Vec<String>>| {
            let patterns = patterns.unwrap_or_default().into_iter();
            patterns.map(move |pattern| Permission {
                access,
                pattern: parse_pattern(&pattern),
            })
        };
        let read = of(Access::Read, self.read);
        read.chain(of(Access::Write, self.write)).collect()
    }

    /// As etcd shows them: `null` for both if there are none at all.
    fn of_role(role: &Role) -> Self {
        let of = |access| {
            let permissions = role.permissions.iter().filter(|p| p.access == access);
            let patterns = permissions.filter_map(|p| write_pattern(&p.pattern));
            let mut patterns: Vec<String> = patterns.collect();
            patterns.sort();
            (!role.permissions.is_empty()).then_some(patterns)
        };
        Self {
            read: of(Access::Read),
            write: of(Access::Write),
        }
    }
}

fn parse_pattern(text: &str) -> Pattern {
    match text.strip_suffix('*') {
        Some(prefix) => Pattern::Prefix(prefix.to_owned()),
        None => Pattern::Path(text.to_owned()),
    }
}

/// The pattern in v2's words, if it has some.
fn write_pattern(pattern: &Pattern) -> Option<String> {
    match pattern {
        Pattern::Path(path) => Some(path.clone()),
        Pattern::Prefix(prefix) => Some(format!("{prefix}*")),
        Pattern::Range(from, to) => {
            let text = str::from_utf8(from).ok()?;
            let to = to.as_deref()?;
            let is_one_key = to.strip_suffix(b"\0") == Some(&from[..]);
            let is_prefix = prefix_end(from).as_deref() == Some(to);
            match (is_one_key, is_prefix) {
                (true, _) => Some(text.to_owned()),
                (_, true) => Some(format!("{text}*")),
                _ => None,
            }
        }
    }
}

/// The first key after all that begin with the prefix.
fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte < 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// The answer to a PUT of a user: its roles in the given order, `null` if it has none and is new.
pub fn write_user(name: &str, roles: Option<&[String]>) -> Bytes {
    let mut buffer = Vec::new();
    append_user_name(&mut buffer, name);
    buffer.extend_from_slice(b",\"roles\":");
    append_optional_strings(&mut buffer, roles);
    buffer.extend_from_slice(b"}\n");
    buffer.into()
}

/// The answer to a GET of a user, with its roles in full.
pub fn write_user_with_roles(name: &str, roles: &[Role]) -> Bytes {
    let mut buffer = Vec::new();
    append_user_with_roles(&mut buffer, name, roles);
    buffer.push(b'\n');
    buffer.into()
}

/// The answer to a GET of all users: each by name with its roles in full.
pub fn write_users(users: &[(String, Vec<Role>)]) -> Bytes {
    let mut buffer = b"{\"users\":".to_vec();
    if users.is_empty() {
        buffer.extend_from_slice(b"null");
    } else {
        append_array(&mut buffer, users, |buffer, (name, roles)| {
            append_user_with_roles(buffer, name, roles);
        });
    }
    buffer.extend_from_slice(b"}\n");
    buffer.into()
}

/// The answer to a PUT of a new role: what was sent.
pub fn write_new_role(role: &RoleDocument) -> Bytes {
    let mut buffer = Vec::new();
    append_grants(&mut buffer, &role.name, &role.permissions);
    buffer.push(b'\n');
    buffer.into()
}

/// The answer to a GET or a changing PUT of a role.
pub fn write_role(role: &Role) -> Bytes {
    let mut buffer = Vec::new();
    append_role(&mut buffer, role);
    buffer.push(b'\n');
    buffer.into()
}

/// The answer to a GET of all roles, which are in the order of names.
pub fn write_roles(roles: &[Role]) -> Bytes {
    let mut buffer = b"{\"roles\":".to_vec();
    append_array(&mut buffer, roles, append_role);
    buffer.extend_from_slice(b"}\n");
    buffer.into()
}

/// The answer to a GET of `/v2/auth/enable`.
pub fn write_enabled(enabled: bool) -> Bytes {
    format!("{{\"enabled\":{enabled}}}\n").into()
}

fn append_user_name(buffer: &mut Vec<u8>, name: &str) {
    buffer.extend_from_slice(b"{\"user\":");
    append_string(buffer, name.as_bytes());
}

fn append_user_with_roles(buffer: &mut Vec<u8>, name: &str, roles: &[Role]) {
    append_user_name(buffer, name);
    if !roles.is_empty() {
        buffer.extend_from_slice(b",\"roles\":");
        append_array(buffer, roles, append_role);
    }
    buffer.push(b'}');
}

fn append_role(buffer: &mut Vec<u8>, role: &Role) {
    append_grants(buffer, &role.name, &Grants::of_role(role));
}

fn append_grants(buffer: &mut Vec<u8>, name: &str, grants: &Grants) {
    buffer.extend_from_slice(b"{\"role\":");
    append_string(buffer, name.as_bytes());
    buffer.extend_from_slice(b",\"permissions\":{\"kv\":{\"read\":");
    append_optional_strings(buffer, grants.read.as_deref());
    buffer.extend_from_slice(b",\"write\":");
    append_optional_strings(buffer, grants.write.as_deref());
    buffer.extend_from_slice(b"}}}");
}

fn append_optional_strings(buffer: &mut Vec<u8>, strings: Option<&[String]>) {
    match strings {
        Some(strings) => append_strings(buffer, strings),
        None => buffer.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests;
