//! `user`, `role` and `auth`: who may do what.
//!
//! Passwords are asked for where they are not given.
use std::io::BufRead as _;

use etcd_client::{
    Client as EtcdClient, Permission, PermissionType, RoleRevokePermissionOptions, UserAddOptions,
};
use kv_client::v3::{Client, Code, Error};
use serde::Serialize;

use crate::v3::arguments::{AuthCommand, Global, RoleCommand, UserCommand};
use crate::v3::failure::Failure;
use crate::v3::message::{Bytes, Done, Header, header_fields, is_zero};
use crate::v3::output::{Format, Report, Style, Text, show};
use crate::v3::quote::quote;
use crate::v3::session;
use crate::{password, print};

/// Names, of users or of roles.
#[derive(Debug, Serialize)]
struct Users {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    users: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Roles {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
}

/// What one user has.
#[derive(Debug, Serialize)]
struct UserRoles {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[serde(skip)]
    name: String,
}

/// What one role allows.
#[derive(Debug, Serialize)]
struct Role {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(rename = "perm", skip_serializing_if = "Vec::is_empty")]
    permissions: Vec<Allowed>,
    #[serde(skip)]
    name: String,
}

#[derive(Debug, Serialize)]
struct Allowed {
    #[serde(rename = "permType", skip_serializing_if = "is_zero")]
    kind: i32,
    #[serde(skip_serializing_if = "is_zero")]
    key: Bytes,
    #[serde(skip_serializing_if = "is_zero")]
    range_end: Bytes,
}

const READ: i32 = 0;
const WRITE: i32 = 1;

impl Allowed {
    fn line(&self) -> Vec<u8> {
        let (key, end) = (&self.key.0, &self.range_end.0);
        let mut line = b"\t".to_vec();
        if end.is_empty() {
            line.extend_from_slice(key);
            return line;
        }
        line.push(b'[');
        line.extend_from_slice(key);
        if end == b"\0" {
            line.extend_from_slice(b", <open ended>");
        } else {
            line.extend_from_slice(b", ");
            line.extend_from_slice(end);
            line.push(b')');
        }
        if prefix_end(key) == *end {
            line.extend_from_slice(b" (prefix ");
            line.extend_from_slice(key);
            line.push(b')');
        }
        line
    }

    const fn kind_name(&self) -> &'static str {
        match self.kind {
            READ => "READ",
            WRITE => "WRITE",
            _ => "READWRITE",
        }
    }
}

/// The first key behind all that begin with this.
fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let last = prefix.iter().rposition(|byte| *byte < 0xff);
    last.map_or_else(
        || vec![0],
        |last| {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            end
        },
    )
}

impl Report for Users {
    fn simple(&self, _: Style, text: &mut Text) {
        self.users.iter().for_each(|name| text.line(name));
    }
}

impl Report for Roles {
    fn simple(&self, _: Style, text: &mut Text) {
        self.roles.iter().for_each(|name| text.line(name));
    }

    fn fields(&self, text: &mut Text) -> bool {
        header_fields(self.header.as_ref(), text);
        let names = self
            .roles
            .iter()
            .map(|name| format!(" {}", quote(name.as_bytes())));
        text.line(format!("\"Roles\" :{}", names.collect::<String>()));
        true
    }
}

impl Report for UserRoles {
    fn simple(&self, _: Style, text: &mut Text) {
        text.line(format!("User: {}", self.name));
        let names = self.roles.iter().map(|name| format!(" {name}"));
        text.line(format!("Roles:{}", names.collect::<String>()));
    }
}

impl Report for Role {
    fn simple(&self, _: Style, text: &mut Text) {
        text.line(format!("Role {}", self.name));
        for (title, excluded) in [("KV Read:", WRITE), ("KV Write:", READ)] {
            text.line(title);
            let shown = self.permissions.iter().filter(|one| one.kind != excluded);
            shown.for_each(|one| text.line(one.line()));
        }
    }

    fn fields(&self, text: &mut Text) -> bool {
        header_fields(self.header.as_ref(), text);
        for one in &self.permissions {
            text.line(format!("\"PermType\" :  {}", one.kind_name()));
            text.line(format!("\"Key\" : {}", quote(&one.key.0)));
            text.line(format!("\"RangeEnd\" : {}", quote(&one.range_end.0)));
        }
        true
    }
}

fn one<'a>(arguments: &'a [String], missing: &str) -> Result<&'a str, Failure> {
    match arguments {
        [name] => Ok(name),
        _ => Err(Failure::arguments(missing)),
    }
}

fn two<'a>(arguments: &'a [String], missing: &str) -> Result<(&'a str, &'a str), Failure> {
    match arguments {
        [user, role] => Ok((user, role)),
        _ => Err(Failure::arguments(missing)),
    }
}

/// A new password, typed twice or read once.
fn new_password(user: &str, at_terminal: bool) -> Result<String, Failure> {
    if !at_terminal {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        read.map_err(|error| Failure::arguments(format!("failed to read password: {error}")))?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let first = password::ask(&format!("Password of {user}: "))?;
    let again = password::ask(&format!("Type password of {user} again for confirmation: "))?;
    if first != again {
        return Err(Failure::arguments("given passwords are different"));
    }
    Ok(first)
}

pub(crate) async fn user(
    global: &Global,
    style: Style,
    command: &UserCommand,
) -> Result<(), Failure> {
    match command {
        UserCommand::Add { .. } => add_user(global, style, command).await,
        UserCommand::Delete { arguments } => {
            let name = one(
                arguments,
                "user delete command requires user name as its argument",
            )?;
            let ask = |mut etcd: EtcdClient| async move { etcd.user_delete(name).await };
            let done = session::open(global).await?.once(ask).await?;
            show(
                &Done::new(done.header(), format!("User {name} deleted")),
                style,
            )
        }
        UserCommand::Get { arguments, detail } => {
            let name = one(
                arguments,
                "user get command requires user name as its argument",
            )?;
            get_user(&session::open(global).await?, name, *detail, style).await
        }
        UserCommand::List => {
            let ask = |mut etcd: EtcdClient| async move { etcd.user_list().await };
            let found = session::open(global).await?.harmless(ask).await?;
            let report = Users {
                header: Header::of(found.header()),
                users: found.users().to_vec(),
            };
            show(&report, style)
        }
        UserCommand::Passwd { arguments, mode } => {
            let name = one(
                arguments,
                "user passwd command requires user name as its argument",
            )?;
            let password = &new_password(name, mode.interactive)?;
            let ask = |mut etcd: EtcdClient| async move {
                etcd.user_change_password(name, password.as_str()).await
            };
            let done = session::open(global).await?.once(ask).await?;
            show(
                &Done::new(done.header(), "Password updated".to_owned()),
                style,
            )
        }
        UserCommand::GrantRole { arguments } => {
            let missing = "user grant command requires user name and role name as its argument";
            let (user, role) = two(arguments, missing)?;
            let ask = |mut etcd: EtcdClient| async move { etcd.user_grant_role(user, role).await };
            let done = session::open(global).await?.once(ask).await?;
            let text = format!("Role {role} is granted to user {user}");
            show(&Done::new(done.header(), text), style)
        }
        UserCommand::RevokeRole { arguments } => {
            let missing = "user revoke-role requires user name and role name as its argument";
            let (user, role) = two(arguments, missing)?;
            let ask = |mut etcd: EtcdClient| async move { etcd.user_revoke_role(user, role).await };
            let done = session::open(global).await?.once(ask).await?;
            let text = format!("Role {role} is revoked from user {user}");
            show(&Done::new(done.header(), text), style)
        }
    }
}

async fn add_user(global: &Global, style: Style, command: &UserCommand) -> Result<(), Failure> {
    let UserCommand::Add {
        arguments,
        new_user_password,
        no_password,
        mode,
    } = command
    else {
        unreachable!("only this command is carried out here");
    };
    let given = one(
        arguments,
        "user add command requires user name as its argument",
    )?;
    let (name, password) = if *no_password {
        (given, String::new())
    } else if !new_user_password.is_empty() {
        (given, new_user_password.clone())
    } else if let Some((name, password)) = given.split_once(':') {
        (name, password.to_owned())
    } else {
        (given, new_password(given, mode.interactive)?)
    };
    if name.is_empty() {
        return Err(Failure::arguments("empty user name is not allowed"));
    }
    let (password, no_password) = (&password, *no_password);
    let ask = |mut etcd: EtcdClient| async move {
        let options = UserAddOptions::new();
        let options = if no_password {
            options.with_no_pwd()
        } else {
            options
        };
        etcd.user_add(name, password.as_str(), Some(options)).await
    };
    let done = session::open(global).await?.once(ask).await?;
    show(
        &Done::new(done.header(), format!("User {name} created")),
        style,
    )
}

async fn get_user(client: &Client, name: &str, detail: bool, style: Style) -> Result<(), Failure> {
    let ask = |mut etcd: EtcdClient| async move { etcd.user_get(name).await };
    let found = client.harmless(ask).await?;
    let report = UserRoles {
        header: Header::of(found.header()),
        roles: found.roles().to_vec(),
        name: name.to_owned(),
    };
    if !detail {
        return show(&report, style);
    }
    if style.format != Format::Simple {
        let text = "--detail is only for `--write-out=simple`";
        return Err(Failure::arguments(text));
    }
    print::line(&format!("User: {name}"))?;
    for role in &report.roles {
        print::line("")?;
        show(&read_role(client, role).await?, style)?;
    }
    Ok(())
}

async fn read_role(client: &Client, name: &str) -> Result<Role, Failure> {
    let ask = |mut etcd: EtcdClient| async move { etcd.role_get(name).await };
    let found = client.harmless(ask).await?;
    let allowed = |one: Permission| Allowed {
        kind: one.get_type(),
        key: Bytes(one.key().to_vec()),
        range_end: Bytes(range_end(&one)),
    };
    Ok(Role {
        header: Header::of(found.header()),
        permissions: found.permissions().into_iter().map(allowed).collect(),
        name: name.to_owned(),
    })
}

/// The library tells a prefix and an open end apart from a range.
fn range_end(permission: &Permission) -> Vec<u8> {
    if permission.is_prefix() {
        prefix_end(permission.key())
    } else if permission.is_from_key() {
        vec![0]
    } else {
        permission.range_end().to_vec()
    }
}

/// Keys of a permission: a key, and the end of a range or nothing.
fn range(
    key: &str,
    end: Option<&String>,
    prefix: bool,
    from_key: bool,
) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let key = if key.is_empty() && (prefix || from_key) {
        vec![0]
    } else {
        key.as_bytes().to_vec()
    };
    match (end, prefix, from_key) {
        (_, true, true) => Err(Failure::arguments(
            "--from-key and --prefix flags are mutually exclusive",
        )),
        (Some(_), true, _) | (Some(_), _, true) => Err(Failure::arguments(
            "unexpected endkey argument with --prefix or --from-key flag",
        )),
        (_, true, _) if key == [0] => Ok((key, vec![0])),
        (_, true, _) => {
            let end = prefix_end(&key);
            Ok((key, end))
        }
        (_, _, true) => Ok((key, vec![0])),
        (Some(end), ..) => Ok((key, end.as_bytes().to_vec())),
        (None, ..) => Ok((key, Vec::new())),
    }
}

pub(crate) async fn role(
    global: &Global,
    style: Style,
    command: &RoleCommand,
) -> Result<(), Failure> {
    match command {
        RoleCommand::Add { arguments } => {
            let name = one(
                arguments,
                "role add command requires role name as its argument",
            )?;
            let ask = |mut etcd: EtcdClient| async move { etcd.role_add(name).await };
            let done = session::open(global).await?.once(ask).await?;
            show(
                &Done::new(done.header(), format!("Role {name} created")),
                style,
            )
        }
        RoleCommand::Delete { arguments } => {
            let name = one(
                arguments,
                "role delete command requires role name as its argument",
            )?;
            let ask = |mut etcd: EtcdClient| async move { etcd.role_delete(name).await };
            let done = session::open(global).await?.once(ask).await?;
            show(
                &Done::new(done.header(), format!("Role {name} deleted")),
                style,
            )
        }
        RoleCommand::Get { arguments } => {
            let name = one(
                arguments,
                "role get command requires role name as its argument",
            )?;
            show(
                &read_role(&session::open(global).await?, name).await?,
                style,
            )
        }
        RoleCommand::List => {
            let ask = |mut etcd: EtcdClient| async move { etcd.role_list().await };
            let found = session::open(global).await?.harmless(ask).await?;
            let report = Roles {
                header: Header::of(found.header()),
                roles: found.roles().to_vec(),
            };
            show(&report, style)
        }
        RoleCommand::GrantPermission {
            arguments,
            prefix,
            from_key,
        } => grant(global, style, arguments, *prefix, *from_key).await,
        RoleCommand::RevokePermission {
            arguments,
            prefix,
            from_key,
        } => revoke(global, style, arguments, *prefix, *from_key).await,
    }
}

async fn grant(
    global: &Global,
    style: Style,
    arguments: &[String],
    prefix: bool,
    from_key: bool,
) -> Result<(), Failure> {
    let ([role, kind, key], end) = match arguments {
        [role, kind, key] => ([role, kind, key], None),
        [role, kind, key, end] => ([role, kind, key], Some(end)),
        _ => {
            let text = "role grant command requires role name, permission type, and key [endkey] as its argument";
            return Err(Failure::arguments(text));
        }
    };
    let kind = match kind.to_lowercase().as_str() {
        "read" => PermissionType::Read,
        "write" => PermissionType::Write,
        "readwrite" => PermissionType::Readwrite,
        _ => {
            return Err(Failure::arguments(format!(
                "invalid permission type: {kind}"
            )));
        }
    };
    let (key, end) = range(key, end, prefix, from_key)?;
    let (key, end) = (&key, &end);
    let ask = |mut etcd: EtcdClient| async move {
        let permission = Permission::new(kind, key.clone()).with_range_end(end.clone());
        etcd.role_grant_permission(role.as_str(), permission).await
    };
    let done = session::open(global).await?.once(ask).await?;
    show(
        &Done::new(done.header(), format!("Role {role} updated")),
        style,
    )
}

async fn revoke(
    global: &Global,
    style: Style,
    arguments: &[String],
    prefix: bool,
    from_key: bool,
) -> Result<(), Failure> {
    let (role, key, end) = match arguments {
        [role, key] => (role, key, None),
        [role, key, end] => (role, key, Some(end)),
        _ => {
            let text = "role revoke-permission command requires role name and key [endkey] as its argument";
            return Err(Failure::arguments(text));
        }
    };
    let (range_key, end) = range(key, end, prefix, from_key)?;
    let (range_key, end) = (&range_key, &end);
    let ask = |mut etcd: EtcdClient| async move {
        let options = RoleRevokePermissionOptions::new().with_range_end(end.clone());
        etcd.role_revoke_permission(role.as_str(), range_key.clone(), Some(options))
            .await
    };
    let done = session::open(global).await?.once(ask).await?;
    let shown = String::from_utf8_lossy(range_key);
    let end = String::from_utf8_lossy(end);
    let text = match end.as_ref() {
        "" => format!("Permission of key {shown} is revoked from role {role}"),
        "\0" => format!("Permission of range [{shown}, <open ended> is revoked from role {role}"),
        end => format!("Permission of range [{shown}, {end}) is revoked from role {role}"),
    };
    show(&Done::new(done.header(), text), style)
}

pub(crate) async fn auth(global: &Global, command: AuthCommand) -> Result<(), Failure> {
    if matches!(command, AuthCommand::Status) {
        return status(global).await;
    }
    let client = session::open(global).await?;
    let text = if matches!(command, AuthCommand::Enable) {
        let ask = |mut etcd: EtcdClient| async move { etcd.auth_enable().await };
        client.once(ask).await?;
        "Authentication Enabled"
    } else {
        let ask = |mut etcd: EtcdClient| async move { etcd.auth_disable().await };
        client.once(ask).await?;
        "Authentication Disabled"
    };
    print::line(text)?;
    Ok(())
}

/// Whether users and roles matter. etcd 3.4 has no question for it, but refuses logins for different
/// reasons; so nobody needs to be known for this.
async fn status(global: &Global) -> Result<(), Failure> {
    let config = session::config(global, &session::endpoints(global)?)?;
    let config = kv_client::Config {
        credentials: None,
        ..config
    };
    let client = Client::connect(config, kv_client::v3::Leader::NotRequired).await?;
    let ask = |etcd: EtcdClient| async move {
        etcd.auth_client()
            .authenticate(String::new(), String::new())
            .await
    };
    let is_enabled = match client.harmless(ask).await {
        Err(Error::Refused { message, .. })
            if message.contains("authentication is not enabled") =>
        {
            false
        }
        Err(Error::Refused {
            code: Code::InvalidArgument | Code::Unauthenticated | Code::PermissionDenied,
            ..
        })
        | Ok(_) => true,
        Err(error) => return Err(error.into()),
    };
    print::line(&format!("Authentication Status: {is_enabled}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_found() {
        assert_eq!(prefix_end(b"p"), b"q");
        assert_eq!(prefix_end(b"a\xff"), b"b");
        assert_eq!(prefix_end(b"\xff"), b"\0");
    }
}
