//! Users, roles, and whether they matter.
//!
//! Passwords are sent as they are: use TLS.
use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use crate::client::Client;
use crate::error::Error;
use crate::request::{Request, escape_name};

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// Names of the roles.
    pub roles: Vec<String>,
}

/// A role: patterns of keys, exact or ending in `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The name.
    pub name: String,
    /// What may be read.
    pub read: Vec<String>,
    /// What may be written.
    pub write: Vec<String>,
}

/// What a permission allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading and watching.
    Read,
    /// Changing.
    Write,
    /// Both.
    ReadWrite,
}

/// A list that a server may give as `null`.
type Maybe<T> = Option<Vec<T>>;

#[derive(Deserialize)]
struct UserBody {
    user: String,
    roles: Maybe<RoleName>,
}

/// A role inside a user: its name, or all of it.
#[derive(Deserialize)]
#[serde(untagged)]
enum RoleName {
    Name(String),
    Whole(RoleBody),
}

#[derive(Deserialize)]
struct RoleBody {
    role: String,
    #[serde(default)]
    permissions: Permissions,
}

#[derive(Default, Deserialize)]
struct Permissions {
    #[serde(default)]
    kv: Patterns,
}

#[derive(Default, Deserialize)]
struct Patterns {
    read: Maybe<String>,
    write: Maybe<String>,
}

impl From<UserBody> for User {
    fn from(body: UserBody) -> Self {
        let name = |role| match role {
            RoleName::Name(name) => name,
            RoleName::Whole(role) => role.role,
        };
        Self {
            name: body.user,
            roles: body
                .roles
                .unwrap_or_default()
                .into_iter()
                .map(name)
                .collect(),
        }
    }
}

impl From<RoleBody> for Role {
    fn from(body: RoleBody) -> Self {
        Self {
            name: body.role,
            read: body.permissions.kv.read.unwrap_or_default(),
            write: body.permissions.kv.write.unwrap_or_default(),
        }
    }
}

fn user_target(name: &str) -> String {
    format!("/v2/auth/users/{}", escape_name(name))
}

fn role_target(name: &str) -> String {
    format!("/v2/auth/roles/{}", escape_name(name))
}

fn without_body(method: Method, target: &str) -> Request {
    Request {
        method,
        repeat: crate::request::Repeat::Once,
        ..Request::get(target)
    }
}

impl Client {
    /// Whether users and roles matter.
    pub async fn is_auth_enabled(&self) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Body {
            enabled: bool,
        }
        let body: Body = self.call_json(&Request::get("/v2/auth/enable")).await?;
        Ok(body.enabled)
    }

    /// From now on users and roles matter.
    pub async fn enable_auth(&self) -> Result<(), Error> {
        self.call(&without_body(Method::PUT, "/v2/auth/enable"))
            .await?;
        Ok(())
    }

    /// From now on everybody may do everything.
    pub async fn disable_auth(&self) -> Result<(), Error> {
        self.call(&without_body(Method::DELETE, "/v2/auth/enable"))
            .await?;
        Ok(())
    }

    /// Names of the users.
    pub async fn users(&self) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Body {
            users: Maybe<UserBody>,
        }
        let body: Body = self.call_json(&Request::get("/v2/auth/users")).await?;
        let users = body.users.unwrap_or_default();
        Ok(users.into_iter().map(|user| user.user).collect())
    }

    /// One user.
    pub async fn user(&self, name: &str) -> Result<User, Error> {
        let body: UserBody = self.call_json(&Request::get(&user_target(name))).await?;
        Ok(body.into())
    }

    /// Creates a user. If there is one of that name, etcd changes its password.
    pub async fn add_user(&self, name: &str, password: &str) -> Result<(), Error> {
        let body = json!({"user": name, "password": password});
        let request = Request::json(Method::PUT, user_target(name), &body);
        self.call(&request).await?;
        Ok(())
    }

    /// Gives a user another password.
    pub async fn change_password(&self, name: &str, password: &str) -> Result<(), Error> {
        self.add_user(name, password).await
    }

    /// Removes a user.
    pub async fn remove_user(&self, name: &str) -> Result<(), Error> {
        self.call(&without_body(Method::DELETE, &user_target(name)))
            .await?;
        Ok(())
    }

    /// Gives roles to a user.
    pub async fn grant_roles(&self, name: &str, roles: &[String]) -> Result<User, Error> {
        let body = json!({"user": name, "grant": roles});
        let request = Request::json(Method::PUT, user_target(name), &body);
        let body: UserBody = self.call_json(&request).await?;
        Ok(body.into())
    }

    /// Takes roles away from a user.
    pub async fn revoke_roles(&self, name: &str, roles: &[String]) -> Result<User, Error> {
        let body = json!({"user": name, "revoke": roles});
        let request = Request::json(Method::PUT, user_target(name), &body);
        let body: UserBody = self.call_json(&request).await?;
        Ok(body.into())
    }

    /// Names of the roles.
    pub async fn roles(&self) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Body {
            roles: Maybe<RoleName>,
        }
        let body: Body = self.call_json(&Request::get("/v2/auth/roles")).await?;
        let name = |role| match role {
            RoleName::Name(name) => name,
            RoleName::Whole(role) => role.role,
        };
        Ok(body
            .roles
            .unwrap_or_default()
            .into_iter()
            .map(name)
            .collect())
    }

    /// One role.
    pub async fn role(&self, name: &str) -> Result<Role, Error> {
        let body: RoleBody = self.call_json(&Request::get(&role_target(name))).await?;
        Ok(body.into())
    }

    /// Creates a role that allows nothing.
    pub async fn add_role(&self, name: &str) -> Result<(), Error> {
        let body = json!({"role": name, "permissions": {"kv": {"read": null, "write": null}}});
        let request = Request::json(Method::PUT, role_target(name), &body);
        self.call(&request).await?;
        Ok(())
    }

    /// Removes a role.
    pub async fn remove_role(&self, name: &str) -> Result<(), Error> {
        self.call(&without_body(Method::DELETE, &role_target(name)))
            .await?;
        Ok(())
    }

    /// Lets a role use the keys of a pattern.
    pub async fn grant(&self, role: &str, pattern: &str, access: Access) -> Result<Role, Error> {
        self.change_role(role, "grant", pattern, access).await
    }

    /// No longer lets a role use the keys of a pattern.
    pub async fn revoke(&self, role: &str, pattern: &str, access: Access) -> Result<Role, Error> {
        self.change_role(role, "revoke", pattern, access).await
    }

    async fn change_role(
        &self,
        role: &str,
        change: &str,
        pattern: &str,
        access: Access,
    ) -> Result<Role, Error> {
        let patterns = |wanted: &[Access]| wanted.contains(&access).then(|| vec![pattern]);
        let kv = json!({
            "read": patterns(&[Access::Read, Access::ReadWrite]),
            "write": patterns(&[Access::Write, Access::ReadWrite]),
        });
        let body = json!({"role": role, change: {"kv": kv}});
        let request = Request::json(Method::PUT, role_target(role), &body);
        let body: RoleBody = self.call_json(&request).await?;
        Ok(body.into())
    }
}
