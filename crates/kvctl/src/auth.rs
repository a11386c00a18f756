//! `user`, `role` and `auth`.
//!
//! Unlike etcdctl, `user add` never changes the password of a user that exists.
use std::process::ExitCode;

use kv_client::{Access, Client, Error};

use crate::arguments::{AuthCommand, Global, PermissionArguments, RoleCommand, UserCommand};
use crate::failure::Failure;
use crate::{password, print, session};

fn name_of_user(name: Option<&String>) -> Result<&str, Failure> {
    name.map(String::as_str)
        .ok_or_else(|| Failure::Plain("Please provide a username".to_owned()))
}

fn name_of_role(name: Option<&String>) -> Result<&str, Failure> {
    name.map(String::as_str)
        .ok_or_else(|| Failure::Plain("Please provide a role name".to_owned()))
}

fn without_arguments(given: &[String]) -> Result<(), Failure> {
    if given.is_empty() {
        Ok(())
    } else {
        Err(Failure::Plain("No arguments accepted".to_owned()))
    }
}

const fn is_absent(error: &Error) -> bool {
    matches!(error, Error::Refused { status: 404, .. })
}

pub(crate) async fn user(global: &Global, command: &UserCommand) -> Result<ExitCode, Failure> {
    match command {
        UserCommand::List { ignored } => {
            without_arguments(ignored)?;
            let client = session::open(global).await?;
            for name in client.users().await.map_err(Failure::plain)? {
                print::line(&name)?;
            }
        }
        UserCommand::Add { name } => {
            let name = name_of_user(name.as_ref())?;
            add_user(&session::open(global).await?, name).await?;
        }
        UserCommand::Get { name } => {
            let name = name_of_user(name.as_ref())?;
            let client = session::open(global).await?;
            let user = client.user(name).await.map_err(Failure::plain)?;
            print::line(&format!(
                "User: {}\nRoles: {}",
                user.name,
                user.roles.join(" ")
            ))?;
        }
        UserCommand::Remove { name } => {
            let name = name_of_user(name.as_ref())?;
            let client = session::open(global).await?;
            client.remove_user(name).await.map_err(Failure::plain)?;
            print::line(&format!("User {name} removed"))?;
        }
        UserCommand::Grant { name, roles } => {
            change_roles(global, name.as_ref(), roles, true).await?;
        }
        UserCommand::Revoke { name, roles } => {
            change_roles(global, name.as_ref(), roles, false).await?;
        }
        UserCommand::Passwd { name } => {
            let name = name_of_user(name.as_ref())?;
            let client = session::open(global).await?;
            client.user(name).await.map_err(Failure::plain)?;
            let password = password::ask("New password: ")?;
            let changed = client.change_password(name, &password).await;
            changed.map_err(Failure::plain)?;
            print::line("Password updated")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn add_user(client: &Client, argument: &str) -> Result<(), Failure> {
    let name = argument.split(':').next().unwrap_or_default();
    match client.user(name).await {
        Ok(_) => return Err(Failure::Plain(format!("User {name} already exists"))),
        Err(error) if is_absent(&error) => {}
        Err(error) => return Err(Failure::plain(error)),
    }
    let wanted = password::split_or_ask(argument, "New password: ")?;
    let added = client.add_user(&wanted.user, &wanted.password).await;
    added.map_err(Failure::plain)?;
    print::line(&format!("User {name} created"))
}

async fn change_roles(
    global: &Global,
    name: Option<&String>,
    roles: &[String],
    is_grant: bool,
) -> Result<(), Failure> {
    if roles.is_empty() {
        let text = "No roles specified; please use `--roles`";
        return Err(Failure::Plain(text.to_owned()));
    }
    let name = name_of_user(name)?;
    let client = session::open(global).await?;
    client.user(name).await.map_err(Failure::plain)?;
    let changed = if is_grant {
        client.grant_roles(name, roles).await
    } else {
        client.revoke_roles(name, roles).await
    };
    changed.map_err(Failure::plain)?;
    print::line(&format!("User {name} updated"))
}

pub(crate) async fn role(global: &Global, command: &RoleCommand) -> Result<ExitCode, Failure> {
    match command {
        RoleCommand::List { ignored } => {
            without_arguments(ignored)?;
            let client = session::open(global).await?;
            for name in client.roles().await.map_err(Failure::plain)? {
                print::line(&name)?;
            }
        }
        RoleCommand::Add { name } => {
            let name = name_of_role(name.as_ref())?;
            let client = session::open(global).await?;
            match client.role(name).await {
                Ok(_) => return Err(Failure::Plain(format!("Role {name} already exists"))),
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(Failure::plain(error)),
            }
            client.add_role(name).await.map_err(Failure::plain)?;
            print::line(&format!("Role {name} created"))?;
        }
        RoleCommand::Get { name } => {
            let name = name_of_role(name.as_ref())?;
            let client = session::open(global).await?;
            let role = client.role(name).await.map_err(Failure::plain)?;
            let lines = |patterns: &[String]| {
                let lines: Vec<String> = patterns
                    .iter()
                    .map(|one| {
                        format!(
                            "
	{one}"
                        )
                    })
                    .collect();
                lines.concat()
            };
            let (read, write) = (lines(&role.read), lines(&role.write));
            print::line(&format!(
                "Role: {}\nKV Read:{read}\nKV Write:{write}",
                role.name
            ))?;
        }
        RoleCommand::Remove { name } => {
            let name = name_of_role(name.as_ref())?;
            let client = session::open(global).await?;
            client.remove_role(name).await.map_err(Failure::plain)?;
            print::line(&format!("Role {name} removed"))?;
        }
        RoleCommand::Grant(permission) => change_role(global, permission, true).await?,
        RoleCommand::Revoke(permission) => change_role(global, permission, false).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn change_role(
    global: &Global,
    wanted: &PermissionArguments,
    is_grant: bool,
) -> Result<(), Failure> {
    let path = wanted.path.as_deref().unwrap_or_default();
    if path.is_empty() {
        let text = "No path specified; please use `--path`";
        return Err(Failure::Plain(text.to_owned()));
    }
    let canonical = canonical_path(path);
    if canonical != path {
        let text = format!("Not canonical path; please use `--path={canonical}`");
        return Err(Failure::Plain(text));
    }
    let access = match (wanted.read, wanted.write, wanted.readwrite) {
        (true, false, false) => Access::Read,
        (false, true, false) => Access::Write,
        (false, false, true) => Access::ReadWrite,
        _ => {
            let text = "Please specify exactly one of --read, --write or --readwrite";
            return Err(Failure::Plain(text.to_owned()));
        }
    };
    let name = name_of_role(wanted.name.as_ref())?;
    let client = session::open(global).await?;
    client.role(name).await.map_err(Failure::plain)?;
    let changed = if is_grant {
        client.grant(name, path, access).await
    } else {
        client.revoke(name, path, access).await
    };
    changed.map_err(Failure::plain)?;
    print::line(&format!("Role {name} updated"))
}

/// As servers see a path: absolute, without empty parts and dots; a slash at the end stays.
fn canonical_path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let mut text = format!("/{}", parts.join("/"));
    if path.ends_with('/') && text != "/" {
        text.push('/');
    }
    text
}

pub(crate) async fn auth(global: &Global, command: AuthCommand) -> Result<ExitCode, Failure> {
    let client = session::open(global).await?;
    let (done, text) = match command {
        AuthCommand::Enable => (client.enable_auth().await, "Authentication Enabled"),
        AuthCommand::Disable => (client.disable_auth().await, "Authentication Disabled"),
    };
    done.map_err(Failure::plain)?;
    print::line(text)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::canonical_path;

    #[test]
    fn paths_become_canonical() {
        for (given, expected) in [
            ("/a", "/a"),
            ("a", "/a"),
            ("/a//b/../c", "/a/c"),
            ("/a/", "/a/"),
            ("/", "/"),
            ("/x/*", "/x/*"),
        ] {
            assert_eq!(canonical_path(given), expected);
        }
    }
}
